//! Ctrl-C: asks the work at hand to stop, where it listens; ends the process otherwise.
//!
//! 1. Before work that can stop in good order (generating, pulling), a [`Listening`] is made.
//! 2. Ctrl-C then raises a flag, which the work looks at between tokens or blocks.
//! 3. Without a listener, and at the second Ctrl-C before the first was heard, the process ends with code 130. Nothing is
//!    half-written then either: files get their names by renaming, and pulls keep their `.part`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use crate::failure::{Exit, Failure};

/// The handler's side of the flags.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    listening: Arc<AtomicBool>,
    raised: Arc<AtomicBool>,
}

/// While it lives, Ctrl-C asks instead of ending.
#[derive(Debug)]
pub struct Listening<'i>(&'i Interrupt);

impl Interrupt {
    /// Takes over Ctrl-C for this process; once only. A system that refuses leaves Ctrl-C as it is.
    pub fn install() -> Self {
        let own = Self::default();
        let handler = own.clone();
        let _refused = ctrlc::set_handler(move || {
            if !handler.listening.load(SeqCst) || handler.raised.swap(true, SeqCst) {
                std::process::exit(Exit::Interrupted.code().into());
            }
        });
        own
    }

    /// For a command that may have to fetch something before it takes over Ctrl-C itself: Ctrl-C ends the process, as it does without.
    pub fn untouched() -> Self {
        Self::default()
    }

    /// Starts to listen; what was raised before is forgotten.
    pub fn listen(&self) -> Listening<'_> {
        self.raised.store(false, SeqCst);
        self.listening.store(true, SeqCst);
        Listening(self)
    }
}

impl Listening<'_> {
    /// Whether Ctrl-C was pressed since.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(SeqCst)
    }

    /// For work that ends early when asked: the failure that says so.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_raised() {
            Err(Failure::Interrupted)
        } else {
            Ok(())
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.listening.store(false, SeqCst);
    }
}
