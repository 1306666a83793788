//! One exchange with a model: a prompt in, text streamed out, Ctrl-C heard, and the numbers that a user sees.

use indicatif::ProgressBar;
use runtime::{
    Constraint, Event, Finish, Generation, GenerationOptions, Sampler, Session, generate,
    generate_constrained,
};
use serde::Serialize;

use crate::{
    failure::Failure,
    interrupt::Interrupt,
    progress, quantity,
    terminal::{Terminal, say},
};

/// Prompts shorter than this show no bar.
const LONG_PROMPT: usize = 512;

/// Speeds and times of one exchange.
#[derive(Clone, Debug, Serialize)]
pub struct Timings {
    /// Computing the prompt's tokens that were not in the cache.
    pub prefill_ms: f64,
    /// `None` where nothing was computed.
    pub prefill_tokens_per_second: Option<f64>,
    /// From the prompt's tokens to the first answer token.
    pub first_token_ms: Option<f64>,
    /// The model's time for the tokens after the first.
    pub decode_ms: f64,
    /// `None` where there was no token after the first.
    pub decode_tokens_per_second: Option<f64>,
    /// Choosing tokens.
    pub sample_ms: f64,
    /// Turning tokens into text and writing it.
    pub text_ms: f64,
}

impl Timings {
    /// Of a finished generation.
    pub fn of(generation: &Generation) -> Self {
        let times = generation.timings;
        let rate =
            |tokens: usize, ms: f64| (tokens > 0 && ms > 0.0).then(|| tokens as f64 / ms * 1e3);
        Self {
            prefill_ms: times.prefill_ms,
            prefill_tokens_per_second: rate(
                generation
                    .prompt_tokens
                    .saturating_sub(generation.kept_tokens),
                times.prefill_ms,
            ),
            first_token_ms: (times.first_token_ms > 0.0).then_some(times.first_token_ms),
            decode_ms: times.decode_ms,
            decode_tokens_per_second: rate(times.decode_tokens, times.decode_ms),
            sample_ms: times.sample_ms,
            text_ms: times.text_ms,
        }
    }
}

/// Why a generation ended, as reports spell it.
pub fn finish_name(finish: &Finish) -> &'static str {
    match finish {
        Finish::EndOfGeneration => "end_of_generation",
        Finish::Stop(_) => "stop",
        Finish::Length => "length",
        Finish::ContextFull => "context_full",
        Finish::Interrupted => "interrupted",
    }
}

/// One line about an exchange.
pub fn summary(generation: &Generation) -> String {
    let timings = Timings::of(generation);
    let rate = |speed: Option<f64>| {
        speed.map_or_else(String::new, |s| format!(" at {}", quantity::rate(s)))
    };
    let new = generation
        .prompt_tokens
        .saturating_sub(generation.kept_tokens);
    let kept = match generation.kept_tokens {
        0 => String::new(),
        kept => format!(" (+{kept} kept)"),
    };
    let first = timings.first_token_ms.map_or_else(String::new, |ms| {
        format!(", first token after {}", quantity::duration_ms(ms))
    });
    let why = match &generation.finish {
        Finish::EndOfGeneration => "the model ended".to_owned(),
        Finish::Stop(text) => format!("stopped at {text:?}"),
        Finish::Length => "the token limit was reached".to_owned(),
        Finish::ContextFull => "the context is full".to_owned(),
        Finish::Interrupted => "interrupted".to_owned(),
    };
    format!(
        "prefill {new} tokens{kept}{}{first}; decode {} tokens{}; {why}",
        rate(timings.prefill_tokens_per_second),
        generation.tokens.len(),
        rate(timings.decode_tokens_per_second),
    )
}

/// What is said and what may be said.
pub struct Exchange<'a, 's> {
    pub session: &'a mut Session<'s>,
    pub prompt: &'a [u32],
    pub sampler: &'a mut Sampler,
    /// The documents that may be answered; `None` for any text.
    pub constraint: Option<&'a mut Constraint>,
    pub options: &'a GenerationOptions,
}

/// Generates after the prompt; with `stream`, text goes to standard output as it comes. Ctrl-C ends it after the current token.
///
/// # Errors
/// The prompt does not fit, the model's numbers are not finite, or standard output can't be written.
pub fn answer(
    exchange: Exchange<'_, '_>,
    stream: bool,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<Generation, Failure> {
    let listening = interrupt.listen();
    let mut failed = None;
    let mut bar: Option<ProgressBar> = None;
    let mut listener = |event: Event<'_>| {
        match event {
            Event::Prefill { done, total } => {
                if total >= LONG_PROMPT {
                    let form = "reading the prompt [{bar:30}] {pos}/{len} tokens";
                    bar.get_or_insert_with(|| progress::bar(terminal, total as u64, form))
                        .set_position(done as u64);
                }
            }
            Event::Text(text) => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
                if stream && !text.is_empty() {
                    failed = say(&terminal.foreign(text)).err();
                }
            }
        }
        failed.is_none() && !listening.is_raised()
    };
    let Exchange {
        session,
        prompt,
        sampler,
        constraint,
        options,
    } = exchange;
    let generation = match constraint {
        Some(constraint) => {
            generate_constrained(session, prompt, sampler, constraint, options, &mut listener)
                .map_err(Failure::from)
        }
        None => generate(session, prompt, sampler, options, &mut listener).map_err(Failure::from),
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    match failed {
        Some(failure) => Err(failure),
        None => generation,
    }
}
