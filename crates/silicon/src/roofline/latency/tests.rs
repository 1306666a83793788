//! The walk really visits every line before it returns.

use super::{LINE_BYTES, walk};

#[test]
fn the_walk_has_full_period() {
    for lines in [1usize, 2, 4, 64, 512, 4096] {
        let bytes = vec![0u8; lines * LINE_BYTES];
        let mut seen = vec![false; lines];
        let mut at = 0;
        for _ in 0..lines {
            assert!(!seen[at], "{lines} lines: {at} came twice");
            seen[at] = true;
            at = walk(&bytes, lines, at, 1);
        }
        assert_eq!(at, 0);
    }
}
