//! Every reader touches every byte: a single bit anywhere must show in the result.

use super::{UNIT_BYTES, read_portable, reader};

#[test]
fn a_bit_anywhere_is_seen() {
    let chosen = reader();
    let mut bytes = vec![0u8; UNIT_BYTES * 3];
    let (empty, empty_portable) = (chosen(&bytes), read_portable(&bytes));
    for at in 0..bytes.len() {
        bytes[at] = 0x10;
        assert_ne!(chosen(&bytes), empty, "byte {at}");
        assert_ne!(read_portable(&bytes), empty_portable, "byte {at}");
        bytes[at] = 0;
    }
}

#[test]
fn an_empty_slice_is_fine() {
    assert_eq!(reader()(&[]), reader()(&[0; UNIT_BYTES]));
    assert_eq!(read_portable(&[]), 0);
}
