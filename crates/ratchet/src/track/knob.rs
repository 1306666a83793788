//! A literal in a file of any language: found by the line around it, read, and replaced.
//!
//! `line = "LEARNING_RATE = {}"` names the only line that, blanks at its ends aside, begins with what stands before `{}` and ends with
//! what stands behind. What is between is the literal. That needs no parser of any language, and it refuses to guess: no such line, or
//! two of them, is an error.

use std::fmt::Write as _;

use super::file::{self, Method};

#[cfg(test)]
mod tests;

/// Where a literal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: String,
    before: String,
    after: String,
}

/// Why a place or a knob is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnobError {
    /// No `{}`, or several.
    #[error("expected the line with one {{}} in place of the literal, came {0:?}")]
    Pattern(String),
    /// The file has no such line.
    #[error("{file} has no line `{line}`")]
    Missing {
        /// The file.
        file: String,
        /// The line as written in the track.
        line: String,
    },
    /// The file has several.
    #[error(
        "{file} has {count} lines `{line}`, and a knob needs exactly one; write more of the line"
    )]
    Several {
        /// The file.
        file: String,
        /// The line as written in the track.
        line: String,
        /// How many.
        count: usize,
    },
    /// Neither a range nor values, or both.
    #[error("expected either range = [lowest, highest] or values = [...]")]
    Domain,
    /// A range that holds nothing, or is of another type.
    #[error("range: expected two numbers, the lower one first{}, whole ones at most 2^53, came {came}", if *.log { " and above 0, since log = true" } else { "" })]
    Range {
        /// What came.
        came: String,
        /// Whether it is sampled by its logarithm.
        log: bool,
    },
    /// A step that is no whole number above 0, or with a range that is not of whole numbers.
    #[error(
        "step: expected a whole number from 1 to the width of a range of whole numbers; came {0}"
    )]
    Step(i64),
    /// A value that a line cannot hold.
    #[error("values: expected numbers, truth values or short texts on one line, came {0}")]
    Value(String),
    /// CMA-ES samples numbers only.
    #[error("method = \"cma\" samples numbers; this knob has values, so take method = \"tpe\"")]
    NotANumber,
}

impl Place {
    /// Checks the pattern.
    ///
    /// # Errors
    /// [`KnobError::Pattern`].
    pub fn new(file: &str, line: &str) -> Result<Self, KnobError> {
        let bad = || KnobError::Pattern(line.to_owned());
        let (before, after) = line.trim().split_once("{}").ok_or_else(bad)?;
        let too_little = before.trim().is_empty() && after.trim().is_empty();
        if after.contains("{}") || line.contains('\n') || too_little {
            return Err(bad());
        }
        Ok(Self {
            file: file.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }

    /// The file's path.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line as written in the track.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}{{}}{}", self.before, self.after)
    }

    /// Byte range of the literal in `text`.
    fn find(&self, text: &str) -> Result<std::ops::Range<usize>, KnobError> {
        let mut found = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let trimmed = line.trim();
            let offset = start + (line.len() - line.trim_start().len());
            start += line.len();
            let literal = trimmed
                .strip_prefix(&self.before)
                .and_then(|rest| rest.strip_suffix(&self.after));
            if let Some(literal) = literal.filter(|literal| !literal.trim().is_empty()) {
                let begin = offset + self.before.len();
                found.push(begin..begin + literal.len());
            }
        }
        match (found.pop(), found.len()) {
            (Some(range), 0) => Ok(range),
            (None, _) => Err(KnobError::Missing {
                file: self.file.clone(),
                line: self.line(),
            }),
            (Some(_), others) => Err(KnobError::Several {
                file: self.file.clone(),
                line: self.line(),
                count: others + 1,
            }),
        }
    }

    /// The literal as it stands in `text`.
    ///
    /// # Errors
    /// [`KnobError::Missing`], [`KnobError::Several`].
    pub fn read<'a>(&self, text: &'a str) -> Result<&'a str, KnobError> {
        Ok(&text[self.find(text)?])
    }

    /// `text` with another literal.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn replace(&self, text: &str, literal: &str) -> Result<String, KnobError> {
        let range = self.find(text)?;
        let mut out = String::with_capacity(text.len() + literal.len());
        out.push_str(&text[..range.start]);
        out.push_str(literal);
        out.push_str(&text[range.end..]);
        Ok(out)
    }
}

/// A literal with the values it may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Knob {
    /// Where it stands.
    pub place: Place,
    /// What it may be.
    pub domain: Domain,
}

/// What a literal may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// Whole numbers.
    Whole {
        /// Lowest.
        low: i64,
        /// Highest.
        high: i64,
        /// Distance of neighbours.
        step: i64,
        /// Sampled by its logarithm.
        log: bool,
    },
    /// Any number.
    Real {
        /// Lowest.
        low: f64,
        /// Highest.
        high: f64,
        /// Sampled by its logarithm.
        log: bool,
    },
    /// One of these, as they are written in the file.
    Values(Vec<String>),
}

impl Knob {
    /// Checks a written knob.
    ///
    /// # Errors
    /// [`KnobError`].
    pub fn new(written: &file::Knob, method: Method) -> Result<Self, KnobError> {
        let place = Place::new(&written.file, &written.line)?;
        let domain = match (&written.range, &written.values) {
            (Some([low, high]), None) => range(low, high, written)?,
            (None, Some(values)) if !values.is_empty() => {
                if method == Method::Cma {
                    return Err(KnobError::NotANumber);
                }
                let mut literals = Vec::new();
                for value in values {
                    let literal = literal(value)?;
                    if !literals.contains(&literal) {
                        literals.push(literal);
                    }
                }
                Domain::Values(literals)
            }
            _ => return Err(KnobError::Domain),
        };
        Ok(Self { place, domain })
    }
}

/// Whole numbers up to here are all different as floating-point numbers.
const LARGEST: f64 = 9_007_199_254_740_992.0;

fn range(low: &toml::Value, high: &toml::Value, written: &file::Knob) -> Result<Domain, KnobError> {
    let bad = || KnobError::Range {
        came: format!("[{}, {}]", shown(low), shown(high)),
        log: written.log,
    };
    let number = |value: &toml::Value| match value {
        toml::Value::Integer(n) => Some(*n as f64),
        toml::Value::Float(x) if x.is_finite() => Some(*x),
        _ => None,
    };
    let (from, to) = (number(low).ok_or_else(bad)?, number(high).ok_or_else(bad)?);
    let in_order = from < to && (to - from).is_finite() && (!written.log || 0.0 < from);
    if !in_order {
        return Err(bad());
    }
    match (low, high, written.step) {
        (toml::Value::Integer(low), toml::Value::Integer(high), step) => {
            // So far apart that every one of them is a number of its own to the sampler.
            if from.abs().max(to.abs()).max(to - from) > LARGEST {
                return Err(bad());
            }
            let step = step.unwrap_or(1);
            if step < 1 || step > high - low {
                return Err(KnobError::Step(step));
            }
            Ok(Domain::Whole {
                low: *low,
                high: *high,
                step,
                log: written.log,
            })
        }
        (_, _, Some(step)) => Err(KnobError::Step(step)),
        (_, _, None) => Ok(Domain::Real {
            low: from,
            high: to,
            log: written.log,
        }),
    }
}

fn shown(value: &toml::Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A value as it will stand in the file. Texts stand as they are: quotes, where the language needs them, belong to the line or to the value.
fn literal(value: &toml::Value) -> Result<String, KnobError> {
    let bad = || KnobError::Value(shown(value));
    let mut out = String::new();
    match value {
        toml::Value::String(text)
            if !text.trim().is_empty() && text.len() <= 200 && !text.contains(['\n', '\r']) =>
        {
            out.push_str(text);
        }
        toml::Value::Integer(n) => write!(out, "{n}").map_err(|_| bad())?,
        toml::Value::Float(x) if x.is_finite() => write!(out, "{x:?}").map_err(|_| bad())?,
        toml::Value::Boolean(b) => write!(out, "{b}").map_err(|_| bad())?,
        _ => return Err(bad()),
    }
    Ok(out)
}
