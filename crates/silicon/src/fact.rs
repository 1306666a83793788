//! A value together with where it came from, or the reason why there is none.

use serde::{Deserialize, Serialize};

/// A value with its source, or the reason why it is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Fact<T> {
    /// The value is known.
    Known {
        /// The value, in the unit of the field that holds it.
        value: T,
        /// Where it was read, or how it was derived.
        source: String,
    },
    /// The value is not known.
    Unknown {
        /// Why, in words for the user.
        reason: String,
    },
}

impl<T> Fact<T> {
    /// A known value.
    #[must_use]
    pub fn known(value: T, source: impl Into<String>) -> Self {
        Self::Known {
            value,
            source: source.into(),
        }
    }

    /// A missing value.
    #[must_use]
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }

    /// The value, if it is known.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// The source of a known value, or the reason for an unknown one.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Known { source, .. } => source,
            Self::Unknown { reason } => reason,
        }
    }

    /// This fact if it is known, else the other one.
    #[must_use]
    pub fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Known { .. } => self,
            Self::Unknown { .. } => other(),
        }
    }

    pub(crate) fn from_result(result: Result<T, String>, source: impl Into<String>) -> Self {
        match result {
            Ok(value) => Self::known(value, source),
            Err(reason) => Self::unknown(reason),
        }
    }
}
