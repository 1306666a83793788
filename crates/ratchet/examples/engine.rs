//! The real engine as a process of its own, for the tests that kill it.
//!
//! `engine run FOLDER TOTAL [unsealed]` brings the track in FOLDER to TOTAL experiments, however many of them are there already, and
//! prints a line for each record after it was acknowledged: the digest of its body. `engine cell ...` is what a sandbox's child runs.

use std::{env, io::Write as _, path::Path, process::ExitCode};

use gate::Want;
use ratchet::{Digest, Engine, EngineError, History, Observer, Place, Record, Start, Until};
use sandbox::{Helper, Level};

/// Prints what is acknowledged.
struct Acknowledge;

impl Observer for Acknowledge {
    fn measuring(&mut self, _: &Want, _: Option<u64>) {}

    fn proposing(&mut self, _: u64, _: &str) {}

    fn recorded(&mut self, record: &Record, _: Option<u64>, _: &History) {
        let body =
            serde_json::to_value(record).map_or_else(|_| String::new(), |body| body.to_string());
        let mut out = std::io::stdout();
        // A reader that has gone misses nothing that the ledger does not hold.
        let _gone = writeln!(out, "{}", Digest::of(body.as_bytes())).and_then(|()| out.flush());
    }
}

fn run(folder: &Path, total: u64, level: Option<Level>) -> Result<(), EngineError> {
    let place = Place::open(folder)?;
    let start = Start {
        helper: Helper::own(["cell"]),
        level,
        version: "test".to_owned(),
        machine: serde_json::json!("test"),
    };
    let never = || false;
    let mut engine = Engine::start(&place, &start, &never, &mut Acknowledge)?;
    let history = engine.history();
    // One that was outrun goes on under another number.
    let outrun = |e: &&ratchet::Experiment| matches!(e.void, Some(ratchet::Void::Outrun));
    let outrun = history.experiments.values().filter(outrun).count();
    let done = (history.experiments.len() - history.pending.len() - outrun) as u64;
    let until = Until {
        experiments: Some(total.saturating_sub(done)),
        ..Until::default()
    };
    engine.run(until, &mut Acknowledge).map(|_| ())
}

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "cell") {
        return sandbox::inner::main(words.into_iter().skip(1));
    }
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (folder, total, level) = match words.as_slice() {
        ["run", folder, total] => (folder, total, None),
        ["run", folder, total, "unsealed"] => (folder, total, Some(Level::Unsealed)),
        _ => {
            eprintln!("usage: engine run FOLDER TOTAL [unsealed]");
            return ExitCode::from(2);
        }
    };
    match run(Path::new(folder), total.parse().unwrap_or(0), level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
