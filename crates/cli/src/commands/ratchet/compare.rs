//! `sprag ratchet compare`: one track under several budgets, or on several machines, and what is best under each.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use gate::{Decision, Reading};
use ratchet::{
    History, Place, PlaceError,
    track::{Budget, ProposerKind},
};
use serde::Serialize;

use super::{
    How, place,
    run::{Seal, measured},
};
use crate::{
    failure::Failure,
    interrupt::Interrupt,
    report,
    terminal::{Terminal, complain, harmless, say},
};

const AFTER: &str = "\
Each budget has a ledger of its own; `--budget` of the other commands looks at one of them. With --experiments every ledger is first brought \
to so many experiments; what was run before counts, so it can be spread over days. To compare machines, name a track in a copy of each \
machine's repository.

Example: sprag ratchet compare tracks/train --budget 20s --budget 60s --budget 3000000:60s --experiments 25";

/// Run and compare one track under several budgets or on several machines
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Tracks, each a track.toml or a folder with one
    #[arg(value_name = "TRACK")]
    pub tracks: Vec<PathBuf>,
    /// A time such as 60s, or units of the track's server and a time that limits them, such as 3000000:5m; the track's own where none is given
    #[arg(long = "budget", value_name = "BUDGET", value_parser = super::budget)]
    pub budgets: Vec<Budget>,
    /// Run each until it has this many experiments in all
    #[arg(long, value_name = "N")]
    pub experiments: Option<u64>,
    /// Run each for this long at most, such as 2h or 90s
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// How candidates are sealed; by default bubblewrap, else landlock; where neither works, nothing is run
    #[arg(long, value_enum, value_name = "HOW")]
    pub seal: Option<Seal>,
    /// Report as JSON (schema sprag.ratchet-compare/1)
    #[arg(long)]
    pub json: bool,
    /// As a table of Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// What a ledger comes to.
#[derive(Debug, Serialize)]
struct Row {
    track: String,
    budget: String,
    machine: String,
    experiments: usize,
    /// How many merges led to the champion.
    merges: usize,
    /// Abbreviated.
    champion: Option<String>,
    /// The champion's mean on public data, of runs after the race that it won: those of the race are good by luck too.
    value: Option<f64>,
    runs: usize,
    /// The best first reading of this epoch: not proven to be better than the champion.
    best_seen: Option<f64>,
    /// Units that the champion's runs were given, on average.
    units: Option<u64>,
    /// What a judge counts as the model's parameters, if it does.
    parameters: Option<u64>,
    /// The champion's literals in the order of the track's knobs.
    knobs: Vec<(String, String)>,
}

/// Runs what is missing, then compares.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let places = places(arguments)?;
    if arguments.experiments.is_some() || arguments.time.is_some() {
        let interrupt = Interrupt::install();
        let listening = interrupt.listen();
        for place in &places {
            let done = match place.history() {
                Ok(history) => history.experiments.len() as u64,
                Err(PlaceError::NotBegun(_)) => 0,
                Err(error) => return Err(error.into()),
            };
            let missing = arguments.experiments.map(|all| all.saturating_sub(done));
            if missing == Some(0) {
                continue;
            }
            complain(&format!("{}:", harmless(place.track.name())));
            let how = How {
                experiments: missing,
                time: arguments.time,
                seal: arguments.seal,
                json: false,
            };
            // Standard output has the comparison alone.
            let (_, summary) = measured(place, &how, &listening, terminal)?;
            complain(summary.trim_end());
            if listening.is_raised() {
                return Err(Failure::Interrupted);
            }
        }
    }
    let rows = places.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    if arguments.json {
        return report::json(
            &serde_json::json!({"schema": "sprag.ratchet-compare/1", "tracks": rows}),
        );
    }
    let better = places.first().map(|place| &place.track.file.judge);
    let metric = better.map_or_else(String::new, |judge| judge.metric.clone());
    say(&table(&rows, &metric, arguments.markdown))
}

fn places(arguments: &Arguments) -> Result<Vec<Place>, Failure> {
    let tracks = match &arguments.tracks[..] {
        [] => vec![place(None)?],
        some => some
            .iter()
            .map(|one| place(Some(one)))
            .collect::<Result<_, _>>()?,
    };
    let mut places = Vec::new();
    for track in tracks {
        if arguments.budgets.is_empty() {
            places.push(track);
            continue;
        }
        for budget in &arguments.budgets {
            places.push(track.under(*budget)?);
        }
    }
    Ok(places)
}

fn row(place: &Place) -> Result<Row, Failure> {
    let history = place.history()?;
    let run = place.track.file.run.as_ref();
    let budget = run.map_or_else(String::new, |run| {
        let time = humantime::format_duration(run.time);
        match &run.budget {
            // So much that nobody uses it up is no budget.
            Some(budget) if budget.most < 1 << 38 => {
                format!("{} {} within {time}", budget.most, budget.unit)
            }
            _ => time.to_string(),
        }
    });
    let substrates = place.reader()?.substrates().map_err(PlaceError::from)?;
    let machine = substrates.last().map(|one| &one.fingerprint);
    let races = history.races.values();
    let merges = races.filter(|race| matches!(race.end, Some(Decision::RaceWon { .. })));
    let figures = history.champion_runs.iter();
    let figures = figures.skip(history.champion_runs_before);
    let values: Vec<f64> = figures
        .clone()
        .filter_map(|(_, reading, _)| value(reading))
        .collect();
    // A track of timing has no runs of the champion alone.
    let blocks = history.same_blocks.iter();
    let measured = figures.chain(blocks).map(|(_, _, measured)| measured);
    let runs = measured.clone().flat_map(|measured| &measured.runs);
    let units: Vec<u64> = runs.filter_map(|run| run.units).collect();
    let parameters = measured
        .flat_map(|measured| &measured.judged)
        .find_map(|judged| judged.result.get("parameters")?.as_u64());
    Ok(Row {
        track: place.track.name().to_owned(),
        budget,
        machine: machine.map_or_else(String::new, machine_words),
        experiments: history.experiments.len(),
        merges: merges.count(),
        champion: history
            .champion
            .as_ref()
            .map(|commit| commit.short().to_owned()),
        value: mean(&values),
        runs: values.len(),
        best_seen: best_seen(place, &history),
        units: (!units.is_empty()).then(|| units.iter().sum::<u64>() / units.len() as u64),
        parameters,
        knobs: knobs(place, &history)?,
    })
}

fn value(reading: &Reading) -> Option<f64> {
    match reading {
        Reading::Score { public, .. } => Some(*public),
        Reading::Cases { public, .. } => mean(public),
        Reading::Block { .. } => None,
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn best_seen(place: &Place, history: &History) -> Option<f64> {
    let epoch = history.seal.as_ref().map_or(0, |seal| seal.epoch);
    let experiments = history.experiments.values();
    let screens = experiments
        .filter(|one| one.epoch == epoch)
        .filter_map(|one| one.screen.as_ref());
    let values = screens.filter_map(|screen| value(screen.reading.as_ref()?));
    match place.track.file.judge.better {
        gate::Better::Lower => values.min_by(f64::total_cmp),
        gate::Better::Higher => values.max_by(f64::total_cmp),
    }
}

/// The literals of every search's knobs as they stand in the champion.
fn knobs(place: &Place, history: &History) -> Result<Vec<(String, String)>, Failure> {
    let Some(champion) = &history.champion else {
        return Ok(Vec::new());
    };
    let files = ratchet::mutable_files(&place.repository, &place.track, champion)
        .map_err(ratchet::EngineError::from)?;
    let mut found: Vec<(String, String)> = Vec::new();
    for proposer in &place.track.proposers {
        let ProposerKind::Search { knobs, .. } = &proposer.kind else {
            continue;
        };
        for knob in knobs {
            let name = knob.place.line();
            let name = name
                .split(['=', ':', '{'])
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            let text = files
                .get(std::path::Path::new(knob.place.file()))
                .map(|contents| String::from_utf8_lossy(&contents.bytes));
            let literal = text.as_deref().and_then(|text| knob.place.read(text).ok());
            let literal = literal.unwrap_or("-").trim_matches(['"', '\'']).to_owned();
            if !found.iter().any(|(known, _)| *known == name) {
                found.push((name, literal));
            }
        }
    }
    Ok(found)
}

/// A machine in a few words.
fn machine_words(fingerprint: &serde_json::Value) -> String {
    let name = fingerprint
        .pointer("/cpu/name/value")
        .and_then(serde_json::Value::as_str);
    let cores = fingerprint
        .pointer("/cores/usable")
        .and_then(serde_json::Value::as_u64);
    let name = name.unwrap_or("unknown");
    cores.map_or_else(|| name.to_owned(), |cores| format!("{cores} x {name}"))
}

/// A line for each figure, a column for each ledger: knobs are many, and budgets few.
fn table(rows: &[Row], metric: &str, markdown: bool) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
    let count = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    let mut line = |name: &str, cell: &dyn Fn(&Row) -> String| {
        lines.push((name.to_owned(), rows.iter().map(cell).collect()));
    };
    line("budget", &|row| row.budget.clone());
    line("machine", &|row| row.machine.clone());
    line("experiments", &|row| row.experiments.to_string());
    line("merged", &|row| row.merges.to_string());
    line("champion", &|row| {
        row.champion.clone().unwrap_or_else(|| "-".to_owned())
    });
    line(&format!("its {metric}, public"), &|row| {
        format!("{} ({} runs)", number(row.value), row.runs)
    });
    line("best first reading", &|row| number(row.best_seen));
    line("units that it used", &|row| count(row.units));
    line("parameters", &|row| count(row.parameters));
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.knobs) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        line(name, &|row| {
            let own = row.knobs.iter().find(|(known, _)| known == name);
            own.map_or_else(|| "-".to_owned(), |(_, literal)| literal.clone())
        });
    }
    if markdown {
        let head = vec!["---"; rows.len() + 1].join(" | ");
        let written = lines
            .iter()
            .map(|(name, cells)| format!("| {name} | {} |", cells.join(" | ")));
        let mut written: Vec<String> = written.collect();
        written.insert(1, format!("| {head} |"));
        return written.join("\n") + "\n";
    }
    let widths: Vec<usize> = (0..rows.len())
        .map(|column| {
            lines
                .iter()
                .map(|(_, cells)| cells[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let first = lines
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (name, cells) in &lines {
        let mut written = format!("{name:first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            written.push_str(&format!("  {:width$}", harmless(cell)));
        }
        out.push_str(written.trim_end());
        out.push('\n');
    }
    out
}
