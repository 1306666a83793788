//! Small system files, read defensively: bounded in size, and relative to a root so that tests can lay out another machine.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// More than any file that is read here ever needs (`/proc/cpuinfo` of 1024 processors is about 1.5 MiB).
const MAX_BYTES: u64 = 8 << 20;

/// A file system root under which system files are looked up.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Files under `root`; `/` for the real ones.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// Full path of a file that is given from the root, with or without its leading slash.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The file's bytes, at most 8 MiB of them.
    ///
    /// # Errors
    /// A sentence that names the file and the cause.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        let file = File::open(self.path(path))
            .map_err(|error| format!("{path} cannot be opened: {error}"))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{path} cannot be read: {error}"))?;
        Ok(bytes)
    }

    /// The file's text without surrounding white space; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// A sentence that names the file and the cause.
    pub fn text(&self, path: &str) -> Result<String, String> {
        let bytes = self.bytes(path)?;
        Ok(String::from_utf8_lossy(&bytes)
            .trim_matches(|c: char| c.is_whitespace() || c == '\0')
            .to_owned())
    }

    /// The file's text as a number.
    ///
    /// # Errors
    /// A sentence that names the file and what stood there.
    pub fn number<T: FromStr>(&self, path: &str) -> Result<T, String> {
        let text = self.text(path)?;
        text.parse()
            .map_err(|_| format!("{path}: expected a number, got '{}'", excerpt(&text)))
    }

    /// Whether the file is there but this user may not read it.
    #[must_use]
    pub fn is_refused(&self, path: &str) -> bool {
        File::open(self.path(path)).is_err_and(|error| refuses(error.kind()))
    }

    /// Names in a folder, sorted; none when it cannot be read.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .take(65_536)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Whether an error is about rights.
pub(crate) fn refuses(kind: std::io::ErrorKind) -> bool {
    kind == std::io::ErrorKind::PermissionDenied
}

/// The first characters of foreign text, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// Parses a processor list such as `0-3,8,10-11`; at most 65,536 processors.
#[must_use]
pub fn cpu_list(text: &str) -> Option<Vec<usize>> {
    const MAX_CPUS: usize = 65_536;
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last < first || last >= MAX_CPUS {
            return None;
        }
        cpus.extend(first..=last);
        if cpus.len() > MAX_CPUS {
            return None;
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}
