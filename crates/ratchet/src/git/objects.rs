//! Reading a commit: its files from `ls-tree`, their contents from one `cat-file` process.
//!
//! Contents come from objects, so no smudge filter, no attribute and no hook of the repository runs. Names are bytes: a repository may
//! hold files whose names are no text.

use std::{
    ffi::OsStr,
    io::{BufReader, Read as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::Stdio,
};

use super::{GitError, Mode, ObjectId, Repository, TreeFile, said};

impl Repository {
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
        let lines = output
            .stdout
            .split(|b| *b == 0)
            .filter(|line| !line.is_empty());
        lines
            .map(|line| {
                self.tree_file(line).ok_or_else(|| GitError::Answer {
                    command: "ls-tree",
                    expected: "mode, type, object and path",
                    came: String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned(),
                })
            })
            .collect()
    }

    /// One line of `ls-tree -z`: `100644 blob OBJECT<tab>PATH`.
    fn tree_file(&self, line: &[u8]) -> Option<TreeFile> {
        let tab = line.iter().position(|b| *b == b'\t')?;
        let (fields, path) = (std::str::from_utf8(&line[..tab]).ok()?, &line[tab + 1..]);
        let mut fields = fields.split(' ');
        let (mode, object) = (fields.next()?, fields.nth(1)?);
        let path = Path::new(OsStr::from_bytes(path));
        Some(TreeFile {
            path: path
                .strip_prefix(&self.prefix)
                .unwrap_or(path)
                .to_path_buf(),
            mode: Mode::parse(mode)?,
            object: ObjectId::parse(object)?,
        })
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
        if objects.is_empty() {
            return Ok(());
        }
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
    let came = from.take(length).read_to_end(&mut bytes).map_err(io)?;
    if (came as u64) < length {
        return Err(io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let mut newline = [0u8; 1];
    from.read_exact(&mut newline).map_err(io)?;
    Ok(bytes)
}
