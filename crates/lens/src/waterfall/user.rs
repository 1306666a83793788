//! What the user sees: real generation, with the times that the runtime itself notes.
//!
//! - A prompt of natural text, from its characters to the choice of the first token.
//! - Tokens one after another behind a given depth: the caches' values are pretended (speed does not depend on them), the sampling and
//!   the text are real.

use measure::Stopwatch;
use runtime::{GenerationOptions, RuntimeError, Sampler, SamplingOptions, Session, generate};
use text::Specials;

use super::bench::Bench;

/// Tokens of one generation.
pub(crate) const GENERATED: usize = 12;
/// Natural tokens between the pretended depth and the first generated one.
const TAIL: usize = 4;
/// Positions that the generation needs beyond its depth.
pub(crate) const ROOM: usize = GENERATED + TAIL + 1;
/// How often to try again when the model ends its turn at once.
const TRIES: u64 = 8;

/// One reading, in milliseconds per token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserReading {
    /// What the user waits for.
    pub wall_ms: f64,
    /// The model's part.
    pub model_ms: f64,
    /// Text to tokens.
    pub tokenise_ms: f64,
    /// The choice of a token.
    pub sample_ms: f64,
    /// Tokens to text.
    pub text_ms: f64,
}

/// From text to the choice of the first token, per token of the prompt. `text` makes `text_tokens` tokens.
pub(crate) fn prompt(
    session: &mut Session<'_>,
    prompt: &[u32],
    text: &str,
    text_tokens: usize,
) -> Result<UserReading, RuntimeError> {
    let tokenizer = session.engine().tokenizer();
    let clock = Stopwatch::start();
    std::hint::black_box(tokenizer.encode_prompt(std::hint::black_box(text), Specials::Plain));
    let tokenise_ms = clock.elapsed_ms() / text_tokens.max(1) as f64;
    session.reset();
    let mut sampler = Sampler::new(SamplingOptions::default())?;
    let options = GenerationOptions {
        max_tokens: Some(1),
        stop: Vec::new(),
    };
    let done = generate(session, prompt, &mut sampler, &options, &mut |_| true)?;
    let per_token = 1.0 / prompt.len().max(1) as f64;
    let times = done.timings;
    Ok(UserReading {
        wall_ms: tokenise_ms + times.first_token_ms * per_token,
        model_ms: times.prefill_ms * per_token,
        tokenise_ms,
        sample_ms: times.sample_ms * per_token,
        text_ms: 0.0,
    })
}

/// Tokens behind `depth`; `None` where the model ends its turn before it decodes, whatever the seed.
pub(crate) fn answer(
    session: &mut Session<'_>,
    bench: &Bench,
    depth: usize,
    seed: u64,
) -> Result<Option<UserReading>, RuntimeError> {
    let mut prompt = vec![0; depth];
    prompt.extend(bench.prompt(TAIL));
    for attempt in 0..TRIES {
        session.reset();
        session.pretend_depth(depth);
        let options = SamplingOptions {
            seed: seed * TRIES + attempt,
            ..SamplingOptions::default()
        };
        if let Some(reading) = generated(session, &prompt, options)? {
            return Ok(Some(reading));
        }
    }
    Ok(None)
}

fn generated(
    session: &mut Session<'_>,
    prompt: &[u32],
    sampling: SamplingOptions,
) -> Result<Option<UserReading>, RuntimeError> {
    let mut sampler = Sampler::new(sampling)?;
    let options = GenerationOptions {
        max_tokens: Some(GENERATED),
        stop: Vec::new(),
    };
    let clock = Stopwatch::start();
    let done = generate(session, prompt, &mut sampler, &options, &mut |_| true)?;
    let wall_ms = clock.elapsed_ms();
    let times = done.timings;
    if times.decode_tokens == 0 {
        return Ok(None);
    }
    // The first token is chosen and written here, and computed in the prefill.
    let per_token = 1.0 / done.tokens.len() as f64;
    let model_ms = times.decode_ms / times.decode_tokens as f64;
    Ok(Some(UserReading {
        wall_ms: model_ms + (wall_ms - times.prefill_ms - times.decode_ms) * per_token,
        model_ms,
        tokenise_ms: 0.0,
        sample_ms: times.sample_ms * per_token,
        text_ms: times.text_ms * per_token,
    }))
}
