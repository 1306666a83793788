//! Constrained output: only tokens that keep the text a valid JSON document (of a schema) may be chosen.
//!
//! 1. The schema's text is read under limits ([`schema`]): bytes, nesting, the chain of references.
//! 2. `llguidance` turns it into a grammar with a lexer: an Earley parser over bytes. What it cannot keep exactly it refuses by
//!    name, so that a finished document always satisfies its schema.
//! 3. The vocabulary is a trie of the bytes that each token stands for ([`vocabulary`]). Control tokens are not in it: they are never
//!    text. The tokens that end a generation are allowed where the document may end.
//! 4. Before each choice the parser walks the trie and marks the tokens that it can take; after it, the token is fed.
//!
//! Between the parts of a document there is at most one space, or one line break with its indentation: a small model would otherwise
//! fill its limit with blanks.
//!
//! Invariants: time and memory of every step are bounded, whatever the schema; a text that ended with [`Document::Complete`]
//! parses and satisfies the schema. Not checked: unknown keywords, which JSON Schema says to ignore; numbers that no f64 holds; and
//! names that repeat within an object whose names the schema leaves open (they count twice for `minProperties`).

mod error;
mod schema;
mod vocabulary;

use std::thread;

use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, StopReason, TopLevelGrammar},
    earley::SlicedBiasComputer,
    toktrie::{InferenceCapabilities, SimpleVob},
};
use text::Tokenizer;

pub use error::ConstraintError;

/// Of the thread that compiles a schema: it recurses, at most [`schema::MOST_LEVELS`] deep.
const COMPILER_STACK_BYTES: usize = 128 << 20;

/// How far a constrained text came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// It is a whole document.
    Complete,
    /// It ended inside the document: at a limit, at a stop string, or when the listener said so.
    Unfinished,
}

/// What may come next, token by token. A clone goes its own way from the same place.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    mask: SimpleVob,
    /// Of the tokenizer; logits may have more rows.
    tokens: usize,
}

/// What all constraints of one model share: its vocabulary, prepared. It takes some tenths of a second to make; threads may share it.
pub struct Constrainer {
    factory: ParserFactory,
    tokens: usize,
}

impl Constrainer {
    /// Prepares the vocabulary of `tokenizer`.
    ///
    /// # Errors
    /// [`ConstraintError::Vocabulary`]: it cannot spell JSON, or is too large.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self, ConstraintError> {
        let trie = vocabulary::trie(tokenizer)?;
        let mut factory = ParserFactory::new(
            &trie,
            InferenceCapabilities::default(),
            &SlicedBiasComputer::general_slices(),
        )
        .map_err(error::vocabulary)?;
        factory.quiet();
        *factory.limits_mut() = limits();
        let tokens = tokenizer.vocab_size();
        Ok(Self { factory, tokens })
    }

    /// Allows the JSON documents that `schema`, the text of a JSON schema, describes.
    ///
    /// # Errors
    /// The text is not JSON, not a schema, too large, has keywords that cannot be kept, or describes no document.
    pub fn json_schema(&self, schema: &str) -> Result<Constraint, ConstraintError> {
        self.compile(schema::read(schema)?)
    }

    /// Allows any JSON object.
    ///
    /// # Errors
    /// The system refuses to start a thread.
    pub fn json_object(&self) -> Result<Constraint, ConstraintError> {
        self.compile(schema::any_object())
    }

    fn compile(&self, schema: serde_json::Value) -> Result<Constraint, ConstraintError> {
        let grammar = TopLevelGrammar::from_json_schema(schema);
        let compiled = thread::scope(|scope| {
            let compiler = thread::Builder::new()
                .name("schema".to_owned())
                .stack_size(COMPILER_STACK_BYTES);
            let running = compiler.spawn_scoped(scope, || self.factory.create_parser(grammar));
            running.map(|running| running.join())
        });
        let parser = match compiled {
            Ok(Ok(parser)) => parser.map_err(error::refused)?,
            Ok(Err(_)) => return Err(error::compiler_failed()),
            Err(source) => return Err(ConstraintError::Thread { source }),
        };
        let mut constraint = Constraint {
            matcher: Matcher::new(Ok(parser)),
            mask: SimpleVob::new(),
            tokens: self.tokens,
        };
        // A schema whose documents all contain themselves would only show at the first choice.
        constraint.advance_mask().map_err(|error| match error {
            ConstraintError::Stuck => ConstraintError::Unsatisfiable {
                reason: "none has a beginning".to_owned(),
            },
            other => other,
        })?;
        Ok(constraint)
    }
}

impl std::fmt::Debug for Constrainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constrainer")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Constraint {
    /// Goes back to the beginning of a document.
    ///
    /// # Errors
    /// None that is known; the parser reserves them.
    pub fn reset(&mut self) -> Result<(), ConstraintError> {
        self.matcher.reset().map_err(error::step)
    }

    /// Finds the tokens that may come next.
    ///
    /// # Errors
    /// The step needs more than its limits, or no token can come next.
    pub(crate) fn advance_mask(&mut self) -> Result<(), ConstraintError> {
        self.mask = self.matcher.compute_mask().map_err(error::step)?;
        Ok(())
    }

    /// Whether the last [`Constraint::advance_mask`] allows `token`.
    pub(crate) fn allows(&self, token: u32) -> bool {
        (token as usize) < self.tokens && self.mask.is_allowed(token)
    }

    /// Takes the token that was chosen.
    ///
    /// # Errors
    /// The token is not allowed.
    pub(crate) fn feed(&mut self, token: u32) -> Result<(), ConstraintError> {
        if !self.allows(token) {
            return Err(ConstraintError::NotAllowed { token });
        }
        self.matcher.consume_token(token).map_err(error::step)
    }

    /// Whether nothing but an end can come next.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        matches!(
            self.matcher.stop_reason(),
            StopReason::NoExtension | StopReason::NoExtensionBias | StopReason::EndOfSentence
        )
    }

    /// How far the text is that was fed so far.
    pub fn document(&mut self) -> Document {
        if self.is_at_end() || self.matcher.is_accepting().unwrap_or(false) {
            Document::Complete
        } else {
            Document::Unfinished
        }
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = self.matcher.stop_reason();
        f.debug_struct("Constraint")
            .field("stopped", &reason)
            .finish_non_exhaustive()
    }
}

/// What the parser may spend: its own defaults for time (tens of milliseconds for a schema, and a step at the worst), less for memory.
fn limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: 50_000, // of 1 to 2 kB each
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

#[cfg(test)]
mod tests;
