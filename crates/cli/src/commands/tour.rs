//! `sprag` alone, the main job: the default model, this machine, the first waterfall, and a report to keep.

use std::path::Path;

use lens::waterfall::Options;

use crate::{
    arguments::EngineArguments,
    commands::lens::{WIDTH, history, measured},
    failure::Failure,
    interrupt::Interrupt,
    model_file, report,
    terminal::{Style, Terminal, complain, say},
};

/// The report's name, in the current folder.
const REPORT: &str = "sprag-report.html";

/// Runs the command.
pub fn run(terminal: &Terminal) -> Result<(), Failure> {
    report::may_write(Path::new(REPORT))?;
    let interrupt = Interrupt::install();
    let path = model_file::locate("default", true, terminal, &interrupt)?;
    let gguf = model_file::open(&path)?;
    let loaded = model_file::load(&gguf, &EngineArguments::default(), terminal)?;
    let engine = &loaded.engine;
    complain(&terminal.talk().paint(
        Style::Faint,
        "measuring this machine and the model, about 15 seconds",
    ));
    let mut found = measured(engine, &Options::default(), terminal)?;
    history::remember(&mut found);
    say(&lens::render::terminal(
        &found,
        terminal.data().is_on(),
        WIDTH,
    ))?;
    history::keep(&found);
    if let Some(words) = found.among_earlier() {
        complain(&words);
    }
    report::file(Path::new(REPORT), lens::render::html(&found))?;
    let shown = std::path::absolute(REPORT).unwrap_or_else(|_| REPORT.into());
    say(&format!(
        "\nThe report is in {}\nTalk with the model: sprag chat default\n",
        shown.display()
    ))
}
