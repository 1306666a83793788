//! What a track's verdicts rest on, copied and hashed when an epoch begins.
//!
//! A seal holds the sealed, data and hidden files, the programs of the judges and of a budget's server, and the track's own rules. The copies are what is used
//! from then on; the user's files are only compared with them. Whatever differs later ends the epoch: scores of two epochs are never
//! compared, but the error that was spent stays spent.
//!
//! Sprag as a judge is copied too, so that building it anew changes no verdict. Another program (an interpreter, say) stays where it is
//! and has its content in the seal.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::{Digest, Parts},
    disk,
    track::{Part, Track},
};

/// What is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Its number, from 1.
    pub epoch: u64,
    /// Sealed, data and hidden files by their path.
    pub files: BTreeMap<PathBuf, Digest>,
    /// Programs of the judges and of a budget's server by what the track calls them.
    pub programs: BTreeMap<String, Program>,
    /// Files outside the repository that the judge reads.
    pub reads: BTreeMap<PathBuf, Digest>,
    /// The track's rules: `track.toml` without its name, its words and its proposers.
    pub rules: Digest,
}

/// A judge's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where it is started from: relative to the epoch's folder if it was copied there.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
}

/// Why something cannot be sealed, or a seal does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Reading or copying.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program of the track's is not there.
    #[error("the program {0:?} of a judge or server is not on the search path")]
    NoProgram(String),
    /// A program in the repository that no glob seals.
    #[error(
        "the program {0} of a judge or server is not among the sealed files; add it to artefact.sealed"
    )]
    NotSealed(String),
    /// A pattern that should seal something finds nothing.
    #[error("`artefact.{field}`: {glob:?} matches no file under {}; a seal of nothing protects nothing (a folder is `FOLDER/**`; what has to be built before the first run, the track's file says at its head)", root.display())]
    Empty {
        /// The field of the track.
        field: &'static str,
        /// The glob.
        glob: String,
        /// Where it was looked for.
        root: PathBuf,
    },
    /// What was sealed is no longer what is there.
    #[error("{}", changes(.0))]
    Changed(Vec<String>),
}

fn changes(list: &[String]) -> String {
    let shown = list.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    let more = match list.len().saturating_sub(5) {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    format!("what this track's verdicts rest on has changed: {shown}{more}")
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SealError {
    let path = path.to_path_buf();
    move |source| SealError::Io { path, source }
}

impl Seal {
    /// The seal's content as one digest: the judge's version in every verdict.
    #[must_use]
    pub fn id(&self) -> Digest {
        let mut parts = Parts::default();
        for (path, digest) in self.files.iter().chain(&self.reads) {
            parts
                .add(path.to_string_lossy().as_bytes())
                .add(digest.as_str().as_bytes());
        }
        for (name, program) in &self.programs {
            parts
                .add(name.as_bytes())
                .add(program.digest.as_str().as_bytes());
        }
        parts.add(self.rules.as_str().as_bytes());
        parts.digest()
    }

    /// The path of a judge's program.
    #[must_use]
    pub fn program(&self, name: &str, folder: &Path) -> Option<PathBuf> {
        self.programs
            .get(name)
            .map(|program| folder.join(&program.path))
    }
}

/// Where the copies of files lie in an epoch's folder.
#[must_use]
pub fn files_in(folder: &Path) -> PathBuf {
    folder.join("files")
}

/// Copies and hashes all that the track's verdicts rest on into `folder`.
///
/// # Errors
/// [`SealError`].
pub fn seal(track: &Track, root: &Path, folder: &Path, epoch: u64) -> Result<Seal, SealError> {
    let copies = files_in(folder);
    disk::fresh(folder).map_err(io_error(folder))?;
    // There even where nothing is sealed, so that a judge always has a folder to be given.
    disk::fresh(&copies).map_err(io_error(&copies))?;
    let mut files = BTreeMap::new();
    for path in sealed_files(track, root)? {
        let to = files_in(folder).join(&path);
        disk::copy(&root.join(&path), &to).map_err(io_error(&root.join(&path)))?;
        files.insert(path, Digest::of_file(&to).map_err(io_error(&to))?);
    }
    let artefact = &track.file.artefact;
    for (field, globs) in [
        ("sealed", &artefact.sealed),
        ("tools", &artefact.tools),
        ("data", &artefact.data),
        ("hidden", &artefact.hidden),
    ] {
        for glob in globs {
            let own = crate::track::globs_of(std::slice::from_ref(glob));
            if !files.keys().any(|path| own.is_match(path)) && !names_own(track, &own) {
                return Err(SealError::Empty {
                    field,
                    glob: glob.clone(),
                    root: root.to_path_buf(),
                });
            }
        }
    }
    let mut programs = BTreeMap::new();
    for name in program_names(track) {
        programs.insert(name.to_owned(), program(name, folder)?);
    }
    disk::sync_tree(folder).map_err(io_error(folder))?;
    if let Some(above) = folder.parent() {
        fs::File::open(above)
            .and_then(|above| above.sync_all())
            .map_err(io_error(above))?;
    }
    Ok(Seal {
        epoch,
        files,
        programs,
        reads: outside(track)?,
        rules: rules(track),
    })
}

/// Compares a seal with its copies, with the user's files, and with the programs. What differs is an error that names it.
///
/// # Errors
/// [`SealError::Changed`], or reading.
pub fn check(seal: &Seal, track: &Track, root: &Path, folder: &Path) -> Result<(), SealError> {
    let mut changed = Vec::new();
    let mut compare = |path: &Path, expected: &Digest, what: &str| match Digest::of_file(path) {
        Ok(found) if found == *expected => {}
        Ok(_) => changed.push(format!("{what} has other contents")),
        Err(error) => changed.push(format!("{what} cannot be read: {error}")),
    };
    for (path, digest) in &seal.files {
        let copy = files_in(folder).join(path);
        compare(
            &copy,
            digest,
            &format!("the sealed copy of {}", path.display()),
        );
        compare(&root.join(path), digest, &path.display().to_string());
    }
    for (path, digest) in &seal.reads {
        compare(path, digest, &path.display().to_string());
    }
    for (name, program) in &seal.programs {
        compare(
            &folder.join(&program.path),
            &program.digest,
            &format!("the program {name}"),
        );
    }
    for path in sealed_files(track, root)? {
        if !seal.files.contains_key(&path) {
            changed.push(format!("{} is new", path.display()));
        }
    }
    if rules(track) != seal.rules {
        changed.push("track.toml has other rules".to_owned());
    }
    if changed.is_empty() {
        Ok(())
    } else {
        Err(SealError::Changed(changed))
    }
}

/// Whether a glob names the track's file or its program, which are compared as rules and words.
fn names_own(track: &Track, glob: &globset::GlobSet) -> bool {
    glob.is_match(crate::track::FILE)
        || track
            .file
            .artefact
            .program
            .as_ref()
            .is_some_and(|program| glob.is_match(program))
}

/// Files of the user's work tree that a glob seals; the track and its program are compared as rules and words, not as files.
fn sealed_files(track: &Track, root: &Path) -> Result<Vec<PathBuf>, SealError> {
    let skip = |path: &Path| path.file_name().is_some_and(|name| name == ".git");
    let mut files = disk::walk(root, &skip).map_err(io_error(root))?;
    let program = track.file.artefact.program.as_deref().map(Path::new);
    files.retain(|path| {
        let own =
            path.as_path() == Path::new(crate::track::FILE) || Some(path.as_path()) == program;
        !own && matches!(
            track.globs.part(path),
            Part::Sealed | Part::Tools | Part::Data | Part::Hidden
        )
    });
    Ok(files)
}

fn program_names(track: &Track) -> impl Iterator<Item = &str> {
    let judge = &track.file.judge;
    let second = judge
        .second
        .as_ref()
        .and_then(|second| second.command.first());
    let budget = track.file.run.as_ref().and_then(|run| run.budget.as_ref());
    judge
        .command
        .first()
        .into_iter()
        .chain(second)
        .chain(budget.and_then(|budget| budget.server.first()))
        .map(String::as_str)
}

/// Finds a judge's program: Sprag is copied, another is hashed where it lies.
fn program(name: &str, folder: &Path) -> Result<Program, SealError> {
    if name == "sprag" {
        let own = env::current_exe().map_err(io_error(Path::new("the running sprag")))?;
        let path = PathBuf::from("bin/sprag");
        let to = folder.join(&path);
        disk::copy(&own, &to).map_err(io_error(&own))?;
        let digest = Digest::of_file(&to).map_err(io_error(&to))?;
        return Ok(Program { path, digest });
    }
    let path = if name.contains('/') && disk::is_inside(Path::new(name.trim_start_matches("./"))) {
        // One of the sealed files themselves: its copy is what runs.
        let copy = Path::new("files").join(name.trim_start_matches("./"));
        let digest = Digest::of_file(&folder.join(&copy))
            .map_err(|_| SealError::NotSealed(name.to_owned()))?;
        return Ok(Program { path: copy, digest });
    } else {
        find(name).ok_or_else(|| SealError::NoProgram(name.to_owned()))?
    };
    let digest = Digest::of_file(&path).map_err(io_error(&path))?;
    Ok(Program { path, digest })
}

/// The file that a command's name means on the search path, with links resolved.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        let path = Path::new(name);
        return path.is_absolute().then(|| fs::canonicalize(path).ok())?;
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .and_then(|path| fs::canonicalize(path).ok())
}

fn outside(track: &Track) -> Result<BTreeMap<PathBuf, Digest>, SealError> {
    let mut reads = BTreeMap::new();
    for name in &track.file.judge.reads {
        let path = fs::canonicalize(name).map_err(io_error(Path::new(name)))?;
        if path.is_file() {
            reads.insert(
                path.clone(),
                Digest::of_file(&path).map_err(io_error(&path))?,
            );
            continue;
        }
        for file in disk::walk(&path, &|_| false).map_err(io_error(&path))? {
            let file = path.join(file);
            reads.insert(
                file.clone(),
                Digest::of_file(&file).map_err(io_error(&file))?,
            );
        }
    }
    Ok(reads)
}

/// The rules of a track: what decides a verdict, without its words and its proposers.
fn rules(track: &Track) -> Digest {
    let mut table: toml::Table = track.text.parse().unwrap_or_default();
    for words in ["about", "proposer"] {
        table.remove(words);
    }
    Digest::of(serde_json::to_string(&table).unwrap_or_default().as_bytes())
}
