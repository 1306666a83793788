//! Programs that edit files: a script, or the command line of an agent.
//!
//! The program works in a folder with the base's files, the track's `program.md`, and `.sprag/HISTORY.md`: what was tried and what came of
//! it. It is sealed as a candidate is, but for what the track lets it read and reach. What it says is not read; what it leaves in the
//! mutable files is the proposal, and the first line of `.sprag/PROPOSAL.md`, if it wrote one, the proposal's title.

use std::{fs, path::Path};

use sandbox::{End, Network, SandboxError};

use super::{Answer, Idea, Past, Standing};
use crate::{
    disk,
    git::ObjectId,
    record::Void,
    track::{Proposer, ProposerKind},
    tree::{self, Purpose},
    trial::{Extra, Workshop, WorkshopError, job, limits},
};

/// What was tried, for the proposer to read.
pub const HISTORY: &str = ".sprag/HISTORY.md";
/// What a proposer may write its title into.
pub const PROPOSAL: &str = ".sprag/PROPOSAL.md";
/// The most experiments in the history.
const MOST: usize = 200;

/// Asks the program for one proposal on top of `base`.
///
/// # Errors
/// [`WorkshopError`].
pub fn propose(
    workshop: &Workshop<'_>,
    proposer: &Proposer,
    base: &ObjectId,
    experiment: u64,
    past: &[Past],
) -> Result<Answer, WorkshopError> {
    let ProposerKind::Command {
        command,
        time,
        network,
        pass,
        reads,
    } = &proposer.kind
    else {
        return Ok(Err(Void::Proposer {
            said: "it is no command".to_owned(),
        }));
    };
    let track = workshop.track;
    let folder = workshop.work.join("proposal");
    let mut laid = tree::lay(
        workshop.repository,
        track,
        base,
        workshop.epoch,
        &folder,
        Purpose::Propose,
    )?;
    let io = tree::io_error;
    let history = folder.join(HISTORY);
    for own in [HISTORY, PROPOSAL].map(Path::new) {
        laid.untouchable.remove(own);
        disk::remove(&folder.join(own)).map_err(io(own))?;
    }
    let told = || {
        fs::create_dir_all(history.parent().unwrap_or(&folder))?;
        fs::write(&history, history_of(track.name(), past))
    };
    told().map_err(io(&history))?;
    if let Some(program) = &track.file.artefact.program {
        let (from, to) = (
            workshop.repository.root().join(program),
            folder.join(program),
        );
        disk::copy(&from, &to).map_err(io(&from))?;
    }
    let mut environment = vec![
        ("SPRAG_TRACK".to_owned(), track.name().to_owned()),
        ("SPRAG_EXPERIMENT".to_owned(), experiment.to_string()),
        (
            "SPRAG_SEED".to_owned(),
            workshop
                .key
                .seed(&format!("proposer/{}/{experiment}", proposer.name))
                .to_string(),
        ),
    ];
    environment.extend(
        pass.iter()
            .filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))),
    );
    let extra = Extra {
        writable: vec![folder.clone()],
        readable: reads.iter().map(Into::into).collect(),
        environment,
        data: true,
    };
    let rules = &track.file.sandbox;
    let mut job = job(
        command,
        &folder,
        limits(rules, *time, rules.memory.0),
        rules,
        &extra,
    );
    job.read_only
        .extend(workshop.data().iter().map(sandbox::Mount::at));
    job.network = if *network {
        Network::Host
    } else {
        Network::None
    };
    let outcome = match workshop.run(&job) {
        Err(WorkshopError::Sandbox(error @ SandboxError::Program { .. })) => {
            let said = format!("{} did not begin: {error}", proposer.name);
            return Ok(Err(Void::Proposer { said }));
        }
        outcome => outcome?,
    };
    if outcome.end != End::Exited(0) {
        let said = format!(
            "{} {}{}",
            proposer.name,
            outcome.end,
            crate::trial::last_words(&outcome)
        );
        return Ok(Err(Void::Proposer { said }));
    }
    let title = title(&folder).unwrap_or_else(|| format!("a change by {}", proposer.name));
    Ok(
        tree::collect(track, &folder, &laid, &|_| false)?.map(|files| Idea {
            files,
            title,
            knobs: None,
        }),
    )
}

/// The first line of what the proposer wrote of its proposal.
fn title(folder: &Path) -> Option<String> {
    const MOST: u64 = 1 << 20;
    let bytes = disk::read_regular(folder, Path::new(PROPOSAL), MOST)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text
        .lines()
        .map(|line| line.trim_start_matches('#').trim())
        .find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(120).collect())
}

/// What was tried, the latest first.
fn history_of(name: &str, past: &[Past]) -> String {
    let mut out = format!(
        "# What was tried on {name}\n\nThe latest first. Scores are of the public split, rounded to what their noise supports.\n\n"
    );
    if past.is_empty() {
        out.push_str("Nothing yet.\n");
    }
    for experiment in past.iter().rev().take(MOST) {
        let standing = match experiment.standing {
            Standing::Void if experiment.is_pending => "proposed",
            Standing::Void => "not measured",
            Standing::Refused => "refused",
            Standing::Kept => "kept for now",
            Standing::Dropped => "kept, then dropped",
            Standing::Merged => "in the champion",
        };
        out.push_str(&format!(
            "- {} ({standing}{}) {}: {}\n",
            experiment.experiment,
            if experiment.score.is_empty() {
                String::new()
            } else {
                format!(", {}", experiment.score)
            },
            experiment.title,
            experiment.verdict
        ));
    }
    out
}
