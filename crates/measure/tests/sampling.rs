//! The sampler against work of known length.

use std::hint::black_box;
use std::time::Duration;

use measure::{Sampler, Series, TimerCost, WarmUp, repeat_until};

#[test]
fn sleep_takes_at_least_its_time() {
    let series = repeat_until(Duration::from_millis(10), 3, || {
        std::thread::sleep(Duration::from_millis(2))
    })
    .unwrap();
    assert!(series.per_call_ns.len() >= 3);
    assert!(series.per_call_ns.min() >= 2e6);
    assert_eq!(series.calls_per_sample, 1);
    assert!(series.overhead_share() < 0.01);
}

#[test]
fn short_work_is_batched_until_the_timer_is_small() {
    let mut counter = 0u64;
    let series = repeat_until(Duration::from_millis(5), 3, || {
        counter = black_box(counter) + 1
    })
    .unwrap();
    assert!(series.calls_per_sample > 1);
    // 0.5% is aimed at from the fastest warm-up call; the rest is room for a busy machine.
    assert!(series.overhead_share() < 0.2, "{}", series.overhead_share());
}

#[test]
fn minimum_and_maximum_are_kept() {
    let mut calls = 0u64;
    let sampler = Sampler {
        max_samples: 4,
        warm_up: WarmUp {
            calls: 3,
            at_least_ms: 0,
        },
        ..Sampler::new(Duration::from_secs(3600), 2)
    };
    let series = sampler.run(|| calls += 1).unwrap();
    assert_eq!(series.per_call_ns.len(), 4);
    assert_eq!(series.warm_up_calls, 3);
    assert_eq!(calls, 3 + 4 * series.calls_per_sample);

    let at_least = repeat_until(Duration::ZERO, 7, || ()).unwrap();
    assert_eq!(at_least.per_call_ns.len(), 7);
}

#[test]
fn interleaved_runs_of_one_function_give_about_one() {
    let work = || std::thread::sleep(Duration::from_millis(1));
    let pairs = Sampler::new(Duration::from_millis(40), 8)
        .interleave(work, work)
        .unwrap();
    let ratio = pairs.ratio_of_medians(0.95).unwrap();
    assert!(ratio.ratio > 0.5 && ratio.ratio < 2.0, "{ratio:?}");
}

#[test]
fn timer_cost_is_positive_and_small() {
    let cost = TimerCost::measure();
    assert!(cost.resolution_ns > 0.0);
    assert!(cost.cost_ns < 1e6, "{cost:?}");
}

/// A mean of calls is any number: the plain reader is off by the last bit for one in a few.
#[test]
fn any_time_survives_json() {
    for ticks in 1..2000 {
        let time_ns = f64::from(ticks) / 300.0;
        let text = serde_json::to_string(&time_ns).unwrap();
        let read: f64 = serde_json::from_str(&text).unwrap();
        assert_eq!(read.to_bits(), time_ns.to_bits(), "{text}");
    }
}

#[test]
fn series_survives_json() {
    let series = repeat_until(Duration::ZERO, 2, || ()).unwrap();
    let text = serde_json::to_string(&series).unwrap();
    assert_eq!(serde_json::from_str::<Series>(&text).unwrap(), series);
}
