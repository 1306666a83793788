//! When each thread worked on each node of a step.

use std::{sync::Mutex, time::Instant};

/// One node on one thread, in nanoseconds since the step began. The thread then waited until the next span began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index into the program's nodes.
    pub node: usize,
    /// When the thread entered the node.
    pub start_ns: u64,
    /// When its share was done.
    pub end_ns: u64,
}

/// Spans of one step, by thread.
pub struct Trace {
    began: Instant,
    threads: Vec<Mutex<Vec<Span>>>,
}

impl Trace {
    /// For a pool of `threads`, programs of up to `nodes` nodes.
    #[must_use]
    pub fn new(threads: usize, nodes: usize) -> Self {
        let threads = (0..threads)
            .map(|_| Mutex::new(Vec::with_capacity(nodes)))
            .collect();
        Self {
            began: Instant::now(),
            threads,
        }
    }

    pub(crate) fn begin(&mut self) {
        for thread in &mut self.threads {
            thread
                .get_mut()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clear();
        }
        self.began = Instant::now();
    }

    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub(crate) fn record(&self, thread: usize, span: Span) {
        if let Some(spans) = self.threads.get(thread) {
            spans
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(span);
        }
    }

    /// The spans of each thread, in order.
    #[must_use]
    pub fn spans(&self) -> Vec<Vec<Span>> {
        let lock = |t: &Mutex<Vec<Span>>| {
            t.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone()
        };
        self.threads.iter().map(lock).collect()
    }
}
