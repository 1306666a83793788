//! What [`Track::parse`](super::Track::parse) checks of the file as written, field by field.

use std::path::Path;

use bytesize::ByteSize;
use gate::Kind;

use super::{
    Globs, Part, TrackError, field,
    file::{Clock, Constraint, File, Run},
};

/// A name that can be part of a git reference and of a path.
pub(super) fn name(name: &str) -> Result<(), TrackError> {
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

pub(super) fn commands(file: &File) -> Result<(), TrackError> {
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
    if let Some(smoke) = &file.smoke {
        needed("smoke.command", &smoke.command)?;
    }
    if let Some(run) = &file.run {
        needed("run.command", &run.command)?;
        curve(run)?;
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
    workers(file)?;
    budget(file)?;
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
        if second.metric.is_some() && judge.kind != Kind::Score {
            return Err(field(
                "judge.second.metric",
                "only a score has a figure beside it that a second judge can repeat",
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
pub(super) fn sandbox(file: &File) -> Result<(), TrackError> {
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

fn curve(run: &Run) -> Result<(), TrackError> {
    let Some(curve) = &run.curve else {
        return Ok(());
    };
    let is_plain = Path::new(&curve.file).file_name() == Some(curve.file.as_ref());
    if !is_plain {
        let why = format!(
            "expected the name of a file in the run's folder such as \"curve.jsonl\", came {:?}",
            curve.file
        );
        return Err(field("run.curve.file", why));
    }
    if !(0.0..1.0).contains(&curve.from) {
        let why = format!("expected 0 to below 1, came {}", curve.from);
        return Err(field("run.curve.from", why));
    }
    if !(curve.worse > 0.0 && curve.worse.is_finite()) {
        let why = format!("expected a part above 0 such as 0.1, came {}", curve.worse);
        return Err(field("run.curve.worse", why));
    }
    Ok(())
}

fn workers(file: &File) -> Result<(), TrackError> {
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

fn budget(file: &File) -> Result<(), TrackError> {
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
pub(super) fn program(file: &File) -> Result<(), TrackError> {
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
pub(super) fn paths(file: &File, globs: &Globs) -> Result<(), TrackError> {
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

pub(super) fn constraint(constraint: &Constraint) -> Result<(), String> {
    let bounds = [constraint.at_most, constraint.at_least];
    if bounds.iter().all(Option::is_none) {
        return Err("expected at_most or at_least".to_owned());
    }
    match bounds.iter().flatten().find(|bound| !bound.is_finite()) {
        Some(bound) => Err(format!("expected a finite bound, came {bound}")),
        None => Ok(()),
    }
}

pub(super) fn line(pattern: &str) -> Result<regex::Regex, TrackError> {
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
