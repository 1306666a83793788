//! Parquet by every codec, as pyarrow writes it (`fixtures/parquet.py`), and damaged.

use std::path::Path;

use crate::{DataError, Document, Documents, FIELD, read};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

fn of_bytes(bytes: &[u8], name: &str) -> Result<Vec<Document>, DataError> {
    Documents::of_bytes(bytes.to_vec(), Path::new(name), FIELD)?.collect()
}

fn refusal(bytes: &[u8], name: &str) -> String {
    of_bytes(bytes, name).expect_err("no text").to_string()
}

fn row(i: usize) -> String {
    let text = format!("row {i}: naïve text,{}", format!(" {i}").repeat(i));
    if i == 0 { String::new() } else { text }
}

#[test]
fn rows_are_documents_in_every_codec() {
    for name in ["snappy", "gzip", "zstd", "plain"] {
        let path = Path::new(FIXTURES).join(format!("{name}.parquet"));
        let found = read(&path).unwrap();
        assert_eq!(found.len(), 200, "{name}");
        for (i, document) in found.iter().enumerate() {
            assert_eq!(document.text, row(i), "{name}");
            assert_eq!(document.name, format!("{}:{}", path.display(), i + 1));
        }
    }
    let path = Path::new(FIXTURES).join("binary.parquet");
    let mut found = Documents::open(&path, "content").unwrap();
    assert_eq!(found.nth(9).unwrap().unwrap().text, row(9));
    assert_eq!(read(&Path::new(FIXTURES).join("none.parquet")).unwrap(), []);
}

#[test]
fn a_table_without_texts_is_told_what_it_has() {
    let cases = [
        (
            "binary",
            "its columns are id, content; expected a Parquet file with a column \"text\" of strings",
        ),
        ("null", "row 71, column \"text\": it is null"),
        ("latin1", "not UTF-8"),
        ("list", "its columns are id, text.list.element"),
        ("number", "that column holds INT64"),
    ];
    for (name, said) in cases {
        let error = read(&Path::new(FIXTURES).join(format!("{name}.parquet")));
        let error = error.expect_err(name).to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
    let path = Path::new(FIXTURES).join("list.parquet");
    let error = Documents::open(&path, "text.list.element").map(|_| ());
    let error = error.expect_err("lists").to_string();
    assert!(error.contains("lists of BYTE_ARRAY"), "{error}");
    assert!(refusal(b"PAR1 no", "x.parquet").contains("x.parquet: "));
    assert!(refusal(b"", "x.parquet").contains("x.parquet: "));
}

/// A page that says of itself that it unpacks to two gigabytes.
#[test]
fn a_hostile_page_is_not_believed() {
    let path = Path::new(FIXTURES).join("snappy.parquet");
    let mut file = std::fs::read(path).unwrap();
    let tail = &file[file.len() - 8..];
    let metadata = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    let pages = file.len() - 8 - metadata;
    let heads: Vec<usize> = (0..pages)
        .filter(|&at| matches!(file[at..at + 3], [0x15, 0 | 4 | 6, 0x15]))
        .collect();
    // The number goes on into what was the next field.
    for at in heads {
        file[at + 3..at + 8].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
    }
    let error = refusal(&file, "x.parquet");
    assert!(error.contains("implausible head"), "{error}");
}

#[test]
fn a_damaged_table_is_an_error_or_other_text_and_never_a_panic() {
    for name in ["snappy", "gzip", "zstd", "plain"] {
        let path = Path::new(FIXTURES).join(format!("{name}.parquet"));
        let whole = std::fs::read(path).unwrap();
        for cut in (0..whole.len()).step_by(397) {
            assert!(
                of_bytes(&whole[..cut], "x.parquet").is_err(),
                "cut at {cut}"
            );
        }
        for at in (0..whole.len()).step_by(whole.len() / 120) {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                let _ = of_bytes(&changed, "x.parquet");
            }
        }
    }
}
