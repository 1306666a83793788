//! Points in time as the ledger writes them: RFC 3339, UTC, milliseconds, `2026-01-31T12:00:00.000Z`.
//!
//! They are for people and for leases. Nothing else depends on them, because a clock may jump.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::error::LedgerError;

/// What the system's clock says. A clock outside the years that can be written is taken as 1970.
pub(crate) fn now() -> DateTime<Utc> {
    let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).ok(),
        Err(before) => i64::try_from(before.duration().as_millis())
            .ok()
            .and_then(i64::checked_neg),
    };
    ms.and_then(DateTime::from_timestamp_millis)
        .filter(|moment| *moment <= last())
        .unwrap_or_default()
}

pub(crate) fn to_text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads a caller's time; it must be UTC, so that two can be compared by eye.
pub(crate) fn parse(text: &str) -> Result<DateTime<Utc>, LedgerError> {
    let wrong = || LedgerError::Invalid {
        what: "the time",
        expected: "RFC 3339 in UTC, such as 2026-01-31T12:00:00.000Z",
        found: format!("`{}`", text.chars().take(64).collect::<String>()),
    };
    let moment = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
    if moment.offset().local_minus_utc() != 0 {
        return Err(wrong());
    }
    Ok(moment.to_utc())
}

/// The last moment that RFC 3339 can write: the year has four digits.
fn last() -> DateTime<Utc> {
    DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default()
}

/// `lease` after `moment`; a lease beyond the year 9999 ends with it.
pub(crate) fn later(moment: DateTime<Utc>, lease: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(lease)
        .ok()
        .and_then(|lease| moment.checked_add_signed(lease))
        .filter(|moment| *moment <= last())
        .unwrap_or_else(last)
}

#[cfg(test)]
mod tests;
