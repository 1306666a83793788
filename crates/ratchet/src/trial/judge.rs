//! Talking with a judge: what it is told, and what it may answer.
//!
//! A judge is told by environment variables, and answers by a file that only its own process can reach (`SPRAG_RESULT`), or by a line on
//! its own standard output where the track names a pattern. The answer of a score is `{"value": 0.93, "kl": 0.002}`: the metric, and
//! whatever constraints are about. Of cases, `{"cases": [1, 0, 1]}`. Of a timing judge with its own clock,
//! `{"champion": [12.1, 12.3], "candidate": [11.8, 11.9]}`: times of the two in turns. `{"refused": "why"}` is a loss in its own words.

use gate::{Better, Kind};
use serde_json::Value;

use super::{Loss, Values};
use crate::track::Track;

/// The exit code with which Sprag's own judges say that they are at fault themselves, not the candidate.
pub const FAULT: i32 = 75;
/// The variables a judge is told by.
pub const RESULT: &str = "SPRAG_RESULT";
/// Folder with what is judged.
pub const ARTEFACT: &str = "SPRAG_ARTEFACT";
/// Folder with the champion's, for a judge that measures both.
pub const CHAMPION: &str = "SPRAG_CHAMPION";
/// `public`, `hidden` or `block`.
pub const SPLIT: &str = "SPRAG_SPLIT";
/// Which measurement it is, such as `screen/12` or `race/3/0`.
pub const MEASUREMENT: &str = "SPRAG_MEASUREMENT";
/// A whole number that nobody but the engine could foresee.
pub const SEED: &str = "SPRAG_SEED";
/// The seed that the candidate's run had.
pub const RUN_SEED: &str = "SPRAG_RUN_SEED";
/// For Sprag's own judges: what a process of the candidate may use, in JSON.
pub const SANDBOX: &str = "SPRAG_SANDBOX";
/// The largest answer.
pub const MOST_BYTES: u64 = 1 << 20;
/// The most cases of one split, or times of one arm: a record of the ledger holds them all.
pub const MOST_NUMBERS: usize = 10_000;

#[cfg(test)]
mod tests;

/// What a judge found.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// One figure.
    Value(f64),
    /// A figure for each case.
    Cases(Vec<f64>),
    /// Times of both arms.
    Times {
        /// Of the champion.
        champion: Vec<f64>,
        /// Of the candidate.
        candidate: Vec<f64>,
    },
}

/// Why an answer is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// It wrote nothing.
    #[error("it ended well but wrote no result to the file that {RESULT} names")]
    Silent,
    /// Not what was asked for.
    #[error("expected {expected}, came {came}")]
    Answer {
        /// In words.
        expected: &'static str,
        /// Its beginning.
        came: String,
    },
}

fn answer(expected: &'static str, came: &str) -> JudgeError {
    let mut came: String = came.chars().take(200).collect();
    if came.is_empty() {
        came.push_str("nothing");
    }
    JudgeError::Answer { expected, came }
}

/// The result as it stands in the file or on the line; numbers that JSON does not know (`NaN`) are kept as text.
pub(super) fn result(track: &Track, file: Option<&str>, stdout: &str) -> Result<Value, JudgeError> {
    if let Some(pattern) = &track.line {
        let last = pattern
            .captures_iter(stdout)
            .filter_map(|found| found.get(1))
            .last()
            .ok_or_else(|| {
                answer(
                    "a line that judge.line matches",
                    stdout.lines().last().unwrap_or(""),
                )
            })?;
        let written = last.as_str();
        let number = written
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64);
        let value = number.map_or_else(|| Value::String(written.to_owned()), Value::Number);
        return Ok(serde_json::json!({ "value": value }));
    }
    let text = file.map(str::trim).filter(|text| !text.is_empty());
    let text = text.ok_or(JudgeError::Silent)?;
    // Python's `json` writes NaN and Infinity, which are no JSON; what they stand for is the candidate's loss, not a judge's fault.
    let value =
        serde_json::from_str::<Value>(text).or_else(|_| serde_json::from_str(&worded(text)));
    match value.map_err(|_| answer("a result in JSON", text))? {
        Value::Object(fields) => Ok(Value::Object(fields)),
        Value::Number(number) => Ok(serde_json::json!({ "value": number })),
        Value::String(word) if is_not_finite(&word) => Ok(serde_json::json!({ "value": word })),
        _ => Err(answer("an object or a number", text)),
    }
}

/// The text with quotes around the words for numbers that JSON does not know; what stands in a string stays as it is.
fn worded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut inside) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| !inside && rest.starts_with(word));
        let taken = match word {
            Some(word) => {
                out.extend(["\"", word, "\""]);
                word.len()
            }
            None => {
                // An escaped character goes with its backslash, so that an escaped quote ends nothing.
                let escaped = rest[c.len_utf8()..]
                    .chars()
                    .next()
                    .filter(|_| inside && c == '\\');
                let taken = c.len_utf8() + escaped.map_or(0, char::len_utf8);
                inside ^= c == '"';
                out.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    out
}

fn is_not_finite(word: &str) -> bool {
    word.parse::<f64>().is_ok_and(|x| !x.is_finite())
}

/// Reads an answer: the verdict and its constraints, or the candidate's loss.
pub(super) fn read(
    track: &Track,
    result: &Value,
) -> Result<Result<(Verdict, Values), Loss>, JudgeError> {
    let refused = result
        .get("refused")
        .filter(|said| !matches!(said, Value::Null | Value::Bool(false)));
    if let Some(said) = refused {
        let said = said.as_str().unwrap_or("it gave no reason");
        return Ok(Err(Loss::Refused {
            said: said.chars().take(500).collect(),
        }));
    }
    let verdict = match track.kind() {
        Kind::Score => number(result, "value")?.map(Verdict::Value),
        Kind::Cases => numbers(result, "cases").map(|found| found.map(Verdict::Cases))?,
        Kind::Timing if result.get("candidate").is_some() => {
            match (numbers(result, "champion")?, numbers(result, "candidate")?) {
                (Ok(champion), Ok(candidate)) => positive(champion, candidate),
                (Err(loss), _) | (_, Err(loss)) => Err(loss),
            }
        }
        // A judge of outputs only: the clock is the engine's.
        Kind::Timing => Ok(Verdict::Cases(Vec::new())),
    };
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(loss) => return Ok(Err(loss)),
    };
    let mut values = Values::new();
    for constraint in &track.file.constraint {
        let name = &constraint.metric;
        let value = match number(result, name)? {
            Ok(value) => value,
            Err(loss) => return Ok(Err(loss)),
        };
        let bound = match (constraint.at_most, constraint.at_least) {
            (Some(most), _) if value > most => Some(format!("at most {most}")),
            (_, Some(least)) if value < least => Some(format!("at least {least}")),
            _ => None,
        };
        if let Some(bound) = bound {
            let metric = name.clone();
            return Ok(Err(Loss::Constraint {
                metric,
                value,
                bound,
            }));
        }
        values.insert(name.clone(), value);
    }
    Ok(Ok((verdict, values)))
}

/// Exactly one number.
pub(super) fn number(result: &Value, name: &str) -> Result<Result<f64, Loss>, JudgeError> {
    Ok(match numbers(result, name)? {
        Ok(found) => match found.as_slice() {
            [one] => Ok(*one),
            several => {
                let came = format!("{} numbers under {name:?}", several.len());
                return Err(answer(
                    "one number under the name that the track gives",
                    &came,
                ));
            }
        },
        Err(loss) => Err(loss),
    })
}

/// One number or a list of them; at least one.
fn numbers(result: &Value, name: &str) -> Result<Result<Vec<f64>, Loss>, JudgeError> {
    let expected = "a number, or a list of numbers, under the name that the track gives";
    let value = result
        .get(name)
        .ok_or_else(|| answer(expected, &format!("no {name:?} in {result}")))?;
    let items = match value {
        Value::Array(items) if items.len() > MOST_NUMBERS => {
            let came = format!("{} numbers under {name:?}", items.len());
            return Err(answer("at most 10000 numbers under one name", &came));
        }
        Value::Array(items) if !items.is_empty() => items.as_slice(),
        Value::Array(_) => return Err(answer(expected, &format!("an empty {name:?}"))),
        one => std::slice::from_ref(one),
    };
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Number(n) => match n.as_f64().filter(|x| x.is_finite()) {
                Some(x) => out.push(x),
                None => {
                    return Ok(Err(Loss::NotFinite {
                        value: n.to_string(),
                    }));
                }
            },
            Value::Bool(b) => out.push(f64::from(u8::from(*b))),
            Value::Null => {
                return Ok(Err(Loss::NotFinite {
                    value: "null".to_owned(),
                }));
            }
            Value::String(word) if is_not_finite(word) => {
                return Ok(Err(Loss::NotFinite {
                    value: word.chars().take(40).collect(),
                }));
            }
            other => return Err(answer(expected, &other.to_string())),
        }
    }
    Ok(Ok(out))
}

fn positive(champion: Vec<f64>, candidate: Vec<f64>) -> Result<Verdict, Loss> {
    match champion.iter().chain(&candidate).find(|time| **time <= 0.0) {
        Some(time) => Err(Loss::NotFinite {
            value: format!("a time of {time}"),
        }),
        None => Ok(Verdict::Times {
            champion,
            candidate,
        }),
    }
}

/// Whether two judges agree on a value.
pub(super) fn agree(judge: f64, second: f64, within: f64) -> bool {
    let largest = judge.abs().max(second.abs());
    largest.is_finite() && (judge - second).abs() <= within * largest
}

/// ln(cost of the champion / cost of the candidate) of one block: above 0 where the candidate is better.
///
/// As many times of each arm are pairs in the order they were taken, and the median of the pairs' log-ratios counts: a machine that is
/// slower for a second is so for both of a pair. Otherwise each arm counts with its median.
#[must_use]
pub(super) fn log_ratio(better: Better, champion: &[f64], candidate: &[f64]) -> Option<f64> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            n if n % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    };
    let ratio = if champion.len() == candidate.len() {
        let pairs = champion.iter().zip(candidate);
        median(
            pairs
                .map(|(champion, candidate)| (champion / candidate).ln())
                .collect(),
        )?
    } else {
        (median(champion.to_vec())? / median(candidate.to_vec())?).ln()
    };
    Some(match better {
        Better::Lower => ratio,
        Better::Higher => -ratio,
    })
}
