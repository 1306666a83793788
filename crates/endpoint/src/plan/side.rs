//! One server's part of the plan: what it was asked, what came, and what became of it.

use std::time::Duration;

use super::{
    Options,
    texts::{Passage, Step},
    watch::Watch,
};
use crate::{
    EndpointError, Exchange,
    exchange::Cause,
    report::{Failed, Prompt},
    server::{Ask, Message, Server},
    text::{NEXT, Scale},
};

/// Tokens of an answer that only its beginning is wanted of.
const SHORT: usize = 8;
/// Failures one after the other after which the server is left alone.
const GIVEN_UP: usize = 4;
/// The longest that a server's wish to be asked later is followed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One request that was made.
pub(crate) struct Made {
    /// The step that it belongs to.
    pub block: usize,
    pub depth: usize,
    pub prompt: Prompt,
    /// Of its prompt, as planned; the server's count takes its place.
    pub tokens: f64,
    /// Of these, what the server had seen, as well as it is known.
    pub seen_tokens: f64,
    pub asked: usize,
    pub exchange: Exchange,
}

/// What a prompt of a few words costs: its time is that of any request, and of its own few tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    /// The least, since other programs only ever add to it.
    pub ms: f64,
    /// Of the prompt, template and question included.
    pub tokens: f64,
    /// Of these, those of the template before it, which every prompt shares.
    pub head_tokens: f64,
}

/// One turn of several clients.
pub(crate) struct Crowd {
    pub clients: usize,
    pub turn: usize,
    pub exchanges: Vec<Exchange>,
    pub seconds: f64,
}

/// A prompt whose tokens the server was asked to count.
pub(crate) struct Probe {
    /// Of the passage in it.
    pub bytes: usize,
    pub tokens: Option<u64>,
}

/// One server and all that came from it.
pub(crate) struct Side<'a> {
    pub server: &'a Server,
    pub options: &'a Options,
    /// What stands before each stage that is told, where there are two.
    name: &'static str,
    pub first_request_ms: f64,
    pub probes: Vec<Probe>,
    pub made: Vec<Made>,
    pub floor_ms: Vec<f64>,
    /// Of the last such prompt; they differ by digits of a number.
    floor_tokens: f64,
    pub crowds: Vec<Crowd>,
    pub requests: usize,
    pub failures: Vec<Failed>,
    failed_in_a_row: usize,
    pub stopped: Option<String>,
    pub is_counted: bool,
    pub is_streamed: bool,
}

impl<'a> Side<'a> {
    pub fn new(server: &'a Server, options: &'a Options, name: &'static str) -> Self {
        Self {
            server,
            options,
            name,
            first_request_ms: 0.0,
            probes: Vec::new(),
            made: Vec::new(),
            floor_ms: Vec::new(),
            floor_tokens: 0.0,
            crowds: Vec::new(),
            requests: 0,
            failures: Vec::new(),
            failed_in_a_row: 0,
            stopped: None,
            is_counted: true,
            is_streamed: true,
        }
    }

    /// Nothing more is asked of it, unless that was so before.
    pub fn stop(&mut self, why: &str) {
        self.stopped.get_or_insert_with(|| why.to_owned());
    }

    fn send(&mut self, watch: &mut Watch<'_>, during: &str, ask: Ask) -> Option<Exchange> {
        if self.stopped.is_some() {
            return None;
        }
        let told = format!("{}{during}", self.name);
        let (max_tokens, stream) = (ask.max_tokens, ask.stream);
        let exchange = watch.one(self.server, &told, ask)?;
        self.note(watch, during, &exchange, max_tokens, stream);
        Some(exchange)
    }

    fn note(
        &mut self,
        watch: &mut Watch<'_>,
        during: &str,
        exchange: &Exchange,
        max_tokens: usize,
        stream: bool,
    ) {
        self.requests += 1;
        let Some(cause) = &exchange.failure else {
            self.failed_in_a_row = 0;
            if stream {
                self.is_counted &= exchange.answer_tokens(max_tokens).1;
                self.is_streamed &= exchange.is_streamed;
            }
            return;
        };
        self.failures.push(Failed {
            during: during.to_owned(),
            cause: cause.clone(),
        });
        self.failed_in_a_row += 1;
        if self.failed_in_a_row >= GIVEN_UP {
            self.stop(&format!("{GIVEN_UP} requests in a row failed"));
        } else if let Cause::Status {
            retry_after_s: Some(seconds),
            ..
        } = cause
        {
            let wish = Duration::from_secs_f64(seconds.min(LONGEST_WAIT.as_secs_f64()));
            watch.wait(&format!("{}waiting as it wished", self.name), wish);
        }
    }

    /// The first request, which may load the model.
    pub(super) fn first(
        &mut self,
        watch: &mut Watch<'_>,
        passage: &Passage,
    ) -> Result<(), EndpointError> {
        let ask = Ask::streamed(vec![Message::user(passage.prompt.clone())], SHORT);
        match self.send(watch, "the first request", ask) {
            Some(exchange) if exchange.failure.is_none() => {
                self.first_request_ms = exchange.end_ms;
                Ok(())
            }
            other => Err(EndpointError::NoAnswer {
                address: self.server.base().to_owned(),
                cause: other.and_then(|e| e.failure).unwrap_or(Cause::Empty),
            }),
        }
    }

    /// Has a prompt's tokens counted.
    pub(super) fn probe(&mut self, watch: &mut Watch<'_>, passage: &Passage) {
        let messages = vec![Message::user(passage.prompt.clone())];
        let during = "learning its tokens";
        let streamed = Ask::streamed(messages.clone(), SHORT);
        let mut tokens = None;
        if let Some(streamed) = self.send(watch, during, streamed) {
            tokens = streamed.prompt_tokens();
            if tokens.is_none() && streamed.failure.is_none() {
                // Some servers count only what they do not stream.
                self.is_counted = false;
                let whole = self.send(watch, during, Ask::whole(messages, SHORT));
                tokens = whole.and_then(|e| e.prompt_tokens());
            }
        }
        self.probes.push(Probe {
            bytes: passage.bytes,
            tokens,
        });
    }

    /// Through the first and the last probe, where it counts them.
    pub fn scale(&self) -> Option<Scale> {
        let (short, long) = (self.probes.first()?, self.probes.last()?);
        Scale::through((short.bytes, short.tokens?), (long.bytes, long.tokens?))
    }

    /// Zeros where no such prompt was answered.
    pub fn floor(&self, scale: Scale) -> Floor {
        let least = self.floor_ms.iter().copied().min_by(f64::total_cmp);
        least.map_or_else(Floor::default, |ms| Floor {
            ms,
            tokens: self.floor_tokens,
            head_tokens: scale.head().min(self.floor_tokens),
        })
    }

    /// A prompt of a few words, then the four kinds.
    pub(super) fn at_depth(&mut self, watch: &mut Watch<'_>, scale: Scale, step: &Step) {
        let (options, depth) = (self.options, step.depth);
        let during = |what: &str| {
            let (round, rounds) = (step.round + 1, options.rounds);
            format!("round {round} of {rounds}, depth {depth}: {what}")
        };
        let few = Ask::streamed(vec![Message::user(step.few.clone())], SHORT);
        if let Some(exchange) = self.send(watch, &during("a few words"), few)
            && exchange.failure.is_none()
            && let Some(ms) = exchange.first_text_ms
        {
            self.floor_ms.push(ms);
            self.floor_tokens = match exchange.prompt_tokens() {
                Some(n) => n as f64,
                None => scale.fixed + step.few_bytes as f64 * scale.per_character,
            };
        }
        let planned = (depth + options.prefill) as f64;
        let question = vec![Message::user(step.new.clone())];
        let ask = Ask::streamed(question.clone(), options.answer);
        let Some(new) = self.send(watch, &during(Prompt::New.name()), ask) else {
            return;
        };
        let (answer, has_failed) = (new.visible.clone(), new.failure.is_some());
        let said = said(&new, options.answer, scale);
        let read = new.prompt_tokens().map_or(planned, |n| n as f64);
        self.keep(step, Prompt::New, (planned, 0.0), options.answer, new);
        if has_failed {
            // What follows builds on what the server was to have seen.
            return;
        }
        // At once after its answer, as a conversation does: another request between would take the answer out of many a cache.
        let mut turn = question.clone();
        turn.push(Message {
            role: "assistant",
            content: answer,
        });
        turn.push(Message::user(NEXT.to_owned()));
        let added = NEXT.len() as f64 * scale.per_character;
        let turn = Ask::streamed(turn, SHORT);
        if let Some(next) = self.send(watch, &during(Prompt::NextTurn.name()), turn) {
            let tokens = (planned + said + added, read + said);
            self.keep(step, Prompt::NextTurn, tokens, SHORT, next);
        }
        let again = Ask::streamed(question, SHORT);
        if let Some(again) = self.send(watch, &during(Prompt::Again.name()), again) {
            self.keep(step, Prompt::Again, (planned, read), SHORT, again);
        }
        if let Some(prefixed) = &step.prefixed {
            let ask = Ask::streamed(vec![Message::user(prefixed.clone())], SHORT);
            if let Some(seen) = self.send(watch, &during(Prompt::SeenPrefix.name()), ask) {
                let seen_tokens = scale.head() + step.seen_bytes as f64 * scale.per_character;
                let tokens = (planned, seen_tokens);
                self.keep(step, Prompt::SeenPrefix, tokens, SHORT, seen);
            }
        }
    }

    /// `tokens` of the prompt and of what was seen, as planned.
    fn keep(
        &mut self,
        step: &Step,
        prompt: Prompt,
        tokens: (f64, f64),
        asked: usize,
        exchange: Exchange,
    ) {
        let counted = exchange.prompt_tokens().map_or(tokens.0, |n| n as f64);
        self.made.push(Made {
            block: step.block,
            depth: step.depth,
            prompt,
            tokens: tokens.0,
            seen_tokens: tokens.1.min(counted),
            asked,
            exchange,
        });
    }

    /// One turn of several clients.
    pub(super) fn crowd(
        &mut self,
        watch: &mut Watch<'_>,
        clients: usize,
        turn: usize,
        passages: &[Vec<String>],
    ) {
        if self.stopped.is_some() || watch.is_stopped() {
            return;
        }
        let answer = self.options.answer;
        let ask = |text: &String| Ask::streamed(vec![Message::user(text.clone())], answer);
        let asks = passages.iter().map(|own| own.iter().map(ask).collect());
        let during = format!("{clients} clients at once");
        let told = format!("{}{during}", self.name);
        let (exchanges, seconds) = watch.crowd(self.server, &told, asks.collect());
        for exchange in &exchanges {
            self.note(watch, &during, exchange, answer, true);
        }
        if !exchanges.is_empty() {
            self.crowds.push(Crowd {
                clients,
                turn,
                exchanges,
                seconds,
            });
        }
    }
}

/// Tokens of an answer that are part of the next prompt: thoughts are not.
fn said(answer: &Exchange, asked: usize, scale: Scale) -> f64 {
    match answer.answer_tokens(asked) {
        (tokens, true) if answer.thought.is_empty() => tokens as f64,
        _ => answer.visible.len() as f64 * scale.per_character,
    }
}
