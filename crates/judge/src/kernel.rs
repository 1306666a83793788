//! The kernel judge: how fast a program computes an operation, against the champion's, with every answer checked.
//!
//! # Protocol
//! All numbers are little-endian. The judge writes to standard input, the candidate answers on standard output:
//!
//! ```text
//! judge: u32 operation, u32 D, D x u32 dimensions, then the inputs as f32, one behind the other
//! kernel: the outputs as f32, one behind the other
//! ```
//!
//! | | operation | dimensions | inputs | outputs |
//! |---|---|---|---|---|
//! | 1 | `matmul` | tokens, inputs, outputs | x, weights (outputs, inputs) | y |
//! | 2 | `rms_norm` | rows, width | x, weight; eps is 1e-5 | y |
//! | 3 | `attention` | tokens, depth, heads, kv_heads, head_dim | q, k, v; causal, scaled by 1 / sqrt(head_dim) | o |
//! | 4 | `gated_delta` | tokens, key_heads, value_heads, key_dim, value_dim | q, k, v, alpha, beta, state; grouped heads | o, new state |
//!
//! The arithmetic and the order of each array are those of [`ops`]. At the end of its input the kernel ends.
//!
//! # How it is measured
//! 1. Champion and candidate live side by side, each in a cell of its own. A block is four turns: champion, candidate, candidate,
//!    champion. A turn is `passes` passes; a pass is one call of each shape in a random order, and one sample: the geometric mean of
//!    its calls' seconds, so that each shape counts the same.
//! 2. A call's clock runs from the first byte sent to the last byte received, and the last four bytes of a question are only sent when
//!    nothing has been answered yet. What moving the bytes alone takes is measured by an echo, the judge's own program, and reported.
//! 3. Shapes are the track's public ones, its hidden ones, and one drawn for each block that nobody has seen before.
//! 4. Each call has new values on a new scale; both arms get the same ones, in turns that follow each other.
//!
//! # What is checked
//! Every call, after its turn: against the f64 reference, or (large matrix products) by Freivalds's random projections, and then some of
//! them in full, which ones being drawn from the seed. The error must be within the operation's tolerance, and over all calls of a shape
//! at most `precision_ratio` times the champion's. No call may be faster than the machine's roofline. In calls that are not timed the
//! last bytes are held back for a while: nobody may answer then. While it is the champion's turn the candidate's processes may not
//! compute. Files with forbidden names may not be mapped.
//!
//! # What it can't see
//! A library that is linked statically has no name, and one that is unloaded before the turn's end is not seen; a candidate that keeps the machine's memory busy without computing costs both arms
//! the same. Caches are not flushed between calls: the values come over a pipe.
//!
//! # Source
//! Freivalds, *Probabilistic machines can use less running time*, 1977.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use sandbox::{Level, Sandbox};
use serde::Serialize;

use crate::answer::Answer;
use crate::candidate::Cell;
use crate::error::{JudgeError, Stop};
use crate::random::Random;
use crate::told::Told;

mod arm;
mod check;
mod echo;
mod problem;
mod race;
mod values;

pub use echo::echo;
pub use problem::{Operation, Problem};

/// What the machine can do at most, measured elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// Billions of floating-point operations in a second.
    pub gflop_s: f64,
    /// Billions of bytes in a second, from and to memory.
    pub gb_s: f64,
}

/// What the track says.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Shapes that everybody knows; all problems are of one operation.
    pub public: Vec<Problem>,
    /// Shapes that the candidate can't read anywhere.
    pub hidden: Vec<Problem>,
    /// A drawn shape's free dimensions are multiples of this; no shape is drawn where it is `None`.
    pub drawn_multiple: Option<NonZeroUsize>,
    /// Blocks of four turns.
    pub blocks: usize,
    /// Samples in a turn.
    pub passes: usize,
    /// How many times the champion's error the candidate's may be.
    pub precision_ratio: f64,
    /// How long the end of a question is held back in calls that are not timed.
    pub hold: Duration,
    /// No call may be faster.
    pub roofline: Option<Roofline>,
    /// No mapped file's name may contain one of these.
    pub forbidden: Vec<String>,
    /// The command that runs [`echo`]: the judge's own program.
    pub echo: Option<Vec<OsString>>,
    /// How champion and candidate are run.
    pub cell: Cell,
}

impl Options {
    /// One block of 5 passes a turn, drawn shapes of any size, twice the champion's error, 30 ms of holding back, no roofline.
    pub fn of(public: Vec<Problem>, cell: Cell) -> Self {
        Self {
            public,
            hidden: Vec::new(),
            drawn_multiple: Some(NonZeroUsize::MIN),
            blocks: 1,
            passes: 5,
            precision_ratio: 2.0,
            hold: Duration::from_millis(30),
            roofline: None,
            forbidden: Vec::new(),
            echo: None,
            cell,
        }
    }

    fn check(&self) -> Result<(), JudgeError> {
        let wrong = |name, expected: &str, came: String| {
            Err(JudgeError::Option {
                name,
                expected: expected.to_owned(),
                came,
            })
        };
        let Some(first) = self.public.first() else {
            return wrong("public shapes", "at least one", "none".to_owned());
        };
        let mut others = self.public.iter().chain(&self.hidden);
        if let Some(other) = others.find(|other| other.operation() != first.operation()) {
            return wrong(
                "all shapes",
                &format!("of {}", first.operation()),
                other.to_string(),
            );
        }
        if !(1..=1000).contains(&self.blocks) {
            return wrong("blocks", "from 1 to 1000", self.blocks.to_string());
        }
        // All samples have to fit into an answer.
        if self.passes == 0 || self.passes > 10_000 / self.blocks {
            return wrong(
                "passes",
                "at least 1, and with all blocks 10000 at most",
                self.passes.to_string(),
            );
        }
        let is_ratio = self.precision_ratio >= 1.0;
        if !is_ratio {
            return wrong(
                "precision ratio",
                "at least 1",
                self.precision_ratio.to_string(),
            );
        }
        if self.hold > Duration::from_secs(10) {
            return wrong(
                "the time of holding back",
                "10 s at most",
                format!("{:?}", self.hold),
            );
        }
        self.cell.check()?;
        let holds = |limit: &Roofline| limit.gflop_s > 0.0 && limit.gb_s > 0.0;
        match &self.roofline {
            Some(limit) if !holds(limit) => wrong("roofline", "above 0", format!("{limit:?}")),
            _ => Ok(()),
        }
    }
}

/// Times of both, and what they rest on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Seconds of the champion's passes, in order.
    pub champion: Vec<f64>,
    /// Seconds of the candidate's passes, in order.
    pub candidate: Vec<f64>,
    /// Of the same bytes through the judge's own echo, in the same mean; nothing where there was no echo. No kernel can get below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor_seconds: Option<f64>,
    /// Calls of the candidate, each of them checked.
    pub calls: usize,
    /// How many of those against the reference itself.
    pub checked_in_full: usize,
    /// The largest relative error of the candidate.
    pub largest_error: f64,
    /// What could not be checked on this machine, and why.
    pub unchecked: Vec<String>,
    /// How both were sealed.
    pub seal: Level,
}

/// Times the programs in [`Told::artefact`] and [`Told::champion`] against each other.
///
/// # Errors
/// When the options, the champion or the machine do not allow a measurement. What the candidate does wrong is [`Answer::Refused`].
pub fn run(options: &Options, told: &Told, sandbox: &Sandbox) -> Result<Answer, JudgeError> {
    options.check()?;
    let Some(champion) = &told.champion else {
        return Err(JudgeError::Told {
            name: "SPRAG_CHAMPION",
            expected: "the folder of the champion: a timing needs both",
            came: "nothing".to_owned(),
        });
    };
    let mut random = Random::new(told.seed, "kernel");
    for problem in options.public.iter().chain(&options.hidden) {
        check::varies(problem, &mut random)?;
    }
    let floor_seconds = match &options.echo {
        Some(command) => Some(echo::floor(command, &options.public, &options.hidden)?),
        None => None,
    };
    match race::run(options, champion, &told.artefact, sandbox, &mut random) {
        Ok(mut times) => {
            times.floor_seconds = floor_seconds;
            if floor_seconds.is_none() {
                times
                    .unchecked
                    .push("the echo of the same bytes: no command for it was given".to_owned());
            }
            Ok(Answer::Times(times))
        }
        Err(Stop::Refused(refused)) => Ok(Answer::Refused { refused }),
        Err(Stop::Failed(error)) => Err(error),
    }
}
