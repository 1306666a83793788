//! Generation: prompt in, text out piece by piece, with the times that a user sees.
//!
//! 1. Tokens that the session shares with the prompt are kept, the rest is prefilled.
//! 2. Each token is sampled, turned into bytes, held back while it could be half a character or the beginning of a stop string,
//!    and handed out.
//! 3. It ends at an end-of-generation token, a stop string, the limit, a full context, or when the listener says so.
//!
//! Under a [`Constraint`] only allowed tokens take part in step 2, and it also ends where nothing but an end may follow.

use std::time::Instant;

use text::{StopMatcher, Utf8Stream};

use crate::{Constraint, ConstraintError, Document, RuntimeError, Sampler, Session};

/// When to stop, and after how much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationOptions {
    /// Most tokens to generate; `None` for as many as fit.
    pub max_tokens: Option<usize>,
    /// Texts that end the generation; they are not handed out.
    pub stop: Vec<String>,
}

/// What a listener hears. It answers `false` to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'t> {
    /// Prompt tokens computed, of how many.
    Prefill {
        /// So far.
        done: usize,
        /// In all.
        total: usize,
    },
    /// A piece of text, whole characters.
    Text(&'t str),
}

/// Why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its turn.
    EndOfGeneration,
    /// A stop string.
    Stop(String),
    /// The limit on tokens.
    Length,
    /// The context is full.
    ContextFull,
    /// The listener said so.
    Interrupted,
}

/// Times of one generation, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Computing the prompt.
    pub prefill_ms: f64,
    /// From the call to the first token's choice.
    pub first_token_ms: f64,
    /// The model's part of all later tokens.
    pub decode_ms: f64,
    /// Tokens computed in that time: not the first, which the prefill yields, and the last only where its successor was asked for.
    pub decode_tokens: usize,
    /// Choosing tokens.
    pub sample_ms: f64,
    /// Turning tokens into text, listeners included.
    pub text_ms: f64,
}

/// A finished generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// All text.
    pub text: String,
    /// Generated tokens, an end-of-generation token not included.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of which were in the session already.
    pub kept_tokens: usize,
    /// Why it ended.
    pub finish: Finish,
    /// Under a constraint, whether the text is a whole document; `None` without one.
    pub document: Option<Document>,
    /// How long it took.
    pub timings: Timings,
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Why a constrained generation failed.
#[derive(Debug, thiserror::Error)]
pub enum ConstrainedError {
    /// As without a constraint.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The constraint.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
}

/// Generates after `prompt`.
///
/// # Errors
/// The prompt is empty or does not fit, or the model's numbers are not finite.
pub fn generate(
    session: &mut Session<'_>,
    prompt: &[u32],
    sampler: &mut Sampler,
    options: &GenerationOptions,
    listener: &mut dyn FnMut(Event<'_>) -> bool,
) -> Result<Generation, RuntimeError> {
    // A GPU finds the likeliest token itself; 1 MB of logits would take longer to come than to make.
    let likeliest = sampler.is_greedy() && session.engine().cuda().is_some();
    let mut choose = |logits: &[f32], history: &[u32]| {
        #[cfg(feature = "planted-faults")]
        kernels::faults::delay_sampler();
        let token = sampler.sample(logits, history);
        let is_last = false;
        Ok(Choice { token, is_last })
    };
    generate_with(session, prompt, &mut choose, likeliest, options, listener)
}

/// As [`generate`], for a document that `constraint` allows; it starts at the document's beginning.
///
/// The answer's [`Generation::document`] says whether the document was finished. A limit on tokens can end it inside.
///
/// # Errors
/// As [`generate`], or the constraint goes beyond its limits or allows no token of this vocabulary.
pub fn generate_constrained(
    session: &mut Session<'_>,
    prompt: &[u32],
    sampler: &mut Sampler,
    constraint: &mut Constraint,
    options: &GenerationOptions,
    listener: &mut dyn FnMut(Event<'_>) -> bool,
) -> Result<Generation, ConstrainedError> {
    constraint.reset()?;
    let mut choose = |logits: &[f32], history: &[u32]| {
        constraint.advance_mask()?;
        let token = sampler.sample_among(logits, history, |token| constraint.allows(token));
        constraint.feed(token)?;
        let is_last = constraint.is_at_end();
        Ok::<_, ConstrainedError>(Choice { token, is_last })
    };
    let mut made = generate_with(session, prompt, &mut choose, false, options, listener)?;
    // A stop string was found in the document, and it and what followed are not in the text.
    let is_cut = matches!(made.finish, Finish::Stop(_));
    made.document = Some(if is_cut {
        Document::Unfinished
    } else {
        constraint.document()
    });
    Ok(made)
}

/// What comes next.
struct Choice {
    token: u32,
    /// Nothing but an end can follow.
    is_last: bool,
}

/// Chooses after logits and the tokens so far.
type Choose<'c, E> = dyn FnMut(&[f32], &[u32]) -> Result<Choice, E> + 'c;

/// `choose` chooses each token, or the first alone where the others are the `likeliest`.
fn generate_with<E: From<RuntimeError>>(
    session: &mut Session<'_>,
    prompt: &[u32],
    choose: &mut Choose<'_, E>,
    likeliest: bool,
    options: &GenerationOptions,
    listener: &mut dyn FnMut(Event<'_>) -> bool,
) -> Result<Generation, E> {
    let began = Instant::now();
    let kept_tokens = session.keep_common(prompt);
    let rest = prompt.get(kept_tokens..).unwrap_or(&[]);
    let total = rest.len();
    let mut out = Output::new(options, prompt.len(), kept_tokens);
    let prefilled = session.prefill(rest, &mut |done| listener(Event::Prefill { done, total }))?;
    out.result.timings.prefill_ms = ms(began);
    let Some(logits) = prefilled else {
        return Ok(out.finish(Finish::Interrupted, listener));
    };
    let mut logits = logits.to_vec();
    let mut history = prompt.to_vec();
    let mut chosen = None;
    let tokenizer = session.engine().tokenizer();
    let is_at_limit = |out: &Output| {
        options
            .max_tokens
            .is_some_and(|most| out.result.tokens.len() >= most)
    };
    if is_at_limit(&out) {
        return Ok(out.finish(Finish::Length, listener));
    }
    loop {
        let sampling = Instant::now();
        let Choice { token, is_last } = match chosen.take() {
            Some(choice) => choice,
            None => choose(&logits, &history)?,
        };
        out.result.timings.sample_ms += ms(sampling);
        if out.result.tokens.is_empty() {
            out.result.timings.first_token_ms = ms(began);
        }
        if tokenizer.is_end_of_generation(token) {
            return Ok(out.finish(Finish::EndOfGeneration, listener));
        }
        history.push(token);
        out.result.tokens.push(token);
        let writing = Instant::now();
        let bytes = if tokenizer.is_control(token) {
            &[]
        } else {
            tokenizer.bytes_of(token)
        };
        let ended = out.write(bytes, listener);
        out.result.timings.text_ms += ms(writing);
        if let Some(finish) = ended {
            return Ok(out.finish(finish, listener));
        }
        if is_last {
            return Ok(out.finish(Finish::EndOfGeneration, listener));
        }
        // Before the next step, not after it: the last token's own step would answer nothing.
        if is_at_limit(&out) {
            return Ok(out.finish(Finish::Length, listener));
        }
        if session.room() == 0 {
            return Ok(out.finish(Finish::ContextFull, listener));
        }
        let decoding = Instant::now();
        if likeliest {
            let (token, is_last) = (session.decode_likeliest(token)?, false);
            chosen = Some(Choice { token, is_last });
        } else {
            logits.copy_from_slice(session.decode(token)?);
        }
        out.result.timings.decode_ms += ms(decoding);
        out.result.timings.decode_tokens += 1;
    }
}

/// Text on its way out.
struct Output {
    utf8: Utf8Stream,
    stops: StopMatcher,
    stop_strings: Vec<String>,
    result: Generation,
}

impl Output {
    fn new(options: &GenerationOptions, prompt_tokens: usize, kept_tokens: usize) -> Self {
        let result = Generation {
            text: String::new(),
            tokens: Vec::new(),
            prompt_tokens,
            kept_tokens,
            finish: Finish::Interrupted,
            document: None,
            timings: Timings::default(),
        };
        Self {
            utf8: Utf8Stream::new(),
            stops: StopMatcher::new(options.stop.iter().cloned()),
            stop_strings: options.stop.clone(),
            result,
        }
    }

    /// Hands out what is certain; says why to end, if so.
    fn write(
        &mut self,
        bytes: &[u8],
        listener: &mut dyn FnMut(Event<'_>) -> bool,
    ) -> Option<Finish> {
        let checked = self.stops.push(self.utf8.push(bytes));
        let goes_on = self.hand_out(&checked.text, listener);
        match checked.stop {
            Some(i) => Some(Finish::Stop(
                self.stop_strings.get(i).cloned().unwrap_or_default(),
            )),
            None => (!goes_on).then_some(Finish::Interrupted),
        }
    }

    fn hand_out(&mut self, text: &str, listener: &mut dyn FnMut(Event<'_>) -> bool) -> bool {
        self.result.text.push_str(text);
        // An empty piece is still a chance to stop.
        listener(Event::Text(text))
    }

    fn finish(mut self, finish: Finish, listener: &mut dyn FnMut(Event<'_>) -> bool) -> Generation {
        if !matches!(finish, Finish::Stop(_)) {
            let mut held = self.stops.push(self.utf8.finish()).text;
            held.push_str(&self.stops.finish());
            if !held.is_empty() {
                self.hand_out(&held, listener);
            }
        }
        self.result.finish = finish;
        self.result
    }
}
