//! Rows of tokens from the track's server, and the tokenizer that makes them.

use std::{
    error::Error,
    io::{BufReader, Stdin, Stdout},
};

use train::{BytePairs, Encoder, SEPARATOR, Tokenizer, feed::Feed};

use crate::pairs;

/// Bytes of a window from which pairs are learned, windows at most, and the part of the text that they may be.
const LEARNING_BYTES: usize = 32 << 10;
const LEARNING_WINDOWS: u64 = 16;
const LEARNING_PART: u64 = 4;

/// What is left of the text, as tokens.
pub struct Text {
    feed: Feed<BufReader<Stdin>, Stdout>,
    tokenizer: Tokenizer,
    /// None where tokens are bytes.
    encoder: Option<Encoder>,
    bytes_per_token: f64,
    /// Tokens that are in no row yet.
    rest: Vec<u32>,
}

/// Rows one behind the other: a row's tokens and the next one of each.
pub struct Rows {
    pub tokens: Vec<u32>,
    pub targets: Vec<u32>,
    /// Raw bytes of the targets.
    pub bytes: usize,
}

impl Text {
    /// Of bytes, or with up to so many merges, which are learned from the text's beginning.
    pub fn new(merges: usize) -> Result<Self, Box<dyn Error>> {
        let mut text = Self {
            feed: Feed::of_process(),
            tokenizer: Tokenizer::Bytes,
            encoder: None,
            bytes_per_token: 1.0,
            rest: Vec::new(),
        };
        if merges > 0 {
            // How much there is, an answer tells.
            let mut sample = text.feed.windows(1, LEARNING_BYTES)?;
            let fits = text.feed.left() / LEARNING_PART / LEARNING_BYTES as u64;
            let more = fits.min(LEARNING_WINDOWS - 1) as usize;
            if more > 0 {
                sample.extend(text.feed.windows(more, LEARNING_BYTES)?);
            }
            let merges = pairs::learn(&sample, merges);
            text.tokenizer = Tokenizer::Pairs(BytePairs::new(merges)?);
            text.encoder = Some(text.tokenizer.encoder()?);
            for window in sample.chunks(LEARNING_BYTES) {
                text.take(window);
            }
            text.bytes_per_token = sample.len() as f64 / text.rest.len().max(1) as f64;
        }
        Ok(text)
    }

    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Bytes that are left to learn from: of the budget, and about what is in no row yet.
    pub fn left(&self) -> u64 {
        let rest = self.rest.len() as f64 * self.bytes_per_token;
        self.feed.left().saturating_add(rest as u64)
    }

    /// `count` rows of `positions` tokens and targets; none when the text is used up.
    pub fn rows(&mut self, count: usize, positions: usize) -> Result<Option<Rows>, Box<dyn Error>> {
        let needed = count * (positions + 1);
        while self.rest.len() < needed {
            let missing = (needed - self.rest.len()).div_ceil(positions + 1);
            let bytes = ((positions + 1) as f64 * self.bytes_per_token).ceil() as usize;
            let text = self.feed.windows(missing, bytes)?;
            if text.is_empty() {
                return Ok(None);
            }
            text.chunks(bytes).for_each(|window| self.take(window));
        }
        let rest = self.rest.split_off(needed);
        let taken = std::mem::replace(&mut self.rest, rest);
        let rows = taken.chunks_exact(positions + 1);
        let targets: Vec<u32> = rows.clone().flat_map(|row| &row[1..]).copied().collect();
        let spelt = targets
            .iter()
            .filter_map(|&token| self.tokenizer.token_bytes(token));
        Ok(Some(Rows {
            tokens: rows.flat_map(|row| &row[..positions]).copied().collect(),
            bytes: spelt.map(<[u8]>::len).sum(),
            targets,
        }))
    }

    /// The tokens of a window. One of bytes is a row of its own; others are as long as they come out, with a separator before each.
    fn take(&mut self, window: &[u8]) {
        let Some(encoder) = &self.encoder else {
            self.rest.extend(window.iter().map(|&byte| u32::from(byte)));
            return;
        };
        for document in window.split(|&byte| byte == 0) {
            self.rest.push(SEPARATOR);
            // A window's ends may cut a character: what is no text is left out.
            for text in document.utf8_chunks() {
                self.rest.extend(encoder.encode(text.valid()));
            }
        }
    }
}
