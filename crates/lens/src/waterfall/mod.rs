//! Taking the readings: all levels in turn, round after round, so that a burst of load from elsewhere falls on all of them alike.
//!
//! 1. The silicon once ([`ceilings`]): peaks of arithmetic, the spec sheet, the pool's own costs.
//! 2. Rounds. In each: reading a working set of the step's size; then for decode, several passes, and for prefill one, of the whole
//!    step, the step under the tracer, every part alone ([`bench`]), and generation as the user sees it ([`user`]).
//! 3. The sums (`attribution`).
//!
//! Rounds go on until the budget is spent, with a minimum. Nothing is dropped and nothing is subtracted from a reading.

mod anatomy;
mod application;
mod bench;
mod ceilings;
mod identity;
mod plan;
mod scaling;
mod sustain;
mod timeline;
mod user;

use std::time::Duration;

use measure::{Stopwatch, TimerCost};
use runtime::{Batch, Engine, Session};
use text::Specials;

use crate::{
    LensError,
    attribution::{Readings, waterfall},
    report::{Regime, Report, SCHEMA, Scaling},
};
use bench::Bench;
use ceilings::{PoolCosts, Silicon, Streams};
#[cfg(test)]
pub(crate) use plan::Chunk;
pub(crate) use plan::{PartPlan, Plan};
pub use sustain::sustain;
pub use timeline::{Timeline, timeline};
pub(crate) use user::UserReading;

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Tokens already in the caches when decoding.
    pub depth: usize,
    /// Tokens of the prompt.
    pub prefill_tokens: usize,
    /// The memory bandwidth on the machine's data sheet, where the user knows it better, in 10^9 bytes per second.
    pub spec_bandwidth_gb_s: Option<f64>,
    /// Whether steps at several depths and with several sequences are timed too.
    pub scaling: bool,
    /// About 15 seconds for a small model; else a minute, with bandwidth at every cache level.
    pub quick: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            depth: 256,
            prefill_tokens: 512,
            spec_bandwidth_gb_s: None,
            scaling: false,
            quick: true,
        }
    }
}

/// Passes of decode in one round: a step of decode is much shorter than a prompt.
const DECODE_PASSES: usize = 10;
/// Samples of the bandwidths in one round.
const STREAM_SAMPLES: usize = 3;
/// Passes for one with warm weights, which only stand beside the others.
const WARM_EVERY: usize = 3;
/// Passes of decode for one generation.
const GENERATE_EVERY: u64 = 4;
/// For which conversations are timed; half of it in a quick run.
const CONVERSATIONS: Duration = Duration::from_secs(2);
/// For which tokens are decoded to see what they take; the counters' steps must be small beside it.
const ENERGY: Duration = Duration::from_secs(4);
/// Rounds that are made whatever they take.
const MIN_ROUNDS: usize = 3;
/// Rounds beyond which nothing is gained.
const MAX_ROUNDS: usize = 30;

/// Measures the waterfalls. `progress` hears what is done and how much of it, from 0 to 1.
///
/// # Errors
/// The model can't be run as asked, or the machine can't be measured.
pub fn measure(
    engine: &Engine,
    options: &Options,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Report, LensError> {
    let clock = Stopwatch::start();
    let mut warnings = Vec::new();
    let falls = if options.scaling { 0.5 } else { 1.0 };
    let (depth, tokens) = fit(engine, options, &mut warnings)?;
    let silicon = Silicon::measure(engine.pool().threads(), options, &mut |step, done| {
        progress(step, falls * 0.3 * done)
    })?;
    let profile = engine.profile();
    let program = &engine.model().program;
    let plans = [
        Plan::prefill(program, profile, 0, tokens),
        Plan::decode(program, profile, depth, 1),
    ];
    progress("warming up", falls * 0.3);
    let mut rounds = Rounds::new(engine, &plans, depth, tokens, !options.quick)?;
    let pool = PoolCosts::measure(engine.pool())?;
    let budget = Duration::from_secs(if options.quick { 9 } else { 45 });
    let done = rounds.all(&plans, budget, &mut |step, share| {
        progress(step, falls * (0.3 + 0.65 * share));
    })?;
    progress("a conversation", falls * 0.97);
    let conversations = CONVERSATIONS / if options.quick { 2 } else { 1 };
    let application = application::measure(engine, STORY, conversations);
    let application = application
        .map_err(|error| warnings.push(format!("no conversation was timed: {error}")))
        .ok();
    let Rounds {
        mut bench,
        readings,
        streams,
        ..
    } = rounds;
    let fall = |at: usize, streams: Streams| {
        let ceilings = streams.ceilings(&silicon, pool)?;
        waterfall(
            &plans[at],
            &readings[at],
            ceilings,
            &silicon.spec,
            silicon.unit,
        )
    };
    let [of_prefill, of_decode] = streams;
    let (prefill, decode) = (fall(0, of_prefill)?, fall(1, of_decode)?);
    let scaling = options.scaling.then(|| {
        let ceilings = [&prefill.ceilings, &decode.ceilings];
        let found = scaling::measure(engine, &mut bench, &silicon, ceilings, &mut |step, done| {
            progress(step, falls + (1.0 - falls) * done);
        });
        // The waterfalls are there: a lack of memory for more is told beside them.
        found.unwrap_or_else(|error| Scaling {
            points: Vec::new(),
            skipped: vec![format!("everything: {error}")],
        })
    });
    progress("energy", 0.99);
    let energy = (!options.quick).then(|| sustain::energy(engine, options, ENERGY));
    let energy = energy.and_then(|found| {
        found
            .map_err(|error| warnings.push(format!("no energy was measured: {error}")))
            .ok()
    });
    progress("done", 1.0);
    identity::warn(&silicon.roofline, &[&prefill, &decode], &mut warnings);
    Ok(Report {
        schema: SCHEMA.into(),
        sprag: env!("CARGO_PKG_VERSION").into(),
        build: None,
        date: identity::now(),
        elapsed_s: clock.elapsed_ms() / 1e3,
        rounds: done,
        model: identity::model(engine),
        profile: identity::profile(profile),
        anatomy: Some(anatomy::anatomy(
            engine.model(),
            profile,
            &plans[1],
            &decode,
        )),
        application,
        energy,
        sustained: None,
        history: Vec::new(),
        drift: Vec::new(),
        prefill,
        decode,
        scaling,
        warnings,
        timer: TimerCost::measure(),
        spec: silicon.spec,
        roofline: silicon.roofline,
        machine: silicon.machine,
    })
}

/// Depth and prompt that fit the model's context.
fn fit(
    engine: &Engine,
    options: &Options,
    warnings: &mut Vec<String>,
) -> Result<(usize, usize), LensError> {
    let context = engine.model().config.context;
    let most = context.saturating_sub(user::ROOM);
    if most == 0 {
        return Err(LensError::Context {
            context,
            need: user::ROOM + 1,
        });
    }
    let mut shortened = |what: &str, asked: usize| {
        if asked > most {
            warnings.push(format!(
                "{what} of {asked} tokens was cut to {most}: the model was made for {context}"
            ));
        }
        asked.min(most)
    };
    Ok((
        shortened("the depth", options.depth),
        shortened("the prompt", options.prefill_tokens.max(1)),
    ))
}

/// Everything that the rounds use and fill.
struct Rounds<'e> {
    session: Session<'e>,
    bench: Bench,
    text: String,
    text_tokens: usize,
    /// Prefill, decode.
    readings: [Readings; 2],
    streams: [Streams; 2],
    /// Whether parts are timed with warm weights, too.
    is_warm: bool,
}

impl<'e> Rounds<'e> {
    fn new(
        engine: &'e Engine,
        plans: &[Plan; 2],
        depth: usize,
        tokens: usize,
        is_warm: bool,
    ) -> Result<Self, LensError> {
        let (text, prompt) = natural(engine, tokens)?;
        let text_tokens = prompt.len();
        let mut session = engine.session(Some(depth.max(tokens) + user::ROOM))?;
        let mut bench = Bench::new(engine, prompt);
        let threads = engine.pool().threads();
        let streams = [
            Streams::new(&plans[0], threads)?,
            Streams::new(&plans[1], threads)?,
        ];
        for plan in plans {
            bench.step(session.as_batch(), plan)?;
        }
        session.reset();
        Ok(Self {
            session,
            bench,
            text,
            text_tokens,
            readings: Default::default(),
            streams,
            is_warm,
        })
    }

    /// Rounds for `budget`, at least [`MIN_ROUNDS`]; how many there were.
    fn all(
        &mut self,
        plans: &[Plan; 2],
        budget: Duration,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<usize, LensError> {
        let clock = Stopwatch::start();
        let mut done = 0;
        while done < MIN_ROUNDS || (done < MAX_ROUNDS && !clock.has_passed(budget)) {
            let spent = clock.elapsed_ms() / 1e3 / budget.as_secs_f64();
            let share = (done as f64 / MIN_ROUNDS as f64).min(1.0);
            progress(&format!("round {}", done + 1), spent.min(share));
            self.run(plans, done as u64)?;
            done += 1;
        }
        Ok(done)
    }

    fn run(&mut self, plans: &[Plan; 2], round: u64) -> Result<(), LensError> {
        let (session, bench) = (&mut self.session, &mut self.bench);
        // Together and not between the passes: what they read pushes the model out of the caches that it would otherwise keep.
        for _ in 0..STREAM_SAMPLES {
            for streams in &mut self.streams {
                streams.sample();
            }
        }
        let [prefill, decode] = &mut self.readings;
        for turn in 0..DECODE_PASSES as u64 {
            pass(bench, session.as_batch(), &plans[1], decode, self.is_warm)?;
            if turn.is_multiple_of(GENERATE_EVERY) {
                let seed = round * DECODE_PASSES as u64 + turn;
                decode.user.get_or_insert_default().extend(user::answer(
                    session,
                    bench,
                    plans[1].depth,
                    seed,
                )?);
            }
        }
        pass(bench, session.as_batch(), &plans[0], prefill, self.is_warm)?;
        let prompt = bench.prompt(plans[0].tokens);
        prefill.user.get_or_insert_default().push(user::prompt(
            session,
            &prompt,
            &self.text,
            self.text_tokens,
        )?);
        Ok(())
    }
}

/// One reading of the step, of the traced step, and of each part alone.
fn pass(
    bench: &mut Bench,
    batch: &mut Batch<'_>,
    plan: &Plan,
    readings: &mut Readings,
    is_warm: bool,
) -> Result<(), LensError> {
    if plan.regime == Regime::Decode {
        // A token's step follows another token's, not the reading of something else.
        bench.step(batch, plan)?;
    }
    readings.step_ms.push(bench.step(batch, plan)?);
    let traced = bench.traced_step(batch, plan)?;
    readings.traced_ms.push(traced.wall_ms);
    readings.fork_join_ms.push(traced.fork_join_ms);
    readings.in_step.push(traced.parts);
    if is_warm && readings.alone.len().is_multiple_of(WARM_EVERY) {
        readings
            .warm
            .push(bench.alone(batch, plan, |part| &part.warm)?);
    }
    readings
        .alone
        .push(bench.alone(batch, plan, |part| &part.alone)?);
    Ok(())
}

/// Text of at least `tokens` tokens, and its tokens.
fn natural(engine: &Engine, tokens: usize) -> Result<(String, Vec<u32>), LensError> {
    let encode = |text: &str| engine.tokenizer().encode_prompt(text, Specials::Plain);
    let mut text = text();
    let mut prompt = encode(&text);
    if prompt.len() < 2 {
        let tokens = prompt.len();
        return Err(LensError::Tokenizer { tokens });
    }
    while prompt.len() < tokens {
        text = text.repeat(2);
        prompt = encode(&text);
    }
    Ok((text, prompt))
}

/// What a prompt looks like: prose, numbers, a list, code.
fn text() -> String {
    format!("{STORY}\n\n{QUESTIONS}")
}

const STORY: &str = "A loaded wagon on a steep road wants to roll back. The carter knows it: on the way up he lets a short \
    wooden prop drag behind the rear axle, and when the horses stop to rest, the prop digs into the gravel and the wagon stays where \
    it is. Nobody looks at the prop while the wheels are turning. It costs a little, it weighs a little, and on a flat road it \
    does nothing at all. In 1847, on the 12 km between the quarry and the harbour, 340 wagons went up each week, and the keeper \
    of the toll-house wrote down every one that came down again without its horses: 3 in the first year, none in the second.";

const QUESTIONS: &str = "Please summarise the text above in two sentences, then answer:\n1. What does the prop do when the wagon \
    stops?\n2. Why is it easy to forget?\n\nfn holds(slope: f64, friction: f64) -> bool {\n    friction >= slope.tan()\n}\n\n";
