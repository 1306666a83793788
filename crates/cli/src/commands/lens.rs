//! `sprag lens`: the waterfall from transistor to token, for prefill and for decode.

mod diff;
mod endpoint;
pub mod history;
mod picture;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use lens::{Report, report::Sustained, waterfall::Options};
use runtime::Engine;

use crate::{
    arguments::{EngineArguments, tokens},
    checkpoint,
    failure::Failure,
    interrupt::Interrupt,
    model_file, progress, report,
    terminal::{Terminal, complain, say},
};

/// Columns of the waterfall.
pub const WIDTH: usize = 100;

const AFTER: &str = "\
Measures this machine and the model: what the spec sheet presents, what the silicon does, the kernels alone, the whole step, and \
what the user sees; what a token moves, and a conversation. Close other programs first: their load is measured too. Every run is kept: sprag lens log lists them.

Example: sprag lens default --html report.html";

/// Show where the speed goes between the transistor and the token
#[derive(Debug, Args)]
#[command(after_help = AFTER, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    of: Option<Of>,
    /// Path or name of the model
    #[arg(required = true)]
    pub model: Option<String>,
    /// Tokens of the prefill
    #[arg(long, value_name = "N", default_value = "512", value_parser = tokens)]
    pub prefill: usize,
    /// Tokens in the context before the decoded one
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub depth: usize,
    /// The memory bandwidth that the machine's maker states, where the system does not tell
    #[arg(long, value_name = "GB/s", allow_negative_numbers = true, value_parser = bandwidth)]
    pub spec_bandwidth: Option<f64>,
    /// Also time steps at depths 0, 4096 and 16384, with 1, 2, 4 and 8 sequences each, and a chunk of a prompt there
    #[arg(long)]
    pub scaling: bool,
    /// Also decode for so long (90s, 5m, 1h), and watch speed, clock, temperature and power
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub sustain: Option<Duration>,
    /// About 15 seconds instead of a minute: without the cache levels, the triad and the energy, and with fewer readings
    #[arg(long)]
    pub quick: bool,
    /// Write the report as one HTML file that needs no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write both waterfalls as one picture of 1200 by 630: PNG if the file's name ends so, else SVG
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// Write every operation of every thread as a timeline for ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Report as JSON (schema sprag.lens/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// What else there is to look at than a model on this machine.
#[derive(Debug, Subcommand)]
enum Of {
    Endpoint(endpoint::Arguments),
    Diff(diff::Arguments),
    Log(history::Arguments),
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    match &arguments.of {
        Some(Of::Endpoint(arguments)) => return endpoint::run(arguments, terminal),
        Some(Of::Diff(arguments)) => return diff::run(arguments, terminal),
        Some(Of::Log(arguments)) => return history::run(arguments),
        None => {}
    }
    for path in [&arguments.html, &arguments.card, &arguments.trace] {
        path.as_deref().map_or(Ok(()), report::may_write)?;
    }
    let model = arguments.model.as_deref().unwrap_or_default();
    let interrupt = Interrupt::install();
    let path = model_file::locate(model, false, terminal, &interrupt)?;
    let gguf = checkpoint::open_for(&path, &arguments.engine)?;
    let loaded = model_file::load_on_processor(&gguf, &arguments.engine, terminal)?;
    let engine = &loaded.engine;
    let options = Options {
        depth: arguments.depth,
        prefill_tokens: arguments.prefill,
        spec_bandwidth_gb_s: arguments.spec_bandwidth,
        scaling: arguments.scaling,
        quick: arguments.quick,
    };
    let mut found = measured(engine, &options, terminal)?;
    if let Some(time) = arguments.sustain {
        // What was measured before is worth a report of its own.
        match sustained(engine, &options, time, terminal, &interrupt) {
            Ok(run) => found.sustained = Some(run),
            Err(failure) => found.warnings.push(format!("no sustained run: {failure}")),
        }
    }
    history::remember(&mut found);
    history::keep(&found);
    // Before it is printed, since a reader may stop reading; and a full disk is no reason not to print it.
    let written = files(arguments, engine, &options, &found);
    if arguments.json {
        report::json(&found)?;
    } else {
        say(&lens::render::terminal(
            &found,
            terminal.data().is_on(),
            WIDTH,
        ))?;
    }
    if let Some(words) = found.among_earlier() {
        complain(&words);
    }
    for (what, path) in written? {
        complain(&format!("the {what} is in {}", path.display()));
    }
    Ok(())
}

/// Writes what was asked for; what it is and where.
fn files<'a>(
    arguments: &'a Arguments,
    engine: &Engine,
    options: &Options,
    found: &Report,
) -> Result<Vec<(&'static str, &'a Path)>, Failure> {
    let mut written = Vec::new();
    if let Some(path) = &arguments.html {
        report::file(path, lens::render::html(found))?;
        written.push(("report", path.as_path()));
    }
    if let Some(path) = &arguments.card {
        let card = lens::render::card(found);
        let is_png = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("png"));
        if is_png {
            report::file(path, picture::png(&card)?)?;
        } else {
            report::file(path, card)?;
        }
        written.push(("card", path.as_path()));
    }
    if let Some(path) = &arguments.trace {
        let timeline = lens::timeline(engine, options)?;
        report::file(path, serde_json::to_string(&timeline)?)?;
        written.push(("timeline", path.as_path()));
    }
    Ok(written)
}

/// Decodes for a while with a bar; Ctrl-C ends it early, and what was seen until then counts.
fn sustained(
    engine: &Engine,
    options: &Options,
    time: Duration,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<Sustained, Failure> {
    let listening = interrupt.listen();
    let bar = progress::bar(terminal, 1000, "[{bar:30}] {percent}% {msg}");
    let stop = || listening.is_raised();
    let run = lens::sustain(engine, options, time, &stop, &mut |stage, done| {
        bar.set_message(stage.to_owned());
        bar.set_position((done.clamp(0.0, 1.0) * 1000.0) as u64);
    });
    bar.finish_and_clear();
    Ok(run?)
}

/// Measures with a bar.
///
/// # Errors
/// The model can't be run as asked, or the machine can't be measured.
pub fn measured(
    engine: &Engine,
    options: &Options,
    terminal: &Terminal,
) -> Result<Report, Failure> {
    let bar = progress::bar(terminal, 1000, "[{bar:30}] {percent}% {msg}");
    let found = lens::measure(engine, options, &mut |stage, done| {
        bar.set_message(stage.to_owned());
        bar.set_position((done.clamp(0.0, 1.0) * 1000.0) as u64);
    });
    bar.finish_and_clear();
    Ok(found?)
}

fn duration(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(24 * 3600);
    match humantime::parse_duration(text) {
        Ok(time) if time >= Duration::from_secs(2) && time <= MOST => Ok(time),
        _ => Err("expected a time from 2s to 24h, such as 90s or 5m".to_owned()),
    }
}

fn bandwidth(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x > 0.0 => Ok(x),
        _ => Err("expected a number of GB/s above 0".to_owned()),
    }
}
