//! Read bandwidth: how fast bytes reach the registers.
//!
//! Decoding a token reads every weight once, so this is its ceiling. Each thread reads its own slice in four streams that run side by
//! side (more requests in flight than one stream gets), 64 bytes per load, with an OR into independent accumulators as the least that
//! keeps the loads alive. Nothing is written.
//!
//! Memory: rounds walk through the whole working set window by window and start over, so that a window is read again only after
//! everything else has passed through the caches.

use std::hint::black_box;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::working_set::WorkingSet;
use super::{Depth, Rate, RooflineError, team};

const STREAMS: usize = 4;
/// Bytes that one stream reads before the next has its turn.
const STRIDE_BYTES: usize = 256;
/// Slices are whole multiples of this.
const UNIT_BYTES: usize = STREAMS * STRIDE_BYTES;
/// Windows of the memory's working set; one round reads one window.
const WINDOWS: usize = 32;

/// Reading from memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dram {
    /// Bytes read over and over.
    pub working_set_bytes: u64,
    /// Bytes that would surely lie beyond the caches.
    pub wanted_bytes: u64,
    /// Why the working set has its size.
    pub why: String,
    /// Whether huge pages were asked for; a full run does, a quick one takes pages as they come.
    pub asked_for_huge_pages: bool,
    /// One thread.
    pub one_thread_gb_s: Rate,
    /// All threads together.
    pub all_threads_gb_s: Rate,
}

/// Reading a working set of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandwidthPoint {
    /// Bytes for each thread.
    pub bytes_per_thread: u64,
    /// One thread alone.
    pub one_thread_gb_s: Rate,
    /// All threads together, each on its own bytes.
    pub all_threads_gb_s: Rate,
}

pub(super) fn of_dram(
    set: &WorkingSet,
    threads: usize,
    depth: Depth,
) -> Result<Dram, RooflineError> {
    let read = reader();
    let (passes, budget_ms) = if depth == Depth::Quick {
        (1, 300)
    } else {
        (3, 1500)
    };
    let budget = Duration::from_millis(budget_ms);
    let window = set.bytes().len() / WINDOWS;
    let run = |threads: usize, rounds: usize| {
        let slice = window / threads / UNIT_BYTES * UNIT_BYTES;
        let members: Vec<usize> = (0..threads).collect();
        let walls = team::timed_rounds(members, rounds, budget, |member, round| {
            let at = round % WINDOWS * window + *member * slice;
            black_box(read(&set.bytes()[at..at + slice]));
        });
        Rate::giga_per_s((slice * threads) as f64, &walls)
    };
    Ok(Dram {
        working_set_bytes: set.bytes().len() as u64,
        wanted_bytes: set.wanted_bytes,
        why: set.why.clone(),
        asked_for_huge_pages: set.asked_for_huge_pages,
        one_thread_gb_s: run(1, WINDOWS * passes)?,
        all_threads_gb_s: run(threads, WINDOWS * passes)?,
    })
}

/// Sizes from 16 KiB per thread, doubling up to 1 GiB in all or what `bytes` holds.
pub(super) fn by_size(bytes: &[u8], threads: usize) -> Result<Vec<BandwidthPoint>, RooflineError> {
    const SMALLEST: usize = 16 << 10;
    const LARGEST: usize = 1 << 30;
    /// For one size and one number of threads: about 16 sizes and two numbers make 10 seconds at most.
    const BUDGET: Duration = Duration::from_millis(300);
    let largest = LARGEST.min(bytes.len()) / threads;
    let read = reader();
    let mut points = Vec::new();
    let mut size = SMALLEST;
    while size <= largest {
        let run = |threads: usize| {
            // At least 32 MiB per round, so that a round is long against the barrier's wake-up.
            let passes = ((32 << 20) / size).max(1);
            let rounds = if size >= 256 << 20 { 3 } else { 9 };
            let walls = team::timed_rounds(
                (0..threads).collect(),
                rounds + 1,
                BUDGET,
                |member: &mut usize, _| {
                    let slice = &bytes[*member * size..(*member + 1) * size];
                    for _ in 0..passes {
                        black_box(read(black_box(slice)));
                    }
                },
            );
            // The first round warms the caches.
            Rate::giga_per_s((size * passes * threads) as f64, &walls[1..])
        };
        points.push(BandwidthPoint {
            bytes_per_thread: size as u64,
            one_thread_gb_s: run(1)?,
            all_threads_gb_s: run(threads)?,
        });
        size *= 2;
    }
    Ok(points)
}

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
        let max = super::MAX_THREADS;
        if !(1..=max).contains(&threads) {
            return Err(RooflineError::Threads { threads, max });
        }
        let bytes = bytes.min(STREAM_MOST_BYTES) as usize;
        let slice = (bytes / threads / UNIT_BYTES).max(1) * UNIT_BYTES;
        let mut map = super::working_set::map(slice * threads)?;
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
            for _ in 0..passes {
                black_box(read(black_box(slice)));
            }
        });
        let bytes = (self.map.len() * passes) as f64;
        walls.iter().skip(1).map(|ns| bytes / ns).collect()
    }
}

/// Reads a slice whose length is a multiple of 1024 bytes; the result keeps the loads alive.
type Reader = fn(&[u8]) -> u64;

/// The widest reader of this processor.
fn reader() -> Reader {
    readers().last().copied().unwrap_or(read_portable)
}

/// Every reader that was detected on this processor, the widest last.
fn readers() -> Vec<Reader> {
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_mut, reason = "only x86 adds to the list")
    )]
    let mut readers: Vec<Reader> = vec![read_portable];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: avx2 was detected above.
            readers.push(|bytes| unsafe { x86::read_256(bytes) });
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: avx512f was detected above.
            readers.push(|bytes| unsafe { x86::read_512(bytes) });
        }
    }
    readers
}

fn read_portable(bytes: &[u8]) -> u64 {
    let mut sums = [[0u64; 8]; STREAMS];
    let stream = bytes.len() / UNIT_BYTES * STRIDE_BYTES;
    let (chunks, _) = bytes.as_chunks::<64>();
    let per_stream = stream / 64;
    for at in 0..per_stream {
        for (index, sum) in sums.iter_mut().enumerate() {
            let (words, _) = chunks[index * per_stream + at].as_chunks::<8>();
            for (sum, word) in sum.iter_mut().zip(words) {
                *sum |= u64::from_ne_bytes(*word);
            }
        }
    }
    sums.iter().flatten().fold(0, |all, sum| all | sum)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_loadu_si256, _mm256_or_si256, _mm256_setzero_si256,
        _mm256_testz_si256, _mm512_loadu_si512, _mm512_or_si512, _mm512_reduce_or_epi64,
        _mm512_setzero_si512,
    };

    use super::{STREAMS, STRIDE_BYTES, UNIT_BYTES};

    const LOADS_512: usize = STRIDE_BYTES / size_of::<__m512i>();
    const LOADS_256: usize = STRIDE_BYTES / size_of::<__m256i>();

    #[target_feature(enable = "avx512f")]
    pub(super) fn read_512(bytes: &[u8]) -> u64 {
        let stream = bytes.len() / UNIT_BYTES * STRIDE_BYTES;
        let mut sums = [_mm512_setzero_si512(); LOADS_512];
        for at in (0..stream).step_by(STRIDE_BYTES) {
            for index in 0..STREAMS {
                for (load, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: index < STREAMS, at + load * 64 + 64 <= stream, and STREAMS * stream <= bytes.len().
                    let value = unsafe {
                        _mm512_loadu_si512(
                            bytes.as_ptr().add(index * stream + at + load * 64).cast(),
                        )
                    };
                    *sum = _mm512_or_si512(*sum, value);
                }
            }
        }
        let all = sums
            .into_iter()
            .fold(_mm512_setzero_si512(), |all, sum| _mm512_or_si512(all, sum));
        _mm512_reduce_or_epi64(all) as u64
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn read_256(bytes: &[u8]) -> u64 {
        let stream = bytes.len() / UNIT_BYTES * STRIDE_BYTES;
        let mut sums = [_mm256_setzero_si256(); LOADS_256];
        for at in (0..stream).step_by(STRIDE_BYTES) {
            for index in 0..STREAMS {
                for (load, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: index < STREAMS, at + load * 32 + 32 <= stream, and STREAMS * stream <= bytes.len().
                    let value = unsafe {
                        _mm256_loadu_si256(
                            bytes.as_ptr().add(index * stream + at + load * 32).cast(),
                        )
                    };
                    *sum = _mm256_or_si256(*sum, value);
                }
            }
        }
        let all = sums
            .into_iter()
            .fold(_mm256_setzero_si256(), |all, sum| _mm256_or_si256(all, sum));
        _mm256_testz_si256(all, all) as u64
    }
}

#[cfg(test)]
mod tests;
