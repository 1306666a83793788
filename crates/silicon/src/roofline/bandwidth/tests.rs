//! Every reader touches every byte: a single bit anywhere must show in the result.

use super::{UNIT_BYTES, readers};

#[test]
fn a_bit_anywhere_is_seen() {
    let mut bytes = vec![0u8; UNIT_BYTES * 3];
    for read in readers() {
        let empty = read(&bytes);
        for at in 0..bytes.len() {
            bytes[at] = 0x10;
            assert_ne!(read(&bytes), empty, "byte {at}");
            bytes[at] = 0;
        }
    }
}

#[test]
fn an_empty_slice_reads_as_zeros() {
    for read in readers() {
        assert_eq!(read(&[]), read(&[0; UNIT_BYTES]));
    }
}
