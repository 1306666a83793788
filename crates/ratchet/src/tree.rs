//! A candidate's files: read from its commit, compared with another's, laid out for a build or a run.
//!
//! A folder for a candidate holds the mutable and fixed files of its commit and the sealed files of the epoch. Data are links into the
//! seal, absent while building. Hidden files are never there.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::{
    digest::{Digest, Parts},
    disk,
    git::{Contents, Files, GitError, Mode, ObjectId, Repository, TreeFile},
    record::Void,
    seal,
    track::{Part, Track},
};

/// Why files could not be read or laid out.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> TreeError {
    let path = path.to_path_buf();
    move |source| TreeError::Io { path, source }
}

/// The mutable files of a commit.
///
/// # Errors
/// [`TreeError`].
pub fn mutable(repository: &Repository, track: &Track, commit: &ObjectId) -> Result<Files, TreeError> {
    let all = repository.files(commit)?;
    let wanted: Vec<&TreeFile> = all
        .iter()
        .filter(|file| track.globs.part(&file.path) == Part::Mutable)
        .filter(|file| matches!(file.mode, Mode::Plain | Mode::Executable))
        .collect();
    let mut files = Files::new();
    repository.read(&wanted, &mut |file, bytes| {
        let contents = Contents {
            bytes,
            executable: file.mode == Mode::Executable,
        };
        files.insert(file.path.clone(), contents);
        Ok(())
    })?;
    Ok(files)
}

/// The mutable files in a folder that a proposer worked in. Anything but ordinary files, or a change outside, is a reason not to
/// measure: `before` is what was laid out there.
///
/// # Errors
/// [`TreeError`]; the inner error is the candidate's.
pub fn collect(
    track: &Track,
    folder: &Path,
    before: &BTreeMap<PathBuf, Digest>,
) -> Result<Result<Files, Void>, TreeError> {
    let skip = |path: &Path| path.file_name().is_some_and(|name| name == ".git");
    let most = track.file.artefact.most_bytes.0;
    let mut files = Files::new();
    let mut bytes = 0;
    for path in disk::walk(folder, &skip).map_err(io_error(folder))? {
        if track.globs.part(&path) != Part::Mutable {
            continue;
        }
        let full = folder.join(&path);
        if path.to_str().is_none() {
            return Ok(Err(Void::NotAFile { path }));
        }
        let data = fs::symlink_metadata(&full).map_err(io_error(&full))?;
        bytes += data.len();
        if bytes > most {
            return Ok(Err(Void::TooLarge { bytes, most }));
        }
        let contents = Contents {
            bytes: fs::read(&full).map_err(io_error(&full))?,
            executable: data.permissions().mode() & 0o100 != 0,
        };
        files.insert(path, contents);
    }
    let foreign: Vec<PathBuf> = before
        .iter()
        .filter(|(path, digest)| {
            track.globs.part(path) != Part::Mutable
                && Digest::of_file(&folder.join(path)).ok().as_ref() != Some(*digest)
        })
        .map(|(path, _)| path.clone())
        .collect();
    if foreign.is_empty() {
        Ok(Ok(files))
    } else {
        Ok(Err(Void::Foreign { paths: foreign }))
    }
}

/// The digest of files as far as they can matter: line ends, blanks at the ends of lines and empty lines at the end of a file do not.
/// With `seeds`, nor do the literals that choose a draw.
#[must_use]
pub fn normalised(track: &Track, files: &Files, seeds: bool) -> Digest {
    let mut parts = Parts::default();
    for (path, contents) in files {
        parts.add(path.to_string_lossy().as_bytes());
        parts.add(&[u8::from(contents.executable)]);
        match std::str::from_utf8(&contents.bytes) {
            Err(_) => parts.add(&contents.bytes),
            Ok(text) => {
                let mut text = text.to_owned();
                if seeds {
                    for place in &track.seeds {
                        if Path::new(place.file()) == path {
                            text = place.replace(&text, "0").unwrap_or(text);
                        }
                    }
                }
                let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
                parts.add(lines.join("\n").trim_end().as_bytes())
            }
        };
    }
    parts.digest()
}

/// What differs between two sets of files, as a commit takes it.
#[must_use]
pub fn changes(base: &Files, candidate: &Files) -> BTreeMap<PathBuf, Option<Contents>> {
    let gone = base
        .keys()
        .filter(|path| !candidate.contains_key(*path))
        .map(|path| (path.clone(), None));
    let new = candidate
        .iter()
        .filter(|(path, contents)| base.get(*path) != Some(*contents))
        .map(|(path, contents)| (path.clone(), Some(contents.clone())));
    gone.chain(new).collect()
}

/// What a folder is laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A proposer, who may read data.
    Propose,
    /// A build, without data.
    Build,
    /// A run.
    Run,
}

/// Lays a commit's files out in a fresh folder, and gives the digests of those that nobody may change.
///
/// # Errors
/// [`TreeError`].
pub fn lay(
    repository: &Repository,
    track: &Track,
    commit: &ObjectId,
    epoch: &Path,
    folder: &Path,
    purpose: Purpose,
) -> Result<BTreeMap<PathBuf, Digest>, TreeError> {
    disk::fresh(folder).map_err(io_error(folder))?;
    let mut untouchable = BTreeMap::new();
    let sealed = seal::files_in(epoch);
    if sealed.is_dir() {
        for path in disk::walk(&sealed, &|_| false).map_err(io_error(&sealed))? {
            let (from, to) = (sealed.join(&path), folder.join(&path));
            match track.globs.part(&path) {
                Part::Sealed => {
                    disk::copy(&from, &to).map_err(io_error(&from))?;
                    untouchable.insert(path, Digest::of_file(&to).map_err(io_error(&to))?);
                }
                Part::Data if purpose != Purpose::Build => {
                    above(&to).and_then(|()| symlink(&from, &to)).map_err(io_error(&to))?;
                }
                _ => {}
            }
        }
    }
    let all = repository.files(commit)?;
    let wanted: Vec<&TreeFile> = all
        .iter()
        .filter(|file| matches!(track.globs.part(&file.path), Part::Mutable | Part::Fixed))
        .filter(|file| file.mode != Mode::Submodule && disk::is_inside(&file.path))
        .collect();
    repository.read(&wanted, &mut |file, bytes| {
        let to = folder.join(&file.path);
        above(&to)?;
        if file.mode == Mode::Link {
            let target = PathBuf::from(String::from_utf8_lossy(&bytes).into_owned());
            return symlink(target, &to);
        }
        fs::write(&to, &bytes)?;
        if file.mode == Mode::Executable {
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        }
        if track.globs.part(&file.path) == Part::Fixed {
            untouchable.insert(file.path.clone(), Digest::of(&bytes));
        }
        Ok(())
    })?;
    Ok(untouchable)
}

fn above(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
