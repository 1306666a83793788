//! `sprag ratchet status`, `log`, `show`: what a track's ledger says, for people.

use std::time::Duration;

use clap::Args;
use gate::{Decision, Kind, Settings};
use ratchet::{
    Experiment, History, Place,
    history::Race,
    proposer::Standing,
    trial::{Arm, RunFigures},
};
use serde_json::json;

use super::{TrackArgument, observe::reading_words};
use crate::{
    failure::Failure,
    report,
    terminal::{Style, Terminal, harmless, say},
};

/// Where a track stands
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub track: TrackArgument,
    /// Look again every two seconds, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Report as JSON (schema sprag.ratchet-status/1)
    #[arg(long)]
    pub json: bool,
}

/// List the experiments of a track
#[derive(Debug, Args)]
pub struct Log {
    #[command(flatten)]
    pub track: TrackArgument,
    /// The latest N
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Report as JSON (schema sprag.ratchet-log/1)
    #[arg(long)]
    pub json: bool,
}

/// Show one experiment: its change, its figures, the verdict and why
#[derive(Debug, Args)]
pub struct Show {
    /// The experiment's number
    pub id: u64,
    #[command(flatten)]
    pub track: TrackArgument,
    /// Report as JSON (schema sprag.ratchet-show/1)
    #[arg(long)]
    pub json: bool,
}

/// What a history comes to, in a few lines.
pub fn summary(history: &History, why: &str) -> String {
    let count = |standing: Standing| {
        history
            .experiments
            .values()
            .filter(|e| e.standing == standing)
            .count()
    };
    let won = history
        .races
        .values()
        .filter(|race| matches!(race.end, Some(gate::Decision::RaceWon { .. })))
        .count();
    let mut out = format!(
        "{why}: {} experiments ({} not measured), {} races of which {won} were won\n",
        history.experiments.len(),
        count(Standing::Void),
        history.races.len(),
    );
    let Some(gate) = &history.gate else {
        return out;
    };
    let kind = gate.settings().kind;
    for race in history.races.values() {
        match (&race.gain, &race.end) {
            (Some(told), _) | (None, Some(told @ gate::Decision::RaceWon { .. })) => {
                out.push_str(&format!("  {}\n", told.told(kind)));
            }
            _ => {}
        }
    }
    if won == 0
        && let Some(least) = gate.resolvable()
    {
        out.push_str(&format!("  the champion stands; the smallest gain that could be found at this noise is about {}\n", kind.amount(least, least)));
    }
    out
}

/// Where a track stands.
pub fn status(arguments: &Status, terminal: &Terminal) -> Result<(), Failure> {
    loop {
        let place = arguments.track.place()?;
        let text = status_text(&place, terminal)?;
        if arguments.json {
            return report::json(&status_json(&place)?);
        }
        if !arguments.watch {
            return say(&text);
        }
        // Clears the screen and goes home, as `watch` does.
        say(&format!("\u{1b}[2J\u{1b}[H{text}"))?;
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn status_json(place: &Place) -> Result<serde_json::Value, Failure> {
    let history = place.history()?;
    let gate = history.gate.as_ref();
    Ok(json!({
        "schema": "sprag.ratchet-status/1",
        "track": place.track.name(),
        "running": place.running()?.is_some(),
        "champion": history.champion,
        "epoch": history.seal.as_ref().map(|seal| seal.epoch),
        "judge": history.seal.as_ref().map(|seal| seal.id()),
        "level": history.sessions.last().map(|(_, level)| level),
        "experiments": history.experiments.len(),
        "races": history.races.len(),
        "next": gate.map(gate::Gate::next),
        "noise": gate.and_then(gate::Gate::noise),
        "spent": gate.map(gate::Gate::spent),
        "resolvable": gate.and_then(gate::Gate::resolvable),
        "tip": gate.map(gate::Gate::tip),
        "last": history.last,
    }))
}

fn status_text(place: &Place, terminal: &Terminal) -> Result<String, Failure> {
    let history = place.history()?;
    let paint = terminal.data();
    let mut out = format!(
        "{}  {}\n",
        paint.paint(Style::Heading, place.track.name()),
        place.track.file.about
    );
    let running = match place.running()? {
        Some(holder) => holder.pid.map_or_else(
            || "running".to_owned(),
            |pid| format!("running (process {pid})"),
        ),
        None => "not running".to_owned(),
    };
    out.push_str(&format!(
        "  {running}, last record {}\n",
        history.last.as_deref().unwrap_or("never")
    ));
    if let Some(champion) = &history.champion {
        out.push_str(&format!("  champion {}", champion.short()));
        if let Some(reference) = history.gate.as_ref().and_then(gate::Gate::public_reference) {
            out.push_str(&format!(
                ", {} {reference:.6}",
                place.track.file.judge.metric
            ));
        }
        out.push('\n');
    }
    if let Some(seal) = &history.seal {
        out.push_str(&format!(
            "  epoch {}, judge {}",
            seal.epoch,
            seal.id().short()
        ));
        if let Some((_, level)) = history.sessions.last() {
            out.push_str(&format!(", candidates {level}"));
        }
        out.push('\n');
    }
    if let Some(gate) = &history.gate {
        let spent = gate.spent();
        out.push_str(&format!(
            "  {} races, {} won; {:.5} of the error is spent\n",
            spent.races, spent.merges, spent.alpha
        ));
        if let Some(noise) = gate.noise() {
            let amount = |value| gate.settings().kind.amount(value, value);
            out.push_str(&format!("  noise {} a reading", amount(noise.screen.sigma)));
            if let Some(least) = gate.resolvable() {
                out.push_str(&format!(
                    ", smallest gain that can be found about {}",
                    amount(least)
                ));
            }
            out.push('\n');
        }
        out.push_str(&format!("  next: {}\n", gate.next()));
    }
    out.push('\n');
    out.push_str(&rows(place, &history, 15));
    Ok(out)
}

/// The latest experiments, one to a line.
fn rows(place: &Place, history: &History, limit: usize) -> String {
    let skip = history.experiments.len().saturating_sub(limit);
    let mut out = String::new();
    for experiment in history.experiments.values().skip(skip) {
        let reading = experiment
            .screen
            .as_ref()
            .and_then(|screen| screen.reading.as_ref());
        let score = reading.map_or_else(
            || "-".to_owned(),
            |reading| reading_words(reading, &place.track.file.judge.metric),
        );
        let title: String = harmless(&experiment.proposal.title)
            .chars()
            .take(50)
            .collect();
        out.push_str(&format!(
            "{:5}  {:8} {:24} {:10} {title}\n",
            experiment.number,
            if history.pending.contains(&experiment.number) {
                "waiting"
            } else {
                word(experiment.standing)
            },
            score,
            experiment.proposal.proposer
        ));
    }
    out
}

/// A standing as one word.
pub fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Void => "void",
        Standing::Refused => "refused",
        Standing::Kept => "kept",
        Standing::Dropped => "dropped",
        Standing::Merged => "merged",
    }
}

/// The experiments.
pub fn log(arguments: &Log, _terminal: &Terminal) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let history = place.history()?;
    if arguments.json {
        let skip = history.experiments.len().saturating_sub(arguments.limit);
        let experiments: Vec<_> = history
            .experiments
            .values()
            .skip(skip)
            .map(experiment_json)
            .collect();
        return report::json(
            &json!({ "schema": "sprag.ratchet-log/1", "track": place.track.name(), "experiments": experiments }),
        );
    }
    say(&rows(&place, &history, arguments.limit))
}

fn experiment_json(experiment: &Experiment) -> serde_json::Value {
    json!({
        "number": experiment.number,
        "at": experiment.at,
        "epoch": experiment.epoch,
        "standing": word(experiment.standing),
        "proposal": experiment.proposal,
        "void": experiment.void,
        "reading": experiment.screen.as_ref().map(|screen| &screen.reading),
        "figures": experiment.screen.as_ref().map(|screen| &screen.figures),
        "race": experiment.race,
        "words": experiment.words,
    })
}

/// Where a won timing race's fresh readings begin, and what each part of them is for.
fn parts_of(race: &Race, settings: &Settings) -> Vec<(usize, &'static str)> {
    let decided = match &race.end {
        Some(Decision::RaceWon { evidence, .. } | Decision::RaceLost { evidence, .. }) => {
            evidence.runs as usize
        }
        _ => return Vec::new(),
    };
    if settings.kind != Kind::Timing || race.readings.len() == decided {
        return Vec::new();
    }
    vec![
        (0, "by which the race was decided:"),
        (decided, "fresh, to confirm it:"),
        (
            decided + settings.confirm_runs as usize,
            "fresh again, by which nothing is decided but the gain told:",
        ),
    ]
}

/// What a run spent of its budget, where it has one.
fn spent(run: &RunFigures, place: &Place) -> String {
    let budget = place
        .track
        .file
        .run
        .as_ref()
        .and_then(|run| run.budget.as_ref());
    let units = run.units.map(|units| {
        let unit = budget.map_or("units", |budget| &budget.unit);
        format!(", {units} {unit}")
    });
    let joules = run.joules.map(|joules| format!(", {joules:.1} J"));
    units.unwrap_or_default() + &joules.unwrap_or_default()
}

/// One experiment.
pub fn show(arguments: &Show, terminal: &Terminal) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let history = place.history()?;
    let Some(experiment) = history.experiments.get(&arguments.id) else {
        return Err(Failure::Usage(format!(
            "{} has no experiment {}; the latest is {}",
            place.track.name(),
            arguments.id,
            history.next_number() - 1
        )));
    };
    let proposal = &experiment.proposal;
    let diff = place
        .repository
        .diff(&proposal.base, &proposal.commit)
        .map_err(ratchet::PlaceError::from)?;
    let race = experiment.race.and_then(|race| history.races.get(&race));
    if arguments.json {
        let mut value = experiment_json(experiment);
        value["schema"] = json!("sprag.ratchet-show/1");
        value["diff"] = json!(diff);
        value["race_readings"] = json!(race.map(|race| &race.readings));
        return report::json(&value);
    }
    let paint = terminal.data();
    let mut out = format!(
        "{}\n  {}, proposed by {} at {}, commit {} on {}\n",
        paint.paint(
            Style::Heading,
            &format!(
                "experiment {}: {}",
                experiment.number,
                harmless(&proposal.title)
            )
        ),
        word(experiment.standing),
        proposal.proposer,
        experiment.at,
        proposal.commit.short(),
        proposal.base.short(),
    );
    for words in &experiment.words {
        out.push_str(&format!("  {}\n", harmless(words)));
    }
    if let Some(screen) = &experiment.screen {
        if let Some(reading) = &screen.reading {
            out.push_str(&format!(
                "  screen: {}\n",
                reading_words(reading, &place.track.file.judge.metric)
            ));
        }
        for run in &screen.figures.runs {
            out.push_str(&format!(
                "    run of the {}: {:.4} s{}\n",
                match run.arm {
                    Arm::Champion => "champion",
                    Arm::Candidate => "candidate",
                },
                run.seconds,
                spent(run, &place)
            ));
        }
        for judged in &screen.figures.judged {
            out.push_str(&format!(
                "    judge ({}): {}\n",
                judged.split,
                harmless(&judged.result.to_string())
            ));
        }
    }
    if let Some(race) = race {
        out.push_str(&format!(
            "  race {} of experiments {:?}, level {:.5}\n",
            race.number, race.members, race.level
        ));
        let parts = parts_of(race, &place.track.settings);
        for (i, (reading, _)) in race.readings.iter().enumerate() {
            if let Some((_, what)) = parts.iter().find(|(first, _)| *first == i) {
                out.push_str(&format!("    {what}\n"));
            }
            let words = reading.as_ref().map_or_else(
                || "a loss".to_owned(),
                |r| reading_words(r, &place.track.file.judge.metric),
            );
            out.push_str(&format!("    {i}: {words}\n"));
        }
        for decision in race.end.iter().chain(&race.gain) {
            let kind = place.track.settings.kind;
            out.push_str(&format!("    {}\n", decision.told(kind)));
        }
    }
    out.push('\n');
    out.push_str(&harmless(&diff));
    say(&out)
}
