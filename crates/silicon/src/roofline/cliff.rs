//! Cliffs: where the bandwidth of one thread falls steeply as the working set outgrows a cache.
//!
//! Along rising sizes, a run of neighbouring steps that each fall by at least 10% is one slope; a slope that falls by at least 25%
//! in all is a cliff. The caches whose size lies on the slope are its likely cause and are named.

use serde::{Deserialize, Serialize};

use super::BandwidthPoint;
use crate::probe::{CacheKind, Machine};

const STEP_FALL: f64 = 0.90;
const WHOLE_FALL: f64 = 0.75;

/// A steep fall of bandwidth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cliff {
    /// Largest working set before the fall.
    pub from_bytes: u64,
    /// Smallest working set after it.
    pub to_bytes: u64,
    /// Bandwidth after over bandwidth before, below 1.
    pub factor: f64,
    /// Levels of the caches whose size lies between.
    pub cache_levels: Vec<u32>,
}

/// Finds the cliffs along points of rising size.
#[must_use]
pub fn find(points: &[BandwidthPoint], machine: &Machine) -> Vec<Cliff> {
    let series: Vec<(u64, f64)> = points
        .iter()
        .map(|point| (point.bytes_per_thread, point.one_thread_gb_s.median))
        .collect();
    slopes(&series)
        .into_iter()
        .map(|(from, to)| Cliff {
            from_bytes: from.0,
            to_bytes: to.0,
            factor: to.1 / from.1,
            cache_levels: levels_between(machine, from.0, to.0),
        })
        .collect()
}

fn slopes(series: &[(u64, f64)]) -> Vec<((u64, f64), (u64, f64))> {
    let mut found = Vec::new();
    let mut top = 0;
    for at in 1..=series.len() {
        let falls = at < series.len() && series[at].1 <= series[at - 1].1 * STEP_FALL;
        if !falls {
            if at - 1 > top && series[at - 1].1 <= series[top].1 * WHOLE_FALL {
                found.push((series[top], series[at - 1]));
            }
            top = at;
        }
    }
    found
}

fn levels_between(machine: &Machine, from_bytes: u64, to_bytes: u64) -> Vec<u32> {
    let caches = machine.caches.value().map_or(&[][..], Vec::as_slice);
    let on_slope = caches.iter().filter(|cache| {
        cache.kind != CacheKind::Instruction
            && from_bytes <= cache.size_bytes
            && cache.size_bytes <= to_bytes
    });
    on_slope.map(|cache| cache.level).collect()
}

#[cfg(test)]
mod tests;
