//! Files of the engine's own: written whole or not at all, copied without following links, removed whatever a candidate left in them.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::digest::Digest;

#[cfg(test)]
mod tests;

/// How names begin that a file has before it is whole.
pub const HALF_MADE: &str = ".new-";

/// Writes a file that only its owner reads: to a temporary name, flushed, then renamed.
///
/// # Errors
/// Any of the steps.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(HALF_MADE)
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

/// A path in which no part is a link, and that stays inside the folder it is relative to.
#[must_use]
pub fn is_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
        && path.components().next().is_some()
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// The most entries of one folder that are looked at: who leaves more has lost count of them too.
const MOST_ENTRIES: usize = 200_000;

/// Everything but folders under `folder`, relative to it, in order. Links are not followed; what `skip` names is not entered.
///
/// # Errors
/// Reading a folder, or too many entries.
pub fn entries(folder: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<(PathBuf, Kind)>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        for entry in fs::read_dir(folder.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            let kind = entry.file_type()?;
            if skip(&path) {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                found.push((path, Kind::File));
            } else if kind.is_symlink() {
                found.push((path, Kind::Link));
            } else {
                found.push((path, Kind::Other));
            }
            if found.len() + open.len() > MOST_ENTRIES {
                let why = format!("more than {MOST_ENTRIES} files and folders");
                return Err(io::Error::new(io::ErrorKind::InvalidFilename, why));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the folders above `path` in `folder` are folders of its own, as far as they are there: no links.
#[must_use]
pub fn is_within(folder: &Path, path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .filter(|above| !above.as_os_str().is_empty())
        .all(|above| match fs::symlink_metadata(folder.join(above)) {
            Ok(data) => data.is_dir(),
            Err(_) => true,
        })
}

/// Every regular file under `folder`, as [`entries`].
///
/// # Errors
/// As [`entries`].
pub fn walk(folder: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let found = entries(folder, skip)?.into_iter();
    Ok(found
        .filter(|(_, kind)| *kind == Kind::File)
        .map(|(path, _)| path)
        .collect())
}

/// Whether an error is about what somebody left in a folder, and not about the disk: closed to its owner, too deep, gone.
#[must_use]
pub fn is_theirs(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::PermissionDenied
            | E::NotFound
            | E::InvalidFilename
            | E::NotADirectory
            | E::IsADirectory
            | E::InvalidInput
    )
}

/// The full path of `path` in `folder`, if a regular file is there. Anything may stand there by now: no link is followed on the way.
fn regular(folder: &Path, path: &Path) -> Option<PathBuf> {
    let mut full = folder.to_path_buf();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        full.push(part);
        let data = fs::symlink_metadata(&full).ok()?;
        let expected = if parts.peek().is_some() {
            data.is_dir()
        } else {
            data.is_file()
        };
        if !expected {
            return None;
        }
    }
    Some(full)
}

/// Whether `path` in `folder` is a regular file with that content; no link is followed and no pipe opened to find out.
#[must_use]
pub fn holds(folder: &Path, path: &Path, digest: &Digest) -> bool {
    regular(folder, path)
        .is_some_and(|full| Digest::of_file(&full).is_ok_and(|found| found == *digest))
}

/// The contents of `path` in `folder`, if that is a regular file of at most so many bytes.
#[must_use]
pub fn read_regular(folder: &Path, path: &Path, most: u64) -> Option<Vec<u8>> {
    let full = regular(folder, path)?;
    let data = fs::symlink_metadata(&full).ok()?;
    (data.len() <= most).then(|| fs::read(&full).ok())?
}

/// Copies one regular file, with the folders above it; the copy is a file of its own.
///
/// # Errors
/// Copying, or a source that is no regular file.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if !fs::symlink_metadata(from)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is no regular file", from.display()),
        ));
    }
    fs::copy(from, to).map(|_| ())
}

/// Removes a folder and all in it. A folder that is not there is removed.
///
/// Also where a candidate took its own rights away, or dug so deep that no path reaches the bottom: what lies too deep is moved up first,
/// and nothing here calls itself or holds more than one folder open.
///
/// # Errors
/// What still stands in the way.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(data) if !data.is_dir() => return fs::remove_file(folder),
        Ok(_) => {}
    }
    let mut moved = 0u64;
    let mut open = vec![folder.to_path_buf()];
    while let Some(top) = open.last().cloned() {
        let mut inner = Vec::new();
        for entry in opened(&top)? {
            let path = top.join(entry?.file_name());
            if !fs::symlink_metadata(&path)?.is_dir() {
                fs::remove_file(&path)?;
            } else if path.as_os_str().len() > folder.as_os_str().len() + DEEP {
                let up = loop {
                    moved += 1;
                    let up = folder.join(format!(".deep-{moved}"));
                    if fs::symlink_metadata(&up).is_err() {
                        break up;
                    }
                };
                // To move a folder is to change it.
                open_up(&path)?;
                fs::rename(&path, &up)?;
            } else {
                inner.push(path);
            }
        }
        if !inner.is_empty() {
            open.extend(inner);
        } else if open.len() > 1 || is_empty(&top)? {
            fs::remove_dir(&top)?;
            open.pop();
        }
    }
    Ok(())
}

/// The length of a path inside a folder from which on it is moved up: half of what a system takes.
const DEEP: usize = 2000;

/// Reads a folder, also one that is closed to its owner.
fn opened(folder: &Path) -> io::Result<fs::ReadDir> {
    open_up(folder)?;
    fs::read_dir(folder)
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}

/// Gives the owner the right to read and to write a file of their own.
///
/// # Errors
/// The disk.
pub fn open_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::symlink_metadata(path)?.permissions().mode();
    if mode & 0o600 == 0o600 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777 | 0o600))
}

/// Gives the owner the right to enter and to remove.
fn open_up(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let rights = fs::symlink_metadata(folder)?.permissions();
    if rights.mode() & 0o700 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// A fresh, empty folder.
///
/// # Errors
/// Removing what was there, or making it.
pub fn fresh(folder: &Path) -> io::Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder)
}

/// A copy of a folder with its links as links.
///
/// # Errors
/// The disk.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fresh(to)?;
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        for entry in fs::read_dir(from.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            let (source, target) = (entry.path(), to.join(&path));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                fs::create_dir(&target)?;
                open.push(path);
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
            } else if kind.is_file() {
                fs::copy(&source, &target)?;
            }
        }
    }
    Ok(())
}

/// A folder of links to the files of another.
///
/// # Errors
/// The disk.
pub fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    for path in walk(from, &|_| false)? {
        let link = to.join(&path);
        if let Some(folder) = link.parent() {
            fs::create_dir_all(folder)?;
        }
        std::os::unix::fs::symlink(from.join(&path), link)?;
    }
    Ok(())
}

/// Flushes every file and folder under `folder`, and itself, to the disk.
///
/// # Errors
/// The disk.
pub fn sync_tree(folder: &Path) -> io::Result<()> {
    let mut open = vec![folder.to_path_buf()];
    while let Some(top) = open.pop() {
        for entry in fs::read_dir(&top)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                fs::File::open(entry.path())?.sync_all()?;
            }
        }
        fs::File::open(&top)?.sync_all()?;
    }
    Ok(())
}
