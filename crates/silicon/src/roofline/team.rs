//! Threads that start together, and the wall time of their common rounds.
//!
//! 1. Every thread of the team is started once.
//! 2. Before each round all wait at a barrier. The first to wake sets the start 100 us ahead, and all spin until then: waking up
//!    takes tens of microseconds, which would otherwise be a part of every short round.
//! 3. Each notes its own start and end. The round's time is the last end less the first start, so a thread that the system kept
//!    from starting on time counts, as it would in a real step.
//!
//! Rounds end early when the budget is spent, but not before four are done: on an overloaded machine a round can take seconds.

use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use measure::clock::ns;

/// Longer than a wake-up usually takes.
const HEAD_START: Duration = Duration::from_micros(100);

/// Rounds that are run whatever they take: one to warm up, and three for a median.
const MIN_ROUNDS: usize = 4;

/// Runs up to `rounds` rounds, for about `budget`, of `work(member, round)`, one member for each thread; gives the wall time of each round in nanoseconds.
pub(super) fn timed_rounds<M: Send>(
    members: Vec<M>,
    rounds: usize,
    budget: Duration,
    work: impl Fn(&mut M, usize) + Sync,
) -> Vec<f64> {
    let barrier = Barrier::new(members.len());
    let began = Instant::now();
    // The start of each round, or `None` to stop; whichever thread wakes first decides for all.
    let starts: Vec<OnceLock<Option<Instant>>> = (0..rounds).map(|_| OnceLock::new()).collect();
    let spans: Vec<Vec<(Instant, Instant)>> = std::thread::scope(|scope| {
        let run = |mut member: M| {
            let (barrier, starts, work) = (&barrier, &starts, &work);
            move || {
                let mut spans = Vec::with_capacity(rounds);
                for (round, start) in starts.iter().enumerate() {
                    barrier.wait();
                    let start = start.get_or_init(|| {
                        let now = Instant::now();
                        let spent = round >= MIN_ROUNDS && now.duration_since(began) >= budget;
                        (!spent).then(|| now + HEAD_START)
                    });
                    let Some(start) = start else { break };
                    while Instant::now() < *start {
                        std::hint::spin_loop();
                    }
                    let start = Instant::now();
                    work(&mut member, round);
                    spans.push((start, Instant::now()));
                }
                spans
            }
        };
        let threads: Vec<_> = members
            .into_iter()
            .map(|member| scope.spawn(run(member)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(spans) => spans,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    });
    let done = spans.iter().map(Vec::len).min().unwrap_or(0);
    (0..done)
        .filter_map(|round| {
            let start = spans.iter().map(|spans| spans[round].0).min()?;
            let end = spans.iter().map(|spans| spans[round].1).max()?;
            // A clock of coarse resolution may show no time at all.
            Some(ns(end.duration_since(start)).max(1.0))
        })
        .collect()
}
