//! JSON documents that stand beside a checkpoint's weights, read with bounds and through typed getters.
//!
//! 1. A file longer than the caller's limit is refused before it is read.
//! 2. The parser refuses nesting beyond 128 levels, so that brackets alone can't exhaust the stack.
//! 3. An [`Object`] hands out fields by type. Its errors name the file, the field's whole path, what was expected and what
//!    is there. `null` counts as absent, as the programs that write these files mean it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::gguf::Quoted;

/// A JSON file that can't be used.
#[derive(Debug)]
pub struct JsonError {
    path: PathBuf,
    fault: Box<JsonFault>,
}

impl JsonError {
    /// The file at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> &JsonFault {
        &self.fault
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for JsonError {}

/// What is wrong with a JSON file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// The operating system refused.
    #[error("can't read the file: {0}; check that it exists and that you may read it")]
    Io(io::Error),
    /// Longer than such a file ever is.
    #[error(
        "the file has more than {limit} bytes, which no file of this kind needs; fetch the model again"
    )]
    TooLong {
        /// The most that is read.
        limit: u64,
    },
    /// Not JSON, or not of the form that this file has.
    #[error("not the JSON that was expected: {reason}; fetch the file again")]
    Syntax {
        /// The parser's words, made safe to print.
        reason: Quoted,
    },
    /// A field that is needed is not there.
    #[error("field {field} is missing ({expected} was expected); fetch the model's files again")]
    Missing {
        /// The field's path.
        field: Quoted,
        /// What it should hold.
        expected: String,
    },
    /// A field holds something else.
    #[error(
        "field {field} is {found}, where {expected} was expected; fetch the model's files again"
    )]
    Wrong {
        /// The field's path.
        field: Quoted,
        /// What it should hold.
        expected: String,
        /// What is there.
        found: String,
    },
}

fn fail<T>(path: &Path, fault: JsonFault) -> Result<T, JsonError> {
    Err(JsonError {
        path: path.to_owned(),
        fault: Box::new(fault),
    })
}

/// Reads a whole file of at most `limit` bytes. `None` where there is no such file.
///
/// # Errors
/// The system refuses, or the file is longer.
pub fn bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, JsonError> {
    let read = || -> io::Result<Option<Vec<u8>>> {
        // Asked before opening: to open a pipe would wait for its writer.
        match path.metadata() {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(io::Error::other("it is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        Ok(Some(bytes)) if bytes.len() as u64 > limit => fail(path, JsonFault::TooLong { limit }),
        Ok(bytes) => Ok(bytes),
        Err(error) => fail(path, JsonFault::Io(error)),
    }
}

/// Parses bytes that came from `path` into any form.
///
/// # Errors
/// They are not JSON of that form.
pub fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, JsonError> {
    serde_json::from_slice(bytes).or_else(|error| {
        let reason = Quoted::new(&error.to_string());
        fail(path, JsonFault::Syntax { reason })
    })
}

/// A JSON file whose top is an object.
#[derive(Clone, Debug)]
pub struct Document {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Document {
    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// It is not there, is too long, or holds something else than an object.
    pub fn read(path: &Path, limit: u64) -> Result<Self, JsonError> {
        match Self::read_optional(path, limit)? {
            Some(document) => Ok(document),
            None => fail(path, JsonFault::Io(io::ErrorKind::NotFound.into())),
        }
    }

    /// As [`Self::read`]; `None` where there is no such file.
    ///
    /// # Errors
    /// As [`Self::read`], but for a file that is not there.
    pub fn read_optional(path: &Path, limit: u64) -> Result<Option<Self>, JsonError> {
        bytes(path, limit)?
            .map(|bytes| Self::from_bytes(path, &bytes))
            .transpose()
    }

    /// As [`Self::read`], for bytes in memory that are said to come from `path`.
    ///
    /// # Errors
    /// They hold something else than an object.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, JsonError> {
        Ok(Self {
            path: path.to_owned(),
            map: parse(path, bytes)?,
        })
    }

    /// The whole document.
    #[must_use]
    pub fn root(&self) -> Object<'_> {
        Object {
            file: &self.path,
            prefix: String::new(),
            map: &self.map,
        }
    }
}

/// An object inside a document.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    file: &'a Path,
    prefix: String,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// A value that an object of `file` holds, seen as an object; `None` if it is none.
    #[must_use]
    pub fn of(file: &'a Path, value: &'a Value) -> Option<Self> {
        let (map, prefix) = (value.as_object()?, String::new());
        Some(Self { file, prefix, map })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &'a Path {
        self.file
    }

    /// A field's value, unless it is absent or `null`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The error for a field that holds something else than was expected.
    #[must_use]
    pub fn wrong(&self, key: &str, expected: impl Into<String>) -> JsonError {
        let field = Quoted::new(&format!("{}{key}", self.prefix));
        let expected = expected.into();
        let fault = match self.get(key) {
            None => JsonFault::Missing { field, expected },
            Some(value) => JsonFault::Wrong {
                field,
                expected,
                found: described(value),
            },
        };
        JsonError {
            path: self.file.to_owned(),
            fault: Box::new(fault),
        }
    }

    fn optional<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, JsonError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match convert(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.wrong(key, expected)),
            },
        }
    }

    /// An object within this one.
    ///
    /// # Errors
    /// The field holds something else.
    pub fn object(&self, key: &str) -> Result<Option<Self>, JsonError> {
        let map = self.optional(key, "an object", Value::as_object)?;
        Ok(map.map(|map| Self {
            file: self.file,
            prefix: format!("{}{key}.", self.prefix),
            map,
        }))
    }

    /// A count from `least` to `most`.
    ///
    /// # Errors
    /// The field is missing, no whole number, or outside the range.
    pub fn count(&self, key: &str, least: usize, most: usize) -> Result<usize, JsonError> {
        match self.optional_count(key, least, most)? {
            Some(count) => Ok(count),
            None => Err(self.wrong(key, range(least, most))),
        }
    }

    /// As [`Self::count`]; `None` where the field is absent.
    ///
    /// # Errors
    /// The field is no whole number, or outside the range.
    pub fn optional_count(
        &self,
        key: &str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, JsonError> {
        self.optional(key, &range(least, most), |value| {
            let count = usize::try_from(value.as_u64()?).ok()?;
            (least..=most).contains(&count).then_some(count)
        })
    }

    /// A positive, finite number.
    ///
    /// # Errors
    /// The field holds something else.
    pub fn positive(&self, key: &str) -> Result<Option<f64>, JsonError> {
        self.optional(key, "a positive number", |value| {
            value
                .as_f64()
                .filter(|number| number.is_finite() && *number > 0.0)
        })
    }

    /// A string.
    ///
    /// # Errors
    /// The field holds something else.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, JsonError> {
        self.optional(key, "a string", Value::as_str)
    }

    /// A boolean.
    ///
    /// # Errors
    /// The field holds something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, JsonError> {
        self.optional(key, "true or false", Value::as_bool)
    }

    /// An array.
    ///
    /// # Errors
    /// The field holds something else.
    pub fn array(&self, key: &str) -> Result<Option<&'a [Value]>, JsonError> {
        self.optional(key, "an array", |value| value.as_array().map(Vec::as_slice))
    }
}

fn range(least: usize, most: usize) -> String {
    format!("a whole number from {least} to {most}")
}

/// A value's kind and, where that is short, the value.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => {
            let text = number.to_string();
            text.chars().take(40).collect()
        }
        Value::String(text) => format!("the string {}", Quoted::new(text)),
        Value::Array(values) => format!("an array of {}", values.len()),
        Value::Object(map) => format!("an object of {} fields", map.len()),
    }
}

#[cfg(test)]
mod tests;
