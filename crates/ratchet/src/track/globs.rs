//! Which path of a track is what.
//!
//! A path that several globs name is the strictest of them: hidden, then data, then tools, then sealed, then mutable. So `mutable = ["**"]` with a
//! sealed judge leaves the judge sealed. Some files are never mutable, whatever a glob says: the track itself, its program, git's
//! own settings, all of which change how the others are read, and the folder in which a proposer is told things.

use std::{fmt, path::Path};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{FILE, file::Artefact};

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A proposer may change it.
    Mutable,
    /// Part of the repository, as the champion's commit has it; nobody changes it.
    Fixed,
    /// Hashed when the track was sealed.
    Sealed,
    /// Sealed, and absent from a run.
    Tools,
    /// Sealed, and absent while building.
    Data,
    /// Sealed, and never shown to a candidate.
    Hidden,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mutable => "mutable",
            Self::Fixed => "not among the mutable files",
            Self::Sealed => "sealed",
            Self::Tools => "sealed tools",
            Self::Data => "sealed data",
            Self::Hidden => "hidden",
        })
    }
}

/// The globs of one track.
#[derive(Clone, Debug)]
pub struct Globs {
    mutable: GlobSet,
    sealed: GlobSet,
    tools: GlobSet,
    data: GlobSet,
    hidden: GlobSet,
}

impl Globs {
    /// Compiles them; an error names the field and says why.
    pub(super) fn new(artefact: &Artefact) -> Result<Self, (String, String)> {
        if artefact.mutable.is_empty() {
            return Err((
                "artefact.mutable".to_owned(),
                "expected at least one glob: something has to change".to_owned(),
            ));
        }
        let mut always = artefact.sealed.clone();
        always.push(FILE.to_owned());
        always.extend(artefact.program.clone());
        Ok(Self {
            mutable: set("artefact.mutable", &artefact.mutable)?,
            sealed: set("artefact.sealed", &always)?,
            tools: set("artefact.tools", &artefact.tools)?,
            data: set("artefact.data", &artefact.data)?,
            hidden: set("artefact.hidden", &artefact.hidden)?,
        })
    }

    /// What the path, relative to the track's root, is.
    #[must_use]
    pub fn part(&self, path: &Path) -> Part {
        if self.hidden.is_match(path) {
            Part::Hidden
        } else if self.data.is_match(path) {
            Part::Data
        } else if self.tools.is_match(path) {
            Part::Tools
        } else if self.sealed.is_match(path) {
            Part::Sealed
        } else if self.mutable.is_match(path) && !is_nobodys(path) {
            Part::Mutable
        } else {
            Part::Fixed
        }
    }
}

/// The folder in which a proposer is told what was tried, and says what it did: never part of a candidate.
pub const OWN: &str = ".sprag";

/// Names that change how git reads other files, or that one of its systems takes for such a name.
fn is_nobodys(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy().to_lowercase();
        name.starts_with(".git") || name.starts_with("git~") || name == OWN
    })
}

/// Globs as `.gitignore` has them: `*` stays in one folder, `**` does not.
pub(crate) fn set(name: &str, globs: &[String]) -> Result<GlobSet, (String, String)> {
    let mut builder = GlobSetBuilder::new();
    for (i, glob) in globs.iter().enumerate() {
        let at = || format!("{name}[{i}]");
        let path = Path::new(glob);
        if glob.is_empty() || path.is_absolute() || glob.split('/').any(|part| part == "..") {
            return Err((
                at(),
                format!("expected a path inside the track's root, came {glob:?}"),
            ));
        }
        // A folder is all that is in it.
        let whole = if glob.ends_with('/') {
            format!("{glob}**")
        } else {
            glob.clone()
        };
        let glob = GlobBuilder::new(whole.strip_prefix("./").unwrap_or(&whole))
            .literal_separator(true)
            .build()
            .map_err(|error| (at(), error.to_string()))?;
        builder.add(glob);
    }
    builder
        .build()
        .map_err(|error| (name.to_owned(), error.to_string()))
}
