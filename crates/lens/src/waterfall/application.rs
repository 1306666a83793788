//! A conversation of two turns as `sprag chat` has it: what its user waits for, and what the second turn computes again.
//!
//! 1. The first turn asks about a text; its answer is cut at [`ANSWER`] tokens.
//! 2. The second turn asks on. Its prompt repeats the whole conversation; what the session still has of it is kept.
//!
//! The choice of tokens is that of the default settings with a fixed seed, so that every conversation is the same.

use std::time::Duration;

use measure::Stopwatch;
use runtime::{Engine, Event, GenerationOptions, Sampler, SamplingOptions, Session, generate};
use text::{ChatTemplate, Message, Specials, TemplateError, TemplateOrigin};

use crate::{
    LensError,
    attribution::figure,
    report::{Application, Reading, Turn},
};

/// Tokens of an answer, at most.
const ANSWER: usize = 32;
/// Conversations beyond which nothing is gained.
const MOST: usize = 12;
/// Questions behind the text.
const QUESTIONS: [&str; 2] = [
    "What does the prop do when the wagon stops?",
    "And why does nobody look at it while the wheels are turning?",
];

/// One reading of one turn, in milliseconds.
struct Waited {
    prompt_tokens: usize,
    kept_tokens: usize,
    again_tokens: usize,
    parted_tokens: usize,
    template_ms: f64,
    tokenise_ms: f64,
    prefill_ms: f64,
    first_token_ms: f64,
    first_visible_ms: Option<f64>,
    tokens: usize,
    ms_per_token: Option<f64>,
    sample_ms: f64,
    text_ms: f64,
}

/// Conversations about a text, again and again for `budget`, at least one; an error where the model's template refuses them or
/// they do not fit.
pub(super) fn measure(
    engine: &Engine,
    about: &str,
    budget: Duration,
) -> Result<Application, ApplicationError> {
    let tokenizer = engine.tokenizer();
    let metadata = engine.model().gguf.metadata();
    let template = match ChatTemplate::from_gguf(metadata, tokenizer) {
        Err(TemplateError::Missing) => ChatTemplate::chatml(tokenizer)?,
        found => found?,
    };
    let mut session = engine.session(None)?;
    let about = beginning(about, engine, session.room() / 4);
    let mut turns: [Vec<Waited>; 2] = Default::default();
    let clock = Stopwatch::start();
    while turns[0].is_empty() || (turns[0].len() < MOST && !clock.has_passed(budget)) {
        session.reset();
        let mut messages = Vec::new();
        for (turn, question) in turns.iter_mut().zip(QUESTIONS) {
            let content = if messages.is_empty() {
                format!("{about}\n{question}")
            } else {
                question.to_owned()
            };
            messages.push(Message::new("user", content));
            let (waited, answer) = one(&mut session, &template, &messages)?;
            messages.push(Message::new("assistant", answer));
            turn.push(waited);
        }
    }
    Ok(Application {
        own_template: template.origin() == TemplateOrigin::Model,
        turns: turns
            .into_iter()
            .map(told)
            .collect::<Result<_, LensError>>()?,
    })
}

/// Whole words of a text, at most `most` tokens.
fn beginning<'t>(text: &'t str, engine: &Engine, most: usize) -> &'t str {
    let fits = |end: &usize| {
        let tokens = engine.tokenizer().encode(&text[..*end], Specials::Plain);
        tokens.len() <= most
    };
    let ends = text.match_indices(' ').map(|(at, _)| at);
    let ends: Vec<usize> = ends.chain([text.len()]).collect();
    let fitting = ends.partition_point(|end| fits(end));
    &text[..fitting.checked_sub(1).map_or(0, |last| ends[last])]
}

/// Why there is no conversation.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplicationError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Runtime(#[from] runtime::RuntimeError),
    #[error(transparent)]
    Lens(#[from] LensError),
}

fn one(
    session: &mut Session<'_>,
    template: &ChatTemplate,
    messages: &[Message],
) -> Result<(Waited, String), ApplicationError> {
    let tokenizer = session.engine().tokenizer();
    let clock = Stopwatch::start();
    let text = template.prompt(tokenizer, messages)?;
    let template_ms = clock.elapsed_ms();
    let prompt = tokenizer.encode_to_continue(&text, Specials::ParseDefused);
    let before_ms = clock.elapsed_ms();
    let had = session.tokens();
    let seen = had.iter().zip(&prompt).take_while(|(a, b)| a == b).count();
    let parted_tokens = had.len() - seen;
    let mut sampler = Sampler::new(SamplingOptions {
        seed: 1,
        ..SamplingOptions::default()
    })?;
    let options = GenerationOptions {
        max_tokens: Some(ANSWER),
        stop: Vec::new(),
    };
    let mut first_visible_ms = None;
    let done = generate(session, &prompt, &mut sampler, &options, &mut |event| {
        if let Event::Text(piece) = event
            && !piece.trim().is_empty()
        {
            first_visible_ms.get_or_insert_with(|| clock.elapsed_ms());
        }
        true
    })?;
    let times = done.timings;
    let per_token = 1.0 / done.tokens.len().max(1) as f64;
    let around = (times.sample_ms + times.text_ms) * per_token;
    let decode =
        (times.decode_tokens > 0).then(|| times.decode_ms / times.decode_tokens as f64 + around);
    let waited = Waited {
        prompt_tokens: prompt.len(),
        kept_tokens: done.kept_tokens,
        again_tokens: seen.saturating_sub(done.kept_tokens),
        parted_tokens,
        template_ms,
        tokenise_ms: before_ms - template_ms,
        prefill_ms: times.prefill_ms,
        first_token_ms: before_ms + times.first_token_ms,
        first_visible_ms,
        tokens: done.tokens.len(),
        ms_per_token: decode,
        sample_ms: times.sample_ms * per_token,
        text_ms: times.text_ms * per_token,
    };
    Ok((waited, done.text))
}

fn told(rounds: Vec<Waited>) -> Result<Turn, LensError> {
    let of =
        |field: fn(&Waited) -> f64| figure("a conversation", rounds.iter().map(field).collect());
    let known = |field: fn(&Waited) -> Option<f64>, reason: &str| {
        let samples: Vec<f64> = rounds.iter().filter_map(field).collect();
        if samples.is_empty() {
            return Ok(Reading::Unknown {
                reason: reason.to_owned(),
                remedy: String::new(),
            });
        }
        let figure = figure("a conversation", samples)?;
        Ok::<_, LensError>(Reading::Known { figure })
    };
    let last = rounds.last();
    let count = |field: fn(&Waited) -> usize| last.map_or(0, field);
    Ok(Turn {
        prompt_tokens: count(|w| w.prompt_tokens),
        kept_tokens: count(|w| w.kept_tokens),
        again_tokens: count(|w| w.again_tokens),
        parted_tokens: count(|w| w.parted_tokens),
        template_ms: of(|w| w.template_ms)?,
        tokenise_ms: of(|w| w.tokenise_ms)?,
        prefill_ms: of(|w| w.prefill_ms)?,
        first_token_ms: of(|w| w.first_token_ms)?,
        first_visible_ms: known(|w| w.first_visible_ms, "the answer had nothing to see")?,
        tokens: count(|w| w.tokens),
        ms_per_token: known(|w| w.ms_per_token, "the answer ended at once")?,
        sample_ms: of(|w| w.sample_ms)?,
        text_ms: of(|w| w.text_ms)?,
    })
}
