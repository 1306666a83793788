//! Every form that text comes in, whole, damaged, and hostile.

use std::{io::Write as _, path::Path};

use super::{Document, Documents, FIELD, lines, plausible, read};
use crate::DataError;

const SOTU: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../data/sotu/sotu.jsonl.zst"
);

fn of_bytes(bytes: &[u8], name: &str) -> Result<Vec<Document>, DataError> {
    Documents::of_bytes(bytes.to_vec(), Path::new(name), FIELD)?.collect()
}

fn refusal(bytes: &[u8], name: &str) -> String {
    of_bytes(bytes, name).expect_err("no text").to_string()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn a_text_file_is_a_document_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.txt", "b", "c.md"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "some text\r\nof two lines").unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "some text\r\nof two lines");
        assert_eq!(found[0].name, path.display().to_string());
    }
    let missing = read(&folder.path().join("d")).expect_err("no such file");
    assert!(matches!(missing, DataError::Read { .. }), "{missing}");
    let no_file = read(folder.path()).expect_err("a folder");
    assert!(matches!(no_file, DataError::Read { .. }), "{no_file}");
}

#[test]
fn files_follow_each_other_and_one_that_fails_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.txt", "b.jsonl", "missing", "c.txt"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], "a").unwrap();
    std::fs::write(&paths[1], "{\"text\":\"b\"}\n{\"text\":\"c\"}").unwrap();
    std::fs::write(&paths[3], "d").unwrap();
    let found = Documents::of_files(paths, FIELD).map(|one| one.ok().map(|one| one.text));
    let found: Vec<_> = found.collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found, [some("a"), some("b"), some("c"), None, some("d")]);
}

#[test]
fn lines_are_documents_by_a_field_of_any_name() {
    let text = b"{\"text\":\"a\",\"year\":1}\r\n\n  {\"n\":{\"text\":[1]},\"text\":\"\\u00e9\\n\"}";
    let found = of_bytes(text, "some.JSONL").unwrap();
    assert_eq!(found[0].name, "some.JSONL:1");
    assert_eq!(found[1].name, "some.JSONL:3");
    assert_eq!(
        (found[0].text.as_str(), found[1].text.as_str()),
        ("a", "é\n")
    );
    let other = &b"{\"content\":\"b\"}"[..];
    let mut found = Documents::of_bytes(other, Path::new("x.ndjson"), "content").unwrap();
    assert_eq!(found.next().unwrap().unwrap().text, "b");
    assert!(found.next().is_none());
    assert_eq!(lines(Path::new("x.jsonl"), "").unwrap(), []);
}

#[test]
fn a_line_that_is_no_text_is_named() {
    let cases: [(&[u8], &str); 8] = [
        (
            b"{\"txt\":1}",
            "some.jsonl, line 2: \"text\" is not there at line 1 column 9; each line must be a JSON object with a text in \"text\"",
        ),
        (b"[1]", "expected an object with a string in \"text\""),
        (b"{\"text\":1}", "expected a string"),
        (b"{\"text\":\"a\",\"text\":\"b\"}", "is there twice"),
        (b"{\"text\":\"a\"} x", "trailing characters"),
        (b"{\"text\":\"a", "EOF"),
        (
            b"{\"text\":\"\xff\"}",
            "some.jsonl:2: not UTF-8: invalid utf-8 sequence of 1 bytes from index 9",
        ),
        (b"{\"text\":\"a\\u0000\"}", "some.jsonl:2: byte 1 is zero"),
    ];
    for (line, said) in cases {
        let text = [b"{\"text\":\"a\"}\n", line].concat();
        let error = refusal(&text, "some.jsonl");
        assert!(error.contains(said), "{error}");
    }
    let deep = format!("{{\"other\":{}", "[".repeat(100_000));
    assert!(refusal(deep.as_bytes(), "deep.jsonl").contains("EOF"));
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let error = refusal(b"ab\xf0\x28", "a.txt");
    assert!(
        error.starts_with("a.txt: not UTF-8:") && error.contains("index 2"),
        "{error}"
    );
    assert!(refusal(b"abc\0", "a.txt").contains("byte 3 is zero"));
}

#[test]
fn packed_texts_are_unpacked_frame_by_frame() {
    let skipped = [&0x184d_2a53_u32.to_le_bytes()[..], &[3, 0, 0, 0, 1, 2, 3]].concat();
    let lines = [
        packed(b"{\"text\":\"a\"}\n{\"te"),
        skipped,
        packed(b"xt\":\"b\"}\n"),
    ]
    .concat();
    let found = of_bytes(&lines, "x.jsonl.zst").unwrap();
    assert_eq!((found[0].text.as_str(), found[1].text.as_str()), ("a", "b"));
    assert_eq!(
        of_bytes(&packed(b"plain"), "x.zst").unwrap()[0].text,
        "plain"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.txt.zst");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&packed("é".repeat(1000).as_bytes()))
        .unwrap();
    assert_eq!(read(&path).unwrap()[0].text, "é".repeat(1000));
}

#[test]
fn the_addresses_are_233() {
    let all = Documents::open(Path::new(SOTU), FIELD).unwrap();
    let all: Vec<Document> = all.collect::<Result<_, _>>().unwrap();
    assert_eq!(all.len(), 233);
    let bytes: usize = all.iter().map(|one| one.text.len()).sum();
    assert_eq!(bytes / 1000, 10_761);
}

#[test]
fn damaged_packed_text_is_an_error() {
    let whole = packed(&b"some text that is long enough to be worth packing ".repeat(40));
    for cut in 1..whole.len() {
        let found = of_bytes(&whole[..cut], "x.txt.zst");
        assert!(found.is_err(), "cut at {cut}");
    }
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        refused += usize::from(of_bytes(&changed, "x.txt.zst").is_err());
    }
    assert!(refused > whole.len() / 2, "{refused} of {}", whole.len());
    assert!(refusal(b"no zstd", "x.zst").contains("damaged Zstandard data"));
}

#[test]
fn a_small_file_does_not_become_a_huge_text() {
    // 100 MiB of the same byte: runs of 128 KiB, four bytes each.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let block = |last: u32| ((128u32 << 10) << 3 | 1 << 1 | last).to_le_bytes();
    for number in 0..800u32 {
        bomb.extend_from_slice(&block(u32::from(number == 799))[..3]);
        bomb.push(b'a');
    }
    let limit = plausible(bomb.len() as u64);
    assert!(limit < 100 << 20);
    for name in ["x.txt.zst", "x.jsonl.zst"] {
        let error = of_bytes(&bomb, name).expect_err("too much");
        assert!(
            matches!(error, DataError::Expands { limit: found, .. } if found == limit),
            "{error}"
        );
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_so() {
    assert!(refusal(b"PAR1", "x.parquet").contains("build it with `--features parquet`"));
}
