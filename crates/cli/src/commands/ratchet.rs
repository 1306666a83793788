//! `sprag ratchet`: experiments on a track, and what became of them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ratchet::{Place, track::Budget};

use crate::{failure::Failure, terminal::Terminal};

mod compare;
mod init;
mod look;
mod make;
mod observe;
mod prune;
mod records;
mod report;
mod run;
mod simulate;
pub mod stack;

const AFTER: &str = "\
TRACK is a track.toml, a folder with one, or `stack`: this machine's runtime profile, the track that ships. By default the track.toml \
of the current folder, else `stack`.

Example: sprag ratchet run --for 2h";

/// Improve anything by experiments that only count when they are proven
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Arguments),
    Run(run::Arguments),
    Resume(run::Resume),
    Propose(run::Propose),
    Stop(run::Stop),
    Status(look::Status),
    Log(look::Log),
    Show(look::Show),
    Query(records::Query),
    Verify(records::Verify),
    Export(records::Export),
    Make(make::Arguments),
    Compare(compare::Arguments),
    Prune(prune::Arguments),
    Finalize(records::Finalize),
    Report(report::Arguments),
    Reseal(run::Reseal),
    Gate(simulate::Arguments),
    Stack(stack::Arguments),
}

pub use report::story;
pub use run::{CELL, How, experiments};

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    match &arguments.command {
        Command::Init(a) => init::run(a),
        Command::Run(a) => run::run(a, terminal),
        Command::Resume(a) => run::resume(a, terminal),
        Command::Propose(a) => run::propose(a),
        Command::Stop(a) => run::stop(a),
        Command::Status(a) => look::status(a, terminal),
        Command::Log(a) => look::log(a, terminal),
        Command::Show(a) => look::show(a, terminal),
        Command::Query(a) => records::query(a),
        Command::Verify(a) => records::verify(a),
        Command::Export(a) => records::export(a),
        Command::Report(a) => report::run(a),
        Command::Make(a) => make::run(a, terminal),
        Command::Compare(a) => compare::run(a, terminal),
        Command::Prune(a) => prune::run(a, terminal),
        Command::Finalize(a) => records::finalize(a),
        Command::Reseal(a) => run::reseal(a, terminal),
        Command::Gate(a) => simulate::run(a, terminal),
        Command::Stack(a) => stack::run(a),
    }
}

/// The track that TRACK means.
fn place(given: Option<&Path>) -> Result<Place, Failure> {
    let path = match given {
        Some(path) if path == Path::new(stack::NAME) && !path.exists() => stack::folder()?,
        Some(path) => path.to_path_buf(),
        None if Path::new(ratchet::track::FILE).is_file() => PathBuf::from("."),
        None => stack::folder()?,
    };
    Ok(Place::open(&path)?)
}

/// Which track.
#[derive(Debug, Default, Args)]
pub struct TrackArgument {
    /// A track.toml, a folder with one, or `stack`
    pub track: Option<PathBuf>,
    /// The track under another budget, which has a ledger of its own: a time such as 60s, or units of its server and a time that limits
    /// them, such as 3000000:5m
    #[arg(long, value_name = "BUDGET", value_parser = budget)]
    pub budget: Option<Budget>,
}

/// `20s`, or `3000000:60s`.
fn budget(words: &str) -> Result<Budget, String> {
    let time = |words: &str| {
        let time = humantime::parse_duration(words).map_err(|error| error.to_string())?;
        if time.is_zero() {
            return Err("expected a time above 0".to_owned());
        }
        Ok(time)
    };
    match words.split_once(':') {
        None => Ok(Budget::Time(time(words)?)),
        Some((units, within)) => {
            let most = units.replace('_', "").parse::<u64>();
            let most = most.ok().filter(|most| *most > 0);
            Ok(Budget::Units {
                most: most
                    .ok_or_else(|| format!("expected a number of units above 0, came {units:?}"))?,
                within: time(within)?,
            })
        }
    }
}

impl TrackArgument {
    /// The track that was named.
    fn place(&self) -> Result<Place, Failure> {
        let place = place(self.track.as_deref())?;
        Ok(match self.budget {
            None => place,
            Some(budget) => place.under(budget)?,
        })
    }
}
