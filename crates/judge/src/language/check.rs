//! The score of one process, and the same windows in another that knows nothing of it.
//!
//! The order matters. The process that is compared must not have seen, in any form, a byte that it is to foretell: so it is a fresh one,
//! each window is in it once at most, and no two windows overlap. The scored process can't prepare for the comparison, since what is
//! compared was drawn before and is told to nobody.

use super::reader::Reader;
use super::row::{self, Rows, WIDTH};
use crate::error::Stop;
use crate::random::Random;
use crate::refusal::Refusal;

/// Windows are given to each kind of comparison at most so often.
const MOST_OF_A_KIND: usize = 8;

/// What becomes of a window in the second process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// The same once more.
    Repeat,
    /// Other bytes from here on.
    Change { from: usize },
    /// Byte by byte, so many from here on.
    Blind { from: usize, count: usize },
}

/// Which windows are compared, and how.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Repeats first: a model that rolls dice should hear that, and not that it looks ahead.
    tests: Vec<(usize, Test)>,
}

impl Plan {
    /// Each kind gets a third of the windows, within its limit; blind ones as many as the bytes need.
    pub(super) fn draw(windows: &[&[u8]], blind_bytes: usize, random: &mut Random) -> Self {
        let mut order: Vec<usize> = (0..windows.len()).collect();
        random.shuffle(&mut order);
        let third = (windows.len() / 3).max(1);
        let mut order = order.into_iter();
        let mut tests = Vec::new();
        let repeats = order.by_ref().take(third.min(MOST_OF_A_KIND));
        tests.extend(repeats.map(|window| (window, Test::Repeat)));
        for window in order.by_ref().take(third.min(MOST_OF_A_KIND)) {
            let from = 1 + random.below(windows[window].len() - 2);
            tests.push((window, Test::Change { from }));
        }
        let rest: Vec<usize> = order.collect();
        let some = MOST_OF_A_KIND.min(rest.len()).max(1);
        let share = blind_bytes.div_ceil(some);
        let mut left = blind_bytes;
        for window in rest {
            let last = windows[window].len() - 1;
            let count = share.min(left).min(last);
            if count == 0 {
                break;
            }
            let from = random.below(last - count + 1);
            tests.push((window, Test::Blind { from, count }));
            left -= count;
        }
        Self { tests }
    }

    fn has(&self, window: usize) -> bool {
        self.tests.iter().any(|(other, _)| *other == window)
    }
}

/// What the first process said.
#[derive(Debug)]
pub(super) struct Scored {
    /// Of each window, all its bytes together.
    pub(super) bits: Vec<f64>,
    /// Of the windows that will be compared.
    rows: Vec<Option<Rows>>,
    pub(super) seconds: f64,
}

/// What the comparison saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Checked {
    pub(super) rows: usize,
    pub(super) blind: usize,
    pub(super) largest: f64,
}

/// Gives every window to one process; its last byte is never sent.
pub(super) fn score(mut reader: Reader, windows: &[&[u8]], plan: &Plan) -> Result<Scored, Stop> {
    let mut scored = Scored {
        bits: Vec::new(),
        rows: Vec::new(),
        seconds: 0.0,
    };
    for (number, window) in windows.iter().enumerate() {
        let mut rows = reader.begin(number)?;
        rows.extend(reader.go_on(&window[..window.len() - 1])?);
        let of_bytes = rows.chunks_exact(WIDTH).zip(*window);
        let nats: f64 = of_bytes.map(|(row, &byte)| -row::of_byte(row, byte)).sum();
        scored.bits.push(nats / std::f64::consts::LN_2);
        scored.rows.push(plan.has(number).then_some(rows));
    }
    scored.seconds = reader.seconds;
    reader.finish()?;
    Ok(scored)
}

/// Gives the chosen windows to another process, and compares.
pub(super) fn compare(
    mut reader: Reader,
    windows: &[&[u8]],
    plan: &Plan,
    scored: &Scored,
    tolerance: f64,
    random: &mut Random,
) -> Result<Checked, Stop> {
    let mut checked = Checked::default();
    for &(number, test) in &plan.tests {
        let window = windows[number];
        let Some(known) = scored.rows.get(number).and_then(Option::as_ref) else {
            continue;
        };
        let mut pair = Pair {
            window: number,
            bytes: window,
            known,
            rows: 0,
            tolerance,
            largest: 0.0,
        };
        let first = reader.begin(number)?;
        match test {
            Test::Repeat => {
                pair.same(&first, None)?;
                pair.same(&reader.go_on(&window[..window.len() - 1])?, None)?;
            }
            Test::Change { from } => {
                pair.same(&first, Some(CHANGED))?;
                let rows = reader.go_on(&changed(window, from, random))?;
                // The row of the first changed byte was foretold from the same bytes still.
                pair.same(&rows[..from * WIDTH], Some(CHANGED))?;
            }
            Test::Blind { from, count } => {
                pair.same(&first, Some(BLIND))?;
                pair.same(&reader.go_on(&window[..from])?, Some(BLIND))?;
                for at in from..from + count {
                    pair.same(&reader.go_on(&window[at..=at])?, Some(BLIND))?;
                }
                checked.blind += count;
            }
        }
        checked.rows += pair.rows;
        checked.largest = checked.largest.max(pair.largest);
    }
    reader.finish()?;
    Ok(checked)
}

const CHANGED: &str = "other bytes follow";
const BLIND: &str = "it gets its bytes one by one";

/// The window with random bytes from `from` on, the first of them surely another; without its last byte, as it was scored.
fn changed(window: &[u8], from: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = window[..window.len() - 1].to_vec();
    for (at, byte) in bytes.iter_mut().enumerate().skip(from) {
        let other = random.below(255) as u8;
        *byte = if at == from {
            byte.wrapping_add(1 + other)
        } else {
            other
        };
    }
    bytes
}

/// A window's rows of the first process, and how far the second has come.
struct Pair<'a> {
    window: usize,
    bytes: &'a [u8],
    known: &'a [f32],
    rows: usize,
    tolerance: f64,
    largest: f64,
}

impl Pair<'_> {
    /// The next rows have to be the same. `ahead` says what was different where a difference means that it looks ahead.
    fn same(&mut self, rows: &[f32], ahead: Option<&'static str>) -> Result<(), Refusal> {
        for row in rows.chunks_exact(WIDTH) {
            let number = self.rows;
            let difference = row::difference(
                &self.known[number * WIDTH..][..WIDTH],
                row,
                self.bytes[number],
            );
            self.rows += 1;
            self.largest = self.largest.max(difference);
            let is_same = difference <= self.tolerance;
            if is_same {
                continue;
            }
            let (window, row, most) = (self.window, number, self.tolerance);
            return Err(match ahead {
                None => Refusal::NotRepeatable {
                    window,
                    row,
                    difference,
                    most,
                },
                Some(how) => Refusal::LooksAhead {
                    window,
                    row,
                    how,
                    difference,
                    most,
                },
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
