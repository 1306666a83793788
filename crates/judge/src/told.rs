//! What a judge is told by the engine, and how its answer gets back: environment variables, and a file.
//!
//! A candidate's cell gets none of these variables, and the file is in no mount of it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::answer::Answer;
use crate::error::JudgeError;

const ARTEFACT: &str = "SPRAG_ARTEFACT";
const CHAMPION: &str = "SPRAG_CHAMPION";
const SPLIT: &str = "SPRAG_SPLIT";
const SEED: &str = "SPRAG_SEED";
const RESULT: &str = "SPRAG_RESULT";

/// Which data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The proposer may see a rounded score of it.
    Public,
    /// Nobody sees it.
    Hidden,
    /// A block of turns of champion and candidate; hidden data.
    Block,
}

/// What the engine says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The folder of the candidate.
    pub artefact: PathBuf,
    /// The folder of the champion, for a judge that measures both.
    pub champion: Option<PathBuf>,
    /// Which data.
    pub split: Split,
    /// Nobody but the engine could foresee it.
    pub seed: u64,
}

impl Told {
    /// From variables, such as [`std::env::var_os`] gives them.
    ///
    /// # Errors
    /// When one is missing or is not what it should be.
    pub fn from(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, JudgeError> {
        let came = |name| {
            variable(name).map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"))
        };
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let folder = |name| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let told = |name, expected| JudgeError::Told {
            name,
            expected,
            came: came(name),
        };
        let split = match text(SPLIT).as_deref() {
            Some("public") => Split::Public,
            Some("hidden") => Split::Hidden,
            Some("block") => Split::Block,
            _ => return Err(told(SPLIT, "public, hidden or block")),
        };
        let champion = match variable(CHAMPION) {
            None => None,
            Some(_) => Some(folder(CHAMPION).ok_or_else(|| told(CHAMPION, "an absolute path"))?),
        };
        Ok(Self {
            artefact: folder(ARTEFACT).ok_or_else(|| told(ARTEFACT, "an absolute path"))?,
            champion,
            split,
            seed: text(SEED)
                .and_then(|seed| seed.parse().ok())
                .ok_or_else(|| told(SEED, "a whole number below 2^64"))?,
        })
    }
}

/// Writes the answer to the file that the engine named: whole, or not at all.
///
/// # Errors
/// When no file was named, or it can't be written.
pub fn deliver(
    answer: &Answer,
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Result<(), JudgeError> {
    let Some(path) = variable(RESULT) else {
        return Err(JudgeError::Told {
            name: RESULT,
            expected: "the file for the answer",
            came: "nothing".to_owned(),
        });
    };
    let path = Path::new(&path);
    let file = |action| {
        move |source| JudgeError::File {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let text =
        serde_json::to_vec(answer).map_err(|e| file("put into words the answer for")(e.into()))?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    fs::write(&part, text).map_err(file("write the answer beside"))?;
    fs::rename(&part, path).map_err(file("give its name to the answer"))
}

#[cfg(test)]
mod tests;
