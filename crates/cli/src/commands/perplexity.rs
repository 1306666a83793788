//! `sprag perplexity`: how well a model foretells a text.

use std::path::PathBuf;

use clap::Args;
use runtime::{PerplexityOptions, perplexity};
use serde::Serialize;
use text::Specials;

use crate::{
    arguments::{EngineArguments, tokens},
    checkpoint,
    failure::Failure,
    interrupt::Interrupt,
    model_file::{self, Identity},
    progress, report,
    terminal::{Terminal, say},
};

const AFTER: &str = "\
The text is cut into windows that each start afresh; every token of a window but the first is scored. Lower is better.

Example: sprag perplexity default book.txt --windows 32";

/// Measure how well a model foretells a text
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Path or name of the model
    pub model: String,
    /// A text in UTF-8; `-` for standard input
    pub file: PathBuf,
    /// Tokens of a window
    #[arg(long, value_name = "N", default_value = "512", value_parser = tokens)]
    pub window: usize,
    /// Most windows; by default all
    #[arg(long, value_name = "N", value_parser = tokens)]
    pub windows: Option<usize>,
    /// Report as JSON (schema sprag.perplexity/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    model: Identity,
    file: &'a PathBuf,
    perplexity: f64,
    mean_nll: f64,
    standard_error: f64,
    scored_tokens: usize,
    text_tokens: usize,
    window: usize,
    windows: usize,
    bos: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let text = report::read_text(&arguments.file)?;
    let interrupt = Interrupt::install();
    let path = model_file::locate(&arguments.model, false, terminal, &interrupt)?;
    let gguf = checkpoint::open_for(&path, &arguments.engine)?;
    let loaded = model_file::load(&gguf, &arguments.engine, terminal)?;
    let engine = &loaded.engine;
    let ids = engine.tokenizer().encode(&text, Specials::Plain);
    let options = PerplexityOptions {
        window: arguments.window,
        windows: arguments.windows,
    };
    let bar = progress::bar(terminal, 0, "scoring [{bar:30}] {pos}/{len} windows {eta}");
    let found = perplexity(engine, &ids, options, &mut |done, windows| {
        bar.set_length(windows as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let found = found?;
    if arguments.json {
        return report::json(&Report {
            schema: "sprag.perplexity/1",
            model: Identity::of(&gguf, &path),
            file: &arguments.file,
            perplexity: found.perplexity,
            mean_nll: found.mean_nll,
            standard_error: found.standard_error,
            scored_tokens: found.scored,
            text_tokens: found.tokens,
            window: arguments.window,
            windows: found.windows,
            bos: found.bos,
        });
    }
    let (low, high) = (
        (found.mean_nll - found.standard_error).exp(),
        (found.mean_nll + found.standard_error).exp(),
    );
    say(&format!(
        "perplexity {:.4} ({low:.4} to {high:.4} within one standard error), {} tokens scored in {} windows of {}\n",
        found.perplexity, found.scored, found.windows, arguments.window
    ))
}
