//! Metadata as it is shown: scalars whole, long texts and arrays by their beginning.

use formats::gguf::{Gguf, Value};
use serde::Serialize;

/// Characters of a text, and elements of an array, that are shown.
const SHOWN_CHARACTERS: usize = 100;
const SHOWN_ELEMENTS: usize = 4;

/// One pair.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// As in the file.
    pub key: String,
    /// The type, as GGUF calls it.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The value, or its beginning.
    #[serde(rename = "value")]
    pub shown: String,
}

/// All pairs in the file's order.
pub fn entries(gguf: &Gguf) -> Vec<Entry> {
    let entry = |(key, value): (&str, &Value)| Entry {
        key: key.to_owned(),
        kind: value.value_type().name(),
        shown: shown(value),
    };
    gguf.metadata().iter().map(entry).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::U8(x) => x.to_string(),
        Value::I8(x) => x.to_string(),
        Value::U16(x) => x.to_string(),
        Value::I16(x) => x.to_string(),
        Value::U32(x) => x.to_string(),
        Value::I32(x) => x.to_string(),
        Value::U64(x) => x.to_string(),
        Value::I64(x) => x.to_string(),
        Value::F32(x) => x.to_string(),
        Value::F64(x) => x.to_string(),
        Value::Bool(x) => x.to_string(),
        Value::Str(text) => quoted(text.bytes()),
        Value::Array(array) => {
            let beginning = beginning(array);
            let more = if array.len() > beginning.len() {
                ", ..."
            } else {
                ""
            };
            format!(
                "{} of {}: [{}{more}]",
                array.len(),
                array.element_type().name(),
                beginning.join(", ")
            )
        }
    }
}

fn beginning(array: &formats::gguf::Array) -> Vec<String> {
    use formats::gguf::Array;
    fn some<T: ToString>(all: &[T]) -> Vec<String> {
        all.iter()
            .take(SHOWN_ELEMENTS)
            .map(ToString::to_string)
            .collect()
    }
    match array {
        Array::U8(all) => some(all),
        Array::I8(all) => some(all),
        Array::U16(all) => some(all),
        Array::I16(all) => some(all),
        Array::U32(all) => some(all),
        Array::I32(all) => some(all),
        Array::U64(all) => some(all),
        Array::I64(all) => some(all),
        Array::F32(all) => some(all),
        Array::F64(all) => some(all),
        Array::Bool(all) => some(all),
        Array::Str(all) => all.iter().take(SHOWN_ELEMENTS).map(quoted).collect(),
    }
}

/// Quoted and escaped, at most so many characters.
fn quoted(bytes: &[u8]) -> String {
    // Four bytes hold at least one character.
    let beginning = bytes.get(..SHOWN_CHARACTERS * 4).unwrap_or(bytes);
    let text = String::from_utf8_lossy(beginning);
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        None if beginning.len() == bytes.len() => format!("{text:?}"),
        None => format!("{text:?}... ({} bytes)", bytes.len()),
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], bytes.len()),
    }
}
