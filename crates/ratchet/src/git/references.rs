//! References under `refs/sprag/`: nobody but the track's one engine moves them.

use std::{fs, io, io::Write as _, process::Stdio};

use super::{GitError, ObjectId, Repository, said};

impl Repository {
    /// Lets `reference` (under `refs/sprag/`) name `commit`.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn point(&self, reference: &str, commit: &ObjectId) -> Result<(), GitError> {
        self.text(&[
            "-c",
            "core.fsync=reference",
            "update-ref",
            reference,
            commit.as_str(),
        ])?;
        Ok(())
    }

    /// Changes several references under `refs/sprag/` at once: all of them, or none. `None` removes.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn update(&self, references: &[(String, Option<ObjectId>)]) -> Result<(), GitError> {
        if references.is_empty() {
            return Ok(());
        }
        let mut command = self.git();
        command.args(["-c", "core.fsync=reference", "update-ref", "--stdin"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::Missing)?;
        if let Some(mut to) = child.stdin.take() {
            for (reference, commit) in references {
                // A broken pipe is told by its status.
                let _sent = match commit {
                    Some(commit) => writeln!(to, "update {reference} {commit}"),
                    None => writeln!(to, "delete {reference}"),
                };
            }
        }
        let io = |source| GitError::Io {
            command: "update-ref",
            source,
        };
        let output = child.wait_with_output().map_err(io)?;
        if output.status.success() {
            return Ok(());
        }
        Err(GitError::Failed {
            command: "update-ref --stdin".to_owned(),
            said: said(&output.stderr),
        })
    }

    /// Removes the locks that a git which was killed left on references under `prefix`. Only for who is alone with them.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn unlock(&self, prefix: &str) -> Result<(), GitError> {
        let folder = self.common.join(prefix.trim_end_matches('/'));
        let failed = |source| GitError::Io {
            command: "update-ref",
            source,
        };
        if !folder.is_dir() {
            return Ok(());
        }
        for path in crate::disk::walk(&folder, &|_| false).map_err(failed)? {
            if path.extension().is_some_and(|end| end == "lock") {
                match fs::remove_file(folder.join(path)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed(error));
                    }
                    _ => {}
                }
            }
        }
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
}
