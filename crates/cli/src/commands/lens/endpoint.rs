//! `sprag lens endpoint`: what a client of an OpenAI-compatible server sees, and how it stands to another server.

mod text;
mod versus;

use std::{
    env,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use endpoint::{Options, Patience, Report, Server, report::Refusal};

use crate::{
    arguments::tokens,
    failure::Failure,
    interrupt::Interrupt,
    progress, report,
    terminal::{Terminal, complain, say},
};

const AFTER: &str = "\
Times requests to chat/completions from outside: new prompts, seen ones, the next turn of a conversation, several clients at once. Tokens \
are the server's own count. Sends nothing but public-domain text; on a paid server it costs what its tokens cost. With --against both \
servers get the same prompts in turns, and are compared if they read the same tokens and answer alike.

Example: sprag lens endpoint http://127.0.0.1:8080 --depth 0,4096 --clients 1,4";

/// Measure an OpenAI-compatible server as a client sees it: llama.cpp's, Ollama, LM Studio, vLLM
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Address of the server, with or without /v1
    pub url: String,
    /// The model's name there; needed where the server has several
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The environment variable that holds the key, if the server wants one
    #[arg(long, value_name = "VARIABLE")]
    pub api_key_env: Option<String>,
    /// A second server of the same model, measured in turns with the first
    #[arg(long, value_name = "URL")]
    pub against: Option<String>,
    /// The model's name at the second server
    #[arg(long, value_name = "NAME", requires = "against")]
    pub against_model: Option<String>,
    /// The environment variable that holds the second server's key; the first's is not sent there
    #[arg(long, value_name = "VARIABLE", requires = "against")]
    pub against_api_key_env: Option<String>,
    /// Tokens in the prompt before the last ones; several with commas
    #[arg(
        long,
        value_name = "N,..",
        default_value = "0,2048",
        value_delimiter = ','
    )]
    pub depth: Vec<usize>,
    /// Tokens of the prompt behind them
    #[arg(long, value_name = "N", default_value = "512", value_parser = tokens)]
    pub prefill: usize,
    /// Tokens of an answer, at most
    #[arg(long, value_name = "N", default_value = "64", value_parser = tokens)]
    pub decode: usize,
    /// Turns over all depths, and requests of each client; 3 unless told, and 6 with --against
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// Clients at once; several with commas
    #[arg(long, value_name = "N,..", default_value = "2", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=512))]
    pub clients: Vec<u32>,
    /// Goodput: the longest wait for the first text
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit_first: u32,
    /// Goodput: the longest mean time between tokens
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit_token: u32,
    /// How long to wait for a server that sends nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub stall: u32,
    /// Write the report as one HTML file that needs no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Report as JSON (schema sprag.endpoint/1)
    #[arg(long)]
    pub json: bool,
}

/// Rounds where none are asked for.
const ROUNDS: usize = 3;
/// The same for two servers: an interval of a ratio takes 5 pairs, and either server goes first as often as the other.
const ROUNDS_OF_TWO: usize = 6;

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    arguments
        .html
        .as_deref()
        .map_or(Ok(()), report::may_write)?;
    let interrupt = Interrupt::install();
    let first = connect(
        arguments,
        &arguments.url,
        arguments.model.as_deref(),
        ("--api-key-env", arguments.api_key_env.as_deref()),
    )?;
    let second = match &arguments.against {
        None => None,
        Some(url) => Some(connect(
            arguments,
            url,
            arguments.against_model.as_deref(),
            (
                "--against-api-key-env",
                arguments.against_api_key_env.as_deref(),
            ),
        )?),
    };
    if let Some(second) = &second {
        differ(&first, second)?;
    }
    let options = options(arguments, second.is_some());
    let bar = progress::bar(terminal, 1000, "[{bar:30}] {percent}% {msg}");
    let listening = interrupt.listen();
    let mut progress = |stage: &str, done: f64| {
        bar.set_message(stage.to_owned());
        bar.set_position((done.clamp(0.0, 1.0) * 1000.0) as u64);
        !listening.is_raised()
    };
    let found = match &second {
        None => endpoint::measure(&first, &options, &mut progress),
        Some(second) => endpoint::compare(&first, second, &options, &mut progress),
    };
    bar.finish_and_clear();
    if found.is_err() {
        // Before the first answer there is nothing to report, and the reason is the person's.
        listening.check()?;
    }
    let found = found?;
    // A full disk is no reason to keep what was measured from the person.
    let written = match &arguments.html {
        None => Ok(()),
        Some(path) => report::file(path, endpoint::render::html(&found)),
    };
    if arguments.json {
        report::json(&found)?;
    } else {
        say(&text::text(&found, terminal.data()))?;
    }
    written?;
    if let Some(path) = &arguments.html {
        complain(&format!("the report is in {}", path.display()));
    }
    listening.check()?;
    outcome(&found)
}

fn connect(
    arguments: &Arguments,
    url: &str,
    model: Option<&str>,
    (option, variable): (&str, Option<&str>),
) -> Result<Server, Failure> {
    let key = variable.map(|v| key(option, v)).transpose()?;
    let stall = Duration::from_secs(arguments.stall.into());
    let patience = Patience {
        stall,
        connect: Patience::default().connect.min(stall),
    };
    Ok(Server::connect(url, model, key.as_deref(), patience)?)
}

fn options(arguments: &Arguments, are_two: bool) -> Options {
    let rounds = if are_two { ROUNDS_OF_TWO } else { ROUNDS };
    Options {
        depths: arguments.depth.clone(),
        prefill: arguments.prefill,
        answer: arguments.decode,
        rounds: arguments.rounds.map_or(rounds, |n| n as usize),
        clients: arguments.clients.iter().map(|&n| n as usize).collect(),
        limit_first_ms: arguments.limit_first.into(),
        limit_token_ms: arguments.limit_token.into(),
        seed: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64),
    }
}

/// One server twice would have seen each prompt when it is asked the second time.
fn differ(first: &Server, second: &Server) -> Result<(), Failure> {
    if (first.base(), first.model()) != (second.base(), second.model()) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{} with the model {} is both servers, and would know each new prompt at the second time: name another server or another model \
         with --against and --against-model",
        first.base(),
        first.model()
    )))
}

/// The exit code says that a comparison was refused, or else that requests failed.
fn outcome(found: &Report) -> Result<(), Failure> {
    let against = found.against.as_deref();
    let refusal = against.and_then(|a| a.refusal);
    if let (Some(against), Some(Refusal::PromptTokens { .. } | Refusal::Answers { .. })) =
        (against, refusal)
    {
        return Err(Failure::Usage(format!(
            "the two servers are not compared, since they do not do the same work: give both the same model and template, or measure each \
             by itself ({} and {})",
            found.model, against.report.model
        )));
    }
    let reports = [Some(found), against.map(|a| &a.report)];
    let reports = || reports.iter().flatten();
    let mut failures = reports().flat_map(|r| &r.failures);
    match failures.next() {
        None => Ok(()),
        Some(first) => Err(Failure::Requests {
            failed: 1 + failures.count(),
            requests: reports().map(|r| r.requests).sum(),
            first: first.cause.clone(),
        }),
    }
}

fn key(option: &str, variable: &str) -> Result<String, Failure> {
    match env::var(variable) {
        Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => Err(Failure::Usage(format!(
            "{option} names {variable}, which is not set, is empty or is not UTF-8: export it first"
        ))),
    }
}
