//! `sprag ratchet run`, `resume`, `stop`, `propose`, `reseal`: what changes a track's ledger, or asks the engine to.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use ratchet::{
    Ended, Engine, Place, PlaceError, Start, Until, engine, proposer::human, track::Part,
};
use sandbox::{Helper, Level};
use silicon::probe::Machine;

use super::{TrackArgument, observe::Observe, stack};
use crate::{
    failure::Failure,
    interrupt::{Interrupt, Listening},
    terminal::{Terminal, complain, harmless, say},
};

/// The hidden sub-command that a sandbox's child runs.
pub const CELL: &str = "cell";

/// Run experiments until a limit, or Ctrl-C; what was begun goes on
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub track: TrackArgument,
    #[command(flatten)]
    pub how: How,
}

/// Go on with a track that was run before
#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    pub track: TrackArgument,
    #[command(flatten)]
    pub how: How,
}

/// How long, and how sealed.
#[derive(Debug, Default, Args)]
pub struct How {
    /// No new experiment after this long, such as 2h or 90s
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// This many experiments
    #[arg(long, value_name = "N")]
    pub experiments: Option<u64>,
    /// How candidates are sealed; by default bubblewrap, else landlock; where neither works, nothing is run
    #[arg(long, value_enum, value_name = "HOW")]
    pub seal: Option<Seal>,
    /// Every record as a line of JSON on standard output (schema sprag.ratchet/1)
    #[arg(long)]
    pub json: bool,
}

/// Levels of sealing.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Seal {
    /// Namespaces, by the bubblewrap program
    Bubblewrap,
    /// The kernel's Landlock and seccomp
    Landlock,
    /// Nothing: for candidates that you would run anyway
    Unsealed,
}

impl From<Seal> for Level {
    fn from(seal: Seal) -> Self {
        match seal {
            Seal::Bubblewrap => Self::Bubblewrap,
            Seal::Landlock => Self::Landlock,
            Seal::Unsealed => Self::Unsealed,
        }
    }
}

/// Ask the engine that runs a track to stop
#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    pub track: TrackArgument,
}

/// Propose the mutable files of a folder as they are now
#[derive(Debug, Args)]
pub struct Propose {
    #[command(flatten)]
    pub track: TrackArgument,
    /// The folder; by default the track's own
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// One line of what it is
    #[arg(short, long, value_name = "TITLE")]
    pub message: String,
}

/// Begin a new epoch with the judge, the sealed files and the rules as they are now
#[derive(Debug, Args)]
pub struct Reseal {
    #[command(flatten)]
    pub track: TrackArgument,
    /// Why, for the ledger
    #[arg(long, value_name = "WHY")]
    pub why: String,
}

/// How this program starts an engine.
pub fn start(level: Option<Level>) -> Result<Start, Failure> {
    Ok(Start {
        helper: Helper::own([CELL]),
        level,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: serde_json::to_value(Machine::probe())?,
    })
}

/// Runs experiments.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    go(&arguments.track.place()?, &arguments.how, terminal)
}

/// Goes on with experiments.
pub fn resume(arguments: &Resume, terminal: &Terminal) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    if !place.ledger().exists() {
        return Err(PlaceError::NotBegun(place.track.name().to_owned()).into());
    }
    go(&place, &arguments.how, terminal)
}

fn go(place: &Place, how: &How, terminal: &Terminal) -> Result<(), Failure> {
    let interrupt = Interrupt::install();
    let listening = interrupt.listen();
    let ended = experiments(place, how, &listening, terminal)?;
    match ended {
        Ended::Asked if listening.is_raised() => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

/// Runs an engine and says what came of it.
pub fn experiments(
    place: &Place,
    how: &How,
    listening: &Listening<'_>,
    terminal: &Terminal,
) -> Result<Ended, Failure> {
    let (ended, summary) = measured(place, how, listening, terminal)?;
    if !how.json {
        say(&summary)?;
    }
    Ok(ended)
}

/// Runs an engine; how it ended, and what came of it in words.
pub fn measured(
    place: &Place,
    how: &How,
    listening: &Listening<'_>,
    terminal: &Terminal,
) -> Result<(Ended, String), Failure> {
    let stop = || listening.is_raised();
    let mut observe = Observe::new(place, how.json, terminal);
    let mut engine = Engine::start(
        place,
        &start(how.seal.map(Level::from))?,
        &stop,
        &mut observe,
    )?;
    if engine.level() == Level::Unsealed {
        complain(
            "warning: candidates are not sealed; nothing stops one from reading the judge's hidden files or changing yours",
        );
    }
    let until = Until {
        time: how.time.map(|time| Instant::now() + time),
        experiments: how.experiments,
    };
    let ended = engine.run(until, &mut observe);
    observe.finish();
    // What was proven before an error is used all the same.
    stack::keep(place, engine.history())?;
    let ended = ended?;
    let summary = observe.summary(&ended, engine.history());
    Ok((ended, summary))
}

/// Asks a running engine to stop.
pub fn stop(arguments: &Stop) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let Some(holder) = place.running()? else {
        return say(&format!("nobody runs the track {}\n", place.track.name()));
    };
    let path = place.stop();
    std::fs::write(&path, "").map_err(|source| Failure::Write { path, source })?;
    let who = holder
        .pid
        .map_or_else(String::new, |pid| format!(" (process {pid})"));
    say(&format!(
        "the engine of {}{who} is asked to stop; the measurement at hand is taken again when it goes on\n",
        place.track.name()
    ))
}

/// Puts a change into the inbox.
pub fn propose(arguments: &Propose) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let (track, repository) = (&place.track, &place.repository);
    if arguments.message.trim().is_empty() {
        return Err(Failure::Usage(
            "--message: expected one line of what the change is, came nothing".to_owned(),
        ));
    }
    let folder = arguments
        .folder
        .clone()
        .unwrap_or_else(|| repository.root());
    // A change is of what the folder's files were made from: the commit that is checked out, or the first champion if they are committed.
    let head = repository.head().map_err(PlaceError::from)?;
    let mut outcome = human::put(repository, track, &head, &folder, &arguments.message)
        .map_err(ratchet::EngineError::from)?;
    if let (Err(ratchet::Void::NoChange), Ok(history)) = (&outcome, place.history())
        && let Some(first) = &history.first
    {
        outcome = human::put(repository, track, first, &folder, &arguments.message)
            .map_err(ratchet::EngineError::from)?;
    }
    if arguments.folder.is_none() {
        let mut left_out = repository.dirty().map_err(PlaceError::from)?;
        left_out.retain(|path| track.globs.part(path) != Part::Mutable);
        for path in &left_out {
            complain(&format!(
                "warning: {} is changed and not proposed: it is {}",
                harmless(&path.display().to_string()),
                track.globs.part(path)
            ));
        }
    }
    match outcome {
        Ok(_) => say(&format!(
            "proposed {:?} for the track {}; the engine takes it next{}\n",
            arguments.message,
            track.name(),
            if place.running()?.is_some() {
                ""
            } else {
                ": sprag ratchet run"
            }
        )),
        Err(why) => Err(Failure::Usage(format!("this is no candidate: {why}"))),
    }
}

/// Begins a new epoch.
pub fn reseal(arguments: &Reseal, terminal: &Terminal) -> Result<(), Failure> {
    let place = arguments.track.place()?;
    let mut observe = Observe::new(&place, false, terminal);
    let seal = engine::reseal(&place, &start(None)?, &arguments.why, &mut observe)?;
    say(&format!(
        "epoch {} of {} begins with judge {}; scores of earlier epochs are not compared with it, and what was spent of the error stays spent\n",
        seal.epoch,
        place.track.name(),
        seal.id().short()
    ))
}
