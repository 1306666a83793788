//! The `tojson` filter as `transformers` defines it: Python's `json.dumps(value, ensure_ascii=False)`.
//!
//! Python puts a space after `,` and `:`, which models have seen in every tool schema; the engine's own filter writes
//! neither and escapes HTML.

use std::io;

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

/// A value as JSON; `indent` breaks it into lines.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    // Accepted as templates pass them; Python's defaults for the others are what is written anyway.
    let indent: Option<usize> = options.get("indent")?;
    let mut json = Vec::new();
    let written = match indent {
        Some(width) if width > MAX_INDENT => {
            let reason = format!("tojson cannot indent by {width}; the most is {MAX_INDENT}");
            return Err(Error::new(ErrorKind::InvalidOperation, reason));
        }
        Some(width) => {
            let blanks = " ".repeat(width);
            let pretty = PrettyFormatter::with_indent(blanks.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut json, pretty))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut json, Python)),
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let json = String::from_utf8(json)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from_safe_string(json))
}

const MAX_INDENT: usize = 16;

/// Python's separators.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
