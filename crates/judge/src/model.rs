//! The second opinion on a small language model: its bits for each raw byte of a text, computed plainly in f64.
//!
//! A track that trains models has a fast judge, built from the kernels that everything else runs on. A candidate that found an error in
//! those would be paid for it. So this judge scores a short stretch of the same text, written apart from the definitions alone: it shares
//! no code with the kernels, with training, or with the plain references of [`ops`]. Where the two differ, one of them is wrong.
//!
//! 1. The file is read ([`Model::open`]): every tensor that the configuration asks for, exactly of its shape, and nothing else.
//! 2. A stretch of the text is drawn from the seed ([`sample`]).
//! 3. Documents stand between NUL bytes: a text is the token 0, then its tokens with every NUL between them as the token 0. This stream
//!    is cut into windows of inputs that do not overlap, each with nothing before it; the target of an input is the token behind it, also
//!    across a window's end. Targets that are separators do not count ([`Model::score`]).
//! 4. The value is the sum of -log2 p over the targets by the number of raw bytes, NULs not counted.
//!
//! # Invariants
//! - Everything in the file is a stranger's: what does not hold is a [`Flaw`], and numbers are bounded before anything is made of them.
//! - Windows are independent and their sums are added in order: the number of threads changes no bit of the score.
//! - A score that is no finite number is none.
//!
//! The file is data. Nothing of a candidate runs here, so there is no cell.

use std::fs::File;
use std::io::Read;
use std::panic;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use rustix::fs::{Mode, OFlags};

mod attention;
mod configuration;
mod flaw;
mod gated_delta;
mod network;
mod operations;
mod sample;
mod tensors;
mod tokenizer;

pub use flaw::Flaw;
pub use sample::sample;

use configuration::About;
use network::Network;
use tensors::Tensors;
use tokenizer::Tokenizer;

const MOST_FILE_BYTES: u64 = 1 << 30;
/// The token between documents, and the byte.
const SEPARATOR: u32 = 0;
/// Multiplications that a score may take: 8 KiB with the largest number of parameters and as much again for what mixes them.
const MOST_WORK: u128 = 1 << 41;

/// A model that can be scored.
#[derive(Debug)]
pub struct Model {
    tokenizer: Tokenizer,
    network: Network,
    positions: usize,
    parameters: usize,
}

/// How well a model foretells a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The sum of -ln p over all targets.
    pub nats: f64,
    /// Raw bytes of the text, separators not counted.
    pub bytes: usize,
    /// Targets that count.
    pub tokens: usize,
}

impl Score {
    /// The metric; lower is better.
    pub fn bits_per_byte(&self) -> f64 {
        self.nats / std::f64::consts::LN_2 / self.bytes as f64
    }
}

impl Model {
    /// Reads a file of a stranger.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn open(path: &Path) -> Result<Self, Flaw> {
        Self::read(&read(path)?)
    }

    /// From the bytes of such a file.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn read(file: &[u8]) -> Result<Self, Flaw> {
        let mut tensors = Tensors::of(file)?;
        let about = About::read(tensors.about()?)?;
        let tokenizer = Tokenizer::of(about.tokenizer)?;
        let parameters = tensors.parameters();
        let network = Network::take(&mut tensors, about.model)?;
        tensors.finish()?;
        Ok(Self {
            tokenizer,
            network,
            positions: about.positions,
            parameters,
        })
    }

    /// The tokens of one document.
    ///
    /// # Errors
    /// When the text is not in UTF-8 and the tokenizer needs that, or the tokens say other bytes.
    pub fn tokenize(&self, document: &[u8]) -> Result<Vec<u32>, Flaw> {
        self.tokenizer.encode(document)
    }

    /// Scores a text in windows of at most `window` inputs.
    ///
    /// # Errors
    /// When the text is not for this model, would take longer than is allowed, or is foretold with what is no probability.
    pub fn score(&self, text: &[u8], window: usize, threads: usize) -> Result<Score, Flaw> {
        let bytes = text.iter().filter(|&&byte| byte != 0).count();
        if bytes == 0 {
            return Err(Flaw::Empty);
        }
        let mut stream = Vec::new();
        for document in text.split(|&byte| byte == 0) {
            stream.push(SEPARATOR);
            stream.extend(self.tokenize(document)?);
        }
        let targets = stream.get(1..).unwrap_or_default();
        let window = window.min(self.positions).min(targets.len()).max(1);
        let each = self.parameters as u128 + self.network.mixing_work(window);
        let work = each * targets.len() as u128;
        if work > MOST_WORK {
            return Err(Flaw::Large {
                what: "multiplications for this text",
                came: work,
                most: MOST_WORK,
            });
        }
        let windows: Vec<_> = stream.chunks(window).zip(targets.chunks(window)).collect();
        let nats = self.nats(&windows, threads);
        if !(nats.is_finite() && nats >= 0.0) {
            return Err(Flaw::Score { nats });
        }
        Ok(Score {
            nats,
            bytes,
            tokens: targets
                .iter()
                .filter(|&&target| target != SEPARATOR)
                .count(),
        })
    }

    /// Each thread takes the next window that nobody has; the sum is taken at the end.
    fn nats(&self, windows: &[(&[u32], &[u32])], threads: usize) -> f64 {
        let mut nats = vec![0.0; windows.len()];
        let left = Mutex::new(windows.iter().zip(&mut nats));
        let next = || left.lock().ok()?.next();
        let work = || {
            while let Some((&(inputs, targets), nats)) = next() {
                // The stream's last token is no input: there is nothing behind it.
                *nats = self.network.nats(&inputs[..targets.len()], targets);
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.clamp(1, windows.len().max(1)))
                .map(|_| scope.spawn(work))
                .collect();
            for thread in threads {
                thread
                    .join()
                    .unwrap_or_else(|panic| panic::resume_unwind(panic));
            }
        });
        nats.iter().sum()
    }
}

/// No more than the limit, and from a plain file alone: a pipe would never end, a link leads out of the folder.
fn read(path: &Path) -> Result<Vec<u8>, Flaw> {
    let file = |came: String| Flaw::File { came };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| file(e.to_string()))?;
    let opened = File::from(opened);
    let metadata = opened.metadata().map_err(|e| file(e.to_string()))?;
    if !metadata.is_file() {
        return Err(file("something else of that name".to_owned()));
    }
    if metadata.len() > MOST_FILE_BYTES {
        return Err(Flaw::Large {
            what: "bytes",
            came: metadata.len().into(),
            most: MOST_FILE_BYTES.into(),
        });
    }
    let mut bytes = Vec::new();
    opened
        .take(metadata.len())
        .read_to_end(&mut bytes)
        .map_err(|e| file(e.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
