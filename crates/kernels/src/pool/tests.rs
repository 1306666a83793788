//! The pool runs every job on every thread, meets at barriers, and survives a panicking job: in every style of waiting, bound or not.

use std::sync::atomic::{AtomicUsize, Ordering::*};

use super::{Bound, Pool};
use crate::{BarrierStyle, Pinning, RuntimeProfile};

/// A pool of each style. Few spins, so that those that sleep do.
fn pools(threads: usize, pinning: Pinning) -> impl Iterator<Item = (BarrierStyle, Pool)> {
    // Processor 0 may not be ours; then none is bound, which a profile has to bear too.
    let cores = [vec![0]];
    BarrierStyle::ALL.into_iter().flat_map(move |barrier| {
        let cores = cores.clone();
        [0, 100].map(move |barrier_spins| {
            let profile = RuntimeProfile {
                threads,
                pinning,
                barrier,
                barrier_spins,
                idle_spins: 100,
                ..RuntimeProfile::default()
            };
            (barrier, Pool::of(&profile, &cores).expect("threads"))
        })
    })
}

#[test]
fn every_thread_runs_every_job_once() {
    for threads in [1, 2, 3, 5] {
        let pool = Pool::new(threads, 100, 100).expect("threads");
        let count = AtomicUsize::new(0);
        for _ in 0..200 {
            pool.run(|_| {
                count.fetch_add(1, Relaxed);
            });
        }
        assert_eq!(count.load(Relaxed), 200 * threads);
    }
}

/// Threads that only spin on one processor wait for the end of each other's turn there: few rounds.
#[test]
fn barrier_separates_phases() {
    for (style, pool) in pools(3, Pinning::None) {
        let phase = AtomicUsize::new(0);
        let rounds = if style == BarrierStyle::Spin {
            20
        } else {
            2000
        };
        pool.run(|team| {
            for round in 0..rounds {
                phase.fetch_add(1, Relaxed);
                team.barrier();
                assert_eq!(phase.load(Relaxed), 3 * (round + 1));
                team.barrier();
            }
        });
    }
}

/// Also where threads sleep at the end of a job, and one of them arrives late.
#[test]
fn nobody_sleeps_through_the_end_of_a_job() {
    for (style, pool) in pools(3, Pinning::None) {
        let count = AtomicUsize::new(0);
        let jobs = if style == BarrierStyle::Spin {
            20
        } else {
            1000
        };
        for job in 0..jobs {
            pool.run(|team| {
                if team.index == job % 3 {
                    std::thread::yield_now();
                }
                team.barrier();
                count.fetch_add(1, Relaxed);
            });
        }
        assert_eq!(count.load(Relaxed), 3 * jobs, "{style:?}");
    }
}

/// More threads than processors, all bound to one.
#[test]
fn bound_threads_run_and_the_caller_has_its_processors_back() {
    let before = std::thread::available_parallelism().expect("a number");
    for pinning in [Pinning::Compact, Pinning::Spread] {
        for (style, pool) in pools(3, pinning) {
            let is_bound = !pool.processors().is_empty();
            assert_eq!(is_bound, Bound::to(0).is_some(), "{style:?}");
            let ours = AtomicUsize::new(0);
            pool.run(|team| {
                team.barrier();
                let now = std::thread::available_parallelism().expect("a number");
                ours.fetch_add(now.get(), Relaxed);
            });
            if is_bound {
                assert_eq!(ours.load(Relaxed), 3, "{style:?}: one processor each");
            }
            let after = std::thread::available_parallelism().expect("a number");
            assert_eq!(after, before, "{style:?}");
        }
    }
}

/// No system has so many processors.
#[test]
fn a_processor_that_is_none_binds_nothing() {
    for processor in [8191, 8192, usize::MAX] {
        assert!(Bound::to(processor).is_none(), "{processor}");
    }
}

#[test]
fn shares_cover_all_items_once() {
    let pool = Pool::new(4, 0, 100).expect("threads");
    for items in [0, 1, 3, 4, 17, 1000] {
        let sum = AtomicUsize::new(0);
        pool.run(|team| {
            for i in team.share(items) {
                sum.fetch_add(i + 1, Relaxed);
            }
        });
        assert_eq!(sum.load(Relaxed), items * (items + 1) / 2);
    }
}

#[test]
fn a_panicking_job_reaches_the_caller_and_leaves_the_pool_usable() {
    for (style, pool) in pools(2, Pinning::None) {
        for guilty in 0..2 {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.run(|team| {
                    assert!(team.index != guilty, "on purpose");
                    team.barrier();
                });
            }));
            assert!(result.is_err());
            let count = AtomicUsize::new(0);
            pool.run(|team| {
                team.barrier();
                count.fetch_add(1, Relaxed);
            });
            assert_eq!(count.load(Relaxed), 2, "{style:?}");
        }
    }
}

/// However long one thread lingers, every item is taken once, in each round and after each barrier.
#[test]
fn what_is_dealt_is_taken_once() {
    for threads in [1, 2, 3] {
        let pool = Pool::new(threads, 100, 100).expect("threads");
        for (items, least) in [(0, 1), (1, 1), (5, 2), (60, 2), (61, 4), (3072, 2)] {
            let taken: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            // More rounds than there are counters for.
            let rounds = 4;
            pool.run(|team| {
                for turn in 0..6 {
                    for round in 0..rounds {
                        team.deal(round, items, least, |some| {
                            assert!(!some.is_empty() || items < 4 * team.size);
                            if team.index == turn % team.size {
                                std::thread::yield_now();
                            }
                            for item in some {
                                taken[item].fetch_add(1, Relaxed);
                            }
                        });
                    }
                    team.barrier();
                }
            });
            let all = taken.iter().all(|n| n.load(Relaxed) == 6 * rounds);
            assert!(all, "{threads} threads, {items} items");
        }
    }
}
