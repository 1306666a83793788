//! Requests on threads of their own, so that whoever waits can be asked whether to go on.
//!
//! 1. Each client is a thread, which sends its requests one after the other and hands each exchange over.
//! 2. The caller's thread takes them in, and between them asks `progress` some times a second.
//! 3. When `progress` says no, nothing more is sent, and what is still on its way is left: a thread that waits for a first byte cannot
//!    be woken, so it is not waited for; it ends by itself at the next event.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use measure::Stopwatch;

use crate::{
    exchange::{Cause, Exchange},
    server::{Ask, Server},
};

/// Between two questions whether to go on.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where the whole plan stands, and whether it goes on.
pub(super) struct Watch<'a> {
    progress: &'a mut dyn FnMut(&str, f64) -> bool,
    planned: usize,
    done: usize,
    is_stopped: Arc<AtomicBool>,
}

impl<'a> Watch<'a> {
    pub fn new(progress: &'a mut dyn FnMut(&str, f64) -> bool, planned: usize) -> Self {
        Self {
            progress,
            planned,
            done: 0,
            is_stopped: Arc::default(),
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Relaxed)
    }

    /// Asks whether to go on, unless that was answered with no.
    fn goes_on(&mut self, during: &str) -> bool {
        if self.is_stopped() {
            return false;
        }
        let share = self.done as f64 / self.planned.max(1) as f64;
        let goes_on = (self.progress)(during, share.min(1.0));
        self.is_stopped.store(!goes_on, Relaxed);
        goes_on
    }

    /// One request; `None` where it was not sent or not waited for.
    pub fn one(&mut self, server: &Server, during: &str, ask: Ask) -> Option<Exchange> {
        self.crowd(server, during, vec![vec![ask]]).0.pop()
    }

    /// The requests of several clients at once, as they ended, and the seconds to the last end.
    pub fn crowd(
        &mut self,
        server: &Server,
        during: &str,
        clients: Vec<Vec<Ask>>,
    ) -> (Vec<Exchange>, f64) {
        let (mut ended, mut seconds) = (Vec::new(), 0.0);
        if !self.goes_on(during) {
            return (ended, seconds);
        }
        let clock = Stopwatch::start();
        let (sender, receiver) = channel();
        for asks in clients {
            self.start(server, asks, &sender);
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(exchange) => {
                    ended.push(exchange);
                    seconds = clock.elapsed_ms() / 1e3;
                    self.done += 1;
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if self.goes_on(during) => {}
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        (ended, seconds)
    }

    fn start(&self, server: &Server, asks: Vec<Ask>, sender: &Sender<Exchange>) {
        let (server, is_stopped) = (server.clone(), Arc::clone(&self.is_stopped));
        let (requests, answers) = (asks.len(), sender.clone());
        let client = move || {
            for ask in asks {
                if is_stopped.load(Relaxed) {
                    return;
                }
                // Whoever waited may have left.
                if answers.send(server.ask_until(&ask, &is_stopped)).is_err() {
                    return;
                }
            }
        };
        if let Err(error) = thread::Builder::new().spawn(client) {
            for _ in 0..requests {
                let failed = Exchange {
                    failure: Some(Cause::Connection {
                        why: format!("this machine has no thread for it: {error}"),
                    }),
                    ..Exchange::default()
                };
                // The receiver is held by the caller of this function.
                let _taken = sender.send(failed);
            }
        }
    }

    /// Waits, as a server wished.
    pub fn wait(&mut self, during: &str, time: Duration) {
        let clock = Stopwatch::start();
        loop {
            let left = time.as_secs_f64() - clock.elapsed_ms() / 1e3;
            if left <= 0.0 || !self.goes_on(during) {
                return;
            }
            thread::sleep(Duration::from_secs_f64(left).min(PATIENCE));
        }
    }
}
