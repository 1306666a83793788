//! What a run leaves for the judge: plain files that a glob names, copied out of the candidate's reach.
//!
//! A candidate may leave anything: files that are closed to everybody, folders too deep for a path, a folder where a file is expected.
//! What cannot be read is its own loss; only a failure to write the copy is the engine's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use globset::GlobSet;

use super::Loss;
use crate::{disk, tree};

#[cfg(test)]
mod tests;

/// The regular files that a candidate left.
///
/// # Errors
/// The disk; the inner error is the candidate's.
pub fn files(folder: &Path) -> io::Result<Result<Vec<PathBuf>, Loss>> {
    match disk::walk(folder, &|_| false) {
        Ok(files) => Ok(Ok(files)),
        Err(error) if disk::is_theirs(&error) => Ok(Err(Loss::Unreadable {
            path: PathBuf::from("."),
            why: error.to_string(),
        })),
        Err(error) => Err(error),
    }
}

/// Copies one of them.
///
/// # Errors
/// As [`files`].
pub fn copy(from: &Path, to: &Path, path: &Path) -> io::Result<Result<(), Loss>> {
    let source = from.join(path);
    match fs::File::open(&source) {
        Err(error) if disk::is_theirs(&error) => {
            return Ok(Err(Loss::Unreadable {
                path: tree::shown(path),
                why: error.to_string(),
            }));
        }
        _ => {}
    }
    let copied = to.join(path);
    disk::copy(&source, &copied)?;
    // A copy has its file's rights, and the judge has to read it.
    disk::open_file(&copied).map(Ok)
}

/// Copies what `globs` name from `from` into a fresh `to`.
///
/// Links, pipes and devices are left where they are: a link could name a file that only the judge may read.
///
/// # Errors
/// As [`files`].
pub fn collect(
    from: &Path,
    to: &Path,
    globs: &GlobSet,
    names: &[String],
    most: u64,
) -> io::Result<Result<(), Loss>> {
    disk::fresh(to)?;
    let paths = match files(from)? {
        Ok(paths) => paths,
        Err(loss) => return Ok(Err(loss)),
    };
    let mut bytes = 0;
    let mut found = vec![false; names.len()];
    for path in paths {
        let matches = globs.matches(&path);
        if matches.is_empty() {
            continue;
        }
        for i in matches {
            if let Some(found) = found.get_mut(i) {
                *found = true;
            }
        }
        bytes += fs::symlink_metadata(from.join(&path))?.len();
        if bytes > most {
            return Ok(Err(Loss::OutputTooLarge { bytes, most }));
        }
        if let Err(loss) = copy(from, to, &path)? {
            return Ok(Err(loss));
        }
    }
    match found.iter().zip(names).find(|(found, _)| !**found) {
        None => Ok(Ok(())),
        Some((_, name)) => Ok(Err(Loss::NoOutput { what: name.clone() })),
    }
}
