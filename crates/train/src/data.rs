//! Text to train on: documents, their splits, and the batches that a step sees.
//!
//! A token is a byte; byte 0, which no text has, stands between documents. Validation documents are the last ones, so that a corpus in the
//! order of time is never judged by what came before what it was trained on. A step's windows are chosen from the seed and the step's
//! number alone: a resumed run sees what an uninterrupted one would have.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{graph::Batch, weights::Random};

/// Between documents.
pub const SEPARATOR: u32 = 0;
/// Tokens of the byte-level tokenizer.
pub const VOCABULARY: usize = 256;

/// A text with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where it is from.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Why there is nothing to train on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is no JSON object with a text.
    #[error("{}, line {line}: {reason}; each line must be a JSON object with a \"text\"", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A text is not UTF-8, or has a zero byte.
    #[error("{name}: {reason}; give plain UTF-8 text")]
    NotText {
        /// The document.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Too little text for one window.
    #[error(
        "{what} has {found} bytes, and {needed} are needed; give more text or a shorter context (steps.positions)"
    )]
    TooSmall {
        /// The split.
        what: &'static str,
        /// Bytes of it, separators included.
        found: usize,
        /// Bytes of a window and the next.
        needed: usize,
    },
}

/// The documents of a text file (one), or of a JSONL file (one a line).
///
/// # Errors
/// The file cannot be read, or is not what its name says.
pub fn read(path: &Path) -> Result<Vec<Document>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    let name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| DataError::NotText {
        name: name.clone(),
        reason: error.utf8_error().to_string(),
    })?;
    let is_lines = path
        .extension()
        .is_some_and(|end| end == "jsonl" || end == "ndjson");
    let documents = if is_lines {
        lines(path, &text)?
    } else {
        vec![Document { name, text }]
    };
    match documents.iter().find(|one| one.text.contains('\0')) {
        None => Ok(documents),
        Some(one) => Err(DataError::NotText {
            name: one.name.clone(),
            reason: "it has a zero byte".to_owned(),
        }),
    }
}

/// The documents of lines of JSON.
///
/// # Errors
/// A line is no object with a text.
pub fn lines(path: &Path, text: &str) -> Result<Vec<Document>, DataError> {
    #[derive(serde::Deserialize)]
    struct Line {
        text: String,
    }
    let numbered = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let document = |(number, line): (usize, &str)| {
        let line: Line = serde_json::from_str(line).map_err(|error| DataError::Line {
            path: path.to_owned(),
            line: number + 1,
            reason: error.to_string(),
        })?;
        Ok(Document {
            name: format!("{}:{}", path.display(), number + 1),
            text: line.text,
        })
    };
    numbered.map(document).collect()
}

/// What is learned from, and what says how well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// All but the last documents.
    pub train: Stream,
    /// The last ones.
    pub validation: Stream,
}

impl Splits {
    /// The last `held_out` documents validate, at least one where there are two or more; a single one is cut before its last tenth.
    ///
    /// # Errors
    /// There is no held-out text, or less to learn from than a window of `positions` and the byte behind it.
    pub fn of(
        documents: &[Document],
        held_out: usize,
        positions: usize,
    ) -> Result<Self, DataError> {
        let (train, validation) = if let [one] = documents {
            let mut cut = one.text.len() - one.text.len() / 10;
            while !one.text.is_char_boundary(cut) {
                cut -= 1;
            }
            (
                Stream::of([&one.text[..cut]]),
                Stream::of([&one.text[cut..]]),
            )
        } else {
            let cut = documents.len()
                - held_out
                    .clamp(1, documents.len().saturating_sub(1).max(1))
                    .min(documents.len());
            let texts = |some: &[Document]| Stream::of(some.iter().map(|one| one.text.as_str()));
            (texts(&documents[..cut]), texts(&documents[cut..]))
        };
        // Windows to learn from are full; the last one of an evaluation need not be.
        for (what, stream, needed) in [
            ("the text to learn from", &train, positions + 1),
            ("the held-out text", &validation, 2),
        ] {
            let found = stream.tokens.len();
            if found < needed {
                return Err(DataError::TooSmall {
                    what,
                    found,
                    needed,
                });
            }
        }
        Ok(Self { train, validation })
    }
}

impl Splits {
    /// SHA-256 of both, in hexadecimal: which text a run is of.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for stream in [&self.train, &self.validation] {
            hash.update((stream.tokens.len() as u64).to_le_bytes());
            hash.update(&stream.tokens);
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Documents one behind the other, each after a separator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    tokens: Vec<u8>,
    /// Of the texts alone.
    text_bytes: usize,
}

impl Stream {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut tokens = Vec::new();
        let mut text_bytes = 0;
        for text in texts {
            tokens.push(SEPARATOR as u8);
            tokens.extend_from_slice(text.as_bytes());
            text_bytes += text.len();
        }
        Self { tokens, text_bytes }
    }

    /// Bytes of the texts.
    #[must_use]
    pub const fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Tokens and targets of a batch of windows, anywhere, from the seed and the batch's number.
    pub fn windows(
        &self,
        batch: Batch,
        seed: u64,
        number: u64,
        tokens: &mut Vec<u32>,
        targets: &mut Vec<u32>,
    ) {
        let mut random = Random::of(seed ^ 0x5741_4e44_4f57_5321, number);
        let starts = (self.tokens.len() - batch.positions) as u64;
        tokens.clear();
        targets.clear();
        for _ in 0..batch.sequences {
            let start = random.below(starts) as usize;
            let window = &self.tokens[start..=start + batch.positions];
            tokens.extend(
                window[..batch.positions]
                    .iter()
                    .map(|&byte| u32::from(byte)),
            );
            targets.extend(window[1..].iter().map(|&byte| u32::from(byte)));
        }
    }

    /// Every text byte once as a target, in windows that do not overlap; the last batch is filled with targets that do not count. A window sees
    /// nothing before it, and separators are no targets.
    pub fn every_byte(&self, batch: Batch) -> impl Iterator<Item = (Vec<u32>, Vec<u32>)> + '_ {
        let (size, positions) = (batch.tokens(), batch.positions);
        let count = (self.tokens.len() - 1)
            .div_ceil(positions)
            .div_ceil(batch.sequences);
        (0..count).map(move |number| {
            let at = |i: usize| self.tokens.get(number * size + i).copied().map(u32::from);
            let tokens = (0..size).map(|i| at(i).unwrap_or(SEPARATOR)).collect();
            let target = |i| {
                at(i + 1)
                    .filter(|&token| token != SEPARATOR)
                    .unwrap_or(kernels::training::IGNORED)
            };
            (tokens, (0..size).map(target).collect())
        })
    }
}

#[cfg(test)]
mod tests;
