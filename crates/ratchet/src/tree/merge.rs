//! A change put on other files than those it was made from.

use std::path::PathBuf;

use super::{TreeError, changes};
use crate::git::{Contents, Files, Repository};

/// `ours` with what differs between `old` and `new`; the inner error is a file in which both changed the same part.
///
/// # Errors
/// [`TreeError`].
pub fn onto(
    repository: &Repository,
    ours: &Files,
    old: &Files,
    new: &Files,
) -> Result<Result<Files, PathBuf>, TreeError> {
    let mut files = ours.clone();
    for (path, change) in changes(old, new) {
        match merged(repository, ours.get(&path), old.get(&path), change.as_ref())? {
            Some(Some(contents)) => files.insert(path, contents),
            Some(None) => files.remove(&path),
            None => return Ok(Err(path)),
        };
    }
    Ok(Ok(files))
}

/// What becomes of a file that was `old`, is `ours` by now, and should be `new`; `None` where that is a conflict.
fn merged(
    repository: &Repository,
    ours: Option<&Contents>,
    old: Option<&Contents>,
    new: Option<&Contents>,
) -> Result<Option<Option<Contents>>, TreeError> {
    if ours == old || ours == new {
        return Ok(Some(new.cloned()));
    }
    let (Some(ours), Some(old), Some(new)) = (ours, old, new) else {
        return Ok(None);
    };
    let bytes = repository.merge(&ours.bytes, &old.bytes, &new.bytes)?;
    let executable = if new.executable == old.executable {
        ours.executable
    } else {
        new.executable
    };
    Ok(bytes.map(|bytes| Some(Contents { bytes, executable })))
}
