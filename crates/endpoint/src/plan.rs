//! The order of requests, and what their times amount to.
//!
//! 1. One request that does not count: many servers load a model at the first.
//! 2. Two prompts of different length: what the template takes and what a character takes, in tokens.
//! 3. Rounds over the depths, forth and back. At each depth a new prompt, its next turn, the same again, and a new end behind its
//!    prefix; before each depth a prompt of a few words, whose time and tokens are what any request costs.
//! 4. Several clients at once.
//!
//! With two servers every step goes to both with the same text, in the order first, second, second, first, so that a machine or a
//! network that grows slower does so for both. Clients then take turns of one request each for the same reason. A server that fails
//! is left alone; the other goes on.

mod side;
mod summary;
mod texts;
mod watch;
mod words;

use measure::Stopwatch;

use crate::{EndpointError, Report, comparison, server::Server, text::Scale};
pub(crate) use side::{Crowd, Floor, Made, Side};
use texts::Texts;
use watch::Watch;

/// Characters of the two prompts that the scale is learned from.
const PROBES: [usize; 2] = [600, 4600];

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

impl Options {
    /// Requests to each server, as planned.
    fn planned(&self) -> usize {
        let of_depth = |depth: &usize| if *depth == 0 { 4 } else { 5 };
        3 + self.rounds * self.depths.iter().map(of_depth).sum::<usize>()
            + self.rounds * self.clients.iter().sum::<usize>()
    }
}

/// Sends all requests. `progress` hears what is done, and its share of the whole, before each request and some times a second while one
/// is waited for; where it answers `false`, what there is by then is the report.
///
/// # Errors
/// The first requests brought nothing.
pub fn measure(
    server: &Server,
    options: &Options,
    progress: &mut dyn FnMut(&str, f64) -> bool,
) -> Result<Report, EndpointError> {
    let clock = Stopwatch::start();
    let mut sides = [Side::new(server, options, "")];
    let scale = all(&mut sides, options, progress)?;
    let [side] = sides;
    Ok(summary::report(side, scale, clock.elapsed_ms() / 1e3))
}

/// As [`measure`], with a second server in turns; what it did is in the report's `against`. The two have to be different servers, or
/// different models of one: what is new to the first would else be seen by the second.
///
/// # Errors
/// The first requests to either brought nothing.
pub fn compare(
    first: &Server,
    second: &Server,
    options: &Options,
    progress: &mut dyn FnMut(&str, f64) -> bool,
) -> Result<Report, EndpointError> {
    let clock = Stopwatch::start();
    let mut sides = [
        Side::new(first, options, "first server, "),
        Side::new(second, options, "second server, "),
    ];
    let scale = all(&mut sides, options, progress)?;
    let against = comparison::Material::of(&sides[0], &sides[1], scale);
    let elapsed_s = clock.elapsed_ms() / 1e3;
    let [first, second] = sides.map(|side| summary::report(side, scale, elapsed_s));
    Ok(against.compared(first, second))
}

/// Every step, by every side.
fn all(
    sides: &mut [Side<'_>],
    options: &Options,
    progress: &mut dyn FnMut(&str, f64) -> bool,
) -> Result<Scale, EndpointError> {
    let mut watch = Watch::new(progress, sides.len() * options.planned());
    let mut texts = Texts::from(options.seed);
    let first = texts.passage(PROBES[0]);
    for side in &mut *sides {
        side.first(&mut watch, &first)?;
    }
    for characters in PROBES {
        let passage = texts.passage(characters);
        for side in &mut *sides {
            side.probe(&mut watch, &passage);
        }
    }
    // The same texts for both, so one scale for both; what each counts is kept.
    let scale = sides.iter().find_map(Side::scale);
    let scale = scale.unwrap_or(Scale::ASSUMED);
    let mut block = 0;
    for round in 0..options.rounds {
        let mut depths = options.depths.clone();
        if round % 2 == 1 {
            depths.reverse();
        }
        for depth in depths {
            let step = texts.step(block, round, depth, options.prefill, scale);
            for side in in_turn(sides, round) {
                side.at_depth(&mut watch, scale, &step);
            }
            block += 1;
        }
    }
    for &clients in &options.clients {
        several(sides, options, &mut watch, &mut texts, scale, clients);
    }
    if watch.is_stopped() {
        for side in sides {
            side.stop("interrupted");
        }
    }
    Ok(scale)
}

/// First and second, or second and first.
fn in_turn<'s, 'a>(sides: &'s mut [Side<'a>], turn: usize) -> Vec<&'s mut Side<'a>> {
    let mut sides: Vec<_> = sides.iter_mut().collect();
    if turn % 2 == 1 {
        sides.reverse();
    }
    sides
}

/// Several clients at once: one server without a pause, two in turns.
fn several(
    sides: &mut [Side<'_>],
    options: &Options,
    watch: &mut Watch<'_>,
    texts: &mut Texts,
    scale: Scale,
    clients: usize,
) {
    let (turns, each) = match sides.len() {
        1 => (1, options.rounds),
        _ => (options.rounds, 1),
    };
    let depth = options.depths.first().copied().unwrap_or(0);
    let characters = scale.characters(depth + options.prefill);
    for turn in 0..turns {
        let passages = texts.crowd(clients, each, characters);
        for side in in_turn(sides, turn) {
            side.crowd(watch, clients, turn, &passages);
        }
    }
}
