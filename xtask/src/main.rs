//! House chores that need more than a shell line: `cargo xtask tidy` holds the repository to the rules that
//! neither rustc nor clippy can see (which crate may know which, where `unsafe` may live, how long a file may grow).
//!
//! Exit codes: 0 nothing to repair (warnings allowed), 1 at least one rule is broken, 2 the check itself could not run.

use std::io::{self, Write};
use std::process::ExitCode;

mod tidy;

const USAGE: &str = "usage: cargo xtask tidy\n\n  tidy    check the rules of the house (the heads of xtask/src/tidy/*.rs say which)\n";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (command, extra) = (arguments.next(), arguments.next());
    let outcome = match (command.as_deref(), extra) {
        (Some("tidy"), None) => tidy_command(),
        (Some("-h" | "--help" | "help"), None) => io::stdout()
            .write_all(USAGE.as_bytes())
            .map(|()| ExitCode::SUCCESS),
        _ => io::stderr()
            .write_all(USAGE.as_bytes())
            .map(|()| ExitCode::from(2)),
    };
    // A closed pipe (`cargo xtask tidy | head`) leaves nobody to tell.
    outcome.unwrap_or(ExitCode::from(2))
}

/// Runs every check and prints one line per finding, then one line of summary.
fn tidy_command() -> io::Result<ExitCode> {
    let report = match tidy::run() {
        Ok(report) => report,
        Err(error) => {
            writeln!(io::stderr(), "xtask tidy: {error}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let mut out = io::stdout().lock();
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    let (failures, warnings) = (report.failures(), report.warnings());
    writeln!(
        out,
        "tidy: {} files, {failures} to repair, {warnings} to watch",
        report.files
    )?;
    out.flush()?;
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
