//! Bandwidth: how fast bytes reach the registers, and how fast they come and go.
//!
//! Decoding a token reads every weight once, so reading is its ceiling ([`read`]): each thread reads its own slice in four streams, and
//! nothing is written. The triad ([`triad`]) is what the machine does for a program that writes too, and what STREAM reports.
//!
//! Memory: in a round every thread goes once through its share of the working set, so that everything else has passed through the
//! caches before anything is touched again. Nobody waits within a round: threads that are slow in turns average out.

mod read;
mod stream;
mod triad;

use std::hint::black_box;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::working_set::{self, WorkingSet};
use super::{Depth, Rate, RooflineError, team};
use crate::probe::Machine;
pub use stream::Stream;
pub use triad::Stores;

const STREAMS: usize = 4;
/// Bytes that one stream reads before the next has its turn.
const STRIDE_BYTES: usize = 256;
/// Slices are whole multiples of this.
const UNIT_BYTES: usize = STREAMS * STRIDE_BYTES;
/// Reading from memory, and the triad there.
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
    /// One thread reads.
    pub one_thread_gb_s: Rate,
    /// All threads read together.
    pub all_threads_gb_s: Rate,
    /// STREAM's triad with ordinary stores; three arrays are counted, though a fourth part may move (see [`Stores`]). `None` in quick
    /// runs, and in reports of earlier versions.
    #[serde(default)]
    pub triad_gb_s: Option<ByThreads>,
    /// STREAM's triad with stores that go around the caches, which save reading what is overwritten. `None` where they are not
    /// implemented (only x86 has them), in quick runs, and in reports of earlier versions.
    #[serde(default)]
    pub triad_streaming_stores_gb_s: Option<ByThreads>,
}

/// The same figure for one thread and for all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByThreads {
    /// One thread alone.
    pub one_thread: Rate,
    /// All threads together, each on its own bytes.
    pub all_threads: Rate,
}

/// A working set of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandwidthPoint {
    /// Bytes for each thread.
    pub bytes_per_thread: u64,
    /// One thread reads alone.
    pub one_thread_gb_s: Rate,
    /// All threads read together, each its own bytes.
    pub all_threads_gb_s: Rate,
    /// STREAM's triad with ordinary stores, its three arrays together as large as what is read (up to 6 KiB less). `None` in reports of
    /// earlier versions.
    #[serde(default)]
    pub triad_gb_s: Option<ByThreads>,
}

/// What is done with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// They are read.
    Read,
    /// STREAM's triad over three parts of them.
    Triad(Stores),
}

/// A pattern in the widest form of this processor.
#[derive(Clone, Copy)]
enum Kernel {
    Read(read::Reader),
    Triad(triad::Triad),
}

impl Kernel {
    fn read() -> Self {
        Self::Read(read::reader())
    }

    /// `None` where the pattern is not implemented.
    fn of(pattern: Pattern) -> Option<Self> {
        match pattern {
            Pattern::Read => Some(Self::read()),
            Pattern::Triad(stores) => triad::widest(stores).map(Self::Triad),
        }
    }

    /// Bytes that count when a share of this length is gone through once.
    fn bytes(self, share_bytes: usize) -> usize {
        match self {
            Self::Read(_) => share_bytes,
            Self::Triad(_) => 3 * triad::third(share_bytes),
        }
    }

    fn run(self, share: &mut [u8], passes: usize) {
        match self {
            Self::Read(read) => {
                black_box(read(black_box(share), passes));
            }
            Self::Triad(triad) => {
                let third = triad::third(share.len());
                let (a, rest) = share.split_at_mut(third);
                let (b, rest) = rest.split_at(third);
                for _ in 0..passes {
                    triad(black_box(a), b, &rest[..third]);
                }
            }
        }
    }
}

/// A working set beyond the caches, and every figure that can be taken over it.
pub struct Bandwidth {
    set: WorkingSet,
}

impl Bandwidth {
    /// Maps and touches the working set, up to a second for a quick run and five for a full one.
    ///
    /// # Errors
    /// [`RooflineError`] where the memory cannot be had, or the number of threads makes no sense.
    pub fn prepare(machine: &Machine, threads: usize, depth: Depth) -> Result<Self, RooflineError> {
        super::check_threads(threads)?;
        Ok(Self {
            set: working_set::prepare(machine, threads, depth)?,
        })
    }

    /// The bytes, for measurements of another kind.
    pub(super) fn bytes(&self) -> &[u8] {
        self.set.bytes()
    }

    /// Reading from memory; the triad is added by [`Bandwidth::add_dram_triad`].
    pub(super) fn dram(&mut self, threads: usize, depth: Depth) -> Result<Dram, RooflineError> {
        let ByThreads {
            one_thread,
            all_threads,
        } = by_threads(threads, |threads| {
            self.of_memory(Kernel::read(), threads, depth)
        })?;
        Ok(Dram {
            working_set_bytes: self.set.bytes().len() as u64,
            wanted_bytes: self.set.wanted_bytes,
            why: self.set.why.clone(),
            asked_for_huge_pages: self.set.asked_for_huge_pages,
            one_thread_gb_s: one_thread,
            all_threads_gb_s: all_threads,
            triad_gb_s: None,
            triad_streaming_stores_gb_s: None,
        })
    }

    /// The triad in memory. From here on the bytes are no longer zeros.
    pub(super) fn add_dram_triad(
        &mut self,
        dram: &mut Dram,
        threads: usize,
    ) -> Result<(), RooflineError> {
        if self.share_of_memory(threads) < triad::LEAST_BYTES {
            return Ok(());
        }
        let mut triad = |stores| {
            let kernel = Kernel::of(Pattern::Triad(stores));
            kernel
                .map(|kernel| {
                    by_threads(threads, |threads| {
                        self.of_memory(kernel, threads, Depth::Full)
                    })
                })
                .transpose()
        };
        dram.triad_gb_s = triad(Stores::Ordinary)?;
        dram.triad_streaming_stores_gb_s = triad(Stores::Streaming)?;
        Ok(())
    }

    /// Reading at sizes from 16 KiB per thread, doubling up to 1 GiB in all or what the working set holds.
    pub(super) fn by_size(&mut self, threads: usize) -> Result<Vec<BandwidthPoint>, RooflineError> {
        const SMALLEST: usize = 16 << 10;
        const LARGEST: usize = 1 << 30;
        let largest = LARGEST.min(self.set.bytes().len()) / threads;
        let sizes = std::iter::successors(Some(SMALLEST), |size| size.checked_mul(2));
        let mut points = Vec::new();
        for size in sizes.take_while(|size| *size <= largest) {
            let rates = by_threads(threads, |threads| {
                self.of_size(Kernel::read(), size, threads, BUDGET)
            })?;
            points.push(BandwidthPoint {
                bytes_per_thread: size as u64,
                one_thread_gb_s: rates.one_thread,
                all_threads_gb_s: rates.all_threads,
                triad_gb_s: None,
            });
        }
        Ok(points)
    }

    /// The triad at the same sizes. From here on the bytes are no longer zeros.
    pub(super) fn add_triad(
        &mut self,
        points: &mut [BandwidthPoint],
        threads: usize,
    ) -> Result<(), RooflineError> {
        let Some(kernel) = Kernel::of(Pattern::Triad(Stores::Ordinary)) else {
            return Ok(());
        };
        for point in points {
            let size = usize::try_from(point.bytes_per_thread).unwrap_or(usize::MAX);
            point.triad_gb_s = Some(by_threads(threads, |threads| {
                self.of_size(kernel, size, threads, BUDGET / 2)
            })?);
        }
        Ok(())
    }

    /// One figure alone, for comparisons with other programs: in memory, or over `bytes_per_thread` again and again.
    /// `None` where the processor has no such stores.
    ///
    /// # Errors
    /// [`RooflineError`] where the bytes do not fit the working set, or the number of threads makes no sense.
    pub fn figure(
        &mut self,
        pattern: Pattern,
        bytes_per_thread: Option<usize>,
        threads: usize,
    ) -> Result<Option<Rate>, RooflineError> {
        super::check_threads(threads)?;
        let Some(kernel) = Kernel::of(pattern) else {
            return Ok(None);
        };
        let rate = match bytes_per_thread {
            None => {
                within(self.share_of_memory(threads), usize::MAX)?;
                self.of_memory(kernel, threads, Depth::Full)?
            }
            Some(bytes) => {
                let bytes = bytes / UNIT_BYTES * UNIT_BYTES;
                within(bytes, self.set.bytes().len() / threads)?;
                self.of_size(kernel, bytes, threads, BUDGET)?
            }
        };
        Ok(Some(rate))
    }

    /// Bytes of the working set that fall to each thread.
    fn share_of_memory(&self, threads: usize) -> usize {
        self.set.bytes().len() / threads / UNIT_BYTES * UNIT_BYTES
    }

    fn of_memory(
        &mut self,
        kernel: Kernel,
        threads: usize,
        depth: Depth,
    ) -> Result<Rate, RooflineError> {
        let rounds = match depth {
            Depth::Quick => 8,
            Depth::Full => 40,
        };
        let budget = Duration::from_secs(1);
        let share = self.share_of_memory(threads);
        let bytes = self.set.bytes_mut();
        let shares: Vec<&mut [u8]> = bytes.chunks_exact_mut(share).take(threads).collect();
        let walls = team::timed_rounds(shares, rounds, budget, |share, _| kernel.run(share, 1));
        // What is written piles up in the caches first: only when they are full does each round pay for its own bytes.
        let skipped = match kernel {
            Kernel::Read(_) => 0,
            Kernel::Triad(_) => walls.len() / 4,
        };
        Ok(Rate::giga_per_s(
            (kernel.bytes(share) * threads) as f64,
            &walls[skipped..],
        )?)
    }

    fn of_size(
        &mut self,
        kernel: Kernel,
        size: usize,
        threads: usize,
        budget: Duration,
    ) -> Result<Rate, RooflineError> {
        // Long against the barrier's wake-up and, where bytes are fast, against the time that a core which was asleep takes to reach its
        // clock: 32 MiB from L1 are 0.1 ms.
        let round_bytes = if size <= 2 << 20 { 256 << 20 } else { 64 << 20 };
        let passes = (round_bytes / size).max(1);
        let rounds = if size >= 256 << 20 { 3 } else { 9 };
        let shares: Vec<&mut [u8]> = self
            .set
            .bytes_mut()
            .chunks_exact_mut(size)
            .take(threads)
            .collect();
        let walls = team::timed_rounds(shares, rounds + 1, budget, |share, _| {
            kernel.run(share, passes);
        });
        // The first round warms the caches.
        Ok(Rate::giga_per_s(
            (kernel.bytes(size) * passes * threads) as f64,
            &walls[1..],
        )?)
    }
}

/// For one size, one pattern and one number of threads: about 16 sizes and two numbers make 10 seconds at most.
const BUDGET: Duration = Duration::from_millis(300);

fn within(bytes: usize, max: usize) -> Result<(), RooflineError> {
    let min = triad::LEAST_BYTES;
    if (min..=max).contains(&bytes) {
        Ok(())
    } else {
        Err(RooflineError::Size { bytes, min, max })
    }
}

fn by_threads(
    threads: usize,
    mut rate: impl FnMut(usize) -> Result<Rate, RooflineError>,
) -> Result<ByThreads, RooflineError> {
    Ok(ByThreads {
        one_thread: rate(1)?,
        all_threads: rate(threads)?,
    })
}

#[cfg(test)]
mod tests;
