//! A choice for the products of one role: a number, or `"same"` where it is what the profile says for all.

use std::{fmt, ops::RangeInclusive};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::{ProfileError, bad};

/// How "as for all" is written.
const SAME: &str = "same";

/// As it stands in the text; `None` for [`SAME`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice(Option<usize>);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Choice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number or \"{SAME}\"")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Choice, E> {
        let number = usize::try_from(value);
        number
            .map(|n| Choice(Some(n)))
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Choice, E> {
        match value {
            SAME => Ok(Choice(None)),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
}

/// As [`Choice`] reads it.
pub(super) fn written(value: Option<usize>) -> String {
    value.map_or_else(|| format!("\"{SAME}\""), |n| n.to_string())
}

pub(super) fn among(
    field: String,
    choice: Option<Choice>,
    allowed: &[usize],
) -> Result<Option<usize>, ProfileError> {
    match choice.and_then(|c| c.0) {
        Some(n) if !allowed.contains(&n) => {
            let all: Vec<String> = allowed.iter().map(usize::to_string).collect();
            let expected = format!("{} or \"{SAME}\"", all.join(", "));
            Err(bad(field, &expected, &n.to_string()))
        }
        n => Ok(n),
    }
}

pub(super) fn within(
    field: String,
    choice: Option<Choice>,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>, ProfileError> {
    match choice.and_then(|c| c.0) {
        Some(n) if !range.contains(&n) => {
            let expected = format!("{} to {} or \"{SAME}\"", range.start(), range.end());
            Err(bad(field, &expected, &n.to_string()))
        }
        n => Ok(n),
    }
}
