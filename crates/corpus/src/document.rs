//! Documents, one by one, so that a corpus need not fit into memory.
//!
//! A file's name says what it is: `.jsonl` and `.ndjson` hold a JSON object a line, `.parquet` a row each, anything else is one text;
//! `.zst` behind any of these but Parquet is unpacked on the way. One document has to fit into memory, and a packed file may hold so much more than
//! its own size and no more: nothing that somebody wrote in a kilobyte fills memory or disk. Parquet is read where this crate is built with its
//! feature `parquet`.

mod frames;
mod json_line;
#[cfg(feature = "parquet")]
mod table;
#[cfg(not(feature = "parquet"))]
#[path = "document/no_table.rs"]
mod table;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use crate::DataError;
use frames::Frames;

/// Where lines and rows have their text, unless told otherwise.
pub const FIELD: &str = "text";

/// A text with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where it is from.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Document {
    /// # Errors
    /// A text has a zero byte, which stands between documents.
    pub(crate) fn checked(self) -> Result<Self, DataError> {
        match self.text.bytes().position(|byte| byte == 0) {
            None => Ok(self),
            Some(at) => Err(DataError::NotText {
                name: self.name,
                reason: format!("byte {at} is zero"),
            }),
        }
    }
}

/// The documents of a file, all at once; see [`Documents::open`].
///
/// # Errors
/// The file cannot be read, or is not what its name says.
pub fn read(path: &Path) -> Result<Vec<Document>, DataError> {
    Documents::open(path, FIELD)?.collect()
}

/// The documents of lines of JSON.
///
/// # Errors
/// A line is no object with a text.
pub fn lines(path: &Path, text: &str) -> Result<Vec<Document>, DataError> {
    let lines = Lines {
        source: Box::new(io::Cursor::new(text.to_owned())),
        path: path.to_owned(),
        field: FIELD.to_owned(),
        number: 0,
    };
    Documents(Source::Lines(lines)).collect()
}

/// The documents of a file, as they are asked for. After an error there are no more.
pub struct Documents(Source);

type Bytewise = Box<dyn BufRead + Send>;
type Rows = Box<dyn Iterator<Item = Result<Document, DataError>> + Send>;

enum Source {
    Whole { source: Bytewise, path: PathBuf },
    Lines(Lines),
    Rows(Rows),
    Failed(DataError),
    Done,
}

struct Lines {
    source: Bytewise,
    path: PathBuf,
    field: String,
    number: usize,
}

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Lines,
    Rows,
}

impl Form {
    /// With whether it is packed.
    fn of(path: &Path) -> (Self, bool) {
        let end = |path: &Path| {
            let end = path.extension().unwrap_or_default();
            end.to_string_lossy().to_ascii_lowercase()
        };
        let is_packed = end(path) == "zst";
        let inner = if is_packed {
            path.with_extension("")
        } else {
            path.to_owned()
        };
        let form = match end(&inner).as_str() {
            "jsonl" | "ndjson" => Self::Lines,
            "parquet" if !is_packed => Self::Rows,
            _ => Self::Whole,
        };
        (form, is_packed)
    }
}

/// Bytes that a packed file of so many may hold: text shrinks to a tenth at best, and to a hundredth only where it says the same again.
const fn plausible(packed: u64) -> u64 {
    packed.saturating_mul(100).saturating_add(64 << 20)
}

impl Documents {
    /// Of files, one behind the other, each opened when it is its turn.
    pub fn of_files(
        paths: impl IntoIterator<Item = PathBuf>,
        field: &str,
    ) -> impl Iterator<Item = Result<Document, DataError>> {
        paths.into_iter().flat_map(move |path| {
            Self::open(&path, field).unwrap_or_else(|error| Self(Source::Failed(error)))
        })
    }

    /// Of a file; `field` is where its lines or rows have their text.
    ///
    /// # Errors
    /// The file cannot be opened, or is no Parquet though its name says so.
    pub fn open(path: &Path, field: &str) -> Result<Self, DataError> {
        let io = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        if Form::of(path).0 == Form::Rows {
            let limit = plausible(len);
            return Ok(Self(Source::Rows(table::of_file(
                file, path, field, limit,
            )?)));
        }
        Ok(Self::of(BufReader::new(file), len, path, field))
    }

    /// Of a file's bytes in memory; `path` is its name.
    ///
    /// # Errors
    /// They are no Parquet though the name says so.
    pub fn of_bytes(
        bytes: impl AsRef<[u8]> + Send + 'static,
        path: &Path,
        field: &str,
    ) -> Result<Self, DataError> {
        let len = bytes.as_ref().len() as u64;
        if Form::of(path).0 == Form::Rows {
            let limit = plausible(len);
            return Ok(Self(Source::Rows(table::of_bytes(
                bytes, path, field, limit,
            )?)));
        }
        Ok(Self::of(io::Cursor::new(bytes), len, path, field))
    }

    fn of(source: impl BufRead + Send + 'static, len: u64, path: &Path, field: &str) -> Self {
        let (form, is_packed) = Form::of(path);
        let source: Bytewise = if is_packed {
            Box::new(BufReader::new(Frames::new(source, plausible(len))))
        } else {
            Box::new(source)
        };
        let path = path.to_owned();
        Self(match form {
            Form::Lines => Source::Lines(Lines {
                source,
                path,
                field: field.to_owned(),
                number: 0,
            }),
            _ => Source::Whole { source, path },
        })
    }
}

impl Iterator for Documents {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = match &mut self.0 {
            Source::Done => None,
            Source::Failed(_) => {
                let Source::Failed(error) = std::mem::replace(&mut self.0, Source::Done) else {
                    return None;
                };
                return Some(Err(error));
            }
            Source::Rows(rows) => rows.next(),
            Source::Lines(lines) => lines.next(),
            Source::Whole { source, path } => {
                let found = whole(source, path);
                self.0 = Source::Done;
                Some(found)
            }
        };
        let found = found.map(|one| one.and_then(Document::checked));
        if !matches!(found, Some(Ok(_))) {
            self.0 = Source::Done;
        }
        found
    }
}

fn unreadable(path: &Path, source: io::Error) -> DataError {
    let path = path.to_owned();
    match frames::limit_of(&source) {
        Some(limit) => DataError::Expands { path, limit },
        None => DataError::Read { path, source },
    }
}

fn not_text(name: String, error: &std::str::Utf8Error) -> DataError {
    let reason = format!("not UTF-8: {error}");
    DataError::NotText { name, reason }
}

fn whole(source: &mut Bytewise, path: &Path) -> Result<Document, DataError> {
    let mut bytes = Vec::new();
    source
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    let name = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Document { name, text }),
        Err(error) => Err(not_text(name, &error.utf8_error())),
    }
}

impl Lines {
    fn next(&mut self) -> Option<Result<Document, DataError>> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            match self.source.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => return Some(self.document(&line)),
                Err(error) => return Some(Err(unreadable(&self.path, error))),
            }
        }
    }

    fn document(&self, line: &[u8]) -> Result<Document, DataError> {
        let name = format!("{}:{}", self.path.display(), self.number);
        let line = match std::str::from_utf8(line) {
            Ok(line) => line,
            Err(error) => return Err(not_text(name, &error)),
        };
        match json_line::text(line, &self.field) {
            Ok(text) => Ok(Document { name, text }),
            Err(error) => Err(DataError::Line {
                path: self.path.clone(),
                line: self.number,
                field: self.field.clone(),
                reason: error.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
