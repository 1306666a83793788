//! The files that the checks look at: what git tracks plus what it would track (untracked, not ignored).
//!
//! Texts are read once. Data (everything under `data/`, `fixtures/` or `attacks/` that is not code) is listed with its size but
//! never read: a corpus may say what it likes, and an attack file is broken on purpose.

use std::io;
use std::path::Path;
use std::process::Command;

use super::TidyError;
use super::source::Source;

/// Files longer than this are not read as text: `sizes` reports them, and no source comes near it.
pub const TEXT_LIMIT_BYTES: u64 = 1 << 20;

const CODE_EXTENSIONS: [&str; 5] = ["rs", "py", "sh", "cu", "wgsl"];

/// One listed file.
#[derive(Debug)]
pub struct TrackedFile {
    /// Relative to the root, with `/` between folders.
    pub path: String,
    /// Length on disk.
    pub bytes: u64,
    /// Its text, when it is text that the house writes (UTF-8, not data).
    pub text: Option<String>,
    /// Code and comments apart, for Rust files.
    pub rust: Option<Source>,
}

impl TrackedFile {
    fn new(path: &str, bytes: u64, text: Option<String>) -> Self {
        let rust = text
            .as_deref()
            .filter(|_| extension(path) == Some("rs"))
            .map(Source::split);
        Self {
            path: path.to_owned(),
            bytes,
            text,
            rust,
        }
    }

    /// Whether the file holds tests or benchmarks only.
    pub fn is_test(&self) -> bool {
        let in_test_folder =
            folders(&self.path).any(|folder| matches!(folder, "tests" | "benches"));
        in_test_folder || self.path.rsplit('/').next() == Some("tests.rs")
    }
}

/// All listed files, in git's order.
#[derive(Debug)]
pub struct Tree {
    /// Every file once.
    pub files: Vec<TrackedFile>,
}

impl Tree {
    /// Lists and reads the repository at `root`.
    ///
    /// # Errors
    /// When git cannot list the files or one of them cannot be read.
    pub fn read(root: &Path) -> Result<Self, TidyError> {
        let mut files = Vec::new();
        for path in list(root)? {
            if let Some(file) = load(root, &path)? {
                files.push(file);
            }
        }
        Ok(Self { files })
    }

    /// The text of one file, if it is listed and is text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)?
            .text
            .as_deref()
    }

    /// Every text with its file.
    pub fn texts(&self) -> impl Iterator<Item = (&TrackedFile, &str)> {
        self.files
            .iter()
            .filter_map(|file| Some((file, file.text.as_deref()?)))
    }

    /// Every Rust file with its code and comments.
    pub fn rust(&self) -> impl Iterator<Item = (&TrackedFile, &Source)> {
        self.files
            .iter()
            .filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// A tree that exists only in memory, for the tests of the checks.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| {
            TrackedFile::new(path, text.len() as u64, Some(text.to_owned()))
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }
}

/// Whether a path lies in a folder for data and is not code.
pub fn is_data(path: &str) -> bool {
    let in_data_folder = path.starts_with("data/")
        || folders(path).any(|folder| matches!(folder, "fixtures" | "attacks"));
    in_data_folder && !extension(path).is_some_and(|extension| CODE_EXTENSIONS.contains(&extension))
}

/// The part of the file's name after the last dot.
pub fn extension(path: &str) -> Option<&str> {
    Path::new(path).extension()?.to_str()
}

/// The folders on the way to a file, outermost first.
pub fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit_once('/')
        .map_or("", |(folders, _)| folders)
        .split('/')
        .filter(|folder| !folder.is_empty())
}

fn list(root: &Path) -> Result<Vec<String>, TidyError> {
    const ARGUMENTS: [&str; 5] = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let failed = |reason: String| TidyError::Command {
        command: format!("git {}", ARGUMENTS.join(" ")),
        reason,
    };
    let output = Command::new("git")
        .args(ARGUMENTS)
        .current_dir(root)
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    let names = String::from_utf8(output.stdout)
        .map_err(|_| failed("a file's name is not UTF-8".to_owned()))?;
    let mut paths: Vec<String> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    // A file in conflict is listed once per side.
    paths.dedup();
    Ok(paths)
}

/// `None` for what is listed but no plain file: deleted and not yet committed, a link, a submodule.
fn load(root: &Path, path: &str) -> Result<Option<TrackedFile>, TidyError> {
    let absolute = root.join(path);
    let failed = |source: io::Error| TidyError::Read {
        path: path.into(),
        source,
    };
    let metadata = match std::fs::symlink_metadata(&absolute) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let bytes = metadata.len();
    let text = if is_data(path) || bytes > TEXT_LIMIT_BYTES {
        None
    } else {
        String::from_utf8(std::fs::read(&absolute).map_err(failed)?)
            .ok()
            .filter(|text| !text.contains('\0'))
    };
    Ok(Some(TrackedFile::new(path, bytes, text)))
}
