//! `sprag ratchet report`: a track's whole story as one HTML file: what was tried, what it scored, what was believed, and what it cost.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use gate::{Decision, Kind, Reading};
use page::{Page, escape};
use ratchet::{Experiment, History, Place, proposer::Standing};

use super::{TrackArgument, look::word, observe::reading_words};
use crate::{
    failure::Failure,
    report,
    terminal::{harmless, say},
};

mod chart;

/// Write a track's story as one HTML file
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub track: TrackArgument,
    /// The file
    #[arg(long, value_name = "FILE", default_value = "sprag-ratchet.html")]
    pub html: PathBuf,
}

/// Writes the file.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    report::may_write(&arguments.html)?;
    report::file(&arguments.html, story(&place)?)?;
    let shown = std::path::absolute(&arguments.html).unwrap_or_else(|_| arguments.html.clone());
    say(&format!("The report is in {}\n", shown.display()))
}

/// The page of a track.
pub fn story(place: &Place) -> Result<String, Failure> {
    Ok(page(place, &place.history()?))
}

/// Foreign text as HTML.
fn safe(text: &str) -> String {
    escape(&harmless(text))
}

/// The whole page.
fn page(place: &Place, history: &History) -> String {
    let judge = &place.track.file.judge;
    let name = safe(place.track.name());
    let mut out = String::new();
    out += &format!(
        "<h1>{name}</h1><p class=\"soft\">{}</p>",
        safe(&place.track.file.about)
    );
    out += &format!(
        "<div class=\"card\"><p class=\"verdict\">{}</p>{}</div>",
        verdict(history, place.track.settings.kind),
        facts(place, history)
    );
    // A timing track draws gains, others the readings themselves.
    let (drawn, better) = match (place.track.kind(), judge.better) {
        (gate::Kind::Timing, _) => ("gain in ", "higher"),
        (_, gate::Better::Lower) => ("", "lower"),
        (_, gate::Better::Higher) => ("", "higher"),
    };
    out += &format!(
        "<div class=\"card\"><h2>Score over experiments</h2><p class=\"soft small\">Each experiment's one screening reading ({drawn}{}, {better} is better). \
         A screen alone moves nothing: only a won race does.</p>{}</div>",
        safe(&judge.metric),
        chart::experiments(history, place)
    );
    out += &races(place, history);
    out += &proposers(history);
    out += &table(place, history);
    Page {
        title: &format!("{name}: sprag ratchet"),
        style: include_str!("report/report.css"),
        main: &out,
        footer: "Made by <code>sprag ratchet report</code> from the track's ledger; <code>sprag ratchet verify</code> checks it.",
        data: "",
    }
    .html()
}

/// The one sentence that matters.
fn verdict(history: &History, kind: Kind) -> String {
    let won: Vec<&Decision> = history
        .races
        .values()
        .filter_map(|race| race.gain.as_ref().or(race.end.as_ref()))
        .filter(|d| matches!(d, Decision::RaceWon { .. } | Decision::Gain { .. }))
        .collect();
    let experiments = history.experiments.len();
    if won.is_empty() {
        let least = history.gate.as_ref().and_then(gate::Gate::resolvable);
        let least = least.map_or_else(String::new, |least| {
            format!(
                " At this noise a gain of about {} would be found in four of five races.",
                kind.amount(least, least)
            )
        });
        return format!("The champion stands after {experiments} experiments.{least}");
    }
    let all: Vec<String> = won
        .iter()
        .map(|decision| safe(&decision.told(kind)))
        .collect();
    format!(
        "{} of {experiments} experiments moved the champion: {}.",
        won.len(),
        all.join("; ")
    )
}

fn facts(place: &Place, history: &History) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(champion) = &history.champion {
        rows.push(("champion", format!("<code>{}</code>", champion.short())));
    }
    if let Some(seal) = &history.seal {
        rows.push((
            "judge",
            format!(
                "epoch {}, <code>{}</code>, {} sealed files",
                seal.epoch,
                seal.id().short(),
                seal.files.len()
            ),
        ));
    }
    if let Some((_, level)) = history.sessions.last() {
        rows.push(("candidates", safe(&level.to_string())));
    }
    if let Some(gate) = &history.gate {
        let spent = gate.spent();
        rows.push((
            "error spent",
            format!(
                "{:.5} in {} races, {} won",
                spent.alpha, spent.races, spent.merges
            ),
        ));
        if let Some(noise) = gate.noise() {
            let kind = gate.settings().kind;
            rows.push((
                "noise",
                format!(
                    "{} a reading, from {} readings",
                    kind.amount(noise.screen.sigma, noise.screen.sigma),
                    noise.screen.dof + 1
                ),
            ));
        }
    }
    let (seconds, readings) = cost(history);
    rows.push((
        "cost",
        format!("{readings} measurements, {}", duration(seconds)),
    ));
    rows.push(("track", safe(&place.file.display().to_string())));
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>"))
        .collect();
    format!("<dl>{rows}</dl>")
}

/// Seconds of all measurements, and how many there were.
fn cost(history: &History) -> (f64, usize) {
    let figures = history
        .experiments
        .values()
        .filter_map(|experiment| experiment.screen.as_ref().map(|screen| &screen.figures))
        .chain(history.champion_runs.iter().map(|(_, _, figures)| figures))
        .chain(history.same_blocks.iter().map(|(_, _, figures)| figures))
        .chain(
            history
                .races
                .values()
                .flat_map(|race| race.readings.iter().map(|(_, figures)| figures)),
        );
    figures.fold((0.0, 0), |(seconds, count), figures| {
        (seconds + figures.seconds, count + 1)
    })
}

fn duration(seconds: f64) -> String {
    let whole = std::time::Duration::from_secs(seconds.max(0.0).round() as u64);
    humantime::format_duration(whole).to_string()
}

/// Each race: what was raced, its readings, how it ended.
fn races(place: &Place, history: &History) -> String {
    if history.races.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"card\"><h2>Races</h2><p class=\"soft small\">Fresh readings of what was kept, with seeds that nobody could foresee, against the champion.</p>",
    );
    for race in history.races.values() {
        let members: Vec<String> = race.members.iter().map(u64::to_string).collect();
        out += &format!(
            "<h3>Race {}: experiments {}, level {:.5}</h3>",
            race.number,
            members.join(", "),
            race.level
        );
        out += &chart::race(history, race);
        for decision in race.end.iter().chain(&race.gain) {
            out += &format!("<p>{}</p>", safe(&decision.told(place.track.settings.kind)));
        }
        let readings: Vec<String> = race
            .readings
            .iter()
            .map(|(reading, _)| {
                reading.as_ref().map_or_else(
                    || "a loss".to_owned(),
                    |r| reading_words(r, &place.track.file.judge.metric),
                )
            })
            .collect();
        out += &format!(
            "<details><summary>{} readings</summary><p class=\"small\">{}</p></details>",
            readings.len(),
            safe(&readings.join("; "))
        );
    }
    out + "</div>"
}

/// Who proposed what, and what came of it.
fn proposers(history: &History) -> String {
    let mut by: BTreeMap<&str, ([usize; 5], f64)> = BTreeMap::new();
    for experiment in history.experiments.values() {
        let (counts, seconds) = by.entry(&experiment.proposal.proposer).or_default();
        counts[experiment.standing as usize] += 1;
        *seconds += experiment.proposal.seconds
            + experiment
                .screen
                .as_ref()
                .map_or(0.0, |screen| screen.figures.seconds);
    }
    let rows: String = by
        .iter()
        .map(|(name, (counts, seconds))| {
            format!(
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                safe(name),
                counts.iter().sum::<usize>(),
                counts[Standing::Void as usize],
                counts[Standing::Refused as usize],
                counts[Standing::Dropped as usize] + counts[Standing::Kept as usize],
                counts[Standing::Merged as usize],
                duration(*seconds)
            )
        })
        .collect();
    format!(
        "<div class=\"card\"><h2>Proposers</h2><div class=\"scroll\"><table><tr><th>who</th><th class=\"n\">proposals</th><th class=\"n\">not measured</th>\
         <th class=\"n\">refused</th><th class=\"n\">kept for a while</th><th class=\"n\">merged</th><th class=\"n\">time</th></tr>{rows}</table></div></div>"
    )
}

/// Every experiment.
fn table(place: &Place, history: &History) -> String {
    let metric = &place.track.file.judge.metric;
    let row = |experiment: &Experiment| {
        let reading = experiment
            .screen
            .as_ref()
            .and_then(|screen| screen.reading.as_ref());
        let samples: Vec<String> = experiment
            .screen
            .iter()
            .flat_map(|screen| &screen.figures.judged)
            .map(|judged| format!("{}: {}", judged.split, judged.result))
            .collect();
        let samples = if samples.is_empty() {
            String::new()
        } else {
            format!(
                "<details><summary>samples</summary><p class=\"small\">{}</p></details>",
                safe(&samples.join("; "))
            )
        };
        format!(
            "<tr><td class=\"n\">{}</td><td><span class=\"dot {}\"></span>{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"wide\">{}<br><span class=\"soft\">{}</span>{samples}</td></tr>",
            experiment.number,
            word(experiment.standing),
            word(experiment.standing),
            reading.map_or_else(String::new, |reading| safe(&figure(reading, metric))),
            safe(&experiment.proposal.proposer),
            safe(&experiment.proposal.title),
            safe(experiment.words.last().map_or("", String::as_str)),
        )
    };
    let rows: String = history.experiments.values().rev().map(row).collect();
    format!(
        "<div class=\"card\"><h2>Experiments</h2><p class=\"soft small\">The latest first; <code>sprag ratchet show NUMBER</code> has the change itself.</p>\
         <div class=\"scroll\"><table><tr><th class=\"n\"></th><th>verdict</th><th class=\"n\">screen</th><th>by</th><th>what and why</th></tr>{rows}</table></div></div>"
    )
}

fn figure(reading: &Reading, metric: &str) -> String {
    reading_words(reading, metric).replace(" in one block", "")
}
