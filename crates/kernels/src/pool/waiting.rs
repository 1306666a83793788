//! Waiting for the others of a team, in the profile's style.
//!
//! Sleeping needs a promise that nobody sleeps through what it waits for. A sleeper counts itself and then looks once more, under the
//! lock that it sleeps with; whoever changes something does so first and looks for sleepers then. A fence stands between the two halves on both
//! sides, so at least one of them sees the other (Dekker's argument); and who sees a sleeper takes the lock before it
//! wakes, hence not between the sleeper's last look and its sleep.

use std::sync::{
    Condvar, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::*, fence},
};

use super::{Alone, lock};
use crate::BarrierStyle;

/// How the threads of a pool wait for each other.
pub(super) struct Waiting {
    style: BarrierStyle,
    /// Looks before a thread yields or sleeps.
    spins: u32,
    sleepers: Alone<AtomicUsize>,
    door: Mutex<()>,
    bell: Condvar,
}

impl Waiting {
    pub(super) fn new(style: BarrierStyle, spins: u32) -> Self {
        Self {
            style,
            spins,
            sleepers: Alone(AtomicUsize::new(0)),
            door: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    /// Returns when `is_over`, which reads atomics alone and does not panic. Whoever makes it true calls [`Waiting::wake`] then.
    #[inline]
    pub(super) fn until(&self, is_over: impl Fn() -> bool) {
        let mut turns = 1;
        while !is_over() {
            if self.style == BarrierStyle::Spin || turns < self.spins {
                turns = turns.wrapping_add(1);
                std::hint::spin_loop();
            } else if self.style == BarrierStyle::Yield {
                std::thread::yield_now();
            } else {
                return self.sleep(&is_over);
            }
        }
    }

    #[cold]
    fn sleep(&self, is_over: &dyn Fn() -> bool) {
        let mut inside = lock(&self.door);
        self.sleepers.0.fetch_add(1, Relaxed);
        fence(SeqCst);
        while !is_over() {
            inside = self
                .bell
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.0.fetch_sub(1, Relaxed);
    }

    /// Wakes those who sleep, after a change that they may wait for.
    #[inline]
    pub(super) fn wake(&self) {
        if self.style == BarrierStyle::Park {
            fence(SeqCst);
            if self.sleepers.0.load(Relaxed) > 0 {
                drop(lock(&self.door));
                self.bell.notify_all();
            }
        }
    }
}
