//! Decoding for minutes: does the machine keep its speed when it gets warm, and what does it draw?
//!
//! 1. The machine rests for [`REST`], where anything shows its power.
//! 2. Tokens are decoded at one depth, so that every second has the same work. At the end of each second the clock is measured and the
//!    sensors are read; that time is not counted.
//! 3. The last minute is held against the best ten seconds.

use std::time::{Duration, Instant};

use runtime::Engine;
use silicon::{
    Fact,
    energy::{Idle, Sources, Tally, Used, totals},
    roofline::clock_now_ghz,
    sensors::{Reader, Sensors, Temperature},
};

use super::{Bench, Options, Plan, fit, natural};
use crate::{
    LensError,
    report::{Energy, EnergyUse, Second, Sustained},
};

const REST: Duration = Duration::from_secs(3);
const BEST_S: f64 = 10.0;
const LAST_S: f64 = 60.0;

/// What a token of decode takes, of a run of `time`; where nothing can be read nothing is run.
///
/// # Errors
/// The model can't be run as asked.
pub(super) fn energy(
    engine: &Engine,
    options: &Options,
    time: Duration,
) -> Result<Energy, LensError> {
    let sources = Sources::open();
    if sources.is_empty() {
        return Ok(Energy {
            tokens: 0,
            elapsed_s: 0.0,
            idle: None,
            used: Vec::new(),
            totals: totals(&[]),
            unreadable: sources.unreadable().to_vec(),
        });
    }
    sustain(engine, options, time, &|| false, &mut |_, _| ()).map(|run| run.energy)
}

/// Decodes for `time`, or until `stop` says so. `progress` hears what is done and how much of it, from 0 to 1.
///
/// # Errors
/// The model can't be run as asked.
pub fn sustain(
    engine: &Engine,
    options: &Options,
    time: Duration,
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Sustained, LensError> {
    let (depth, tokens) = fit(engine, options, &mut Vec::new())?;
    let plan = Plan::decode(&engine.model().program, engine.profile(), depth, 1);
    let (_, text) = natural(engine, tokens)?;
    let mut session = engine.session(Some(depth + 1))?;
    let mut bench = Bench::new(engine, text);
    bench.step(session.as_batch(), &plan)?;

    let (sources, sensors) = (Sources::open(), Reader::open());
    let idle = (!sources.is_empty()).then(|| {
        progress("the machine rests", 0.0);
        Idle::measure(&sources, REST)
    });
    let first = sensors.read();
    let mut tally = Tally::start(&sources);
    let (began, mut seconds) = (Instant::now(), Vec::new());
    while began.elapsed() < time && !stop() {
        let share = began.elapsed().as_secs_f64() / time.as_secs_f64();
        let rate = seconds.last().map_or(0.0, |s: &Second| s.tokens_per_s);
        progress(&format!("sustained: {rate:.1} tokens/s"), share.min(1.0));
        let (start, mut done, mut took_ms) = (Instant::now(), 0, 0.0);
        while start.elapsed() < Duration::from_secs(1) && !stop() {
            took_ms += bench.step(session.as_batch(), &plan)?.iter().sum::<f64>();
            done += 1;
        }
        let clock_ghz = clock_now_ghz().value().copied();
        let used = tally.tick(&sources);
        seconds.push(Second {
            at_s: began.elapsed().as_secs_f64(),
            tokens: done,
            tokens_per_s: 1e3 * done as f64 / f64::max(took_ms, f64::MIN_POSITIVE),
            clock_ghz,
            celsius: hottest(&sensors.temperatures()),
            power_w: power_w(&used),
        });
    }
    let elapsed_s = began.elapsed().as_secs_f64();
    let last = sensors.read();
    let last_s = LAST_S.min(elapsed_s / 2.0);
    let (best_tokens_per_s, best_s) = best(&seconds);
    let used = tally.used();
    let energy = Energy {
        tokens: seconds.iter().map(|s| s.tokens).sum(),
        elapsed_s,
        used: used
            .iter()
            .map(|used| beyond(idle.as_ref(), used))
            .collect(),
        totals: totals(used),
        unreadable: sources.unreadable().to_vec(),
        idle,
    };
    progress("done", 1.0);
    Ok(Sustained {
        asked_s: time.as_secs_f64(),
        elapsed_s,
        depth,
        best_tokens_per_s,
        best_s,
        last_tokens_per_s: rate_since(&seconds, elapsed_s - last_s),
        last_s,
        throttled: throttled(&first, &last),
        unknown: unknown(&last),
        seconds,
        energy,
    })
}

fn beyond(idle: Option<&Idle>, used: &Used) -> EnergyUse {
    let net_j = idle.map(|idle| idle.net_j(used));
    EnergyUse {
        scope: used.scope.clone(),
        gross_j: used.energy_j.clone(),
        net_j: net_j.unwrap_or_else(|| Fact::unknown("the machine did not rest before")),
    }
}

/// Tokens over the time of the steps.
fn rate<'s>(seconds: impl Iterator<Item = &'s Second>) -> f64 {
    let (mut tokens, mut took) = (0.0, 0.0);
    for second in seconds.filter(|s| s.tokens_per_s > 0.0) {
        tokens += second.tokens as f64;
        took += second.tokens as f64 / second.tokens_per_s;
    }
    if took > 0.0 { tokens / took } else { 0.0 }
}

fn rate_since(seconds: &[Second], from_s: f64) -> f64 {
    rate(seconds.iter().filter(|s| s.at_s > from_s))
}

/// Of the best stretch of [`BEST_S`], and how long a stretch that is.
fn best(seconds: &[Second]) -> (f64, f64) {
    let whole = seconds.last().map_or(0.0, |s| s.at_s);
    if whole <= BEST_S {
        return (rate(seconds.iter()), whole);
    }
    let stretches = seconds.iter().filter(|s| s.at_s >= BEST_S).map(|last| {
        rate(
            seconds
                .iter()
                .filter(|s| s.at_s <= last.at_s && s.at_s > last.at_s - BEST_S),
        )
    });
    (stretches.fold(0.0, f64::max), BEST_S)
}

fn hottest(temperatures: &Fact<Vec<Temperature>>) -> Option<f64> {
    let all = temperatures.value().into_iter().flatten();
    all.map(|t| t.celsius).max_by(f64::total_cmp)
}

fn power_w(used: &[Used]) -> Option<f64> {
    let elapsed_s = used.first()?.elapsed_s;
    let all = totals(used);
    let sum = all.parts.or(all.system)?;
    (elapsed_s > 0.0).then(|| sum.energy_j / elapsed_s)
}

fn throttled(first: &Sensors, last: &Sensors) -> Fact<u64> {
    let (before, after) = match (&first.throttles, &last.throttles) {
        (Fact::Known { value: before, .. }, Fact::Known { value: after, .. }) => (before, after),
        (Fact::Unknown { reason }, _) | (_, Fact::Unknown { reason }) => {
            return Fact::unknown(reason.clone());
        }
    };
    let more = |then: Option<u64>, now: Option<u64>| Some(now?.saturating_sub(then?));
    let counts = after.iter().flat_map(|now| {
        let then = before.iter().find(|then| then.cpu == now.cpu);
        let of_core = then.and_then(|then| more(then.core_count, now.core_count));
        let of_package = then.and_then(|then| more(then.package_count, now.package_count));
        [of_core, of_package]
    });
    match counts.flatten().max() {
        Some(most) => Fact::known(most, "the largest of the processors' throttle counters"),
        None => Fact::unknown("no processor has a throttle counter"),
    }
}

/// What is not sensed, and why.
fn unknown(sensors: &Sensors) -> Vec<String> {
    let mut all = Vec::new();
    if let Fact::Unknown { reason } = &sensors.temperatures {
        all.push(format!("temperature is unavailable: {reason}"));
    }
    if let Fact::Unknown { reason } = &sensors.throttles {
        all.push(format!("throttling is unavailable: {reason}"));
    }
    all
}

#[cfg(test)]
mod tests;
