//! The fresh temporary folder and home of one cell, and its removal whatever a stranger made of it.
//!
//! The name holds the supervisor's number and start time, so that a later engine can tell what a killed one left behind from
//! what is in use. Removal is written for hostile trees: folders nested deeper than a path can name, closed to their
//! owner, a million files. It never follows a link, and uses two descriptors whatever the depth: a folder's sub-folders are moved
//! up to the top before it is deleted.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, chmod, openat, renameat_with, statat,
    unlinkat,
};
use rustix::process::Pid;

use super::tree;

pub(crate) const PREFIX: &str = "sprag-cell-";

/// A name that says whose it is.
pub(crate) fn name_of(pid: Pid) -> String {
    let started = tree::started(pid).unwrap_or_default();
    format!("{PREFIX}{}-{}-{started}", namespace(), pid.as_raw_nonzero())
}

/// The number of the PID namespace: process numbers of another container mean nothing here, though its folders may be seen.
fn namespace() -> u64 {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = link
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or_default()
}

/// Whether `name` is one of ours whose owner is gone.
pub(crate) fn is_orphaned(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let mut numbers = rest.split('-').map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (Some(space), Some(pid), Some(started)) = (next(), next(), next()) else {
        return false;
    };
    if space != namespace() {
        return false;
    }
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    tree::started(pid) != Some(started)
}

/// A folder that only its owner may enter, with an empty home in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one below `parent`.
    pub(crate) fn make(parent: &Path, owner: Pid) -> io::Result<Self> {
        let name = name_of(owner);
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        let mut attempt = 0;
        loop {
            // Anybody may make folders where temporary ones are: a name that is taken must not stop us, nor be trusted.
            let path = parent.join(format!("{name}-{attempt}"));
            match builder.create(&path) {
                Ok(()) => {
                    builder.create(path.join("home"))?;
                    return Ok(Self { path });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(e) => return Err(e),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is looked at again by the next `sweep`.
        let _left = remove_tree(&self.path);
    }
}

/// Removes what engines that were killed left in `parent`.
pub(crate) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let own = rustix::process::getuid().as_raw();
    for entry in entries.flatten() {
        let is_own = |data: fs::Metadata| data.uid() == own && data.is_dir();
        // Anybody can make such a name; only what is this user's was made by this user.
        if entry.file_name().to_str().is_some_and(is_orphaned) && entry.metadata().is_ok_and(is_own)
        {
            let _left = remove_tree(&entry.path());
        }
    }
}

/// Removes a folder with everything in it.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let top = open_folder(CWD, path)?;
    // Deep trees are moved up one level a round, and each round removes at least one folder.
    while empty_once(&top)? {}
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes the files of `top`, and each folder in it after moving its folders up to `top`. Says whether there were folders.
fn empty_once(top: &OwnedFd) -> io::Result<bool> {
    let mut folders = Vec::new();
    for (name, is_folder) in entries(top)? {
        if is_folder {
            folders.push(name);
        } else {
            unlinkat(top, &name, AtFlags::empty())?;
        }
    }
    let mut fresh = 0_u64;
    for folder in &folders {
        let inner = open_folder(top, folder.as_c_str())?;
        for (name, is_folder) in entries(&inner)? {
            if !is_folder {
                unlinkat(&inner, &name, AtFlags::empty())?;
                continue;
            }
            // A folder that its owner may not write cannot be moved elsewhere.
            drop(open_folder(&inner, name.as_c_str())?);
            loop {
                let up = CString::new(format!("{fresh:x}")).unwrap_or_default();
                fresh += 1;
                match renameat_with(&inner, &name, top, &up, RenameFlags::NOREPLACE) {
                    Ok(()) => break,
                    Err(rustix::io::Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        unlinkat(top, folder, AtFlags::REMOVEDIR)?;
    }
    Ok(!folders.is_empty())
}

fn entries(folder: &OwnedFd) -> io::Result<Vec<(CString, bool)>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => {
                let data = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(data.st_mode) == FileType::Directory
            }
            _ => false,
        };
        all.push((name.to_owned(), is_folder));
    }
    Ok(all)
}

/// Opens a folder, after opening it to its owner. Never through a link, not even one that somebody puts there meanwhile.
fn open_folder<P: rustix::path::Arg>(at: impl AsFd, name: P) -> io::Result<OwnedFd> {
    let folder = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = openat(
        at,
        name,
        folder | OFlags::PATH | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
    chmod(itself, Mode::RWXU)?;
    Ok(openat(&found, ".", folder | OFlags::RDONLY, Mode::empty())?)
}

#[cfg(test)]
mod tests;
