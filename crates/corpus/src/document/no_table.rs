//! In the place of `table`, where this crate is built without Parquet.

use std::{fs::File, path::Path};

use super::Rows;
use crate::DataError;

pub(super) fn of_file(_: File, path: &Path, _: &str, _: u64) -> Result<Rows, DataError> {
    Err(refused(path))
}

pub(super) fn of_bytes(
    _: impl AsRef<[u8]> + Send + 'static,
    path: &Path,
    _: &str,
    _: u64,
) -> Result<Rows, DataError> {
    Err(refused(path))
}

fn refused(path: &Path) -> DataError {
    DataError::NoParquet {
        path: path.to_owned(),
    }
}
