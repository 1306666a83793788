//! The order of requests, and what their times amount to.
//!
//! 1. One request that does not count: many servers load a model at the first.
//! 2. Two prompts of different length: what the template takes and what a character takes, in tokens.
//! 3. Rounds over the depths, forth and back. At each depth a new prompt, the same again, its next turn, and a new end behind its
//!    prefix; before each depth a prompt of a few words, whose time is what any request costs.
//! 4. Several clients at once.

mod summary;

use std::{
    thread,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use measure::Stopwatch;

use crate::{
    EndpointError, Exchange, Report,
    exchange::Cause,
    report::{Clients, Failed, Figure, Prompt, SCHEMA},
    server::{Ask, Message, Server},
    text::{NEXT, QUESTION, Scale, passage},
};

/// Characters of the two prompts that the scale is learned from.
const PROBES: [usize; 2] = [600, 4600];
/// Tokens of an answer that only its beginning is wanted of.
const SHORT: usize = 8;
/// Failures one after the other after which the server is left alone.
const GIVEN_UP: usize = 4;
/// The longest that a server's wish to be asked later is followed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Tokens before the prompt's last `prefill`.
    pub depths: Vec<usize>,
    /// Tokens behind them.
    pub prefill: usize,
    /// Tokens of an answer, at most.
    pub answer: usize,
    /// Turns over all depths; requests of a client.
    pub rounds: usize,
    /// Numbers of clients at once.
    pub clients: Vec<usize>,
    /// Goodput: to the first text.
    pub limit_first_ms: f64,
    /// Goodput: between tokens.
    pub limit_token_ms: f64,
    /// Where the numbering of prompts begins: another run must take another, or its new prompts are seen ones.
    pub seed: u64,
}

/// One request that was made.
struct Made {
    depth: usize,
    prompt: Prompt,
    /// As planned.
    new_tokens: f64,
    /// As planned; the server's count takes its place.
    tokens: f64,
    asked: usize,
    exchange: Exchange,
}

/// Sends all requests. `progress` hears what is done, and its share of the whole; where it answers `false`, what there is by then is the report.
///
/// # Errors
/// The first requests brought nothing.
pub fn measure(
    server: &Server,
    options: &Options,
    progress: &mut dyn FnMut(&str, f64) -> bool,
) -> Result<Report, EndpointError> {
    let clock = Stopwatch::start();
    let mut run = Run {
        server,
        options,
        progress,
        next: options.seed,
        done: 0,
        failed_in_a_row: 0,
        made: Vec::new(),
        floor_ms: Vec::new(),
        failures: Vec::new(),
        stopped: None,
        is_counted: true,
        is_streamed: true,
    };
    let first = run.learn_first()?;
    let learned = run.learn_scale();
    let is_scale_measured = learned.is_some();
    let scale = learned.unwrap_or(Scale::ASSUMED);
    run.rounds(scale);
    let clients = run.clients(scale);
    let mut report = Report {
        schema: SCHEMA,
        sprag: env!("CARGO_PKG_VERSION"),
        date: DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true),
        elapsed_s: clock.elapsed_ms() / 1e3,
        address: server.base().to_owned(),
        model: server.model().to_owned(),
        prefill: options.prefill,
        answer: options.answer,
        rounds: options.rounds,
        limit_first_ms: options.limit_first_ms,
        limit_token_ms: options.limit_token_ms,
        counted_by_server: run.is_counted,
        is_scale_measured,
        characters_per_token: 1.0 / scale.per_character,
        first_request_ms: first.end_ms,
        floor_ms: Figure::of(std::mem::take(&mut run.floor_ms)),
        depths: Vec::new(),
        clients,
        requests: run.done,
        failures: std::mem::take(&mut run.failures),
        stopped: run.stopped.take(),
        warnings: Vec::new(),
        verdict: String::new(),
    };
    summary::fill(&mut report, &run.made, options, run.is_streamed);
    Ok(report)
}

struct Run<'a> {
    server: &'a Server,
    options: &'a Options,
    progress: &'a mut dyn FnMut(&str, f64) -> bool,
    /// Number of the next passage.
    next: u64,
    done: usize,
    failed_in_a_row: usize,
    made: Vec<Made>,
    floor_ms: Vec<f64>,
    failures: Vec<Failed>,
    stopped: Option<String>,
    is_counted: bool,
    is_streamed: bool,
}

impl Run<'_> {
    fn passage(&mut self, characters: usize) -> String {
        self.next += 1;
        passage(self.next, characters)
    }

    /// Requests in all, as planned.
    fn planned(&self) -> usize {
        let o = self.options;
        let of_depth = |depth: &usize| if *depth == 0 { 4 } else { 5 };
        3 + o.rounds * o.depths.iter().map(of_depth).sum::<usize>()
            + o.rounds * o.clients.iter().sum::<usize>()
    }

    /// Sends one request whose answer is streamed, unless the measurement is to end.
    fn ask(&mut self, during: &str, messages: Vec<Message>, max_tokens: usize) -> Option<Exchange> {
        self.send(during, Ask::streamed(messages, max_tokens))
    }

    fn send(&mut self, during: &str, ask: Ask) -> Option<Exchange> {
        if self.stopped.is_some() {
            return None;
        }
        let share = self.done as f64 / self.planned().max(1) as f64;
        if !(self.progress)(during, share) {
            self.stopped = Some("interrupted".to_owned());
            return None;
        }
        let exchange = self.server.ask(&ask);
        self.note(during, &exchange, &ask);
        Some(exchange)
    }

    fn note(&mut self, during: &str, exchange: &Exchange, ask: &Ask) {
        self.done += 1;
        let Some(cause) = &exchange.failure else {
            self.failed_in_a_row = 0;
            if ask.stream {
                self.is_counted &= exchange.answer_tokens(ask.max_tokens).1;
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
            self.stopped = Some(format!("{GIVEN_UP} requests in a row failed"));
        } else if let Cause::Status {
            retry_after_s: Some(seconds),
            ..
        } = cause
        {
            thread::sleep(Duration::from_secs_f64(
                seconds.min(LONGEST_WAIT.as_secs_f64()),
            ));
        }
    }

    /// The first request, which may load the model.
    fn learn_first(&mut self) -> Result<Exchange, EndpointError> {
        let text = self.passage(PROBES[0]) + QUESTION;
        let exchange = self.ask("the first request", vec![Message::user(text)], SHORT);
        match exchange {
            Some(exchange) if exchange.failure.is_none() => Ok(exchange),
            other => Err(EndpointError::NoAnswer {
                address: self.server.base().to_owned(),
                cause: other.and_then(|e| e.failure).unwrap_or(Cause::Empty),
            }),
        }
    }

    fn learn_scale(&mut self) -> Option<Scale> {
        let [short, long] = PROBES.map(|characters| {
            let text = self.passage(characters);
            let length = text.len();
            let messages = vec![Message::user(text + QUESTION)];
            let during = "learning its tokens";
            let streamed = self.ask(during, messages.clone(), SHORT)?;
            if let Some(tokens) = streamed.prompt_tokens() {
                return Some((length, tokens));
            }
            // Some servers count only what they do not stream.
            self.is_counted = false;
            let whole = self.send(during, Ask::whole(messages, SHORT))?;
            Some((length, whole.prompt_tokens()?))
        });
        short.zip(long).and_then(|(a, b)| Scale::through(a, b))
    }

    fn rounds(&mut self, scale: Scale) {
        for round in 0..self.options.rounds {
            let mut depths = self.options.depths.clone();
            if round % 2 == 1 {
                depths.reverse();
            }
            for depth in depths {
                self.at_depth(scale, round, depth);
            }
        }
    }

    /// A prompt of a few words, then the four kinds.
    fn at_depth(&mut self, scale: Scale, round: usize, depth: usize) {
        let o = self.options;
        let during =
            |what: &str| format!("round {} of {}, depth {depth}: {what}", round + 1, o.rounds);
        let few = vec![Message::user(self.passage(0))];
        if let Some(exchange) = self.ask(&during("a few words"), few, SHORT)
            && exchange.failure.is_none()
            && let Some(ms) = exchange.first_text_ms
        {
            self.floor_ms.push(ms);
        }
        let all = scale.characters(depth + o.prefill);
        let text = self.passage(all);
        let question = vec![Message::user(text.clone() + QUESTION)];
        let tokens = (depth + o.prefill) as f64;
        let Some(new) = self.ask(&during(Prompt::New.name()), question.clone(), o.answer) else {
            return;
        };
        let answer = new.visible.clone();
        let failed = new.failure.is_some();
        self.keep(depth, Prompt::New, tokens, tokens, o.answer, new);
        if failed {
            // What follows builds on what the server was to have seen.
            return;
        }
        if let Some(again) = self.ask(&during(Prompt::Again.name()), question.clone(), SHORT) {
            self.keep(depth, Prompt::Again, tokens, 0.0, SHORT, again);
        }
        let mut turn = question;
        let added = NEXT.len() as f64 * scale.per_character;
        let said = answer.len() as f64 * scale.per_character;
        turn.push(Message {
            role: "assistant",
            content: answer,
        });
        turn.push(Message::user(NEXT.to_owned()));
        if let Some(next) = self.ask(&during(Prompt::NextTurn.name()), turn, SHORT) {
            self.keep(
                depth,
                Prompt::NextTurn,
                tokens + said + added,
                added,
                SHORT,
                next,
            );
        }
        if depth > 0 {
            let seen = text.floor_char_boundary(scale.characters(depth));
            let end = self.passage(text.len() - seen);
            let prefixed = format!("{}{end}{QUESTION}", &text[..seen]);
            let name = during(Prompt::SeenPrefix.name());
            if let Some(seen) = self.ask(&name, vec![Message::user(prefixed)], SHORT) {
                self.keep(
                    depth,
                    Prompt::SeenPrefix,
                    tokens,
                    o.prefill as f64,
                    SHORT,
                    seen,
                );
            }
        }
    }

    fn keep(
        &mut self,
        depth: usize,
        prompt: Prompt,
        tokens: f64,
        new_tokens: f64,
        asked: usize,
        exchange: Exchange,
    ) {
        self.made.push(Made {
            depth,
            prompt,
            new_tokens,
            tokens,
            asked,
            exchange,
        });
    }

    fn clients(&mut self, scale: Scale) -> Vec<Clients> {
        let o = self.options;
        let depth = o.depths.first().copied().unwrap_or(0);
        let characters = scale.characters(depth + o.prefill);
        let mut found = Vec::new();
        for &clients in &o.clients {
            let during = format!("{clients} clients at once");
            let share = self.done as f64 / self.planned().max(1) as f64;
            if self.stopped.is_some() {
                break;
            }
            if !(self.progress)(&during, share) {
                self.stopped = Some("interrupted".to_owned());
                break;
            }
            let first = self.next;
            self.next += (clients * o.rounds) as u64;
            let server = self.server;
            let clock = Stopwatch::start();
            let made: Vec<(Exchange, Ask)> = thread::scope(|scope| {
                let client = |client: usize| {
                    move || {
                        let ask = |turn: usize| {
                            let number = first + (client * o.rounds + turn) as u64 + 1;
                            let text = passage(number, characters) + QUESTION;
                            let ask = Ask::streamed(vec![Message::user(text)], o.answer);
                            (server.ask(&ask), ask)
                        };
                        (0..o.rounds).map(ask).collect::<Vec<_>>()
                    }
                };
                let threads: Vec<_> = (0..clients).map(|n| scope.spawn(client(n))).collect();
                threads
                    .into_iter()
                    .flat_map(|t| t.join().unwrap_or_default())
                    .collect()
            });
            let seconds = clock.elapsed_ms() / 1e3;
            for (exchange, ask) in &made {
                self.note(&during, exchange, ask);
            }
            let exchanges: Vec<Exchange> = made.into_iter().map(|(e, _)| e).collect();
            found.push(summary::clients(clients, &exchanges, seconds, o));
        }
        found
    }
}
