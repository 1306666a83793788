//! Files of the engine's own: written whole or not at all, copied without following links, removed whatever a candidate left in them.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Writes a file that only its owner reads: to a temporary name, flushed, then renamed.
///
/// # Errors
/// Any of the steps.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
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

/// Every regular file under `folder`, relative to it, in order. Links are not followed; what `skip` names is not entered.
///
/// # Errors
/// Reading a folder.
pub fn walk(folder: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
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
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
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

/// Removes a folder and all in it, also where a candidate took its own rights away. A folder that is not there is removed.
///
/// # Errors
/// What still stands in the way.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder)?;
            fs::remove_dir_all(folder)
        }
        Err(error) => Err(error),
    }
}

/// Gives the owner the right to enter and to remove.
fn open_up(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
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
