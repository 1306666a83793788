//! `sprag train`: a small model from text, on this machine.
//!
//! A folder holds a run: `checkpoint.safetensors` (it goes on from there), `log.jsonl` (every step and evaluation), `report.html`, and at the
//! end `model.gguf`. Ctrl-C writes a checkpoint and ends.

mod journal;
mod report;
mod texts;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::ProgressBar;
use kernels::{RuntimeProfile, training::Machine};
use serde::Serialize;
use train::{
    Budget, Settings, Trainer,
    checkpoint::Saved,
    export::{self, Trained},
    trainer::{Evaluation, Progress, Step},
};

use self::journal::{Journal, Line};
use crate::{
    failure::Failure,
    interrupt::{Interrupt, Listening},
    progress, quantity,
    terminal::{Terminal, complain, say},
};

const AFTER: &str = "\
TEXT is a file of UTF-8 text (one document), of JSON lines with a \"text\" (a document each), packed by Zstandard or not, or (in a build with `--features parquet`) of Parquet. \
Without one, the State of the Union addresses of 1790 to 2021 are used. The last documents are held out and say how well the model foretells \
text that it has not seen, in bits per byte. Tokens are bytes, or (in a build with `--features pairs`, with a larger model.vocabulary) pairs of bytes that are learned from the text. SETTINGS is TOML with the tables [model], [steps] and [optimisation]; `--show-settings` prints all of them.

Examples:
  sprag train --time 10m --out addresses
  sprag train notes/*.txt --settings small.toml --steps 2000 --out notes-model
  sprag train --resume --out addresses
  sprag run addresses/model.gguf --raw -p \"Fellow citizens\"";

/// Train a small model on text
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Files to learn from
    #[arg(value_name = "TEXT")]
    pub texts: Vec<PathBuf>,
    /// The run's folder
    #[arg(long, value_name = "FOLDER", default_value = "sprag-train")]
    pub out: PathBuf,
    /// The model and how it is trained (TOML); what it leaves out is as `--show-settings` prints it
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Print the settings that a run would have, and end
    #[arg(long)]
    pub show_settings: bool,
    /// End after so many steps
    #[arg(long, value_name = "N", conflicts_with_all = ["tokens", "time"])]
    pub steps: Option<u64>,
    /// End after so many tokens, repeats included
    #[arg(long, value_name = "N", conflicts_with = "time")]
    pub tokens: Option<u64>,
    /// End after so long, evaluations not counted [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// Go on with the run in FOLDER, on the same texts
    #[arg(long, conflicts_with_all = ["settings", "steps", "tokens", "time", "seed"])]
    pub resume: bool,
    /// Where lines of JSON and rows of Parquet have their text
    #[arg(long, value_name = "NAME", default_value = corpus::FIELD)]
    pub field: String,
    /// Keep the tokens in files of FOLDER and map them, for texts that are larger than memory [default: beyond 1 GiB of files]
    #[arg(long)]
    pub shards: bool,
    /// Documents held out, the last ones: the first half of them is looked at on the way, the last half at the end alone [default: one of
    /// twenty, 8 at most]
    #[arg(long, value_name = "N")]
    pub held_out: Option<usize>,
    /// Steps between evaluations; fewer are made where they would take more than a fifth of the time
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// Of the weights' beginning and the order of the text
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Threads; by default one per processor that this process may use
    #[arg(long, value_name = "N", value_parser = crate::arguments::threads)]
    pub threads: Option<usize>,
    /// Report as JSON (schema sprag.train/1)
    #[arg(long)]
    pub json: bool,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    folder: &'a Path,
    parameters: usize,
    memory_bytes: usize,
    settings: &'a Settings,
    budget: Budget,
    progress: Progress,
    train_bytes: usize,
    /// Of the first half of the held-out text, by the model as it ended.
    validation: Evaluation,
    /// Of the last half, which nothing was chosen by.
    hidden: Option<Evaluation>,
    tokens_per_second: f64,
    /// `null` where GGUF has no place for the model.
    gguf: Option<PathBuf>,
    no_gguf_because: Option<&'static str>,
}

/// Between checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let settings = settings(arguments)?;
    if arguments.show_settings {
        let text =
            toml::to_string(&settings).map_err(|error| Failure::Broken(error.to_string()))?;
        return say(text.trim_end());
    }
    let interrupt = Interrupt::install();
    let threads = arguments
        .threads
        .unwrap_or(RuntimeProfile::default().threads);
    let machine = Machine::new(threads).map_err(|error| Failure::TooLarge(error.to_string()))?;
    let folder = Folder::of(&arguments.out);
    let (mut trainer, mut journal) = if arguments.resume {
        folder.go_on(arguments, machine)?
    } else {
        folder.begin(arguments, settings, machine)?
    };
    if !arguments.json {
        complain(&introduction(&trainer));
    }
    let listening = interrupt.listen();
    let run = Run {
        arguments,
        folder: &folder,
        terminal,
        listening: &listening,
        bar: progress::bar(terminal, 1000, "[{bar:30}] {percent}% {msg} {eta}"),
    };
    let validation = run.to_its_end(&mut trainer, &mut journal)?;
    run.finish(&mut trainer, &journal, validation)
}

fn settings(arguments: &Arguments) -> Result<Settings, Failure> {
    let mut settings = match &arguments.settings {
        None => Settings::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| Failure::Read {
                path: path.clone(),
                source,
            })?;
            toml::from_str(&text).map_err(|error| Failure::Content {
                path: path.clone(),
                why: error.to_string(),
            })?
        }
    };
    if let Some(seed) = arguments.seed {
        settings.steps.seed = seed;
    }
    Ok(settings)
}

fn budget(arguments: &Arguments) -> Budget {
    match (arguments.steps, arguments.tokens, arguments.time) {
        (Some(steps), ..) => Budget::Steps(steps),
        (_, Some(tokens), _) => Budget::Tokens(tokens),
        (.., time) => Budget::Time(time.unwrap_or(Duration::from_secs(300))),
    }
}

fn introduction(trainer: &Trainer) -> String {
    let (splits, progress) = (trainer.splits(), trainer.progress());
    let hidden = splits.hidden.as_ref().map_or(0, corpus::Stream::text_bytes);
    let from = if progress.steps > 0 {
        format!("; goes on after step {}", progress.steps)
    } else {
        String::new()
    };
    format!(
        "{} parameters, {} of memory; {} to learn from, {} to look at on the way, {} for the end{from}",
        quantity::count(trainer.parameters() as u64),
        quantity::bytes(trainer.memory_bytes() as u64),
        quantity::bytes(splits.train.text_bytes() as u64),
        quantity::bytes(splits.public.text_bytes() as u64),
        quantity::bytes(hidden as u64),
    )
}

/// A run that does not fit is told so before it takes anything: the system would end it in the middle instead.
fn check_memory(settings: &Settings) -> Result<(), Failure> {
    let needed = Trainer::bytes_needed(settings)? as u64;
    let memory = silicon::probe::Machine::probe().memory.available_bytes;
    match memory.value() {
        Some(&available) if needed > available => Err(Failure::TooLarge(format!(
            "this run needs {} of memory, and {} are available; take a smaller model (model.layers, model.width, model.hidden) or smaller batches (steps.sequences, steps.positions)",
            quantity::bytes(needed),
            quantity::bytes(available)
        ))),
        _ => Ok(()),
    }
}

/// Where a run's files lie.
struct Folder {
    checkpoint: PathBuf,
    log: PathBuf,
    page: PathBuf,
    gguf: PathBuf,
    path: PathBuf,
}

impl Folder {
    fn of(path: &Path) -> Self {
        Self {
            checkpoint: path.join("checkpoint.safetensors"),
            log: path.join("log.jsonl"),
            page: path.join("report.html"),
            gguf: path.join("model.gguf"),
            path: path.to_owned(),
        }
    }

    fn check_is_free(&self) -> Result<(), Failure> {
        if !self.checkpoint.exists() {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "{} holds a run; --resume goes on with it, and --out names another folder",
            self.path.display()
        )))
    }

    fn begin(
        &self,
        arguments: &Arguments,
        settings: Settings,
        machine: Machine,
    ) -> Result<(Trainer, Journal), Failure> {
        self.check_is_free()?;
        check_memory(&settings)?;
        // Settings that make no sense are told before any text is read, and leave no folder.
        let budget = budget(arguments);
        train::trainer::check(&settings, budget)?;
        let was_there = self.path.exists();
        let trainer = texts::splits(arguments, &settings, None, &self.path)
            .and_then(|splits| Ok(Trainer::new(settings, budget, splits, machine)?));
        if trainer.is_err() && !was_there {
            // Tokens of a run that never began; that they can't be removed changes nothing.
            let _ = std::fs::remove_dir_all(&self.path);
        }
        let trainer = trainer?;
        std::fs::create_dir_all(&self.path).map_err(|source| Failure::Write {
            path: self.path.clone(),
            source,
        })?;
        let lock = journal::lock(&self.path)?;
        // Somebody may have trained here since.
        self.check_is_free()?;
        let journal = Journal::begin(&self.log, lock)?;
        // However early it is stopped, it can go on; and a full disk shows now.
        trainer
            .save(&self.checkpoint)
            .map_err(train::TrainError::from)?;
        Ok((trainer, journal))
    }

    fn go_on(
        &self,
        arguments: &Arguments,
        machine: Machine,
    ) -> Result<(Trainer, Journal), Failure> {
        if !self.checkpoint.exists() {
            return Err(Failure::Usage(format!(
                "{} holds no run to go on with: there is no {}",
                self.path.display(),
                self.checkpoint.display()
            )));
        }
        let lock = journal::lock(&self.path)?;
        let saved = Saved::open(&self.checkpoint).map_err(train::TrainError::from)?;
        let about: train::trainer::About = saved.about().map_err(train::TrainError::from)?;
        check_memory(&about.settings)?;
        let splits = texts::splits(
            arguments,
            &about.settings,
            Some(&about.tokenizer),
            &self.path,
        )?;
        let trainer = Trainer::resume(&saved, splits, machine)?;
        let steps = trainer.progress().steps;
        Ok((trainer, Journal::go_on(&self.log, steps, lock)?))
    }
}

/// A run at work.
struct Run<'a> {
    arguments: &'a Arguments,
    folder: &'a Folder,
    terminal: &'a Terminal,
    listening: &'a Listening<'a>,
    bar: ProgressBar,
}

impl Run<'_> {
    /// Steps until the budget is spent; the evaluation at the end.
    fn to_its_end(
        &self,
        trainer: &mut Trainer,
        journal: &mut Journal,
    ) -> Result<Evaluation, Failure> {
        let mut saved = Instant::now();
        let mut last = None;
        let (began, mut looked) = (trainer.progress().elapsed, Duration::ZERO);
        while !trainer.is_done() {
            if self.listening.is_raised() {
                return Err(self.interrupted(trainer));
            }
            let step = match trainer.step() {
                Ok(step) => step,
                Err(error) => {
                    self.bar.finish_and_clear();
                    // The weights are those before the step that failed: worth keeping.
                    self.save(trainer)?;
                    return Err(error.into());
                }
            };
            journal.add(Line::of_step(trainer.progress(), &step))?;
            let is_due = trainer
                .progress()
                .steps
                .is_multiple_of(self.arguments.every);
            // Looking takes no more than a fifth of learning.
            if is_due && !trainer.is_done() && looked * 5 <= trainer.progress().elapsed - began {
                let started = Instant::now();
                last = Some(self.evaluate(trainer, journal)?);
                looked += started.elapsed();
            }
            self.show(trainer, &step, last);
            if saved.elapsed() >= CHECKPOINT {
                self.save(trainer)?;
                saved = Instant::now();
            }
        }
        self.bar.finish_and_clear();
        self.save(trainer)?;
        self.evaluate(trainer, journal)
    }

    fn evaluate(
        &self,
        trainer: &mut Trainer,
        journal: &mut Journal,
    ) -> Result<Evaluation, Failure> {
        let evaluation = trainer.evaluate();
        journal.add(Line::of_evaluation(trainer.progress(), &evaluation))?;
        if !self.terminal.errors && !self.arguments.json {
            let progress = trainer.progress();
            complain(&format!(
                "step {}: {:.4} bits per byte",
                progress.steps, evaluation.bits_per_byte
            ));
        }
        Ok(evaluation)
    }

    fn show(&self, trainer: &Trainer, step: &Step, last: Option<Evaluation>) {
        let progress = trainer.progress();
        let done = trainer.budget().done(progress).min(1.0);
        let held_out = last.map_or_else(String::new, |last| {
            format!(", held out {:.3} bits/byte", last.bits_per_byte)
        });
        let tokens = progress.tokens as f64 / progress.steps.max(1) as f64;
        self.bar.set_position((done * 1000.0) as u64);
        self.bar.set_message(format!(
            "step {}: loss {:.3}{held_out}, {} tokens/s",
            progress.steps,
            step.loss,
            quantity::digits(tokens / step.elapsed.as_secs_f64()),
        ));
    }

    fn save(&self, trainer: &Trainer) -> Result<(), Failure> {
        Ok(trainer
            .save(&self.folder.checkpoint)
            .map_err(train::TrainError::from)?)
    }

    fn interrupted(&self, trainer: &Trainer) -> Failure {
        self.bar.finish_and_clear();
        if let Err(failure) = self.save(trainer) {
            return failure;
        }
        let folder = self.folder.path.display();
        complain(&format!(
            "step {} is kept; sprag train --resume --out {folder} goes on (with the same TEXT, if any was given)",
            trainer.progress().steps
        ));
        Failure::Interrupted
    }

    fn finish(
        &self,
        trainer: &mut Trainer,
        journal: &Journal,
        validation: Evaluation,
    ) -> Result<(), Failure> {
        let hidden = trainer.evaluate_hidden();
        let settings = trainer.settings();
        let obstacle = export::architecture(&settings.model).err();
        if obstacle.is_none() {
            let name = self
                .folder
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let context = settings.steps.positions;
            let trained = Trained {
                name: &name,
                configuration: &settings.model,
                context,
                tokenizer: trainer.splits().tokenizer(),
                declared: trainer.declared(),
                weights: trainer.result(),
            };
            export::write(&self.folder.gguf, &trained)?;
        }
        crate::report::file(
            &self.folder.page,
            report::page(trainer, journal.lines(), validation),
        )?;
        let progress = *trainer.progress();
        let report = Report {
            schema: "sprag.train/1",
            folder: &self.folder.path,
            parameters: trainer.parameters(),
            memory_bytes: trainer.memory_bytes(),
            settings,
            budget: trainer.budget(),
            progress,
            train_bytes: trainer.splits().train.text_bytes(),
            validation,
            hidden,
            tokens_per_second: progress.tokens as f64 / progress.elapsed.as_secs_f64().max(1e-9),
            gguf: obstacle.is_none().then(|| self.folder.gguf.clone()),
            no_gguf_because: obstacle,
        };
        if self.arguments.json {
            return crate::report::json(&report);
        }
        say(&report::text(&report, journal.lines(), &self.folder.page))
    }
}
