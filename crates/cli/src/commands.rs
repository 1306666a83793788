//! One module per sub-command: its options, and what it does.

pub mod bench;
pub mod chat;
pub mod convert;
pub mod inspect;
pub mod judge;
pub mod lens;
pub mod models;
pub mod perplexity;
pub mod pull;
pub mod ratchet;
pub mod run;
pub mod tokenize;
mod tour;
pub mod train;

use crate::{
    arguments::{Arguments, Command},
    failure::Failure,
    terminal::Terminal,
};

/// Runs what was asked for.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    match &arguments.command {
        None => tour::run(arguments.ratchet, terminal),
        Some(Command::Run(a)) => run::run(a, terminal),
        Some(Command::Chat(a)) => chat::run(a, terminal),
        Some(Command::Models(a)) => models::run(a, terminal),
        Some(Command::Pull(a)) => pull::run(a, terminal),
        Some(Command::Convert(a)) => convert::run(a, terminal),
        Some(Command::Inspect(a)) => inspect::run(a, terminal),
        Some(Command::Bench(a)) => bench::run(a, terminal),
        Some(Command::Perplexity(a)) => perplexity::run(a, terminal),
        Some(Command::Lens(a)) => lens::run(a, terminal),
        Some(Command::Ratchet(a)) => ratchet::run(a, terminal),
        Some(Command::Judge(a)) => judge::run(a, terminal),
        Some(Command::Tokenize(a)) => tokenize::run(a, terminal),
        Some(Command::Train(a)) => train::run(a, terminal),
    }
}
