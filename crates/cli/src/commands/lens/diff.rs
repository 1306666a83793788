//! `sprag lens diff`: two runs, layer by layer.

use clap::Args;

use super::{WIDTH, history};
use crate::{
    failure::Failure,
    report,
    terminal::{Terminal, say},
};

const AFTER: &str = "\
A run is a file that `sprag lens MODEL --json` wrote, a name that `sprag lens log` lists (or its beginning), or `last`.

Example: sprag lens diff 20261126-1031 last";

/// Hold two runs against each other: which layer made the difference
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The first run
    pub first: String,
    /// The second run
    pub second: String,
    /// Compare runs of different models all the same
    #[arg(long)]
    pub across_models: bool,
    /// Report as JSON (schema sprag.lens-diff/1)
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let first = history::named(&arguments.first)?;
    let second = history::named(&arguments.second)?;
    let diff = lens::diff::diff(&first, &second, arguments.across_models)?;
    if arguments.json {
        return report::json(&diff);
    }
    say(&lens::render::diff(&diff, terminal.data().is_on(), WIDTH))
}
