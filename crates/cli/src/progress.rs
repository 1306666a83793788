//! Progress on standard error, where that is a terminal: a bar for what is known in size, else a line.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{interrupt::Listening, terminal::Terminal};

/// A bar of `total` units, or nothing where no person looks.
pub fn bar(terminal: &Terminal, total: u64, form: &str) -> ProgressBar {
    let target = if terminal.errors {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// The form of a bar of bytes on their way.
const TRANSFER: &str = "{msg:.bold} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
/// The same where the size is not known.
const UNKNOWN: &str = "{msg:.bold} {bytes} {bytes_per_sec}";

/// A pull's progress.
pub struct PullProgress<'a> {
    bar: ProgressBar,
    listening: &'a Listening<'a>,
}

impl<'a> PullProgress<'a> {
    /// Shows a pull, and stops it at Ctrl-C.
    pub fn new(terminal: &Terminal, listening: &'a Listening<'a>) -> Self {
        let bar = bar(terminal, 0, "{msg}");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, listening }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl store::Progress for PullProgress<'_> {
    fn started(&mut self, total_bytes: Option<u64>, resumed_from: u64) {
        let form = if total_bytes.is_some() {
            TRANSFER
        } else {
            UNKNOWN
        };
        if let Ok(style) = ProgressStyle::with_template(form) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_length(total_bytes.unwrap_or(0));
        self.bar.reset();
        self.bar.set_position(resumed_from);
        self.bar.reset_eta();
    }

    fn advanced(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn stage(&mut self, name: &str) {
        self.bar.set_message(name.to_owned());
    }

    fn cancelled(&self) -> bool {
        self.listening.is_raised()
    }
}
