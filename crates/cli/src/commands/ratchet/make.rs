//! `sprag ratchet make`: what the champion's program leaves, such as the model that it trained.

use std::path::PathBuf;

use clap::Args;
use gate::Reading;
use ratchet::{Engine, EngineError, trial::WorkshopError};
use sandbox::Level;
use serde_json::json;

use super::{
    TrackArgument,
    observe::{Observe, reading_words},
    run::{Seal, start},
};
use crate::{
    failure::Failure,
    interrupt::Interrupt,
    quantity, report,
    terminal::{Terminal, say},
};

/// Run the champion's program once more, and keep what it leaves: the model of a training track
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub track: TrackArgument,
    /// The folder to make, which must not be there
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Of this experiment, not of the champion
    #[arg(long, value_name = "N")]
    pub experiment: Option<u64>,
    /// How the program is sealed; by default bubblewrap, else landlock; where neither works, nothing is run
    #[arg(long, value_enum, value_name = "HOW")]
    pub seal: Option<Seal>,
    /// Report as JSON (schema sprag.ratchet-make/1)
    #[arg(long)]
    pub json: bool,
}

/// Runs the program, and says what it left.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let folder = &arguments.output;
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::Usage(format!(
            "{} is there already; name a folder that is not",
            folder.display()
        )));
    }
    let interrupt = Interrupt::install();
    let listening = interrupt.listen();
    let stop = || listening.is_raised();
    let mut observe = Observe::new(&place, false, terminal);
    let begin = start(arguments.seal.map(Level::from))?;
    let mut engine = Engine::start(&place, &begin, &stop, &mut observe)?;
    observe.doing("the program runs");
    let made = engine.make(arguments.experiment, folder);
    observe.finish();
    let made = match made {
        Err(EngineError::Workshop(WorkshopError::Stopped)) => return Err(Failure::Interrupted),
        other => other?,
    };
    let reading = made.reading.map_err(|loss| Failure::NothingMade {
        commit: made.commit.short().to_owned(),
        why: loss.to_string(),
    })?;
    let judge = &place.track.file.judge;
    let (public, hidden) = values(&reading);
    let seconds = made.figures.runs.last().map(|run| run.seconds);
    let units = made.figures.runs.last().and_then(|run| run.units);
    if arguments.json {
        return report::json(&json!({
            "schema": "sprag.ratchet-make/1",
            "track": place.track.name(),
            "commit": made.commit.as_str(),
            "folder": folder,
            "metric": judge.metric,
            "unit": judge.unit,
            "public": public,
            "hidden": hidden,
            "run_seconds": seconds,
            "units": units,
            "figures": made.figures,
        }));
    }
    let hidden = hidden.map_or_else(String::new, |hidden| {
        format!(", {hidden:.6} on hidden data")
    });
    say(&format!(
        "{}{hidden}{}\n{} has what {} left after {}\n",
        reading_words(&reading, &judge.metric),
        if judge.unit.is_empty() {
            String::new()
        } else {
            format!(" ({})", judge.unit)
        },
        folder.display(),
        made.commit.short(),
        quantity::duration_ms(1e3 * seconds.unwrap_or_default()),
    ))
}

/// On public and on hidden data, or the means of cases.
fn values(reading: &Reading) -> (Option<f64>, Option<f64>) {
    let mean =
        |cases: &[f64]| (!cases.is_empty()).then(|| cases.iter().sum::<f64>() / cases.len() as f64);
    match reading {
        Reading::Score { public, hidden } => (Some(*public), *hidden),
        Reading::Cases { public, hidden } => (mean(public), mean(hidden)),
        Reading::Block { .. } => (None, None),
    }
}
