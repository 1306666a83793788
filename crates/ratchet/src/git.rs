//! The repository that a track lives in, through the git command line.
//!
//! Nothing here touches the user's work tree, index, branches or configuration: commits are made by `fast-import` beside them, files are
//! read from objects (so no smudge filter and no hook of the repository runs), and the only references written are under `refs/sprag/`.
//! Everything that a candidate was stays reachable from there.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufReader, Read as _, Write as _},
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

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
    #[error("git cannot be started: {0}; the ratchet keeps every candidate as a commit, so install git")]
    Missing(std::io::Error),
    /// No repository.
    #[error("{} is not inside a git repository: {said}; make one with `git init`, and commit the track's files", folder.display())]
    NoRepository {
        /// Where it was looked for.
        folder: PathBuf,
        /// What git said.
        said: String,
    },
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
        command.args(["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir", "--show-prefix"]);
        let output = command.output().map_err(GitError::Missing)?;
        if !output.status.success() {
            return Err(GitError::NoRepository {
                folder: root.to_path_buf(),
                said: said(&output.stderr),
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let (Some(top), Some(common)) = (lines.next(), lines.next()) else {
            return Err(GitError::Answer {
                command: "rev-parse",
                expected: "a folder and the repository's own folder (a bare repository has no work tree)",
                came: text.into_owned(),
            });
        };
        Ok(Self {
            top: PathBuf::from(top),
            common: PathBuf::from(common),
            prefix: PathBuf::from(lines.next().unwrap_or("").trim_end_matches('/')),
        })
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

    /// The files under the track's root.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn files(&self, commit: &ObjectId) -> Result<Vec<TreeFile>, GitError> {
        let mut command = self.git();
        command.args(["ls-tree", "-r", "-z", commit.as_str()]);
        if !self.prefix.as_os_str().is_empty() {
            command.arg("--").arg(&self.prefix);
        }
        let output = command.output().map_err(GitError::Missing)?;
        if !output.status.success() {
            return Err(GitError::Failed {
                command: format!("ls-tree {commit}"),
                said: said(&output.stderr),
            });
        }
        let answer = |line: &[u8]| GitError::Answer {
            command: "ls-tree",
            expected: "mode, type, object and path in UTF-8",
            came: String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned(),
        };
        let mut files = Vec::new();
        for line in output.stdout.split(|b| *b == 0).filter(|l| !l.is_empty()) {
            let text = std::str::from_utf8(line).map_err(|_| answer(line))?;
            let (fields, path) = text.split_once('\t').ok_or_else(|| answer(line))?;
            let mut fields = fields.split(' ');
            let (mode, object) = (fields.next(), fields.nth(1));
            let path = Path::new(path);
            files.push(TreeFile {
                path: path.strip_prefix(&self.prefix).unwrap_or(path).to_path_buf(),
                mode: mode.and_then(Mode::parse).ok_or_else(|| answer(line))?,
                object: object.and_then(ObjectId::parse).ok_or_else(|| answer(line))?,
            });
        }
        Ok(files)
    }

    /// The contents of blobs, in order, through one process.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn read(
        &self,
        objects: &[&TreeFile],
        each: &mut dyn FnMut(&TreeFile, Vec<u8>) -> std::io::Result<()>,
    ) -> Result<(), GitError> {
        let io = |source| GitError::Io {
            command: "cat-file",
            source,
        };
        let mut child = self
            .git()
            .args(["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(GitError::Missing)?;
        let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Ok(());
        };
        let mut from = BufReader::new(from);
        let mut outcome = Ok(());
        for file in objects {
            // One at a time, so that neither pipe can fill while nobody reads the other.
            outcome = writeln!(to, "{}", file.object)
                .map_err(io)
                .and_then(|()| blob(&mut from))
                .and_then(|bytes| each(file, bytes).map_err(io));
            if outcome.is_err() {
                break;
            }
        }
        drop(to);
        // Whatever it still wants to say, nobody listens.
        drop(from);
        let _ended = child.wait();
        outcome
    }

    /// Commits the change of some files of `base`: `None` deletes. Gives the commit, which `reference` then names.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn commit(
        &self,
        base: &ObjectId,
        changes: &BTreeMap<PathBuf, Option<Contents>>,
        message: &str,
        reference: &str,
    ) -> Result<ObjectId, GitError> {
        let now = chrono::Utc::now().timestamp();
        let mut stream = Vec::new();
        let text = format!(
            "commit {reference}\nmark :1\ncommitter sprag <sprag@localhost> {now} +0000\ndata {}\n{message}\nfrom {base}\n",
            message.len()
        );
        stream.extend_from_slice(text.as_bytes());
        for (path, contents) in changes {
            let path = quoted(&self.prefix.join(path));
            match contents {
                None => stream.extend_from_slice(format!("D {path}\n").as_bytes()),
                Some(contents) => {
                    let mode = if contents.executable { "100755" } else { "100644" };
                    let head = format!("M {mode} inline {path}\ndata {}\n", contents.bytes.len());
                    stream.extend_from_slice(head.as_bytes());
                    stream.extend_from_slice(&contents.bytes);
                    stream.push(b'\n');
                }
            }
        }
        stream.extend_from_slice(b"\nget-mark :1\ndone\n");
        let mut command = self.git();
        command
            .args(["-c", "core.fsync=objects,reference", "fast-import", "--quiet", "--done", "--force", "--date-format=raw"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::Missing)?;
        if let Some(mut to) = child.stdin.take() {
            // It answers only after the commit and little, so the pipes cannot block each other; a broken pipe is told by its status.
            let _sent = to.write_all(&stream);
        }
        let output = child.wait_with_output().map_err(|source| GitError::Io {
            command: "fast-import",
            source,
        })?;
        let answer = String::from_utf8_lossy(&output.stdout);
        match ObjectId::parse(&answer) {
            Some(commit) if output.status.success() => Ok(commit),
            _ => Err(GitError::Failed {
                command: "fast-import".to_owned(),
                said: said(&output.stderr),
            }),
        }
    }

    /// Lets `reference` (under `refs/sprag/`) name `commit`.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn point(&self, reference: &str, commit: &ObjectId) -> Result<(), GitError> {
        self.text(&["-c", "core.fsync=reference", "update-ref", reference, commit.as_str()])?;
        Ok(())
    }

    /// References under `prefix` with their commits.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn references(&self, prefix: &str) -> Result<Vec<(String, ObjectId)>, GitError> {
        let text = self.text(&["for-each-ref", "--format=%(objectname) %(refname)", prefix])?;
        let pairs = text.lines().filter_map(|line| {
            let (object, name) = line.split_once(' ')?;
            Some((name.to_owned(), ObjectId::parse(object)?))
        });
        Ok(pairs.collect())
    }

    /// What changed from `base` to `commit`, as a patch.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn diff(&self, base: &ObjectId, commit: &ObjectId) -> Result<String, GitError> {
        self.text(&["diff", "--no-color", "--no-ext-diff", "--no-textconv", base.as_str(), commit.as_str()])
    }

    /// The first line of a commit's message.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn subject(&self, commit: &ObjectId) -> Result<String, GitError> {
        let text = self.text(&["log", "-1", "--format=%s", commit.as_str()])?;
        Ok(text.trim().to_owned())
    }

    /// Removes a reference under `refs/sprag/` that names `commit`; one that is not there is removed.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn forget(&self, reference: &str, commit: &ObjectId) -> Result<(), GitError> {
        if self.resolve(reference)?.is_some() {
            self.text(&["update-ref", "-d", reference, commit.as_str()])?;
        }
        Ok(())
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

    /// Paths under the track's root that differ between the work tree (index included) and `HEAD`.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn dirty(&self) -> Result<Vec<PathBuf>, GitError> {
        let root = self.root();
        let mut command = plain(&root);
        command.args(["diff", "--name-only", "-z", "--relative", "--no-ext-diff", "HEAD", "--", "."]);
        let output = command.output().map_err(GitError::Missing)?;
        if !output.status.success() {
            return Err(GitError::Failed {
                command: "diff --name-only HEAD".to_owned(),
                said: said(&output.stderr),
            });
        }
        let names = output.stdout.split(|b| *b == 0).filter(|n| !n.is_empty());
        Ok(names
            .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
            .collect())
    }
}

/// git in `folder`, without what the caller's environment or the repository's hooks would add.
fn plain(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_EXTERNAL_DIFF"] {
        command.env_remove(name);
    }
    command
        .arg("-C")
        .arg(folder)
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
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

/// One answer of `cat-file --batch`.
fn blob(from: &mut impl std::io::BufRead) -> Result<Vec<u8>, GitError> {
    let io = |source| GitError::Io {
        command: "cat-file",
        source,
    };
    let mut head = String::new();
    from.read_line(&mut head).map_err(io)?;
    let length = head
        .trim()
        .rsplit(' ')
        .next()
        .filter(|_| head.contains(" blob "))
        .and_then(|n| n.parse::<u64>().ok())
        .ok_or_else(|| GitError::Answer {
            command: "cat-file",
            expected: "a blob",
            came: head.trim().to_owned(),
        })?;
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes).map_err(io)?;
    let mut newline = [0u8; 1];
    from.read_exact(&mut newline).map_err(io)?;
    Ok(bytes)
}

/// A path as fast-import reads it: in C quotes, with `/` between its parts.
fn quoted(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    let mut out = String::from("\"");
    for c in parts.join("/").chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
