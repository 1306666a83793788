//! `strftime_now(format)`: today's date, which some templates put into the system turn.
//!
//! The time is UTC, where `transformers` uses the local zone: a prompt should not depend on where the machine stands.

use std::fmt::Write as _;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use minijinja::{Error, ErrorKind};

pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    strftime(DateTime::<Utc>::from(SystemTime::now()), format)
}

/// A format that holds an unknown `%` specifier is an error, not a panic.
fn strftime(time: DateTime<Utc>, format: &str) -> Result<String, Error> {
    let mut text = String::new();
    write!(text, "{}", time.format(format)).map_err(|_| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now cannot read the format `{format}`"),
        )
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_python_does() {
        let time = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(
            strftime(time, "%d %b %Y, %A %H:%M:%S").unwrap(),
            "14 Nov 2023, Tuesday 22:13:20"
        );
        assert!(strftime(time, "%Q%!").is_err());
    }
}
