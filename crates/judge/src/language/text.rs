//! The text, and windows on it: at random places, in a random order, no byte in two of them.
//!
//! Windows may not overlap: a model that has seen one must not know a byte of another.
//!
//! 1. The lengths are given out in turns, and their order is drawn.
//! 2. What the windows leave of the text is cut at random into the gaps before, between and behind them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::JudgeError;
use crate::random::Random;

/// The largest text that is read.
const MOST_BYTES: u64 = 1 << 32;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, JudgeError> {
    let file = |source| JudgeError::File {
        action: "read the text",
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let source = File::open(path).map_err(file)?;
    source
        .take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(file)?;
    Ok(bytes)
}

/// `count` windows in the order of asking.
pub(super) fn windows<'a>(
    text: &'a [u8],
    count: usize,
    sizes: &[usize],
    random: &mut Random,
) -> Result<Vec<&'a [u8]>, JudgeError> {
    let mut lengths: Vec<usize> = sizes.iter().copied().cycle().take(count).collect();
    let needed = lengths
        .iter()
        .fold(0_usize, |sum, &bytes| sum.saturating_add(bytes));
    let Some(free) = text.len().checked_sub(needed) else {
        return Err(JudgeError::Text {
            windows: count,
            window_bytes: sizes.iter().copied().max().unwrap_or_default(),
            bytes: text.len(),
        });
    };
    random.shuffle(&mut lengths);
    let mut cuts: Vec<usize> = lengths.iter().map(|_| random.below(free + 1)).collect();
    cuts.sort_unstable();
    let mut before = 0;
    let mut windows = Vec::with_capacity(count);
    for (cut, length) in cuts.into_iter().zip(lengths) {
        windows.push(&text[cut + before..][..length]);
        before += length;
    }
    random.shuffle(&mut windows);
    Ok(windows)
}

#[cfg(test)]
mod tests;
