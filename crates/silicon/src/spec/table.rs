//! The table `data/cpus.toml`: presented memory bandwidth by model name, each row with its source and status.

use serde::Deserialize;
use thiserror::Error;

use super::Status;

const TEXT: &str = include_str!("../../../../data/cpus.toml");

/// The table cannot be used.
#[derive(Debug, Error)]
#[error(
    "data/cpus.toml: expected rows [[cpu]] with name, memory_gb_s, status and source, got: {0}"
)]
pub struct TableError(String);

/// One processor or family of processors.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Pattern that must occur in the model name; `?` is any one character.
    pub name: String,
    /// Bandwidth of one socket.
    pub memory_gb_s: f64,
    /// How far the source can be trusted.
    pub status: Status,
    /// Where the figure is from.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cpu: Vec<Row>,
}

/// The rows of the built-in table.
///
/// # Errors
/// [`TableError`] if the table that was built in is broken.
pub fn rows() -> Result<Vec<Row>, TableError> {
    parse(TEXT)
}

/// Rows of a table's text.
///
/// # Errors
/// [`TableError`] for bad TOML, a row without a name or source, or a figure that is not finite and above zero.
pub fn parse(text: &str) -> Result<Vec<Row>, TableError> {
    let table: Table = toml::from_str(text).map_err(|error| TableError(error.to_string()))?;
    for row in &table.cpu {
        let positive = row.memory_gb_s.is_finite() && row.memory_gb_s > 0.0;
        if !(!row.name.is_empty() && positive && !row.source.is_empty()) {
            return Err(TableError(format!("{row:?}")));
        }
    }
    Ok(table.cpu)
}

/// The row that applies to a model name; the longest pattern wins.
#[must_use]
pub fn find<'a>(rows: &'a [Row], model_name: &str) -> Option<&'a Row> {
    rows.iter()
        .filter(|row| occurs(&row.name, model_name))
        .max_by_key(|row| row.name.len())
}

fn occurs(pattern: &str, model_name: &str) -> bool {
    let fits = |window: &[u8]| {
        window
            .iter()
            .zip(pattern.as_bytes())
            .all(|(byte, wanted)| *wanted == b'?' || byte.eq_ignore_ascii_case(wanted))
    };
    model_name
        .as_bytes()
        .windows(pattern.len().max(1))
        .any(fits)
}
