//! Memory for the bandwidth measurement: large enough to lie beyond the caches, small enough to be polite.
//!
//! Wanted: the larger of 1 GiB and 4 times the part of the last cache that is ours, at most a quarter of the available memory.
//! The pages are mapped lazily and touched by all threads in turns, so that on a machine with several memory nodes they are spread
//! over the nodes. On a virtual machine the first touch can be very slow (the host must find the page): touching stops when its time
//! is up, and the working set is what was touched by then.
//!
//! A full run asks for huge pages. A quick run takes pages as they come: huge ones are read about 5% faster, but on a virtual machine
//! they are mostly memory that the host has yet to supply, at 0.5 GiB/s where small ones came at 2.8 (both measured), and a working
//! set that is too small is wrong by far more than 5%.

use std::sync::Mutex;
use std::time::Duration;

use measure::Stopwatch;
use memmap2::MmapMut;

use super::{Depth, RooflineError, team};
use crate::probe::Machine;

const WANTED_BYTES: u64 = 1 << 30;
/// Below this, a working set says nothing about memory on any machine that Sprag is for.
const LEAST_BYTES: u64 = 64 << 20;
const BLOCK_BYTES: usize = 4 << 20;
const PAGE_BYTES: usize = 4096;

pub(super) struct WorkingSet {
    map: MmapMut,
    touched_bytes: usize,
    pub(super) wanted_bytes: u64,
    pub(super) why: String,
    pub(super) asked_for_huge_pages: bool,
}

impl WorkingSet {
    /// The touched part; a multiple of 4 MiB.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map[..self.touched_bytes]
    }

    /// The same, to be written.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.touched_bytes]
    }
}

/// Maps `bytes` of zeros.
pub(super) fn map(bytes: usize) -> Result<MmapMut, RooflineError> {
    MmapMut::map_anon(bytes).map_err(|source| RooflineError::Map { bytes, source })
}

/// Asks for huge pages; whether the system takes the advice.
fn ask_for_huge_pages(map: &MmapMut) -> bool {
    #[cfg(target_os = "linux")]
    return map.advise(memmap2::Advice::HugePage).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = map;
        false
    }
}

pub(super) fn prepare(
    machine: &Machine,
    threads: usize,
    depth: Depth,
) -> Result<WorkingSet, RooflineError> {
    let (wanted_bytes, granted_bytes, mut why) = size(machine)?;
    let bytes = usize::try_from(granted_bytes).unwrap_or(usize::MAX) / BLOCK_BYTES * BLOCK_BYTES;
    let mut map = map(bytes)?;
    let asked_for_huge_pages = depth == Depth::Full && ask_for_huge_pages(&map);
    let limit = Duration::from_millis(if depth == Depth::Quick { 1000 } else { 5000 });
    let touched_bytes = touch(&mut map, threads, limit);
    if touched_bytes < bytes {
        why = format!(
            "touching memory for the first time was slow: stopped after {} ms",
            limit.as_millis()
        );
    }
    Ok(WorkingSet {
        map,
        touched_bytes,
        wanted_bytes,
        why,
        asked_for_huge_pages,
    })
}

/// Bytes wanted, bytes granted, and the reason.
fn size(machine: &Machine) -> Result<(u64, u64, String), RooflineError> {
    let share = machine.last_cache_share_bytes();
    let wanted = share.map_or(WANTED_BYTES, |bytes| {
        WANTED_BYTES.max(bytes.saturating_mul(4))
    });
    let why = match share {
        Some(bytes) if wanted > WANTED_BYTES => {
            format!("4 times our {} MiB of the last cache", bytes >> 20)
        }
        Some(_) => "1 GiB, more than 4 times our part of the last cache".to_owned(),
        None => "1 GiB; the last cache is not known".to_owned(),
    };
    let Some(available) = machine.memory.available_bytes.value().copied() else {
        return Ok((wanted, wanted, why));
    };
    let granted = wanted.min(available / 4);
    if granted < LEAST_BYTES {
        return Err(RooflineError::Memory {
            need_bytes: LEAST_BYTES * 4,
            available_bytes: available,
        });
    }
    if granted < wanted {
        return Ok((
            wanted,
            granted,
            "a quarter of the available memory".to_owned(),
        ));
    }
    Ok((wanted, granted, why))
}

/// Touches blocks in order until all are done or the time is up; gives the length of the touched prefix, at least 64 MiB.
fn touch(map: &mut MmapMut, threads: usize, limit: Duration) -> usize {
    let clock = Stopwatch::start();
    let blocks = Mutex::new((map.chunks_mut(BLOCK_BYTES), 0usize));
    team::timed_rounds(vec![(); threads], 1, limit, |(), _| {
        loop {
            let block = {
                // A poisoned lock would need a panic in the three lines below, which have none.
                let mut guard = blocks
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                let enough = guard.1 as u64 * BLOCK_BYTES as u64 >= LEAST_BYTES;
                if enough && clock.has_passed(limit) {
                    break;
                }
                let Some(block) = guard.0.next() else { break };
                guard.1 += 1;
                block
            };
            for page in block.chunks_mut(PAGE_BYTES) {
                // A write, so that each page is a page of our own and not the shared page of zeros. Seen as an f64 it is an ordinary
                // one (the triad would be slow over subnormal ones), and the latency's walk, which wants zeros, reads elsewhere.
                page[7] = std::hint::black_box(0x3F);
            }
        }
    });
    let touched = blocks
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .1;
    touched * BLOCK_BYTES
}
