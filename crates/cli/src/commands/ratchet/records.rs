//! `sprag ratchet query`, `verify`, `export`, `finalize`: the ledger and its commits for other programs and other people.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use ledger::{Cell, Limit};
use ratchet::{History, Place, PlaceError, finalize, proposer::Standing, seal, views::VIEWS};
use serde_json::json;

use super::{TrackArgument, prune};
use crate::{
    failure::Failure,
    report,
    terminal::{harmless, say},
};

/// Ask the ledger in SQL: tables `entries`, `header`; views `experiments`, `measurements`, `runs`, `promotions`
#[derive(Debug, Args)]
pub struct Query {
    /// One SELECT
    pub sql: String,
    #[command(flatten)]
    pub track: TrackArgument,
    /// Report as JSON (schema sprag.ratchet-query/1)
    #[arg(long)]
    pub json: bool,
}

/// Check the ledger's whole chain, the seal in force, every commit, and that the gate would decide the same again
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub track: TrackArgument,
    /// Report as JSON (schema sprag.ratchet-verify/1)
    #[arg(long)]
    pub json: bool,
}

/// Write the experiments as a table with autoresearch's columns
#[derive(Debug, Args)]
pub struct Export {
    /// The file, such as results.tsv; `-` for standard output
    pub file: PathBuf,
    #[command(flatten)]
    pub track: TrackArgument,
}

/// Make a branch for each merged change, for review
#[derive(Debug, Args)]
pub struct Finalize {
    #[command(flatten)]
    pub track: TrackArgument,
}

/// Answers a query.
pub fn query(arguments: &Query) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let table = place
        .reader()?
        .query(&arguments.sql, &VIEWS, Limit::default())?;
    if arguments.json {
        return report::json(
            &json!({ "schema": "sprag.ratchet-query/1", "columns": table.columns, "rows": table.rows, "truncated": table.truncated }),
        );
    }
    let mut out = table.columns.join("\t");
    out.push('\n');
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        out.push_str(&cells.join("\t"));
        out.push('\n');
    }
    if table.truncated {
        out.push_str("... and more rows\n");
    }
    say(&out)
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(n) => n.to_string(),
        Cell::Real(x) => x.to_string(),
        Cell::Text(text) => harmless(&text.replace(['\t', '\n', '\r'], " ")).into_owned(),
        Cell::Blob(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
    }
}

/// Checks everything.
pub fn verify(arguments: &Verify) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let reader = place.reader()?;
    let verified = reader.verify()?;
    let history = place.history()?;
    let mut commits = 0;
    for experiment in history.experiments.values() {
        let commit = &experiment.proposal.commit;
        if place
            .repository
            .resolve(commit.as_str())
            .map_err(PlaceError::from)?
            .is_none()
        {
            return Err(Failure::Broken(format!(
                "experiment {}: its commit {commit} is not in the repository",
                experiment.number
            )));
        }
        commits += 1;
    }
    let seal = history.seal.as_ref();
    if let Some(seal) = seal {
        seal::check(
            seal,
            &place.track,
            &place.repository.root(),
            &place.epoch(seal.epoch),
        )?;
    }
    let champion = place
        .repository
        .resolve(&place.champion())
        .map_err(PlaceError::from)?;
    if champion != history.champion {
        return Err(Failure::Broken("the champion's reference is not where the ledger says; `sprag ratchet resume` puts it there".to_owned()));
    }
    if arguments.json {
        return report::json(&json!({
            "schema": "sprag.ratchet-verify/1", "entries": verified.entries, "head": verified.head.to_string(),
            "experiments": commits, "sealed_files": seal.map(|seal| seal.files.len()), "epoch": seal.map(|seal| seal.epoch),
        }));
    }
    let mut out = format!(
        "{} entries, one chain, head {}\n{commits} experiments, each with its commit; the gate decides the same from the same events\n",
        verified.entries, verified.head
    );
    if let Some(seal) = seal {
        let _ = writeln!(
            out,
            "epoch {}: {} sealed files and {} programs are as they were sealed",
            seal.epoch,
            seal.files.len(),
            seal.programs.len()
        );
    }
    if verified.remembered == ledger::Remembered::Nothing {
        out.push_str("the file that remembers the end of the ledger is gone: entries cut off at its end would not be noticed\n");
    }
    say(&out)
}

/// Writes the table.
pub fn export(arguments: &Export) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let history = place.history()?;
    let text = table(&place, &history);
    if arguments.file == std::path::Path::new("-") {
        return say(&text);
    }
    report::file(&arguments.file, text)?;
    say(&format!(
        "{} experiments in {}\n",
        history.experiments.len(),
        arguments.file.display()
    ))
}

/// autoresearch's columns: commit, the metric, memory_gb, status, description.
fn table(place: &Place, history: &History) -> String {
    let mut out = format!(
        "commit\t{}\tmemory_gb\tstatus\tdescription\n",
        place.track.file.judge.metric
    );
    for experiment in history.experiments.values() {
        let screen = experiment.screen.as_ref();
        let value = match screen.and_then(|screen| screen.reading.as_ref()) {
            Some(gate::Reading::Score { public, .. }) => format!("{public:.6}"),
            Some(gate::Reading::Block { log_ratio }) => format!("{:.6}", log_ratio.exp()),
            Some(gate::Reading::Cases { public, .. }) => format!(
                "{:.6}",
                public.iter().sum::<f64>() / public.len().max(1) as f64
            ),
            None => "0.000000".to_owned(),
        };
        let memory = screen
            .and_then(|screen| {
                screen
                    .figures
                    .runs
                    .iter()
                    .filter_map(|run| run.peak_memory_bytes)
                    .max()
            })
            .map_or(0.0, |bytes| bytes as f64 / 1e9);
        let status = match experiment.standing {
            Standing::Merged | Standing::Kept => "keep",
            _ if screen.is_some_and(|screen| screen.figures.loss.is_some()) => "crash",
            _ => "discard",
        };
        let title: String = experiment.proposal.title.replace(['\t', '\n', '\r'], " ");
        let _ = writeln!(
            out,
            "{}\t{value}\t{memory:.1}\t{status}\t{title}",
            &experiment.proposal.commit.as_str()[..7]
        );
    }
    out
}

/// Makes the branches.
pub fn finalize(arguments: &Finalize) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let history = place.history()?;
    let branches = finalize::branches(&place, &history).map_err(ratchet::EngineError::from)?;
    if branches.is_empty() {
        return say("nothing was merged: there is nothing to review\n");
    }
    let mut out = String::new();
    for branch in &branches {
        let _ = writeln!(
            out,
            "{}  {}{}",
            branch.name,
            harmless(&branch.title),
            if branch.independent {
                ""
            } else {
                "  (needs those before it)"
            }
        );
        let experiment = history.experiments.get(&branch.experiment);
        if let Some(left_out) = experiment.and_then(|experiment| experiment.left_out.as_ref())
            && Some(&left_out.champion) == history.champion.as_ref()
        {
            let _ = writeln!(out, "    {}", prune::words(left_out, &place));
        }
    }
    say(&out)
}
