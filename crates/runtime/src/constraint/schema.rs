//! A schema's text, checked before it is compiled.
//!
//! The compiler bounds the number of parts and its own tables, but recurses along the nesting and along references, each of which it
//! follows once. So the nesting of the document plus that of every part that is referred to bounds its depth.

use std::collections::HashSet;

use llguidance::JsonCompileOptions;
use serde_json::{Value, json};

use super::ConstraintError;

/// Largest text of a schema.
const MOST_BYTES: usize = 1 << 18;
/// Most levels of nesting, each part that a `$ref` names counted once more.
pub(super) const MOST_LEVELS: usize = 1024;
/// One blank, or a line break with indentation.
const BLANKS: &str = r"( |\n {0,40}|\n\t{0,10})";

/// Parses and checks the text of a schema.
pub(super) fn read(text: &str) -> Result<Value, ConstraintError> {
    too_large(text.len(), "bytes", MOST_BYTES)?;
    let schema: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        // The place is told apart.
        let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
        ConstraintError::NotJson {
            line,
            column,
            reason,
        }
    })?;
    let found = match &schema {
        Value::Object(_) => {
            let levels = levels(&schema);
            too_large(levels, "levels of nesting and references", MOST_LEVELS)?;
            return Ok(with_options(schema));
        }
        Value::Bool(true) => return Ok(with_options(json!({}))),
        Value::Bool(false) => {
            let reason = "it is `false`".to_owned();
            return Err(ConstraintError::Unsatisfiable { reason });
        }
        Value::Null => "null",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
    };
    Err(ConstraintError::NotASchema { found })
}

/// The schema of any JSON object.
pub(super) fn any_object() -> Value {
    with_options(json!({"type": "object"}))
}

fn too_large(found: usize, what: &'static str, most: usize) -> Result<(), ConstraintError> {
    if found <= most {
        Ok(())
    } else {
        Err(ConstraintError::TooLarge { found, what, most })
    }
}

/// Adds the compiler's options, which it reads from the schema. A schema's own are replaced: they could lift what is promised.
fn with_options(mut schema: Value) -> Value {
    let options = JsonCompileOptions {
        whitespace_pattern: Some(BLANKS.to_owned()),
        ..JsonCompileOptions::default()
    };
    options.apply_to(&mut schema);
    schema
}

/// Nesting of the schema and of all parts that it refers to; counting stops beyond the limit.
fn levels(schema: &Value) -> usize {
    let mut references = HashSet::new();
    let mut sum = nesting(schema, &mut references);
    for reference in references {
        if sum > MOST_LEVELS {
            break;
        }
        sum += part(schema, reference).map_or(0, |part| nesting(part, &mut HashSet::new()));
    }
    sum
}

/// The part that a reference names, as the compiler finds it; it refuses others.
fn part<'s>(schema: &'s Value, reference: &str) -> Option<&'s Value> {
    let path = reference.strip_prefix('#')?.trim_start_matches('/');
    let mut steps = path.split('/').filter(|_| !path.is_empty());
    steps.try_fold(schema, |at, step| match at {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => at.get(step),
    })
}

/// Levels of `value`, and the references in it. JSON's parser nests at most 128 levels, so recursion is safe.
fn nesting<'s>(value: &'s Value, references: &mut HashSet<&'s str>) -> usize {
    let inner = match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                references.insert(reference);
            }
            members
                .values()
                .map(|value| nesting(value, references))
                .max()
        }
        Value::Array(items) => items.iter().map(|value| nesting(value, references)).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}
