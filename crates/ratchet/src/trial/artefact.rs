//! What a run leaves for the judge: plain files that a glob names, copied out of the candidate's reach.

use std::{fs, io, path::Path};

use globset::GlobSet;

use super::Loss;
use crate::disk;

/// Copies what `globs` name from `from` into a fresh `to`.
///
/// Links, pipes and devices are left where they are: a link could name a file that only the judge may read.
///
/// # Errors
/// The disk; the inner error is the candidate's.
pub fn collect(
    from: &Path,
    to: &Path,
    globs: &GlobSet,
    names: &[String],
    most: u64,
) -> io::Result<Result<(), Loss>> {
    disk::fresh(to)?;
    let mut bytes = 0;
    let mut found = vec![false; names.len()];
    for path in disk::walk(from, &|_| false)? {
        let matches = globs.matches(&path);
        if matches.is_empty() {
            continue;
        }
        for i in matches {
            found[i] = true;
        }
        let full = from.join(&path);
        bytes += fs::symlink_metadata(&full)?.len();
        if bytes > most {
            return Ok(Err(Loss::OutputTooLarge { bytes, most }));
        }
        disk::copy(&full, &to.join(&path))?;
    }
    match found.iter().position(|found| !found) {
        None => Ok(Ok(())),
        Some(missing) => Ok(Err(Loss::NoOutput {
            what: names[missing].clone(),
        })),
    }
}
