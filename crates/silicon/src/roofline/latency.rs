//! Load latency: the time from an address to its data, when the next address is only known from the data.
//!
//! Cache lines are visited in the order of a linear congruential sequence with full period, x' = (a x + c) mod n for n = 2^k lines
//! (Hull and Dobell 1962: c odd, a = 1 mod 4). The loaded value, always zero, is added to x', so that the next load cannot start
//! before this one has ended, while a x + c is computed in its shadow. No chain of pointers has to be written first, and every line
//! is visited once before any is seen again. The figure includes the two cycles of addition and masking, and misses of the
//! translation buffers. A core that predicts loaded values (some of Apple's do) may run ahead of it.

use std::hint::black_box;
use std::time::Duration;

use measure::Stopwatch;
use serde::{Deserialize, Serialize};

use super::{Depth, Rate, RooflineError, working_set};
use crate::probe::{CacheKind, Machine};

const LINE_BYTES: usize = 64;
/// For one working set, after three samples.
const BUDGET: Duration = Duration::from_millis(300);

/// Latency of loads over a working set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyPoint {
    /// Bytes that the loads are spread over.
    pub working_set_bytes: u64,
    /// Nanoseconds per load.
    pub load_ns: Rate,
}

/// Half of every data cache, so that the set fits in that level and not in the one before.
pub(super) fn of_caches(machine: &Machine) -> Result<Vec<LatencyPoint>, RooflineError> {
    const LARGEST: u64 = 256 << 20;
    let caches = machine.caches.value().map_or(&[][..], Vec::as_slice);
    let mut points = Vec::new();
    for cache in caches
        .iter()
        .filter(|cache| cache.kind != CacheKind::Instruction)
    {
        let bytes =
            usize::try_from((cache.size_bytes / 2).clamp(8 << 10, LARGEST)).unwrap_or(8 << 10);
        let mut map = working_set::map(bytes)?;
        for page in map.chunks_mut(4096) {
            // Zero again, but written: the page is then our own.
            page[0] = black_box(0);
        }
        points.push(of(&map, Depth::Full)?);
    }
    Ok(points)
}

/// Loads spread over the largest power of two of lines in `bytes`; values in it may be anything below the number of lines.
pub(super) fn of(bytes: &[u8], depth: Depth) -> Result<LatencyPoint, RooflineError> {
    let lines = 1usize << (bytes.len() / LINE_BYTES).max(1).ilog2();
    let (samples, loads) = if depth == Depth::Quick {
        (15, 1 << 12)
    } else {
        (31, 1 << 14)
    };
    let mut at = walk(bytes, lines, 0, loads);
    let mut load_ns = Vec::with_capacity(samples);
    let whole = Stopwatch::start();
    for sample in 0..samples {
        if sample >= 3 && whole.has_passed(BUDGET) {
            break;
        }
        let clock = Stopwatch::start();
        at = walk(bytes, lines, at, loads);
        load_ns.push(clock.elapsed_ns().max(1.0) / loads as f64);
    }
    Ok(LatencyPoint {
        working_set_bytes: (lines * LINE_BYTES) as u64,
        load_ns: Rate::new(load_ns)?,
    })
}

/// Visits `loads` lines, starting at line `at`; gives the line after the last.
fn walk(bytes: &[u8], lines: usize, mut at: usize, loads: usize) -> usize {
    // About 0.618 n and = 1 mod 4: neighbours in the sequence lie far apart.
    let factor = (lines / 8 * 5) / 4 * 4 + 5;
    let mask = lines - 1;
    for _ in 0..loads {
        let next = at.wrapping_mul(factor).wrapping_add(12_345);
        // The byte read is the line's second, which nothing ever writes: a zero that the compiler does not know.
        let loaded = bytes.get(at * LINE_BYTES + 1).copied().unwrap_or(0);
        at = next.wrapping_add(usize::from(loaded)) & mask;
    }
    black_box(at)
}

#[cfg(test)]
mod tests;
