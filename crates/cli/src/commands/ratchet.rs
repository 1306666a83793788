//! `sprag ratchet`: experiments on a track, and what became of them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ratchet::Place;

use crate::{failure::Failure, terminal::Terminal};

mod init;
mod look;
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
}

impl TrackArgument {
    /// The track that was named.
    fn place(&self) -> Result<Place, Failure> {
        place(self.track.as_deref())
    }
}
