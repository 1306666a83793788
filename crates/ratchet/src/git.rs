//! The repository that a track lives in, through the git command line.
//!
//! Nothing here touches the user's work tree, index or configuration: commits are made beside them (`commit`), files are read from
//! objects (`objects`), and the only references written are under `refs/sprag/`, and the branches that `finalize` is asked for.
//! Everything that a candidate was stays reachable from there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

mod commit;
mod merge;
mod objects;
mod references;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// The id of a commit or a tree, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(String);

impl ObjectId {
    /// Takes 40 or 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let hexadecimal = text.bytes().all(|b| b.is_ascii_hexdigit());
        (hexadecimal && [40, 64].contains(&text.len())).then(|| Self(text.to_ascii_lowercase()))
    }

    /// All digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough digits for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why git did not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No git, or it could not be started.
    #[error(
        "git cannot be started: {0}; the ratchet keeps every candidate as a commit, so install git"
    )]
    Missing(std::io::Error),
    /// No repository.
    #[error("{} is not inside a git repository: {said}; make one with `git init`, and commit the track's files", folder.display())]
    NoRepository {
        /// Where it was looked for.
        folder: PathBuf,
        /// What git said.
        said: String,
    },
    /// A repository without a work tree.
    #[error("{} is a bare repository; a track needs the files themselves, so make a work tree with `git worktree add`", .0.display())]
    Bare(PathBuf),
    /// A folder whose name git cannot say in one line.
    #[error("{}: the name of this folder holds a line break; a track needs a folder with another name", .0.display())]
    Name(PathBuf),
    /// No commit yet.
    #[error("the repository at {} has no commit yet; commit the track's files first", .0.display())]
    NoCommit(PathBuf),
    /// A command failed.
    #[error("`git {command}` failed: {said}")]
    Failed {
        /// The sub-command.
        command: String,
        /// What git said.
        said: String,
    },
    /// Its output was not what was asked for.
    #[error("`git {command}` answered {came:?}; expected {expected}")]
    Answer {
        /// The sub-command.
        command: &'static str,
        /// In words.
        expected: &'static str,
        /// The beginning of what came.
        came: String,
    },
    /// Talking to it failed.
    #[error("`git {command}`: {source}")]
    Io {
        /// The sub-command.
        command: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// The mode of a file in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// An ordinary file.
    Plain,
    /// A file that may be executed.
    Executable,
    /// A symbolic link.
    Link,
    /// A commit of another repository.
    Submodule,
}

impl Mode {
    fn parse(octal: &str) -> Option<Self> {
        match octal {
            "100644" | "100664" => Some(Self::Plain),
            "100755" => Some(Self::Executable),
            "120000" => Some(Self::Link),
            "160000" => Some(Self::Submodule),
            _ => None,
        }
    }
}

/// One file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Relative to the track's root.
    pub path: PathBuf,
    /// Its mode.
    pub mode: Mode,
    /// Its blob.
    pub object: ObjectId,
}

/// The contents of one mutable file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Files by their path relative to the track's root.
pub type Files = BTreeMap<PathBuf, Contents>;

/// A repository, and the folder in it that is the track's root.
#[derive(Clone, Debug)]
pub struct Repository {
    top: PathBuf,
    common: PathBuf,
    prefix: PathBuf,
}

impl Repository {
    /// The repository around `root`, which exists.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn around(root: &Path) -> Result<Self, GitError> {
        let mut command = plain(root);
        command.args([
            "rev-parse",
            "--path-format=absolute",
            "--is-bare-repository",
            "--git-common-dir",
        ]);
        command.args(["--show-toplevel", "--show-prefix"]);
        let output = command.output().map_err(GitError::Missing)?;
        let bytes = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
        let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
        if lines.first() == Some(&&b"true"[..]) {
            return Err(GitError::Bare(root.to_path_buf()));
        }
        if !output.status.success() {
            return Err(GitError::NoRepository {
                folder: root.to_path_buf(),
                said: said(&output.stderr),
            });
        }
        let path = |line: &[u8]| PathBuf::from(OsStr::from_bytes(line));
        match lines.as_slice() {
            [_, common, top, prefix] => Ok(Self {
                top: path(top),
                common: path(common),
                prefix: path(prefix.strip_suffix(b"/").unwrap_or(prefix)),
            }),
            _ => Err(GitError::Name(root.to_path_buf())),
        }
    }

    /// The folder with the repository's own data, shared by all its work trees.
    #[must_use]
    pub fn common(&self) -> &Path {
        &self.common
    }

    /// The track's root in the user's work tree.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.top.join(&self.prefix)
    }

    fn git(&self) -> Command {
        plain(&self.top)
    }

    fn text(&self, arguments: &[&str]) -> Result<String, GitError> {
        let output = self
            .git()
            .args(arguments)
            .output()
            .map_err(GitError::Missing)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(GitError::Failed {
            command: arguments.join(" "),
            said: said(&output.stderr),
        })
    }

    /// The commit that `name` means, if it means any.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn resolve(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        let output = self
            .git()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{name}^{{commit}}"))
            .output()
            .map_err(GitError::Missing)?;
        Ok(ObjectId::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The commit that is checked out.
    ///
    /// # Errors
    /// [`GitError::NoCommit`] in a new repository.
    pub fn head(&self) -> Result<ObjectId, GitError> {
        self.resolve("HEAD")?
            .ok_or_else(|| GitError::NoCommit(self.top.clone()))
    }

    /// What changed from `base` to `commit`, as a patch.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn diff(&self, base: &ObjectId, commit: &ObjectId) -> Result<String, GitError> {
        self.text(&[
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            base.as_str(),
            commit.as_str(),
        ])
    }

    /// The first line of a commit's message.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn subject(&self, commit: &ObjectId) -> Result<String, GitError> {
        let text = self.text(&["log", "-1", "--format=%s", commit.as_str()])?;
        Ok(text.trim().to_owned())
    }

    /// The id of the commit's tree.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn tree(&self, commit: &ObjectId) -> Result<ObjectId, GitError> {
        let text = self.text(&["rev-parse", &format!("{commit}^{{tree}}")])?;
        ObjectId::parse(&text).ok_or(GitError::Answer {
            command: "rev-parse",
            expected: "a tree's id",
            came: text,
        })
    }

    /// Files under the root that git tracks, or would if they were added: all that it does not ignore.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn known(&self) -> Result<BTreeSet<PathBuf>, GitError> {
        let arguments = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ];
        self.names(&arguments)
            .map(|names| names.into_iter().collect())
    }

    /// Paths under the track's root that differ between the work tree (index included) and `HEAD`.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn dirty(&self) -> Result<Vec<PathBuf>, GitError> {
        self.names(&[
            "diff",
            "--name-only",
            "-z",
            "--relative",
            "--no-ext-diff",
            "HEAD",
            "--",
            ".",
        ])
    }

    /// What a command that is run in the root lists, with a zero behind each name.
    fn names(&self, arguments: &[&str]) -> Result<Vec<PathBuf>, GitError> {
        let output = plain(&self.root())
            .args(arguments)
            .output()
            .map_err(GitError::Missing)?;
        if !output.status.success() {
            return Err(GitError::Failed {
                command: arguments.join(" "),
                said: said(&output.stderr),
            });
        }
        let names = output
            .stdout
            .split(|b| *b == 0)
            .filter(|name| !name.is_empty());
        Ok(names
            .map(|name| PathBuf::from(OsStr::from_bytes(name)))
            .collect())
    }
}

/// git in `folder`, without what the caller's environment or the repository's hooks would add.
fn plain(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
        "GIT_NAMESPACE",
        "GIT_EXTERNAL_DIFF",
        "GIT_DIFF_OPTS",
        "GIT_GRAFT_FILE",
        "GIT_QUARANTINE_PATH",
        "GIT_GLOB_PATHSPECS",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_ICASE_PATHSPECS",
    ] {
        command.env_remove(name);
    }
    command
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.quotePath=false",
        ])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_LITERAL_PATHSPECS", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    command
}

/// The end of what git said: the reason stands last.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    match lines.last() {
        Some(last) => last.trim_start_matches("fatal: ").to_owned(),
        None => "it gave no reason".to_owned(),
    }
}
