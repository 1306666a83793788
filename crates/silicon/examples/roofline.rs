//! The measured ceilings of this machine as JSON, for `bench/bandwidth.py` and for whoever wants to see one figure alone.
//!
//!     roofline [--depth quick|full] [--threads N]            the whole measurement
//!     roofline --figures LIST [--depth quick|full]           single figures, one JSON line each
//!     roofline --serve [--depth quick|full]                  the same, one figure for each line of the standard input
//!     roofline --peaks [--threads N]                         arithmetic beside clock x lanes x 2 x pipes at the clock measured now
//!
//! `LIST` is comma-separated `PATTERN:BYTES:THREADS`: `read`, `triad` or `triad-streaming`; bytes for each thread, or `dram`. The depth
//! decides about the pages: a full run asks for huge ones.

use std::process::ExitCode;

use silicon::probe::Machine;
use silicon::roofline::{Bandwidth, Depth, Pattern, Stores, measure};
use silicon::spec::Spec;

struct Options {
    depth: Depth,
    threads: usize,
    what: What,
}

enum What {
    Whole,
    Peaks,
    Figures(Vec<Figure>),
    Serve,
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
        what: What::Whole,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--serve" => options.what = What::Serve,
            "--peaks" => options.what = What::Peaks,
            _ => {}
        }
        if word == "--serve" || word == "--peaks" {
            continue;
        }
        let value = words.next().unwrap_or_default();
        match (word.as_str(), value.as_str()) {
            ("--depth", "quick") => options.depth = Depth::Quick,
            ("--depth", "full") => options.depth = Depth::Full,
            ("--threads", count) => options.threads = number(count)?,
            ("--figures", list) => {
                options.what =
                    What::Figures(list.split(',').map(figure).collect::<Result<_, _>>()?);
            }
            _ => {
                return Err(format!(
                    "expected --depth quick|full, --threads N, --figures LIST, --serve or --peaks, got '{word} {value}'"
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

fn run(machine: &Machine, options: &Options) -> Result<(), String> {
    match &options.what {
        What::Whole => {
            let roofline = measure(machine, options.threads, options.depth, |_| ());
            print(&serde_json::json!(roofline.map_err(words)?));
        }
        What::Peaks => {
            let roofline =
                measure(machine, options.threads, Depth::Quick, |_| ()).map_err(words)?;
            let Some(clock) = roofline.core_clock_ghz.value() else {
                return Err(roofline.core_clock_ghz.why().to_owned());
            };
            // Whatever comes between can only make a chain longer: the highest is the clock.
            let ghz = clock.samples.max();
            // The bound of as many cores as were measured.
            let mut ours = machine.clone();
            ours.cores.usable = options.threads;
            let bound = Spec::at_measured_clock(&ours, ghz).map_err(words)?;
            print(&serde_json::json!({
                "clock_ghz": ghz,
                "threads": options.threads,
                "bound": bound,
                "compute": roofline.compute,
            }));
        }
        What::Figures(figures) => {
            let mut bandwidth = prepare(machine, options)?;
            for figure in figures {
                answer(&mut bandwidth, figure)?;
            }
        }
        What::Serve => {
            let mut bandwidth = prepare(machine, options)?;
            for line in std::io::stdin().lines() {
                answer(&mut bandwidth, &figure(line.map_err(words)?.trim())?)?;
            }
        }
    }
    Ok(())
}

fn prepare(machine: &Machine, options: &Options) -> Result<Bandwidth, String> {
    Bandwidth::prepare(machine, options.threads, options.depth).map_err(words)
}

fn answer(bandwidth: &mut Bandwidth, figure: &Figure) -> Result<(), String> {
    let rate = bandwidth.figure(figure.pattern, figure.bytes, figure.threads);
    print(&serde_json::json!({ "figure": figure.name, "gb_s": rate.map_err(words)? }));
    Ok(())
}

fn words(error: impl std::error::Error) -> String {
    error.to_string()
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn print(json: &serde_json::Value) {
    println!("{json}");
}
