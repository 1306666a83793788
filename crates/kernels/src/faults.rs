//! Faults planted on purpose: a barrier that dawdles, a part that takes twice its time, a slow choice of tokens.
//!
//! Whether the lens charges each to its cause is what `lens`'s example `planted_faults` finds out. Only builds with the feature
//! `planted-faults` have them; they are the process's, so that nothing in the product has to carry them about.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

static BARRIER_NS: AtomicU64 = AtomicU64::new(0);
static SAMPLER_NS: AtomicU64 = AtomicU64::new(0);
static SLOW_PART: Mutex<Option<&'static str>> = Mutex::new(None);

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Every barrier between two nodes takes this much longer.
    Barrier(Duration),
    /// Nodes with this label take twice as long.
    SlowPart(&'static str),
    /// Every choice of a token takes this much longer.
    Sampler(Duration),
}

/// Plants a fault in place of the one before; between steps only.
pub fn plant(fault: Fault) {
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (barrier, part, sampler) = match fault {
        Fault::None => (0, None, 0),
        Fault::Barrier(time) => (ns(time), None, 0),
        Fault::SlowPart(part) => (0, Some(part), 0),
        Fault::Sampler(time) => (0, None, ns(time)),
    };
    BARRIER_NS.store(barrier, Relaxed);
    SAMPLER_NS.store(sampler, Relaxed);
    *slow_part() = part;
}

fn slow_part() -> std::sync::MutexGuard<'static, Option<&'static str>> {
    SLOW_PART
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Called behind every barrier between two nodes.
pub(crate) fn delay_barrier() {
    spin(Duration::from_nanos(BARRIER_NS.load(Relaxed)));
}

/// Called with every choice of a token.
pub fn delay_sampler() {
    spin(Duration::from_nanos(SAMPLER_NS.load(Relaxed)));
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A node that may be slowed down.
pub(crate) struct Slowed(Option<Instant>);

impl Slowed {
    pub(crate) fn begin(part: &str) -> Self {
        Self((*slow_part() == Some(part)).then(Instant::now))
    }

    /// Takes as long again as the node took.
    pub(crate) fn end(self) {
        if let Some(start) = self.0 {
            spin(start.elapsed());
        }
    }
}
