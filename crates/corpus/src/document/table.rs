//! Rows of a Parquet file: one column of strings, read page by page.
//!
//! A page's head says how large it is unpacked, and the reader allocates that. So each head is looked at before ([`Guarded`]), and all texts
//! together have the limit that any packed file has.

use std::{
    fs::File,
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use parquet::{
    basic::Type,
    column::reader::{ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArray, ByteArrayType},
    errors::{ParquetError, Result as Parquet},
    file::{
        reader::{ChunkReader, FileReader as _, Length},
        serialized_reader::SerializedFileReader,
    },
};

use super::{Rows, not_text, plausible};
use crate::{DataError, Document};

/// Rows that are decoded at a time.
const BATCH: usize = 64;
/// What a document costs beside its text: with it, a billion empty rows are not nothing.
const OVERHEAD: u64 = 64;

/// Bytes at the end of a file that say where its metadata are.
const TAIL: usize = 8;

/// The documents of a file.
///
/// # Errors
/// It is no Parquet, or has no such column.
pub(super) fn of_file(file: File, path: &Path, field: &str, limit: u64) -> Result<Rows, DataError> {
    rows(file, path, field, limit)
}

/// As [`of_file`], of a file's bytes.
pub(super) fn of_bytes(
    bytes: impl AsRef<[u8]> + Send + 'static,
    path: &Path,
    field: &str,
    limit: u64,
) -> Result<Rows, DataError> {
    rows(Bytes::from_owner(bytes), path, field, limit)
}

fn rows<R: ChunkReader + 'static>(
    file: R,
    path: &Path,
    field: &str,
    limit: u64,
) -> Result<Rows, DataError> {
    let refused = |reason: String| DataError::Table {
        path: path.to_owned(),
        field: field.to_owned(),
        reason,
    };
    let reader = unharmed(|| SerializedFileReader::new(Guarded(file))).map_err(refused)?;
    let metadata = reader.metadata().file_metadata();
    let columns = metadata.schema_descr().columns();
    let Some(column) = columns.iter().position(|one| one.path().string() == field) else {
        let names: Vec<String> = columns.iter().map(|one| one.path().string()).collect();
        let shown: String = names.join(", ").chars().take(400).collect();
        return Err(refused(format!("its columns are {shown}")));
    };
    let found = &columns[column];
    if found.physical_type() != Type::BYTE_ARRAY || found.max_rep_level() > 0 {
        let list = if found.max_rep_level() > 0 {
            "lists of "
        } else {
            ""
        };
        let kind = found.physical_type();
        return Err(refused(format!("that column holds {list}{kind}")));
    }
    Ok(Box::new(Table {
        whole: found.max_def_level(),
        reader,
        path: path.to_owned(),
        field: field.to_owned(),
        column,
        group: 0,
        open: None,
        values: Vec::new().into_iter(),
        row: 0,
        left: limit,
        limit,
    }))
}

/// What the reader answers. Some damage it answers with a panic, such as a dictionary's numbers without a dictionary; the file is as unreadable
/// as with an error, and is not asked again.
fn unharmed<T>(read: impl FnOnce() -> Parquet<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("its pages contradict each other".to_owned()),
    }
}

struct Table<R: ChunkReader + 'static> {
    reader: SerializedFileReader<Guarded<R>>,
    path: PathBuf,
    field: String,
    column: usize,
    /// The definition level of a text that is there.
    whole: i16,
    /// The next one to open.
    group: usize,
    open: Option<ColumnReaderImpl<ByteArrayType>>,
    /// Decoded, and not yet given out.
    values: std::vec::IntoIter<ByteArray>,
    /// Given out.
    row: u64,
    left: u64,
    limit: u64,
}

impl<R: ChunkReader + 'static> Table<R> {
    fn bad_row(&self, reason: String) -> DataError {
        DataError::Row {
            path: self.path.clone(),
            row: self.row + 1,
            field: self.field.clone(),
            reason,
        }
    }

    /// Decodes some rows; false at the end of the file.
    fn fill(&mut self) -> Result<bool, DataError> {
        loop {
            let column = match &mut self.open {
                Some(column) => column,
                None if self.group >= self.reader.num_row_groups() => return Ok(false),
                None => {
                    let column = unharmed(|| {
                        let group = self.reader.get_row_group(self.group)?;
                        group.get_column_reader(self.column)
                    });
                    let column = column.map_err(|reason| self.bad_row(reason))?;
                    self.group += 1;
                    self.open.insert(get_typed_column_reader(column))
                }
            };
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let read =
                unharmed(|| column.read_records(BATCH, Some(&mut levels), None, &mut values));
            let (records, ..) = read.map_err(|reason| self.bad_row(reason))?;
            if records == 0 {
                self.open = None;
                continue;
            }
            if values.len() != records {
                let missing = levels.iter().position(|&level| level < self.whole);
                self.row += missing.unwrap_or(values.len()) as u64;
                return Err(self.bad_row("it is null".to_owned()));
            }
            self.values = values.into_iter();
            return Ok(true);
        }
    }

    fn document(&mut self) -> Result<Option<Document>, DataError> {
        let value = loop {
            if let Some(value) = self.values.next() {
                break value;
            }
            if !self.fill()? {
                return Ok(None);
            }
        };
        let bytes = value.data();
        self.left = self
            .left
            .checked_sub(bytes.len() as u64 + OVERHEAD)
            .ok_or_else(|| DataError::Expands {
                path: self.path.clone(),
                limit: self.limit,
            })?;
        self.row += 1;
        let name = format!("{}:{}", self.path.display(), self.row);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Document {
                name,
                text: text.to_owned(),
            })),
            Err(error) => Err(not_text(name, &error)),
        }
    }
}

impl<R: ChunkReader + 'static> Iterator for Table<R> {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.document().transpose()
    }
}

/// A file whose page heads are looked at before the reader believes them.
struct Guarded<R>(R);

impl<R: Length> Length for Guarded<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Guarded<R> {
    type T = R::T;

    /// The reader asks for this where a page's head begins.
    fn get_read(&self, start: u64) -> Parquet<R::T> {
        let mut head = [0; 24];
        let mut count = 0;
        let mut source = self.0.get_read(start)?.take(head.len() as u64);
        loop {
            match source.read(&mut head[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ParquetError::External(Box::new(error))),
            }
        }
        // The file's own tail is read so too, and no page begins there.
        if count <= TAIL {
            return self.0.get_read(start);
        }
        let sizes = sizes(&head[..count]);
        if sizes.is_none_or(|(unpacked, packed)| unpacked > plausible(packed)) {
            return Err(ParquetError::General(format!(
                "the page at byte {start} has an implausible head"
            )));
        }
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Parquet<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// How many bytes a page has unpacked and packed. In Thrift's compact protocol its head begins with three fields of 32 bits, each a byte that
/// says so and a zigzag number: the kind, and these two.
fn sizes(mut head: &[u8]) -> Option<(u64, u64)> {
    let mut field = || {
        let (&kind, mut rest) = head.split_first()?;
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let (&byte, tail) = rest.split_first()?;
            rest = tail;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                head = rest;
                // A negative one is odd.
                return (kind == 0x15 && number & 1 == 0).then_some(number >> 1);
            }
        }
        None
    };
    field()?;
    Some((field()?, field()?))
}

#[cfg(test)]
mod tests;
