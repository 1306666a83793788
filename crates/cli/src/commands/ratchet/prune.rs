//! `sprag ratchet prune`: which changes of a group that was merged together the champion needs.

use std::fmt::Write as _;

use clap::Args;
use gate::Kind;
use ratchet::{
    Engine, EngineError, Place,
    engine::Pruned,
    history::{LeftOut, Worth},
    trial::WorkshopError,
};
use sandbox::Level;
use serde_json::json;

use super::{
    TrackArgument,
    observe::Observe,
    run::{Seal, start},
};
use crate::{
    failure::Failure,
    interrupt::Interrupt,
    report,
    terminal::{Terminal, harmless, say},
};

/// The fewest runs of which an interval of 95% can be told.
const LEAST_RUNS: u64 = 6;

/// Measure the champion without each change that was merged in a group: what does nothing can be left out
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub track: TrackArgument,
    /// Runs of the champion and of each champion without a change; those of an earlier call count
    #[arg(long, value_name = "N", default_value_t = LEAST_RUNS, value_parser = clap::value_parser!(u64).range(LEAST_RUNS..=1000))]
    pub runs: u64,
    /// How candidates are sealed; by default bubblewrap, else landlock; where neither works, nothing is run
    #[arg(long, value_enum, value_name = "HOW")]
    pub seal: Option<Seal>,
    /// Report as JSON (schema sprag.ratchet-prune/1)
    #[arg(long)]
    pub json: bool,
}

/// Measures, and says what can go.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    if !place.ledger().exists() {
        return Err(ratchet::PlaceError::NotBegun(place.track.name().to_owned()).into());
    }
    let interrupt = Interrupt::install();
    let listening = interrupt.listen();
    let stop = || listening.is_raised();
    let mut observe = Observe::new(&place, false, terminal);
    let begin = start(arguments.seal.map(Level::from))?;
    let mut engine = Engine::start(&place, &begin, &stop, &mut observe)?;
    let pruned = engine.prune(arguments.runs as usize, &mut observe);
    observe.finish();
    let pruned = match pruned {
        Err(EngineError::Workshop(WorkshopError::Stopped)) => return Err(Failure::Interrupted),
        other => other?,
    };
    if arguments.json {
        return report::json(&json!({
            "schema": "sprag.ratchet-prune/1",
            "track": place.track.name(),
            "champion": engine.history().champion.as_ref().map(|c| c.as_str()),
            "left_out": pruned.iter().map(one_json).collect::<Vec<_>>(),
        }));
    }
    if pruned.is_empty() {
        return say("no changes were merged as a group: each was judged alone\n");
    }
    let mut out = String::new();
    for one in &pruned {
        let found = match &one.found {
            Ok(left_out) => words(left_out, &place),
            Err(path) => format!(
                "cannot be left out alone: later changes build on it in {}",
                path.display()
            ),
        };
        let _ = writeln!(
            out,
            "{:5}  {}\n       {}",
            one.experiment,
            harmless(&one.title),
            harmless(&found)
        );
    }
    out.push_str(
        "sprag ratchet finalize makes a branch of each change: leave those that do nothing\n",
    );
    say(&out)
}

fn one_json(one: &Pruned) -> serde_json::Value {
    let (differences, worth, between) = match &one.found {
        Err(_) => (None, "bound", None),
        Ok(left_out) => {
            let (word, interval) = match left_out.worth() {
                Worth::Unknown => ("unknown", None),
                Worth::Vital => ("vital", None),
                Worth::Needed(i) => ("needed", Some(i)),
                Worth::Harmful(i) => ("harmful", Some(i)),
                Worth::Idle(i) => ("idle", Some(i)),
            };
            (
                Some(&left_out.differences),
                word,
                interval.map(|i| [i.low, i.high]),
            )
        }
    };
    json!({
        "experiment": one.experiment,
        "title": one.title,
        "worth": worth,
        "worse_by_interval_95": between,
        "worse_by": differences,
        "bound_in": one.found.as_ref().err(),
    })
}

/// What leaving it out does, in the metric's words.
pub fn words(left_out: &LeftOut, place: &Place) -> String {
    let judge = &place.track.file.judge;
    let runs = left_out.differences.len();
    let amount = |difference: f64| match judge.kind {
        Kind::Timing => format!("{:.1}%", 100.0 * (difference.abs().exp() - 1.0)),
        Kind::Score | Kind::Cases => format!("{:.6} {}", difference.abs(), judge.unit)
            .trim_end()
            .to_owned(),
    };
    let metric = &judge.metric;
    match left_out.worth() {
        Worth::Unknown => format!("not known after {runs} runs"),
        Worth::Vital => "needed: without it the champion cannot be measured".to_owned(),
        Worth::Needed(by) => format!(
            "needed: without it {metric} is worse by {} to {} ({runs} runs)",
            amount(by.low),
            amount(by.high)
        ),
        Worth::Harmful(by) => format!(
            "better without it: {metric} improves by {} to {} ({runs} runs)",
            amount(by.high),
            amount(by.low)
        ),
        Worth::Idle(by) => format!(
            "does nothing that {runs} runs show: without it {metric} is between {} better and {} worse",
            amount(by.low),
            amount(by.high)
        ),
    }
}
