//! Numbers of a ledger that may not be numbers: JSON has no NaN, so it is written as null and read back as NaN.
//!
//! A judge that crashes half-way can print anything. The event that says so has to be written, and replayed to the same verdict;
//! the gate treats every reading that is not finite alike, so that an infinity may come back as NaN.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn written(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

pub(crate) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    written(*value).serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// The same for one that may be missing: null is a number that is none, and nothing at all is nothing.
pub(crate) mod option {
    use super::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        super::serialize(&value.unwrap_or(f64::NAN), to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        super::deserialize(from).map(Some)
    }
}

/// The same for a list.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Serializer, written};

    pub(crate) fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|value| written(*value)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Option<f64>>::deserialize(from)?;
        Ok(values
            .into_iter()
            .map(|value| value.unwrap_or(f64::NAN))
            .collect())
    }
}

#[cfg(test)]
mod tests;
