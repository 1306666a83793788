//! The measured ceilings of this machine as JSON, for `bench/bandwidth.py` and for whoever wants to see one figure alone.
//!
//!     roofline [--depth quick|full] [--threads N]            the whole measurement
//!     roofline --figures LIST [--depth quick|full]           single figures, one JSON line each
//!
//! `LIST` is comma-separated `PATTERN:BYTES:THREADS`: `read`, `triad` or `triad-streaming`; bytes for each thread, or `dram`. The depth
//! decides about the pages: a full run asks for huge ones.

use std::process::ExitCode;

use silicon::probe::Machine;
use silicon::roofline::{Bandwidth, Depth, Pattern, Stores, measure};

struct Options {
    depth: Depth,
    threads: usize,
    figures: Vec<Figure>,
}

struct Figure {
    name: String,
    pattern: Pattern,
    bytes: Option<usize>,
    threads: usize,
}

fn main() -> ExitCode {
    let machine = Machine::probe();
    match options(&machine).and_then(|options| run(&machine, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn options(machine: &Machine) -> Result<Options, String> {
    let mut options = Options {
        depth: Depth::Quick,
        threads: machine.cores.usable,
        figures: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (word.as_str(), value.as_str()) {
            ("--depth", "quick") => options.depth = Depth::Quick,
            ("--depth", "full") => options.depth = Depth::Full,
            ("--threads", count) => options.threads = number(count)?,
            ("--figures", list) => {
                options.figures = list.split(',').map(figure).collect::<Result<_, _>>()?;
            }
            _ => {
                return Err(format!(
                    "expected --depth quick|full, --threads N or --figures LIST, got '{word} {value}'"
                ));
            }
        }
    }
    Ok(options)
}

fn number(word: &str) -> Result<usize, String> {
    word.parse()
        .map_err(|_| format!("expected a number, got '{word}'"))
}

fn figure(name: &str) -> Result<Figure, String> {
    let parts: Vec<&str> = name.split(':').collect();
    let &[pattern, bytes, threads] = parts.as_slice() else {
        return Err(format!("expected PATTERN:BYTES:THREADS, got '{name}'"));
    };
    let pattern = match pattern {
        "read" => Pattern::Read,
        "triad" => Pattern::Triad(Stores::Ordinary),
        "triad-streaming" => Pattern::Triad(Stores::Streaming),
        _ => {
            return Err(format!(
                "expected read, triad or triad-streaming, got '{pattern}'"
            ));
        }
    };
    let bytes = if bytes == "dram" {
        None
    } else {
        Some(number(bytes)?)
    };
    Ok(Figure {
        name: name.to_owned(),
        pattern,
        bytes,
        threads: number(threads)?,
    })
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn run(machine: &Machine, options: &Options) -> Result<(), String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    if options.figures.is_empty() {
        let roofline = measure(machine, options.threads, options.depth, |_| ())
            .map_err(|error| words(&error))?;
        let json = serde_json::to_string_pretty(&roofline).map_err(|error| words(&error))?;
        println!("{json}");
        return Ok(());
    }
    let mut bandwidth = Bandwidth::prepare(machine, options.threads, options.depth)
        .map_err(|error| words(&error))?;
    for figure in &options.figures {
        let rate = bandwidth
            .figure(figure.pattern, figure.bytes, figure.threads)
            .map_err(|error| words(&error))?;
        let json = serde_json::json!({ "figure": figure.name, "gb_s": rate });
        println!("{json}");
    }
    Ok(())
}
