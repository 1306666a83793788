//! Merging one file that two sides changed, with `git merge-file`, in a folder of its own.

use std::fs;

use super::{GitError, Repository, said};

impl Repository {
    /// The three-way merge of a file's contents: `None` where both sides changed the same lines, or where it is no text.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn merge(
        &self,
        ours: &[u8],
        base: &[u8],
        theirs: &[u8],
    ) -> Result<Option<Vec<u8>>, GitError> {
        let io = |source| GitError::Io {
            command: "merge-file",
            source,
        };
        let folder = tempfile::tempdir().map_err(io)?;
        for (name, bytes) in [("ours", ours), ("base", base), ("theirs", theirs)] {
            fs::write(folder.path().join(name), bytes).map_err(io)?;
        }
        let mut command = self.git();
        command.args(["merge-file", "--stdout"]);
        command.args(["ours", "base", "theirs"].map(|name| folder.path().join(name)));
        let output = command.output().map_err(GitError::Missing)?;
        match output.status.code() {
            Some(0) => Ok(Some(output.stdout)),
            // The number of conflicts, or 255 for what is no text.
            Some(1..=127) => Ok(None),
            Some(255) if is_binary(&output.stderr) => Ok(None),
            _ => Err(GitError::Failed {
                command: "merge-file".to_owned(),
                said: said(&output.stderr),
            }),
        }
    }
}

fn is_binary(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("binary")
}
