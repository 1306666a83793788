//! `sprag lens endpoint`: what a client of an OpenAI-compatible server sees.

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use endpoint::{
    Options, Patience, Report, Server,
    report::{Clients, Depth, Figure, Phase},
};

use crate::{
    arguments::tokens,
    failure::Failure,
    interrupt::Interrupt,
    progress, quantity, report,
    terminal::{Paint, Style, Terminal, say},
};

const AFTER: &str = "\
Times requests to chat/completions from outside: new prompts, seen ones, the next turn of a conversation, several clients at once. Tokens \
are the server's own count. Sends nothing but public-domain text; on a paid server it costs what its tokens cost.

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
    /// Turns over all depths, and requests of each client
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
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
    /// Report as JSON (schema sprag.endpoint/1)
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let interrupt = Interrupt::install();
    let key = arguments.api_key_env.as_deref().map(key).transpose()?;
    let stall = Duration::from_secs(arguments.stall.into());
    let patience = Patience {
        stall,
        connect: Patience::default().connect.min(stall),
    };
    let server = Server::connect(
        &arguments.url,
        arguments.model.as_deref(),
        key.as_deref(),
        patience,
    )?;
    let options = Options {
        depths: arguments.depth.clone(),
        prefill: arguments.prefill,
        answer: arguments.decode,
        rounds: arguments.rounds as usize,
        clients: arguments.clients.iter().map(|&n| n as usize).collect(),
        limit_first_ms: arguments.limit_first.into(),
        limit_token_ms: arguments.limit_token.into(),
        seed: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64),
    };
    let bar = progress::bar(terminal, 1000, "[{bar:30}] {percent}% {msg}");
    let listening = interrupt.listen();
    let found = endpoint::measure(&server, &options, &mut |stage, done| {
        bar.set_message(stage.to_owned());
        bar.set_position((done.clamp(0.0, 1.0) * 1000.0) as u64);
        !listening.is_raised()
    });
    bar.finish_and_clear();
    let found = found?;
    if arguments.json {
        report::json(&found)?;
    } else {
        say(&text(&found, terminal.data()))?;
    }
    listening.check()?;
    match found.failures.first() {
        Some(first) => Err(Failure::Requests {
            failed: found.failures.len(),
            requests: found.requests,
            first: first.cause.clone(),
        }),
        None => Ok(()),
    }
}

fn key(variable: &str) -> Result<String, Failure> {
    match env::var(variable) {
        Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => Err(Failure::Usage(format!(
            "--api-key-env names {variable}, which is not set, is empty or is not UTF-8: export it first"
        ))),
    }
}

fn text(report: &Report, paint: Paint) -> String {
    let mut lines = vec![
        paint.paint(Style::Heading, &report.model),
        format!("  {}", report.address),
        format!(
            "  {} requests in {:.0} s; tokens are {}; the first request took {}",
            report.requests,
            report.elapsed_s,
            match (report.counted_by_server, report.is_scale_measured) {
                (true, _) => "the server's count",
                (false, true) => "counted by events, a prompt's by its length",
                (false, false) => "estimated",
            },
            quantity::duration_ms(report.first_request_ms)
        ),
    ];
    if let Some(floor) = &report.floor_ms {
        lines.push(format!(
            "  a prompt of a few words: first text after {}",
            spread(floor)
        ));
    }
    for depth in &report.depths {
        lines.push(String::new());
        lines.extend(at_depth(depth, report.prefill, paint));
    }
    if !report.clients.is_empty() {
        lines.push(String::new());
        lines.push(paint.paint(Style::Heading, "SEVERAL CLIENTS, each with new prompts"));
        lines.push(format!(
            "  clients  tokens/s of all   first text              a token                 within {} and {} a token",
            quantity::duration_ms(report.limit_first_ms),
            quantity::duration_ms(report.limit_token_ms)
        ));
        lines.extend(report.clients.iter().map(clients));
    }
    lines.push(String::new());
    lines.extend(wrapped(&report.verdict));
    if let Some(stopped) = &report.stopped {
        lines.extend(wrapped(&format!("Not everything was measured: {stopped}.")));
    }
    for warning in &report.warnings {
        lines.extend(wrapped(&format!("Note: {warning}.")));
    }
    for failed in report.failures.iter().take(SHOWN_FAILURES) {
        lines.extend(wrapped(&format!(
            "Failed, {}: {}",
            failed.during, failed.cause
        )));
    }
    if report.failures.len() > SHOWN_FAILURES {
        lines.push(format!(
            "  and {} more (--json lists them)",
            report.failures.len() - SHOWN_FAILURES
        ));
    }
    lines.join("\n") + "\n"
}

/// Failed requests that are told one by one.
const SHOWN_FAILURES: usize = 5;

fn at_depth(depth: &Depth, prefill: usize, paint: Paint) -> Vec<String> {
    let title = match depth.depth {
        0 => format!("{prefill} TOKENS OF PROMPT"),
        depth => format!("{prefill} TOKENS OF PROMPT BEHIND {depth} OTHERS"),
    };
    let mut lines = vec![paint.paint(Style::Heading, &title)];
    let rate = |name: &str, figure: &Option<Figure>, unit: &str| {
        figure.as_ref().map(|f| {
            format!(
                "  {name:<17}{:>9} {unit:<10}{}",
                quantity::digits(f.median),
                range(f)
            )
        })
    };
    lines.extend(rate("prompt", &depth.prefill_tokens_per_s, "tokens/s"));
    lines.extend(rate("answer", &depth.decode_tokens_per_s, "tokens/s"));
    lines.extend(rate("longest silence", &depth.longest_gap_ms, "ms"));
    lines.push(
        "                    tokens      new   first text                of a new prompt's time"
            .to_owned(),
    );
    lines.extend(depth.phases.iter().map(phase));
    lines
}

fn phase(phase: &Phase) -> String {
    let mut line = format!(
        "  {:<16}{:>8.0} {:>8.0}   {:<26}",
        phase.prompt.name(),
        phase.prompt_tokens,
        phase.new_tokens,
        phase
            .first_text_ms
            .as_ref()
            .map_or("none".to_owned(), spread)
    );
    if let Some(share) = phase.share_of_new {
        line += &format!("{:.0}%", share * 100.0);
    }
    if let Some(cached) = &phase.cached_tokens {
        line += &format!("  (server: {:.0} not computed again)", cached.median);
    }
    if phase.failed > 0 {
        line += &format!("  {} of {} failed", phase.failed, phase.requests);
    }
    line.trim_end().to_owned()
}

fn clients(found: &Clients) -> String {
    let of = |figure: &Option<Figure>| figure.as_ref().map_or("none".to_owned(), spread);
    format!(
        "  {:>7}  {:>15}   {:<24}{:<24}{:.0}% of {}",
        found.clients,
        quantity::digits(found.tokens_per_s),
        of(&found.first_text_ms),
        of(&found.token_ms),
        found.goodput * 100.0,
        found.requests
    )
}

/// The median, and from where to where the samples go.
fn spread(figure: &Figure) -> String {
    format!("{} {}", quantity::duration_ms(figure.median), range(figure))
}

fn range(figure: &Figure) -> String {
    let ends = figure.samples.iter().copied();
    let low = ends.clone().min_by(f64::total_cmp);
    let high = ends.max_by(f64::total_cmp);
    match (low, high) {
        (Some(low), Some(high)) if high > low => {
            format!("({} to {})", quantity::digits(low), quantity::digits(high))
        }
        _ => String::new(),
    }
}

/// In lines of a terminal's width.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 98;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.iter().map(|line| format!("  {line}")).collect()
}
