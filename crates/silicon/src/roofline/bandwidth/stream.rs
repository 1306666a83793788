//! A working set of a chosen size that stays mapped, for readings between other measurements.

use std::hint::black_box;
use std::time::Duration;

use super::read::reader;
use super::{RooflineError, UNIT_BYTES};
use crate::roofline::{check_threads, team, working_set};

/// Largest working set of a [`Stream`]: beyond it only more of the same memory is read.
const STREAM_MOST_BYTES: u64 = 1 << 30;
/// Bytes that one thread reads at least in a round, so that a round is long against the clock.
const STREAM_ROUND_BYTES: usize = 4 << 20;
/// Rounds of one [`Stream::sample`], the first of which is not counted.
const STREAM_ROUNDS: usize = 4;

/// A working set of a chosen size that stays mapped, so that it can be read again and again between other measurements: what a
/// step of a model streams may lie in a cache that the working set of [`Dram`] is made to miss.
pub struct Stream {
    map: memmap2::MmapMut,
    threads: usize,
    slice: usize,
}

impl Stream {
    /// Maps and touches about `bytes` (from 1 KiB per thread up to 1 GiB), for `threads` readers.
    ///
    /// # Errors
    /// The number of threads makes no sense, or the system refuses the memory.
    pub fn new(bytes: u64, threads: usize) -> Result<Self, RooflineError> {
        check_threads(threads)?;
        let bytes = bytes.min(STREAM_MOST_BYTES) as usize;
        let slice = (bytes / threads / UNIT_BYTES).max(1) * UNIT_BYTES;
        let mut map = working_set::map(slice * threads)?;
        // A write to every page, or all of them would be the one shared page of zeros.
        map.fill(1);
        Ok(Self {
            map,
            threads,
            slice,
        })
    }

    /// Bytes that all threads read together.
    #[must_use]
    pub fn working_set_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// A few readings of all of it by all threads, each on its own part, in 10^9 bytes per second.
    #[must_use]
    pub fn sample(&self) -> Vec<f64> {
        let read = reader();
        let passes = (STREAM_ROUND_BYTES / self.slice).max(1);
        let members: Vec<usize> = (0..self.threads).collect();
        let budget = Duration::from_millis(50);
        let walls = team::timed_rounds(members, STREAM_ROUNDS, budget, |member, _| {
            let slice = &self.map[*member * self.slice..(*member + 1) * self.slice];
            black_box(read(black_box(slice), passes));
        });
        let bytes = (self.map.len() * passes) as f64;
        walls.iter().skip(1).map(|ns| bytes / ns).collect()
    }
}
