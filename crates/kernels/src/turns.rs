//! Parts of a large piece of work, for threads of the moment: while a model loads there is no pool yet.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

/// Does `work` for all `parts` on up to `threads` threads, the caller's included: whoever is free takes the next. Where the system
/// refuses a thread, the others do its part.
///
/// # Errors
/// One of the errors of `work`; a thread that met one takes no further parts.
///
/// # Panics
/// As `work`, after all threads have ended.
pub fn in_turns<P: Send, E: Send>(
    threads: usize,
    parts: impl Iterator<Item = P> + Send,
    work: impl Fn(P) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let parts = Mutex::new(parts);
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some(part) = next() {
            work(part)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, run).ok();
        let others: Vec<_> = (1..threads).map_while(spawn).collect();
        let own = run();
        let ended = others.into_iter().map(|other| {
            let joined = other.join();
            joined.unwrap_or_else(|panic| resume_unwind(panic))
        });
        // All are joined before the first failure is told.
        ended.fold(own, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use super::in_turns;

    #[test]
    fn every_part_is_done_once() {
        for threads in [0, 1, 2, 5] {
            let mut numbers = vec![0u32; 1000];
            let done: Result<(), ()> = in_turns(threads, numbers.chunks_mut(7), |part| {
                part.iter_mut().for_each(|n| *n += 1);
                Ok(())
            });
            assert_eq!(done, Ok(()));
            assert!(numbers.iter().all(|&n| n == 1), "{threads} threads");
        }
    }

    #[test]
    fn an_error_is_told() {
        for threads in [1, 3] {
            let done = in_turns(threads, 0..100, |i| if i == 37 { Err(i) } else { Ok(()) });
            assert_eq!(done, Err(37));
        }
    }
}
