//! A track: what may change, how it is measured, and what it may cost, read from `track.toml` and checked as a whole.
//!
//! 1. [`file`] is the file as written.
//! 2. [`Track::parse`] checks everything that can be checked without looking at the repository, so that a run never stops hours later
//!    over a field that was wrong from the start.
//! 3. [`globs`] says which path is what.

use std::path::Path;

use gate::{Kind, Settings};
use globset::GlobSet;

mod checks;
pub mod file;
mod globs;
mod knob;
#[cfg(test)]
mod tests;
mod under;

pub use globs::{Globs, Part};
pub use knob::{Domain, Knob, KnobError, Place};
pub use under::Budget;

use file::{File, Method};

/// The name of a track's file.
pub const FILE: &str = "track.toml";

/// A checked track.
#[derive(Clone, Debug)]
pub struct Track {
    /// As its author wrote it, checked fields included.
    pub file: File,
    /// The text it was read from.
    pub text: String,
    /// Which path is what.
    pub globs: Globs,
    /// Literals that choose a draw.
    pub seeds: Vec<Place>,
    /// The gate.
    pub settings: Settings,
    /// The pattern of [`file::Judge::line`].
    pub line: Option<regex::Regex>,
    /// Who changes the artefact.
    pub proposers: Vec<Proposer>,
}

/// A checked proposer.
#[derive(Clone, Debug)]
pub struct Proposer {
    /// Unique in the track.
    pub name: String,
    /// What it is.
    pub kind: ProposerKind,
}

/// The kinds of proposers.
#[derive(Clone, Debug)]
pub enum ProposerKind {
    /// A sampler over knobs.
    Search {
        /// How it samples.
        method: Method,
        /// What it samples.
        knobs: Vec<Knob>,
    },
    /// A program that edits the files.
    Command {
        /// Its arguments, the program first.
        command: Vec<String>,
        /// Its limit.
        time: std::time::Duration,
        /// Whether it may reach the network.
        network: bool,
        /// Environment variables that are passed on.
        pass: Vec<String>,
        /// Folders that it may read.
        reads: Vec<String>,
    },
    /// A person.
    Human,
}

/// Why a `track.toml` is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// Not TOML, an unknown field, or a value of another type.
    #[error("{0}")]
    Toml(Box<toml::de::Error>),
    /// A field whose value makes no sense.
    #[error("`{field}`: {why}")]
    Field {
        /// Its path in the file.
        field: String,
        /// What was expected and what came.
        why: String,
    },
    /// A knob or a place that no literal can be read from.
    #[error("`{field}`: {source}")]
    Knob {
        /// Its path in the file.
        field: String,
        /// Why.
        source: KnobError,
    },
    /// Gate settings out of their range.
    #[error("`gate`: {0}")]
    Gate(gate::SettingsError),
}

fn field(field: &str, why: impl Into<String>) -> TrackError {
    TrackError::Field {
        field: field.to_owned(),
        why: why.into(),
    }
}

impl Track {
    /// Reads and checks.
    ///
    /// # Errors
    /// [`TrackError`], naming the field.
    pub fn parse(text: &str) -> Result<Self, TrackError> {
        let file: File = toml::from_str(text).map_err(|e| TrackError::Toml(Box::new(e)))?;
        checks::name(&file.name)?;
        checks::program(&file)?;
        let globs = Globs::new(&file.artefact).map_err(|(name, why)| field(&name, why))?;
        checks::commands(&file)?;
        checks::sandbox(&file)?;
        for (name, list) in [
            ("build.output", file.build.as_ref().map(|b| &b.output)),
            ("run.output", file.run.as_ref().map(|r| &r.output)),
        ] {
            globs::set(name, list.map_or(&[][..], Vec::as_slice))
                .map_err(|(name, why)| field(&name, why))?;
        }
        checks::paths(&file, &globs)?;
        if file.run.as_ref().is_some_and(|run| run.output.is_empty())
            && !file.judge.command.is_empty()
        {
            return Err(field(
                "run.output",
                "expected the files that the judge reads: standard output is never read for a score",
            ));
        }
        for (i, constraint) in file.constraint.iter().enumerate() {
            checks::constraint(constraint)
                .map_err(|why| field(&format!("constraint[{i}]"), why))?;
        }
        let line = match &file.judge.line {
            None => None,
            Some(pattern) => Some(checks::line(pattern)?),
        };
        let seeds = file
            .artefact
            .seeds
            .iter()
            .enumerate()
            .map(|(i, place)| {
                let name = format!("artefact.seeds[{i}]");
                Place::new(&place.file, &place.line)
                    .map_err(|source| TrackError::Knob {
                        field: name.clone(),
                        source,
                    })
                    .and_then(|place| mutable(&globs, place, &name))
            })
            .collect::<Result<_, _>>()?;
        let proposers = proposers(&file, &globs)?;
        let settings = file
            .gate
            .over(file.judge.kind, file.judge.better)
            .map_err(TrackError::Gate)?;
        Ok(Self {
            text: text.to_owned(),
            globs,
            seeds,
            settings,
            line,
            proposers,
            file,
        })
    }

    /// The track's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// What the judge measures.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.file.judge.kind
    }
}

fn mutable(globs: &Globs, place: Place, name: &str) -> Result<Place, TrackError> {
    match globs.part(Path::new(place.file())) {
        Part::Mutable => Ok(place),
        part => Err(field(
            name,
            format!(
                "{} is {part}, and only mutable files can hold a literal that changes",
                place.file()
            ),
        )),
    }
}

fn proposers(file: &File, globs: &Globs) -> Result<Vec<Proposer>, TrackError> {
    let mut out: Vec<Proposer> = Vec::new();
    for (i, written) in file.proposer.iter().enumerate() {
        let at = format!("proposer[{i}]");
        let (name, kind, word) = match written {
            file::Proposer::Search { name, method, knob } => {
                let knobs = knob
                    .iter()
                    .enumerate()
                    .map(|(k, knob)| {
                        let at = format!("{at}.knob[{k}]");
                        let knob = Knob::new(knob, *method).map_err(|source| TrackError::Knob {
                            field: at.clone(),
                            source,
                        })?;
                        mutable(globs, knob.place.clone(), &at)?;
                        Ok(knob)
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                if knobs.is_empty() {
                    return Err(field(&at, "a search needs at least one knob"));
                }
                for (k, knob) in knobs.iter().enumerate() {
                    if knobs[..k].iter().any(|other| other.place == knob.place) {
                        return Err(field(
                            &format!("{at}.knob[{k}]"),
                            "another knob of this search has the same literal",
                        ));
                    }
                }
                let kind = ProposerKind::Search {
                    method: *method,
                    knobs,
                };
                (name, kind, "search")
            }
            file::Proposer::Command {
                name,
                command,
                time,
                network,
                pass,
                reads,
            } => {
                if command.first().is_none_or(String::is_empty) {
                    return Err(field(&at, "expected a command with a program first"));
                }
                let kind = ProposerKind::Command {
                    command: command.clone(),
                    time: *time,
                    network: *network,
                    pass: pass.clone(),
                    reads: reads.clone(),
                };
                (name, kind, "command")
            }
            file::Proposer::Human { name } => (name, ProposerKind::Human, "human"),
        };
        let name = name.clone().unwrap_or_else(|| {
            let same = out.iter().filter(|p| p.name.starts_with(word)).count();
            match same {
                0 => word.to_owned(),
                n => format!("{word}-{}", n + 1),
            }
        });
        if name.trim().is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(field(
                &format!("{at}.name"),
                format!("expected 1 to 64 printable characters, came {name:?}"),
            ));
        }
        if out.iter().any(|other| other.name == name) {
            return Err(field(
                &at,
                format!("two proposers are called {name:?}; give each a name of its own"),
            ));
        }
        out.push(Proposer { name, kind });
    }
    Ok(out)
}

/// Globs that [`Track::parse`] has checked.
pub(crate) fn globs_of(names: &[String]) -> GlobSet {
    globs::set("output", names).unwrap_or_default()
}
