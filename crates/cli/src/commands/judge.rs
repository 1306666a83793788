//! `sprag judge`: Sprag as the judge of a track. A track's seal holds a copy of this program, so what it says does not change when Sprag
//! is built anew.
//!
//! A judge is told by the environment (`SPRAG_ARTEFACT`, `SPRAG_CHAMPION`, `SPRAG_SEED`, ...) and answers into the file that
//! `SPRAG_RESULT` names; without one, on standard output, so that it can be tried by hand.

use std::{env, fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    failure::Failure,
    report,
    terminal::{Terminal, say},
};

mod sealed;
mod stack;
mod trained;

const AFTER: &str = "\
Judges are started by the ratchet; by hand, set SPRAG_ARTEFACT (and SPRAG_CHAMPION) to folders with what is judged.

Example: sprag judge stack --model default";

/// Judge an artefact for a track of the ratchet
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// The judges.
#[derive(Debug, Subcommand)]
pub enum Command {
    Stack(stack::Arguments),
    Language(sealed::Language),
    Kernel(sealed::Kernel),
    Model(trained::Model),
    PlainModel(trained::PlainModel),
    Feed(trained::Feed),
    #[command(hide = true)]
    Echo,
    #[command(hide = true)]
    StackRun(stack::RunArguments),
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    match &arguments.command {
        // A profile that cannot be read is refused in the answer; whatever else fails is this machine's fault or the model's.
        Command::Stack(a) => answer(
            &stack::judge(a, terminal).map_err(|failure| Failure::Judge(failure.to_string()))?,
        ),
        Command::Language(a) => answer(&sealed::text(a)?),
        Command::Kernel(a) => answer(&sealed::operation(a)?),
        Command::Model(a) => answer(&trained::model(a)?),
        Command::PlainModel(a) => answer(&trained::plain_model(a)?),
        Command::Feed(a) => trained::feed(a),
        Command::Echo => sealed::echo(),
        Command::StackRun(a) => stack::run(a, terminal),
    }
}

fn answer(result: &Value) -> Result<(), Failure> {
    match env::var_os("SPRAG_RESULT").filter(|path| !path.is_empty()) {
        Some(path) => report::file(&PathBuf::from(path), result.to_string()),
        None => say(&format!("{result}\n")),
    }
}

/// A folder that the environment names.
fn folder(name: &str) -> Result<PathBuf, Failure> {
    match env::var_os(name).map(PathBuf::from) {
        Some(folder) if folder.is_dir() => Ok(folder),
        Some(folder) => Err(Failure::Usage(format!(
            "{name}: expected a folder, came {}",
            folder.display()
        ))),
        None => Err(Failure::Usage(format!(
            "{name} is not set; it names the folder with what is judged"
        ))),
    }
}

/// A text file of the artefact.
fn text(path: &PathBuf) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::Read {
        path: path.clone(),
        source,
    })
}
