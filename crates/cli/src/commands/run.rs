//! `sprag run`: one prompt, one answer.

use std::path::PathBuf;

use clap::Args;
use runtime::{
    Constrainer, Constraint, Document, Engine, Finish, Generation, GenerationOptions, Sampler,
    SamplingOptions,
};
use serde::Serialize;
use text::{Message, Specials};

use crate::{
    arguments::{EngineArguments, SamplingArguments, tokens},
    checkpoint,
    exchange::{self, Timings},
    failure::Failure,
    interrupt::Interrupt,
    model_file::{self, Identity},
    prompt, report,
    terminal::{Style, Terminal, complain, say},
};

/// Contexts that nobody asked for by number: enough for most, bounded in memory.
const USUAL_CONTEXT: usize = 8192;
/// Room for an answer whose length nobody gave.
const USUAL_ANSWER: usize = 2048;

const AFTER: &str = "\
Where the model has a chat template, the prompt becomes one user turn of it and the model answers; with --raw, or without a \
template, the model goes on with the text itself. The answer goes to standard output, a line with the speeds to standard error.

Example: sprag run default -p \"Why is the sky blue?\" --max-tokens 200";

/// Answer one prompt
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Path or name of the model
    pub model: String,
    /// The prompt; standard input is read where neither -p nor -f is given
    #[arg(
        long,
        short,
        value_name = "TEXT",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    pub prompt: Option<String>,
    /// A file with the prompt; `-` for standard input
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A system turn before the prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Go on with the text itself, without the model's chat template
    #[arg(long)]
    pub raw: bool,
    /// With --raw: text like <|im_start|> becomes control tokens
    #[arg(long, requires = "raw")]
    pub control_tokens: bool,
    /// The answer is a JSON document that this schema allows: a file, or `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "json_object")]
    pub json_schema: Option<PathBuf>,
    /// The answer is a JSON object
    #[arg(long)]
    pub json_object: bool,
    /// One JSON document at the end instead of the text (schema sprag.run/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    /// Most tokens of prompt and answer together [default: what is needed, as far as the model goes]
    #[arg(long, value_name = "N", value_parser = tokens, help_heading = "Engine")]
    pub context: Option<usize>,
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    model: Identity,
    text: &'a str,
    tokens: &'a [u32],
    prompt_tokens: usize,
    finish: &'static str,
    stop: Option<&'a str>,
    /// Under a schema, whether the text is a whole document.
    document: Option<&'static str>,
    sampling: Sampling,
    timings: Timings,
}

#[derive(Debug, Serialize)]
struct Sampling {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    seed: u64,
}

impl From<&SamplingOptions> for Sampling {
    fn from(o: &SamplingOptions) -> Self {
        Self {
            temperature: o.temperature,
            top_k: o.top_k,
            top_p: o.top_p,
            min_p: o.min_p,
            repeat_penalty: o.repeat_penalty,
            seed: o.seed,
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let options = arguments.sampling.options();
    let mut sampler = Sampler::new(options.clone())?;
    let text = prompt_text(arguments, terminal)?;
    let schema = match &arguments.json_schema {
        Some(path) => Some(report::read_text(path)?),
        None => None,
    };
    let interrupt = Interrupt::install();
    let path = model_file::locate(&arguments.model, false, terminal, &interrupt)?;
    let gguf = checkpoint::open_for(&path, &arguments.engine)?;
    let loaded = model_file::load(&gguf, &arguments.engine, terminal)?;
    let engine = &loaded.engine;
    let mut constraint = constraint(engine, schema.as_deref(), arguments.json_object)?;
    let template = if arguments.raw {
        None
    } else {
        prompt::template(&gguf, engine.tokenizer())?
    };
    let tokens = match template {
        Some(_) if text.is_empty() => return Err(Failure::Usage("the prompt is empty".to_owned())),
        Some(template) => {
            let system = arguments.system.as_ref().map(|s| Message::new("system", s));
            let messages: Vec<Message> = system
                .into_iter()
                .chain([Message::new("user", text)])
                .collect();
            prompt::of_conversation(engine, &template, &messages)?
        }
        None => {
            if arguments.system.is_some() {
                complain("note: the model has no chat template, so --system is left out");
            }
            let specials = if arguments.control_tokens {
                Specials::Parse
            } else {
                Specials::Plain
            };
            engine.tokenizer().encode_to_continue(&text, specials)
        }
    };
    let context = arguments.context.unwrap_or_else(|| {
        let answer = arguments.sampling.max_tokens.unwrap_or(USUAL_ANSWER);
        USUAL_CONTEXT
            .max(tokens.len().saturating_add(answer))
            .min(engine.model().config.context)
    });
    let mut session = engine.session(Some(context))?;
    let limits = GenerationOptions {
        max_tokens: arguments.sampling.max_tokens,
        stop: arguments.sampling.stop.clone(),
    };
    let generation = exchange::answer(
        exchange::Exchange {
            session: &mut session,
            prompt: &tokens,
            sampler: &mut sampler,
            constraint: constraint.as_mut(),
            options: &limits,
        },
        !arguments.json,
        terminal,
        &interrupt,
    )?;
    if arguments.json {
        report::json(&Report {
            schema: "sprag.run/1",
            model: Identity::of(&gguf, &path),
            text: &generation.text,
            tokens: &generation.tokens,
            prompt_tokens: generation.prompt_tokens,
            finish: exchange::finish_name(&generation.finish),
            stop: match &generation.finish {
                Finish::Stop(text) => Some(text),
                _ => None,
            },
            document: generation.document.map(|d| match d {
                Document::Complete => "complete",
                Document::Unfinished => "unfinished",
            }),
            sampling: Sampling::from(&options),
            timings: Timings::of(&generation),
        })?;
    } else if !generation.text.ends_with('\n') {
        say("\n")?;
    }
    complain(
        &terminal
            .talk()
            .paint(Style::Faint, &exchange::summary(&generation)),
    );
    if generation.finish != Finish::Interrupted {
        loaded.keep(terminal, &interrupt);
    }
    finished(&generation)
}

/// What the answer must keep to.
fn constraint(
    engine: &Engine,
    schema: Option<&str>,
    json_object: bool,
) -> Result<Option<Constraint>, Failure> {
    if schema.is_none() && !json_object {
        return Ok(None);
    }
    let constrainer = Constrainer::new(engine.tokenizer())?;
    Ok(Some(match schema {
        Some(schema) => constrainer.json_schema(schema)?,
        None => constrainer.json_object()?,
    }))
}

/// An answer that was cut off is no result where a whole document was asked for.
fn finished(generation: &Generation) -> Result<(), Failure> {
    match (&generation.finish, generation.document) {
        (Finish::Interrupted, _) => Err(Failure::Interrupted),
        (Finish::Length, Some(Document::Unfinished)) => Err(Failure::Unfinished(
            "the token limit was reached; raise --max-tokens".to_owned(),
        )),
        (Finish::ContextFull, Some(Document::Unfinished)) => Err(Failure::Unfinished(
            "the context is full; raise --context".to_owned(),
        )),
        (Finish::Stop(text), Some(Document::Unfinished)) => Err(Failure::Unfinished(format!(
            "it stopped at {text:?}; leave out that --stop"
        ))),
        _ => Ok(()),
    }
}

/// The prompt from wherever it was given. An editor's line feed at a file's end is no part of it.
fn prompt_text(arguments: &Arguments, terminal: &Terminal) -> Result<String, Failure> {
    let text = match (&arguments.prompt, &arguments.file) {
        (Some(text), _) => return Ok(text.clone()),
        (None, Some(path)) => report::read_text(path)?,
        (None, None) if !terminal.input => report::read_text("-".as_ref())?,
        (None, None) => {
            return Err(Failure::Usage(
                "no prompt: give it with -p, in a file with -f, or on standard input".to_owned(),
            ));
        }
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
