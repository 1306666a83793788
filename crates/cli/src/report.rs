//! Reports: JSON to standard output, and files that are either whole or not there.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::failure::Failure;

/// Writes one JSON document and a line feed to standard output.
///
/// # Errors
/// Standard output can't be written.
pub fn json(report: &impl Serialize) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, report)?;
    out.write_all(b"\n")
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}

/// Writes a file under a temporary name in the same folder, then renames it: readers see the old content or the new.
///
/// # Errors
/// The folder can't be written, or the disk is full.
pub fn file(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Failure> {
    let fresh = beside(path);
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(content.as_ref())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|source| {
        // Best effort: the first failure is the one to tell.
        let _left = std::fs::remove_file(&fresh);
        Failure::Write {
            path: path.to_owned(),
            source,
        }
    })
}

/// Whether [`file`] could write here, to be asked before work whose result goes there.
///
/// # Errors
/// The folder is not there or can't be written.
pub fn may_write(path: &Path) -> Result<(), Failure> {
    let fresh = beside(path);
    let tried = if path.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        File::create(&fresh).and_then(|_| std::fs::remove_file(&fresh))
    };
    tried.map_err(|source| Failure::Write {
        path: path.to_owned(),
        source,
    })
}

/// A name in the same folder that no other process takes.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// The whole of a text file, or of standard input for `-`.
///
/// # Errors
/// It can't be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::stdin().lock(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|source| Failure::Read {
        path: path.to_owned(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|error| Failure::Content {
        path: path.to_owned(),
        why: format!(
            "not UTF-8 text: the byte at offset {} is invalid; convert it to UTF-8 first",
            error.utf8_error().valid_up_to()
        ),
    })
}
