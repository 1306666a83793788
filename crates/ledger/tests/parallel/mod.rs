//! Many short jobs on all processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs `job` for each number below `count`, on every processor.
pub fn for_each(count: usize, job: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    job(index);
                }
            });
        }
    });
}
