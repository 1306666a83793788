//! `sprag` alone, the main job: the default model, this machine, the first waterfall; then experiments on what Sprag may change here, the
//! waterfall again, and a report to keep.
//!
//! What may be changed today is the runtime profile of this machine (the `stack` track). Experiments that cannot be run (no git, an engine
//! that runs already) are left out with their reason; the rest of the tour does not depend on them. Where the default model cannot be
//! fetched, the one that comes with the program takes its place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use formats::gguf::Gguf;
use lens::{Report, waterfall::Options};
use ratchet::Place;

use crate::{
    arguments::EngineArguments,
    built_in,
    commands::{
        lens::{WIDTH, history, measured},
        ratchet::{How, experiments, stack, story},
    },
    device::DeviceChoice,
    failure::Failure,
    interrupt::Interrupt,
    model_file, report,
    terminal::{Style, Terminal, complain, say},
};

/// The reports' names, in the current folder.
const REPORT: &str = "sprag-report.html";
const STORY: &str = "sprag-ratchet.html";

/// Runs the command.
pub fn run(time: Duration, terminal: &Terminal) -> Result<(), Failure> {
    report::may_write(Path::new(REPORT))?;
    let interrupt = Interrupt::install();
    let located = model_file::locate("default", true, terminal, &interrupt);
    let has_default = located.is_ok();
    let gguf = match located {
        Ok(path) => model_file::open(&path)?,
        Err(Failure::Interrupted) => return Err(Failure::Interrupted),
        Err(failure) => {
            let gguf = built_in::open()?;
            complain(&built_in::words(&failure, &gguf));
            gguf
        }
    };
    let mut found = look(&gguf, terminal)?;
    let story = if time.is_zero() {
        None
    } else if !has_default {
        complain("the experiments are left out: they are made with the default model");
        None
    } else {
        match improve(time, &interrupt, terminal) {
            Ok(story) => Some(story),
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => {
                complain(&format!("the experiments are left out: {failure}"));
                None
            }
        }
    };
    if story.is_some() {
        found = look(&gguf, terminal)?;
        if let Some(words) = found.among_earlier() {
            complain(&words);
        }
    }
    report::file(Path::new(REPORT), lens::render::html(&found))?;
    say(&format!("\nThe report is in {}\n", shown(REPORT).display()))?;
    if story.is_some() {
        say(&format!(
            "The experiments are in {}\n",
            shown(STORY).display()
        ))?;
    }
    if has_default {
        say("Talk with the model: sprag chat default\n")?;
    }
    Ok(())
}

fn shown(name: &str) -> PathBuf {
    std::path::absolute(name).unwrap_or_else(|_| name.into())
}

/// The waterfall, with the profile that runs here now.
fn look(gguf: &Arc<Gguf>, terminal: &Terminal) -> Result<Report, Failure> {
    let processor = EngineArguments {
        device: DeviceChoice::Cpu,
        ..EngineArguments::default()
    };
    let loaded = model_file::load(gguf, &processor, terminal)?;
    note(
        "measuring this machine and the model, about 15 seconds",
        terminal,
    );
    let mut found = measured(&loaded.engine, &Options::default(), terminal)?;
    history::remember(&mut found);
    say(&lens::render::terminal(
        &found,
        terminal.data().is_on(),
        WIDTH,
    ))?;
    history::keep(&found);
    Ok(found)
}

/// Experiments on this machine's runtime profile.
fn improve(time: Duration, interrupt: &Interrupt, terminal: &Terminal) -> Result<(), Failure> {
    report::may_write(Path::new(STORY))?;
    let place = Place::open(&stack::folder()?)?;
    note(
        &format!(
            "experiments on this machine's runtime profile for {}: a profile counts only when it is proven faster with unchanged outputs \
             (Ctrl-C ends them; sprag ratchet run stack --for 1h goes on)",
            humantime::format_duration(time)
        ),
        terminal,
    );
    let how = How {
        time: Some(time),
        ..How::default()
    };
    let listening = interrupt.listen();
    let _ended = experiments(&place, &how, &listening, terminal)?;
    drop(listening);
    report::file(Path::new(STORY), story(&place)?)
}

fn note(text: &str, terminal: &Terminal) {
    complain(&terminal.talk().paint(Style::Faint, text));
}
