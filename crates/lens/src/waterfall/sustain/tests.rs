//! Stretches of a sustained run: the best ten seconds and the last minute.

use super::{best, rate_since};
use crate::report::Second;

fn seconds(rates: &[f64]) -> Vec<Second> {
    let second = |(index, &tokens_per_s): (usize, &f64)| Second {
        at_s: index as f64 + 1.0,
        tokens: tokens_per_s as usize,
        tokens_per_s,
        clock_ghz: None,
        celsius: None,
        power_w: None,
    };
    rates.iter().enumerate().map(second).collect()
}

#[test]
fn the_best_ten_seconds_are_found_wherever_they_are() {
    let mut rates = vec![50.0; 120];
    rates[70..80].fill(100.0);
    // One quick second alone is no stretch.
    rates[20] = 300.0;
    let (tokens_per_s, stretch_s) = best(&seconds(&rates));
    assert_eq!(stretch_s, 10.0);
    assert!((tokens_per_s - 100.0).abs() < 1e-9, "{tokens_per_s}");
}

#[test]
fn a_short_run_is_one_stretch_and_none_is_nothing() {
    assert_eq!(best(&seconds(&[10.0, 30.0])), (20.0, 2.0));
    assert_eq!(best(&[]), (0.0, 0.0));
    assert_eq!(rate_since(&[], 0.0), 0.0);
}

#[test]
fn the_last_stretch_begins_behind_its_start() {
    let rates = [100.0, 100.0, 40.0, 60.0];
    let last = rate_since(&seconds(&rates), 2.0);
    // 100 tokens in the two seconds that they took.
    assert!((last - 50.0).abs() < 1e-9, "{last}");
}
