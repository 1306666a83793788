//! `cargo xtask tidy`: the rules of the house, each in its own module with a test that shows it failing.
//!
//! 1. List what git tracks or would track (`tree`), so that a new file is judged before it is committed.
//! 2. Split every Rust file into code and comments (`source`), so that a rule about code does not trip over prose or strings.
//! 3. Ask each check for its findings; sort them by file and line.
//!
//! A finding always reads `file:line: what is wrong: what to do`. Checks are pure functions of the tree (and of what
//! Cargo says about the workspace), which is what makes them testable without a repository.

mod arrows;
mod bans;
mod heads;
mod layers;
mod lengths;
mod manifests;
mod markers;
mod names;
mod paths;
mod prints;
mod sizes;
mod source;
mod tree;
mod unsafe_code;
mod workspace;

use std::fmt;
use std::path::PathBuf;

use tree::Tree;

/// Why the checks could not run at all (as opposed to what they found).
#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    /// A program that the checks ask (git, cargo) is missing or refused.
    #[error(
        "`{command}` failed: {reason}; run `cargo xtask tidy` inside a git checkout of the repository"
    )]
    Command {
        /// The command line as it would be typed.
        command: String,
        /// Its own words, or the system's.
        reason: String,
    },
    /// Cargo answered something that is not the documented metadata format.
    #[error(
        "`cargo metadata` answered an unexpected document: {0}; compare the installed cargo with `rust-version` in Cargo.toml"
    )]
    Metadata(#[from] serde_json::Error),
    /// A file that git lists could not be read.
    #[error("cannot read {path}: {source}; check its permissions")]
    Read {
        /// The file, relative to the repository's root.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Whether a finding fails the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Fails the run.
    Failure,
    /// Is only shown.
    Warning,
}

/// One broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Relative to the repository's root, with `/` between folders.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Whether it fails the run.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    fn failure(
        file: &str,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            severity: Severity::Failure,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    fn warning(
        file: &str,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::failure(file, line, what, remedy)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.severity {
            Severity::Failure => "",
            Severity::Warning => "warning: ",
        };
        write!(
            f,
            "{}:{}: {mark}{}: {}",
            self.file, self.line, self.what, self.remedy
        )
    }
}

/// Everything that one run found.
#[derive(Debug)]
pub struct Report {
    /// How many files were looked at.
    pub files: usize,
    /// Sorted by file, then line.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings fail the run.
    pub fn failures(&self) -> usize {
        self.findings
            .iter()
            .filter(|f| f.severity == Severity::Failure)
            .count()
    }

    /// How many findings are only shown.
    pub fn warnings(&self) -> usize {
        self.findings.len() - self.failures()
    }
}

/// Checks the repository that contains the current folder.
///
/// # Errors
/// When git or cargo cannot be asked, or a tracked file cannot be read.
pub fn run() -> Result<Report, TidyError> {
    let workspace = workspace::read()?;
    let tree = Tree::read(&workspace.root)?;
    let mut findings = check_files(&tree);
    findings.extend(check_workspace(&tree, &workspace.members));
    findings.sort();
    findings.dedup();
    Ok(Report {
        files: tree.files.len(),
        findings,
    })
}

/// The rules that need only the files.
fn check_files(tree: &Tree) -> Vec<Finding> {
    const CHECKS: [fn(&Tree) -> Vec<Finding>; 9] = [
        heads::check,
        bans::check,
        markers::check,
        names::check,
        unsafe_code::check,
        prints::check,
        paths::check,
        lengths::check,
        sizes::check,
    ];
    CHECKS.iter().flat_map(|check| check(tree)).collect()
}

/// The rules about crates: which exist, which may know which, and which lints bind them.
fn check_workspace(tree: &Tree, members: &[workspace::Member]) -> Vec<Finding> {
    let layers = layers::parse(tree.text(layers::FILE).unwrap_or_default());
    let mut findings = layers::check(&layers, members);
    findings.extend(arrows::check(&layers, members, tree));
    findings.extend(manifests::check(members, tree));
    findings
}

#[cfg(test)]
mod tests;
