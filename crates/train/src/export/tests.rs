//! Names of bytes and the order of rows; that the file runs is the command's test.

use super::{byte_name, obstacle, source_row};
use crate::{Configuration, Mixer};

#[test]
fn bytes_have_the_names_that_gpt_2_gave_them() {
    let known = [
        (b'A', 'A'),
        (b' ', 'Ġ'),
        (b'\n', 'Ċ'),
        (0, 'Ā'),
        (0x7f, 'ġ'),
        (0xa0, 'ł'),
        (0xad, 'Ń'),
        (0xff, 'ÿ'),
    ];
    for (byte, name) in known {
        assert_eq!(byte_name(byte), name, "{byte:#x}");
    }
    let mut all: Vec<char> = (0..=255).map(byte_name).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 256);
}

#[test]
fn pairs_lie_side_by_side() {
    let rows: Vec<usize> = (8..16).map(|row| source_row(row, 8)).collect();
    assert_eq!(rows, [8, 12, 9, 13, 10, 14, 11, 15]);
}

#[test]
fn what_gguf_lacks_is_named() {
    assert_eq!(obstacle(&Configuration::default()), None);
    let windowed = Configuration {
        mixers: vec![Mixer::Full, Mixer::Window],
        ..Configuration::default()
    };
    assert_eq!(obstacle(&windowed), Some("windowed attention"));
}
