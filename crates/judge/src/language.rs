//! The language judge: how many bits a model needs for each raw byte of a text that it has never seen.
//!
//! # Protocol
//! All numbers are little-endian. The judge writes to standard input, the candidate answers on standard output:
//!
//! ```text
//! judge: u32 0                      a new text begins: forget everything
//! model: 256 x f32                  log-probabilities (natural) of its first byte
//! judge: u32 N, then N bytes        the text goes on
//! model: N x 256 x f32              row i: log-probabilities of the byte AFTER the i-th of these bytes
//! ```
//!
//! At the end of its input the candidate ends. A whole model in Python:
//!
//! ```python
//! import math, struct, sys
//! row = struct.pack("<256f", *[-math.log(256)] * 256)
//! while head := sys.stdin.buffer.read(4):
//!     count, = struct.unpack("<I", head)
//!     text = sys.stdin.buffer.read(count)
//!     sys.stdout.buffer.write(row * max(count, 1))
//!     sys.stdout.buffer.flush()
//! ```
//!
//! # What is checked
//! 1. The score: windows at random places, side by side (no byte is in two of them), are given to one process, each but for its last byte
//!    at once. Every row has to be finite and normalised; what is left of a deviation is divided out, so that it gains nothing. The sum
//!    over *raw* bytes counts: a tokenizer that drops one has to foretell it all the same.
//! 2. A second process, which has seen nothing yet and can't know what the first one said, gets some windows again. The same bytes must
//!    give the same rows (*repeatable*); the same beginning with other bytes behind it must give the same rows up to and with the first
//!    byte that differs (*causal*); and byte by byte, each row given before the next byte was sent, likewise (*blind*). Which windows
//!    and where is drawn from the seed. A model that looks at a fraction f of its rows ahead gets away with a probability of about
//!    (1 - f)^`blind_bytes`.
//!
//! Rows are equal when half the sum of the differences of all 256 probabilities, and the difference of the true byte's log-probability,
//! are at most `tolerance`. So a model that cheats within it gains at most `tolerance` / ln 2 bits a byte: keep it small.

use std::path::PathBuf;

use sandbox::{Level, Sandbox};
use serde::Serialize;

use crate::answer::Answer;
use crate::candidate::Cell;
use crate::error::{JudgeError, Stop};
use crate::random::Random;
use crate::told::{Split, Told};

mod check;
mod reader;
mod row;
pub(crate) mod text;

use check::{Checked, Scored};

/// What the track says.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The text of the public split.
    pub public: PathBuf,
    /// The text of the hidden split.
    pub hidden: PathBuf,
    /// How many windows are scored; 3 at least.
    pub windows: usize,
    /// Their lengths in bytes, from 8 to 65536, taken in turns. Rows of windows that are compared stay in memory: 1 KiB for a byte.
    pub window_bytes: Vec<usize>,
    /// How many bytes are foretold one by one in the second process.
    pub blind_bytes: usize,
    /// The largest difference of two rows that are the same.
    pub tolerance: f64,
    /// How the candidate is run.
    pub cell: Cell,
}

impl Options {
    /// 64 windows of 256 and 1024 bytes, 512 of them foretold one by one, and a tolerance of 1e-3.
    pub fn of(public: impl Into<PathBuf>, hidden: impl Into<PathBuf>, cell: Cell) -> Self {
        Self {
            public: public.into(),
            hidden: hidden.into(),
            windows: 64,
            window_bytes: vec![256, 1024],
            blind_bytes: 512,
            tolerance: 1e-3,
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
        if !(3..=1 << 14).contains(&self.windows) {
            return wrong("windows", "from 3 to 16384", self.windows.to_string());
        }
        let fits = |bytes: &usize| (8..=1 << 16).contains(bytes);
        if self.window_bytes.is_empty() || !self.window_bytes.iter().all(fits) {
            let came = format!("{:?}", self.window_bytes);
            return wrong(
                "window sizes",
                "at least one, each from 8 bytes to 64 KiB",
                came,
            );
        }
        if !(8..=1 << 20).contains(&self.blind_bytes) {
            return wrong(
                "blind bytes",
                "from 8 to 1048576",
                self.blind_bytes.to_string(),
            );
        }
        if !(self.tolerance > 0.0 && self.tolerance <= 0.1) {
            return wrong(
                "tolerance",
                "above 0 and at most 0.1",
                self.tolerance.to_string(),
            );
        }
        self.cell.check()
    }
}

/// A score, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Bits for each raw byte: the metric, and lower is better.
    pub value: f64,
    /// How many windows were scored.
    pub windows: usize,
    /// How many bytes they have.
    pub bytes: usize,
    /// Bits for each byte of each window, in the order of asking.
    pub window_values: Vec<f64>,
    /// How fast the scored bytes were answered, by the judge's clock.
    pub bytes_per_second: f64,
    /// How many rows of a second process were compared.
    pub compared_rows: usize,
    /// How many of them were given before their byte was sent.
    pub blind_rows: usize,
    /// The largest difference that was seen, of the tolerance's kind.
    pub largest_difference: f64,
    /// How the candidate was sealed.
    pub seal: Level,
}

/// Scores the program in [`Told::artefact`]; a champion is not looked at.
///
/// # Errors
/// When the options, the text or the machine do not allow a score. What the candidate does wrong is [`Answer::Refused`].
pub fn run(options: &Options, told: &Told, sandbox: &Sandbox) -> Result<Answer, JudgeError> {
    options.check()?;
    let path = match told.split {
        Split::Public => &options.public,
        Split::Hidden | Split::Block => &options.hidden,
    };
    let text = text::read(path)?;
    let mut random = Random::new(told.seed, "language");
    let windows = text::windows(&text, options.windows, &options.window_bytes, &mut random)?;
    match measure(options, told, sandbox, &windows, &mut random) {
        Ok((scored, checked)) => Ok(Answer::Score(score(
            &windows,
            scored,
            checked,
            sandbox.level(),
        ))),
        Err(Stop::Refused(refused)) => Ok(Answer::Refused { refused }),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn measure(
    options: &Options,
    told: &Told,
    sandbox: &Sandbox,
    windows: &[&[u8]],
    random: &mut Random,
) -> Result<(Scored, Checked), Stop> {
    let plan = check::Plan::draw(windows, options.blind_bytes, random);
    let start = || reader::Reader::start(sandbox, &options.cell, &told.artefact);
    let scored = check::score(start()?, windows, &plan)?;
    let checked = check::compare(start()?, windows, &plan, &scored, options.tolerance, random)?;
    Ok((scored, checked))
}

fn score(windows: &[&[u8]], scored: Scored, checked: Checked, seal: Level) -> Score {
    let bytes = windows.iter().map(|window| window.len()).sum();
    let bits: f64 = scored.bits.iter().sum();
    let each = windows.iter().zip(&scored.bits);
    Score {
        value: bits / bytes as f64,
        windows: windows.len(),
        bytes,
        window_values: each
            .map(|(window, bits)| bits / window.len() as f64)
            .collect(),
        bytes_per_second: bytes as f64 / scored.seconds.max(1e-9),
        compared_rows: checked.rows,
        blind_rows: checked.blind,
        largest_difference: checked.largest,
        seal,
    }
}
