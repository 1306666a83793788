//! Bounds on JSON values before they are written: what is recorded must be readable again.
//!
//! serde_json reads 128 levels and no more, and writes any number by recursion, which a deep enough value turns into a stack
//! overflow. So depth is counted first, without recursion.

use serde_json::Value;

use crate::error::LedgerError;

/// Levels that are recorded; one array or object is one level.
const MAX_DEPTH: usize = 100;

/// The exact text that is stored for `value`.
pub(crate) fn to_text(
    what: &'static str,
    value: &Value,
    limit: usize,
) -> Result<String, LedgerError> {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(LedgerError::Invalid {
                what,
                expected: "JSON of at most 100 levels",
                found: "a deeper one".to_owned(),
            });
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|field| (field, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let text = value.to_string();
    if text.len() > limit {
        return Err(LedgerError::TooLarge {
            what,
            bytes: text.len(),
            limit,
        });
    }
    Ok(text)
}
