//! Every reader touches every byte: a single bit anywhere must show in the result.

use super::read::readers;
use super::{RooflineError, Stream, UNIT_BYTES};

#[test]
fn a_bit_anywhere_is_seen() {
    let mut bytes = vec![0u8; UNIT_BYTES * 3];
    for read in readers() {
        let empty = read(&bytes, 1);
        for at in 0..bytes.len() {
            bytes[at] = 0x10;
            assert_ne!(read(&bytes, 1), empty, "byte {at}");
            bytes[at] = 0;
        }
    }
}

#[test]
fn an_empty_slice_reads_as_zeros() {
    for read in readers() {
        assert_eq!(read(&[], 1), read(&[0; UNIT_BYTES], 3));
    }
}

#[test]
fn a_stream_is_read_whatever_its_size() {
    for (bytes, threads) in [(0, 1), (10_000, 2), (3 << 20, 2)] {
        let stream = Stream::new(bytes, threads).unwrap();
        let size = stream.working_set_bytes();
        let least = 1024 * threads as u64;
        assert!(size.is_multiple_of(least) && size <= bytes.max(least));
        let samples = stream.sample();
        assert!(!samples.is_empty());
        assert!(samples.iter().all(|gb_s| gb_s.is_finite() && *gb_s > 0.0));
    }
    let refused = Stream::new(1, 0);
    assert!(matches!(refused, Err(RooflineError::Threads { .. })));
}
