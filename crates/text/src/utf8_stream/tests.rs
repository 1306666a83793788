//! However a text is cut into bytes, the pieces join to what the standard library makes of the whole.

use super::Utf8Stream;

fn in_chunks(bytes: &[u8], size: usize) -> String {
    let mut stream = Utf8Stream::new();
    let mut text: String = bytes
        .chunks(size)
        .map(|chunk| stream.push(chunk).to_owned())
        .collect();
    text.push_str(stream.finish());
    text
}

#[test]
fn every_cut_gives_the_same_text() {
    let samples: [&[u8]; 6] = [
        "plain".as_bytes(),
        "é😀\u{200d}👩 漢字".as_bytes(),
        b"a\xFFb\xC3(\xE2\x82",
        b"\xF0\x9F\x98",
        b"\xED\xA0\x80\xC0\xAF",
        b"\xE2\x82\xE2\x82\xAC\xF0\x90",
    ];
    for sample in samples {
        for size in 1..=sample.len() {
            assert_eq!(
                in_chunks(sample, size),
                String::from_utf8_lossy(sample),
                "{sample:x?} by {size}"
            );
        }
    }
}

#[test]
fn half_a_character_waits() {
    let mut stream = Utf8Stream::new();
    assert_eq!(stream.push(b"ok \xF0\x9F"), "ok ");
    assert_eq!(stream.push(b"\x98\x80!"), "😀!");
    assert_eq!(stream.finish(), "");
}
