//! The spin pool: one fork-join for a whole step, and a barrier between its nodes.
//!
//! Threads are started once. [`Pool::run`] publishes a job by raising an epoch; workers spin on it for a while (a profile
//! field) and then park. The caller works as thread 0 and returns when all are done. Inside a job the threads meet at
//! [`Team::barrier`], which spins and, when it takes long (more threads than cores, a preempted peer), yields, or sleeps: the
//! profile's [`BarrierStyle`] says which.
//!
//! Where the profile binds threads to processors, a worker is bound for its life. The caller is bound while a job runs and has its own
//! processors back afterwards: its thread is not ours, and what it starts between two jobs (a second engine, a program) would inherit
//! the one processor.
//!
//! Invariant: the job is borrowed from the caller's stack; `run` does not return, and does not unwind, before every worker
//! has finished with it. A panic in a worker is caught there and raised again in the caller; it would leave the others at a
//! barrier for ever, so the barrier checks a `poisoned` flag and panics too.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::*},
    },
    thread::{self, JoinHandle, Thread},
};

mod affinity;
mod waiting;

use affinity::Bound;
use waiting::Waiting;

use crate::{BarrierStyle, RuntimeProfile};

/// Keeps two frequently written values in different cache lines (two lines: adjacent-line prefetch).
#[repr(align(128))]
struct Alone<T>(T);

/// How often a team can deal between two barriers.
const ROUNDS: usize = 2;

type Job = *const (dyn Fn(&Team<'_>) + Sync);

/// A job's address, handed to the workers.
#[derive(Clone, Copy)]
struct JobPointer(Job);
// SAFETY: the pointee is `Sync`, and `Pool::run` keeps it alive until every worker has finished.
unsafe impl Send for JobPointer {}

struct Shared {
    threads: usize,
    idle_spins: u32,
    /// Of those at a barrier, and of the caller for the end.
    waiting: Waiting,
    /// Of each thread; none where they are not bound.
    processors: Vec<usize>,
    /// Raised once per job.
    epoch: Alone<AtomicUsize>,
    /// Workers still busy with the job.
    busy: Alone<AtomicUsize>,
    /// Arrivals at the current barrier, and the number of barriers passed.
    arrived: Alone<AtomicUsize>,
    passed: Alone<AtomicUsize>,
    /// Pieces handed out since the last barrier, for each round of [`Team::deal`].
    dealt: [Alone<AtomicUsize>; ROUNDS],
    poisoned: AtomicBool,
    stop: AtomicBool,
    job: Mutex<Option<JobPointer>>,
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

/// A fixed set of threads that run jobs together.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(Thread, JoinHandle<()>)>,
    /// One job at a time: two callers would share the barrier.
    turn: Mutex<()>,
}

/// A thread's place in the job: which of how many it is, and the way to meet the others.
pub struct Team<'a> {
    shared: &'a Shared,
    /// This thread, 0 for the caller.
    pub index: usize,
    /// How many threads work on the job.
    pub size: usize,
}

impl Pool {
    /// Starts `threads - 1` workers (the caller is the other one). An idle worker looks for a job `idle_spins` times before
    /// it parks; a thread that waits for the others looks `barrier_spins` times before it yields the processor at each turn.
    /// The rest is as in the default profile.
    ///
    /// # Errors
    /// The system refused a thread.
    pub fn new(threads: usize, idle_spins: u32, barrier_spins: u32) -> std::io::Result<Self> {
        let waiting = Waiting::new(BarrierStyle::default(), barrier_spins);
        Self::start(threads, idle_spins, waiting, Vec::new())
    }

    /// As the profile says. `cores` are the processors that may be used, those of a core together; it is read only where the profile
    /// binds threads. Where the system does not let them be bound, none is.
    ///
    /// # Errors
    /// The system refused a thread.
    pub fn of(profile: &RuntimeProfile, cores: &[Vec<usize>]) -> std::io::Result<Self> {
        let threads = profile.threads.max(1);
        let mut processors = profile.pinning.processors(cores, threads);
        if !affinity::can_bind(&processors) {
            processors.clear();
        }
        let waiting = Waiting::new(profile.barrier, profile.barrier_spins);
        Self::start(threads, profile.idle_spins, waiting, processors)
    }

    fn start(
        threads: usize,
        idle_spins: u32,
        waiting: Waiting,
        processors: Vec<usize>,
    ) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            threads,
            idle_spins,
            waiting,
            processors,
            epoch: Alone(AtomicUsize::new(0)),
            busy: Alone(AtomicUsize::new(0)),
            arrived: Alone(AtomicUsize::new(0)),
            passed: Alone(AtomicUsize::new(0)),
            dealt: [const { Alone(AtomicUsize::new(0)) }; ROUNDS],
            poisoned: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            job: Mutex::new(None),
            panic: Mutex::new(None),
        });
        let mut pool = Self {
            shared,
            workers: Vec::new(),
            turn: Mutex::new(()),
        };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let handle = thread::Builder::new()
                .name(format!("sprag-{index}"))
                .spawn(move || work(&shared, index))?;
            pool.workers.push((handle.thread().clone(), handle));
        }
        Ok(pool)
    }

    /// Threads of the pool, the caller included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// The processor that each thread is bound to, the caller's first; empty where none is.
    #[must_use]
    pub fn processors(&self) -> &[usize] {
        &self.shared.processors
    }

    /// Runs `job` once on every thread, and returns when all have finished.
    ///
    /// # Panics
    /// With the first panic of the job, after all threads have left it.
    pub fn run(&self, job: impl Fn(&Team<'_>) + Sync) {
        let _turn = lock(&self.turn);
        let shared = &*self.shared;
        let job: &(dyn Fn(&Team<'_>) + Sync) = &job;
        shared.gather();
        if !self.workers.is_empty() {
            // SAFETY: only the lifetime is erased; this function waits for `busy == 0` before it returns or unwinds.
            let erased = unsafe {
                std::mem::transmute::<
                    &(dyn Fn(&Team<'_>) + Sync),
                    &'static (dyn Fn(&Team<'_>) + Sync),
                >(job)
            };
            *lock(&shared.job) = Some(JobPointer(erased));
            shared.busy.0.store(self.workers.len(), Relaxed);
            shared.epoch.0.fetch_add(1, Release);
            for (thread, _) in &self.workers {
                thread.unpark();
            }
        }
        // Behind the workers' start: they need not wait for it.
        let bound = shared.bind(0);
        attend(shared, 0, job);
        shared.waiting.until(|| shared.busy.0.load(Acquire) == 0);
        drop(bound);
        if shared.poisoned.load(Relaxed) {
            shared.poisoned.store(false, Relaxed);
            shared.arrived.0.store(0, Relaxed);
            if let Some(payload) = lock(&shared.panic).take() {
                resume_unwind(payload);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.shared.epoch.0.fetch_add(1, Release);
        for (thread, handle) in self.workers.drain(..) {
            thread.unpark();
            // A worker's panic was already raised in `run`.
            drop(handle.join());
        }
    }
}

impl Shared {
    /// Binds the calling thread, which is number `index`, to its processor.
    fn bind(&self, index: usize) -> Option<Bound> {
        self.processors.get(index).and_then(|&one| Bound::to(one))
    }

    /// Before anyone deals again: nobody does at this moment.
    fn gather(&self) {
        for Alone(dealt) in &self.dealt {
            dealt.store(0, Relaxed);
        }
    }
}

impl Team<'_> {
    /// Waits until every thread of the team is here. What was written before it is visible to all after it.
    #[inline]
    pub fn barrier(&self) {
        if self.size == 1 {
            return;
        }
        let shared = self.shared;
        let round = shared.passed.0.load(Relaxed);
        if shared.arrived.0.fetch_add(1, AcqRel) + 1 == self.size {
            shared.arrived.0.store(0, Relaxed);
            shared.gather();
            shared.passed.0.store(round.wrapping_add(1), Release);
            shared.waiting.wake();
            return;
        }
        let has_passed = || shared.passed.0.load(Acquire) != round;
        let waiting = &shared.waiting;
        waiting.until(|| has_passed() || shared.poisoned.load(Relaxed));
        assert!(has_passed(), "another thread of the team panicked");
    }

    /// This thread's share of `items`: contiguous, in order, sizes differing by one at most.
    #[must_use]
    pub fn share(&self, items: usize) -> Range<usize> {
        self.share_of(self.index, items)
    }

    fn share_of(&self, index: usize, items: usize) -> Range<usize> {
        items * index / self.size..items * (index + 1) / self.size
    }

    /// Hands this thread its items in contiguous pieces: most of its equal share at once, then some of what is left of all shares,
    /// at least `least` at a time, for as long as there is any. So a thread that is slower, or was interrupted, gets fewer. Between
    /// two barriers each `round` deals once, with the same items on all threads; beyond the rounds there are, and where a thread would
    /// leave less than one piece, shares are equal.
    pub fn deal(
        &self,
        round: usize,
        items: usize,
        least: usize,
        mut take: impl FnMut(Range<usize>),
    ) {
        /// Pieces of what is left, for each thread.
        const PIECES: usize = 8;
        let is_worth_it = self.size > 1 && items / 4 / self.size >= least;
        let Some(Alone(dealt)) = self.shared.dealt.get(round).filter(|_| is_worth_it) else {
            return take(self.share(items));
        };
        let parts = |index| {
            let Range { start, end } = self.share_of(index, items);
            let middle = start + (end - start) * 3 / 4;
            (start..middle, middle..end)
        };
        take(parts(self.index).0);
        let piece = (items / 4 / (PIECES * self.size)).max(least).max(1);
        loop {
            let mut number = dealt.fetch_add(1, Relaxed);
            let mut index = 0;
            let left = loop {
                if index == self.size {
                    return;
                }
                let left = parts(index).1;
                let pieces = left.len().div_ceil(piece);
                if number < pieces {
                    break left;
                }
                number -= pieces;
                index += 1;
            };
            let start = left.start + number * piece;
            take(start..left.end.min(start + piece));
        }
    }
}

/// Poisoning says only that some thread panicked while holding the lock; the values stay whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn attend(shared: &Shared, index: usize, job: &(dyn Fn(&Team<'_>) + Sync)) {
    let team = Team {
        shared,
        index,
        size: shared.threads,
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(&team))) {
        let mut first = lock(&shared.panic);
        if first.is_none() {
            *first = Some(payload);
        }
        shared.poisoned.store(true, Relaxed);
        drop(first);
        shared.waiting.wake();
    }
}

fn work(shared: &Shared, index: usize) {
    let _bound = shared.bind(index);
    let mut seen = 0;
    loop {
        let mut turns = 0;
        while shared.epoch.0.load(Acquire) == seen {
            turns += 1;
            if turns < shared.idle_spins {
                std::hint::spin_loop();
            } else {
                thread::park();
            }
        }
        seen = seen.wrapping_add(1);
        if shared.stop.load(Relaxed) {
            return;
        }
        let job = *lock(&shared.job);
        if let Some(JobPointer(job)) = job {
            // SAFETY: the caller waits in `run` until `busy` is 0, so the job is alive.
            attend(shared, index, unsafe { &*job });
        }
        if shared.busy.0.fetch_sub(1, Release) == 1 {
            shared.waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests;
