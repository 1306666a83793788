//! Why an output could not be constrained.

use std::fmt::Display;

/// Errors of [`super::Constrainer`] and [`super::Constraint`].
#[derive(Debug, thiserror::Error)]
pub enum ConstraintError {
    /// The schema's text is not JSON.
    #[error("the schema is not JSON: {reason} (line {line}, column {column}); correct it there")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// JSON, but no schema.
    #[error("the schema is {found}; a JSON schema is an object, such as {{\"type\": \"object\"}}")]
    NotASchema {
        /// What came.
        found: &'static str,
    },
    /// Keywords that would not be kept.
    #[error(
        "the schema uses {keywords}, which cannot be kept while generating; leave them out, or express them by other keywords"
    )]
    Unsupported {
        /// Their names, quoted.
        keywords: String,
    },
    /// The schema goes beyond a limit.
    #[error("the schema has {found} {what}, the limit is {most}; make it smaller")]
    TooLarge {
        /// How many.
        found: usize,
        /// Of what.
        what: &'static str,
        /// How many may be.
        most: usize,
    },
    /// No document satisfies the schema.
    #[error("no document can satisfy the schema: {reason}; correct the schema")]
    Unsatisfiable {
        /// Why.
        reason: String,
    },
    /// The schema was refused for another reason.
    #[error("the schema cannot be used: {reason}; simplify or correct that part of it")]
    Refused {
        /// What the compiler says.
        reason: String,
    },
    /// The tokenizer cannot be used.
    #[error("the model's vocabulary cannot write constrained output: {reason}; use another model")]
    Vocabulary {
        /// Why.
        reason: String,
    },
    /// A step would take more time or memory than it may.
    #[error(
        "the schema became too complex while generating: {reason}; make its patterns or alternatives simpler"
    )]
    TooComplex {
        /// Which limit.
        reason: String,
    },
    /// No token can come next.
    #[error(
        "no token of the model's vocabulary can continue the document; make the schema's strings and patterns simpler, or use another model"
    )]
    Stuck,
    /// A token that may not come here.
    #[error(
        "token {token} is not allowed at this place of the document; choose among the allowed ones"
    )]
    NotAllowed {
        /// Its id.
        token: u32,
    },
    /// No thread to compile the schema.
    #[error("the system refused to start a thread for the schema: {source}; close other programs")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
}

/// What the schema's compiler said, sorted.
pub(super) fn refused(error: impl Display) -> ConstraintError {
    let text = plain(&error);
    if let Some(keywords) = text.strip_prefix("Unimplemented keys: ") {
        let keywords = keywords.trim_matches(['[', ']']).to_owned();
        return ConstraintError::Unsupported { keywords };
    }
    if text.starts_with("oneOf constraints are not supported") {
        // Its own advice is an option of the library.
        let keywords = "\"oneOf\" with alternatives that may overlap".to_owned();
        return ConstraintError::Unsupported { keywords };
    }
    if let Some(reason) = text.strip_prefix("Unsatisfiable schema: ") {
        let reason = reason.to_owned();
        return ConstraintError::Unsatisfiable { reason };
    }
    if let Some(panic) = text.strip_prefix("panic: ") {
        let reason = format!("its compiler failed on it ({panic})");
        return ConstraintError::Refused { reason };
    }
    ConstraintError::Refused { reason: text }
}

/// What was said of the vocabulary.
pub(super) fn vocabulary(error: impl Display) -> ConstraintError {
    let reason = plain(&error);
    ConstraintError::Vocabulary { reason }
}

/// The compiler met a schema that it did not expect.
pub(super) fn compiler_failed() -> ConstraintError {
    let reason = "its compiler failed on it".to_owned();
    ConstraintError::Refused { reason }
}

/// What the parser said while generating, sorted.
pub(super) fn step(error: impl Display) -> ConstraintError {
    let reason = plain(&error);
    if reason.is_empty() || reason.contains("NoExtension") {
        ConstraintError::Stuck
    } else {
        ConstraintError::TooComplex { reason }
    }
}

/// The first line, and of a regular expression's error the last: what else follows are states and backtraces.
fn plain(error: &impl Display) -> String {
    let text = format!("{error}");
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim();
    match lines.find_map(|line| line.strip_prefix("error: ")) {
        Some(detail) if first.ends_with(':') => format!("{first} {detail}"),
        _ => first.to_owned(),
    }
}
