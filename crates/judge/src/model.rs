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
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::answer::Answer;
use crate::error::{JudgeError, Stop};
use crate::refusal::Refusal;
use crate::told::{Split, Told};

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

/// The file in a candidate's folder.
const FILE: &str = "model.safetensors";
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

    /// Whether only text in UTF-8 can be scored.
    pub fn needs_utf8(&self) -> bool {
        matches!(self.tokenizer, Tokenizer::Pairs { .. })
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

/// What the track says.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The text of the public split.
    pub public: PathBuf,
    /// The text of the hidden split.
    pub hidden: PathBuf,
    /// How much of it is scored: from 64 bytes to 1 MiB.
    pub sample_bytes: usize,
    /// The longest window, in inputs: from 1 to 65536.
    pub window: usize,
    /// Of this process: from 1 to 256.
    pub threads: usize,
}

impl Options {
    /// 8 KiB in windows of 1024, on one thread.
    pub fn of(public: impl Into<PathBuf>, hidden: impl Into<PathBuf>) -> Self {
        Self {
            public: public.into(),
            hidden: hidden.into(),
            sample_bytes: 8192,
            window: 1024,
            threads: 1,
        }
    }

    fn check(&self) -> Result<(), JudgeError> {
        let fields = [
            ("sample bytes", self.sample_bytes, 64..=1 << 20),
            ("window", self.window, 1..=1 << 16),
            ("threads", self.threads, 1..=256),
        ];
        for (name, came, range) in fields {
            if !range.contains(&came) {
                return Err(JudgeError::Option {
                    name,
                    expected: format!("from {} to {}", range.start(), range.end()),
                    came: came.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// A score, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Bits for each raw byte: the metric, and lower is better.
    pub value: f64,
    /// How many bytes were scored.
    pub bytes: usize,
    /// How many tokens they are.
    pub tokens: usize,
    /// What scoring took, by this process's clock.
    pub seconds: f64,
}

/// Scores `model.safetensors` in [`Told::artefact`]; a champion is not looked at.
///
/// # Errors
/// When the options or the text do not allow a score. What is wrong with the model is [`Answer::Refused`].
pub fn run(options: &Options, told: &Told) -> Result<Answer, JudgeError> {
    options.check()?;
    let path = match told.split {
        Split::Public => &options.public,
        Split::Hidden | Split::Block => &options.hidden,
    };
    let text = crate::language::text::read(path)?;
    if text.len() < options.sample_bytes {
        return Err(JudgeError::Text {
            windows: 1,
            window_bytes: options.sample_bytes,
            bytes: text.len(),
        });
    }
    let sample = sample(&text, options.sample_bytes, told.seed);
    match measure(options, told, path, sample) {
        Ok(report) => Ok(Answer::Model(report)),
        Err(Stop::Refused(refused)) => Ok(Answer::Refused { refused }),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn measure(options: &Options, told: &Told, path: &Path, sample: &[u8]) -> Result<Report, Stop> {
    let unfit = |why: &str| JudgeError::File {
        action: "score the text of",
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_owned()),
    };
    if sample.iter().all(|&byte| byte == 0) {
        return Err(
            unfit("expected text between NUL bytes, came a stretch of nothing else").into(),
        );
    }
    let model = Model::open(&told.artefact.join(FILE)).map_err(Refusal::Model)?;
    if model.needs_utf8() && str::from_utf8(sample).is_err() {
        return Err(unfit("expected UTF-8 for a model with merges, came other bytes: give the track a text in UTF-8").into());
    }
    let started = Instant::now();
    let score = model
        .score(sample, options.window, options.threads)
        .map_err(Refusal::Model)?;
    Ok(Report {
        value: score.bits_per_byte(),
        bytes: score.bytes,
        tokens: score.tokens,
        seconds: started.elapsed().as_secs_f64(),
    })
}

#[cfg(test)]
mod tests;
