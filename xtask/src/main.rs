//! House chores that need more than a shell line: `cargo xtask tidy` holds the repository to the rules that
//! neither rustc nor clippy can see (which crate may know which, where `unsafe` may live, how long a file may grow);
//! `cargo xtask layer` builds once what candidates of a track in Rust are compiled against.
//!
//! Exit codes: 0 nothing to repair (warnings allowed), 1 at least one rule is broken, 2 the check itself could not run.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

mod layer;
mod tidy;

const USAGE: &str = "usage: cargo xtask tidy
       cargo xtask layer PACKAGE FOLDER

  tidy    check the rules of the house (the heads of xtask/src/tidy/*.rs say which)
  layer   build the dependencies of PACKAGE into FOLDER, for candidates of a track
          (cargo xtask layer train-candidate tracks/train/layer)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["tidy"] => tidy_command(),
        ["layer", package, folder] => layer_command(package, Path::new(folder)),
        ["-h" | "--help" | "help"] => io::stdout()
            .write_all(USAGE.as_bytes())
            .map(|()| ExitCode::SUCCESS),
        _ => io::stderr()
            .write_all(USAGE.as_bytes())
            .map(|()| ExitCode::from(2)),
    };
    // A closed pipe (`cargo xtask tidy | head`) leaves nobody to tell.
    outcome.unwrap_or(ExitCode::from(2))
}

/// Builds a layer and says how large it is.
fn layer_command(package: &str, folder: &Path) -> io::Result<ExitCode> {
    match layer::build(package, folder) {
        Ok((libraries, bytes)) => {
            let (folder, mib) = (folder.display(), bytes >> 20);
            writeln!(io::stdout(), "{folder}: {libraries} libraries, {mib} MiB")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(io::stderr(), "xtask layer: {error}")?;
            Ok(ExitCode::from(2))
        }
    }
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
