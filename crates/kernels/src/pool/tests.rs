//! The pool runs every job on every thread, meets at barriers, and survives a panicking job.

use std::sync::atomic::{AtomicUsize, Ordering::*};

use super::Pool;

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

#[test]
fn barrier_separates_phases() {
    let pool = Pool::new(3, 1000, 100).expect("threads");
    let phase = AtomicUsize::new(0);
    pool.run(|team| {
        for round in 0..100 {
            phase.fetch_add(1, Relaxed);
            team.barrier();
            assert_eq!(phase.load(Relaxed), 3 * (round + 1));
            team.barrier();
        }
    });
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
    let pool = Pool::new(2, 100, 100).expect("threads");
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
        assert_eq!(count.load(Relaxed), 2);
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
