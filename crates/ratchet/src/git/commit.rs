//! Writing a commit beside the user's work tree, through `fast-import`: no index, no checkout, no hook.

use std::{
    collections::BTreeMap,
    io::Write as _,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
    process::Stdio,
};

use super::{Contents, GitError, ObjectId, Repository, said};

impl Repository {
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
        // What goes, goes first: a file may take the place of a folder.
        let (gone, new): (Vec<_>, Vec<_>) =
            changes.iter().partition(|(_, contents)| contents.is_none());
        for (path, contents) in gone.into_iter().chain(new) {
            let path = quoted(&self.prefix.join(path));
            match contents {
                None => {
                    stream.extend_from_slice(b"D ");
                    stream.extend_from_slice(&path);
                    stream.push(b'\n');
                }
                Some(contents) => {
                    let mode = if contents.executable {
                        "100755"
                    } else {
                        "100644"
                    };
                    stream.extend_from_slice(format!("M {mode} inline ").as_bytes());
                    stream.extend_from_slice(&path);
                    stream
                        .extend_from_slice(format!("\ndata {}\n", contents.bytes.len()).as_bytes());
                    stream.extend_from_slice(&contents.bytes);
                    stream.push(b'\n');
                }
            }
        }
        stream.extend_from_slice(b"\nget-mark :1\ndone\n");
        let mut command = self.git();
        command
            .args([
                "-c",
                "core.fsync=objects,reference",
                "fast-import",
                "--quiet",
                "--done",
                "--force",
                "--date-format=raw",
            ])
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
}

/// A path as fast-import reads it: in C quotes, with `/` between its parts. Bytes stand as they are, but for three.
fn quoted(path: &Path) -> Vec<u8> {
    let parts: Vec<&[u8]> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.as_bytes()),
            _ => None,
        })
        .collect();
    let mut out = vec![b'"'];
    for byte in parts.join(&b'/') {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
    out
}
