//! A track: what may change, how it is measured, and what it may cost, read from `track.toml` and checked as a whole.
//!
//! 1. [`file`] is the file as written.
//! 2. [`Track::parse`] checks everything that can be checked without looking at the repository, so that a run never stops hours later
//!    over a field that was wrong from the start.
//! 3. [`globs`] says which path is what.

use std::path::Path;

use bytesize::ByteSize;
use gate::{Kind, Settings};
use globset::GlobSet;

pub mod file;
mod globs;
mod knob;
#[cfg(test)]
mod tests;

pub use globs::{Globs, Part};
pub use knob::{Domain, Knob, KnobError, Place};

use file::{Clock, Constraint, File, Method};

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
        check_name(&file.name)?;
        check_program(&file)?;
        let globs = Globs::new(&file.artefact).map_err(|(name, why)| field(&name, why))?;
        check_commands(&file)?;
        check_sandbox(&file)?;
        for (name, list) in [
            ("build.output", file.build.as_ref().map(|b| &b.output)),
            ("run.output", file.run.as_ref().map(|r| &r.output)),
        ] {
            globs::set(name, list.map_or(&[][..], Vec::as_slice))
                .map_err(|(name, why)| field(&name, why))?;
        }
        check_paths(&file, &globs)?;
        if file.run.as_ref().is_some_and(|run| run.output.is_empty())
            && !file.judge.command.is_empty()
        {
            return Err(field(
                "run.output",
                "expected the files that the judge reads: standard output is never read for a score",
            ));
        }
        for (i, constraint) in file.constraint.iter().enumerate() {
            check_constraint(constraint).map_err(|why| field(&format!("constraint[{i}]"), why))?;
        }
        let line = match &file.judge.line {
            None => None,
            Some(pattern) => Some(check_line(pattern)?),
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

/// A name that can be part of a git reference and of a path.
fn check_name(name: &str) -> Result<(), TrackError> {
    let ok = !name.is_empty()
        && name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if ok {
        return Ok(());
    }
    Err(field(
        "name",
        format!(
            "expected 1 to 64 letters, digits, `-` and `_`, a letter or digit first; came {name:?}"
        ),
    ))
}

fn check_commands(file: &File) -> Result<(), TrackError> {
    let needed = |name: &str, command: &[String]| match command.first() {
        Some(program) if !program.is_empty() => Ok(()),
        _ => Err(field(
            name,
            "expected a list with a program first, such as [\"python3\", \"judge.py\"]",
        )),
    };
    if let Some(build) = &file.build {
        needed("build.command", &build.command)?;
    }
    if let Some(run) = &file.run {
        needed("run.command", &run.command)?;
    }
    let judge = &file.judge;
    let timed = judge.kind == Kind::Timing;
    if timed && judge.clock == Clock::Engine {
        if file.run.is_none() {
            return Err(field(
                "run",
                "a timing track whose clock is the engine's needs a command to time; or set judge.clock = \"judge\"",
            ));
        }
        if !judge.command.is_empty() {
            needed("judge.command", &judge.command)?;
        }
    } else {
        needed("judge.command", &judge.command)?;
    }
    if !timed && judge.clock == Clock::Judge {
        return Err(field("judge.clock", "only timing tracks have a clock"));
    }
    if judge.repeats == 0 || judge.repeats > 100 {
        return Err(field(
            "judge.repeats",
            format!("expected 1 to 100, came {}", judge.repeats),
        ));
    }
    check_workers(file)?;
    check_budget(file)?;
    if let Some(second) = &judge.second {
        needed("judge.second.command", &second.command)?;
        if !(second.within.is_finite() && second.within >= 0.0) {
            return Err(field(
                "judge.second.within",
                format!(
                    "expected a relative difference such as 0.01, came {}",
                    second.within
                ),
            ));
        }
        if timed {
            return Err(field(
                "judge.second",
                "timing tracks repeat their blocks instead of asking a second judge",
            ));
        }
    }
    Ok(())
}

/// Limits below which no program starts: an error here names the field, one of the system later does not.
fn check_sandbox(file: &File) -> Result<(), TrackError> {
    let rules = &file.sandbox;
    let least = ByteSize::mib(1);
    for (name, size) in [("memory", rules.memory), ("disk", rules.disk)] {
        if size < least {
            let why = format!("expected {least} or more, came {size}");
            return Err(field(&format!("sandbox.{name}"), why));
        }
    }
    if let Some(memory) = file.judge.memory.filter(|memory| *memory < least) {
        let why = format!("expected {least} or more, came {memory}");
        return Err(field("judge.memory", why));
    }
    if rules.processes == 0 {
        return Err(field("sandbox.processes", "expected 1 or more, came 0"));
    }
    match &rules.processors {
        Some(list) if list.is_empty() => Err(field(
            "sandbox.processors",
            "expected numbers of processors such as [0, 1], came none; leave it out for all",
        )),
        _ => Ok(()),
    }
}

fn check_workers(file: &File) -> Result<(), TrackError> {
    const MOST: usize = 256;
    let workers = file.sandbox.workers;
    if workers == 0 || workers > MOST {
        let why = format!("expected 1 to {MOST}, came {workers}");
        return Err(field("sandbox.workers", why));
    }
    if workers > 1 && file.judge.kind == Kind::Timing {
        let why =
            "a timing track measures alone, so that nothing else slows what it times: expected 1";
        return Err(field("sandbox.workers", format!("{why}, came {workers}")));
    }
    Ok(())
}

fn check_budget(file: &File) -> Result<(), TrackError> {
    let Some(run) = &file.run else {
        return Ok(());
    };
    if let Some(joules) = run.joules {
        if !(joules.is_finite() && joules > 0.0) {
            return Err(field(
                "run.joules",
                format!("expected joules above 0, came {joules}"),
            ));
        }
        if file.sandbox.workers > 1 {
            return Err(field(
                "run.joules",
                "the machine's counters cannot tell one worker from the next: expected sandbox.workers = 1",
            ));
        }
    }
    let Some(budget) = &run.budget else {
        return Ok(());
    };
    let unit = budget.unit.trim();
    if unit.is_empty() || unit.len() > 32 || unit.chars().any(char::is_control) {
        return Err(field(
            "run.budget.unit",
            format!(
                "expected 1 to 32 printable characters such as \"tokens\", came {:?}",
                budget.unit
            ),
        ));
    }
    if budget.most == 0 {
        return Err(field("run.budget.most", "expected 1 or more, came 0"));
    }
    if budget.server.first().is_none_or(String::is_empty) {
        return Err(field(
            "run.budget.server",
            "expected a list with a program first, such as [\"python3\", \"serve.py\"]",
        ));
    }
    if run.stdin.is_some() {
        return Err(field(
            "run.stdin",
            "the replies of run.budget.server come on standard input: expected one of the two",
        ));
    }
    if file.judge.kind == Kind::Timing && file.judge.clock == Clock::Engine {
        return Err(field(
            "run.budget",
            "the engine would time the server too: expected judge.clock = \"judge\", or another kind",
        ));
    }
    Ok(())
}

/// The program is copied by its path, so that has to stay inside.
fn check_program(file: &File) -> Result<(), TrackError> {
    if let Some(program) = &file.artefact.program
        && !crate::disk::is_inside(Path::new(program))
    {
        let why = format!(
            "expected a file inside the track's root such as \"program.md\", came {program:?}"
        );
        return Err(field("artefact.program", why));
    }
    Ok(())
}

/// The file of the standard input: inside the root, and of a kind that a candidate may read.
fn check_paths(file: &File, globs: &Globs) -> Result<(), TrackError> {
    let Some(stdin) = file.run.as_ref().and_then(|run| run.stdin.as_ref()) else {
        return Ok(());
    };
    match globs.part(Path::new(stdin)) {
        Part::Sealed | Part::Data if crate::disk::is_inside(Path::new(stdin)) => Ok(()),
        Part::Fixed => Err(field(
            "run.stdin",
            format!("expected a file that is sealed or data; name {stdin:?} in artefact.sealed"),
        )),
        part => Err(field(
            "run.stdin",
            format!("expected a file that is sealed or data, but {stdin:?} is {part}"),
        )),
    }
}

fn check_constraint(constraint: &Constraint) -> Result<(), String> {
    let bounds = [constraint.at_most, constraint.at_least];
    if bounds.iter().all(Option::is_none) {
        return Err("expected at_most or at_least".to_owned());
    }
    match bounds.iter().flatten().find(|bound| !bound.is_finite()) {
        Some(bound) => Err(format!("expected a finite bound, came {bound}")),
        None => Ok(()),
    }
}

fn check_line(pattern: &str) -> Result<regex::Regex, TrackError> {
    let regex = regex::RegexBuilder::new(pattern)
        .multi_line(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| field("judge.line", error.to_string()))?;
    match regex.captures_len() {
        2 => Ok(regex),
        groups => Err(field(
            "judge.line",
            format!(
                "expected one group around the number, as in \"^val_bpb:\\\\s+([0-9.]+)\"; came {}",
                groups - 1
            ),
        )),
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
