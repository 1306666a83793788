//! A trained model as it is handed to a judge: weights, what model they are of, and how well it foretells a text.
//!
//! A safetensors file: `weights.NAME` in f32 for each parameter as [`Configuration::graph`] declares it, and `about`, a JSON object:
//! `{"schema": "sprag.model/1", "model": {..}, "positions": 256, "tokenizer": null}`. It is a stranger's file: nothing of it is believed
//! before it was checked, and memory is asked for what the file itself holds.

use std::path::Path;

use corpus::{SEPARATOR, Tokenizer, TokenizerError};
use formats::gguf::Quantisation;
use kernels::{
    memory::OutOfMemory,
    training::{IGNORED, Machine, Precision},
};
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{self, CheckpointError, Saved},
    export::{self, ExportError, Exported, Trained},
    graph::{Batch, Declared, GraphError},
    model::Configuration,
    program::{Program, ProgramError},
    weights::Weights,
};

/// Of the file.
pub const SCHEMA: &str = "sprag.model/1";
/// Most parameters of a model that is judged.
pub const MOST_PARAMETERS: usize = 1 << 28;
/// Most bytes of intermediate results of one batch.
pub const MOST_ACTIVATIONS: usize = 4 << 30;
/// Tokens that are scored at one time.
const BATCH_TOKENS: usize = 2048;

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// [`SCHEMA`].
    pub schema: String,
    /// What the weights are of.
    pub model: Configuration,
    /// Tokens of a window that the model was trained on: it is judged on no longer ones.
    pub positions: usize,
    /// How text becomes tokens; none where tokens are bytes.
    pub tokenizer: Tokenizer,
}

/// Why a model has no score.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// It cannot be read, or holds something else.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its model is none.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It cannot run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Its tokenizer is none.
    #[error("the tokenizer: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// There is no memory for its weights.
    #[error("the weights: {0}")]
    Memory(#[from] OutOfMemory),
    /// What it says makes no sense, or too much is asked.
    #[error("{what} must be {expected}, and is {found}")]
    Value {
        /// Of the file.
        what: &'static str,
        /// In words.
        expected: String,
        /// What came.
        found: String,
    },
}

fn wrong(what: &'static str, expected: impl ToString, found: impl ToString) -> ModelFileError {
    ModelFileError::Value {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

/// Writes a model for a judge; whole, or not at all.
///
/// # Errors
/// The system refuses.
pub fn write(
    path: &Path,
    model: &Configuration,
    positions: usize,
    tokenizer: &Tokenizer,
    (declared, weights): (&[Declared], &Weights),
) -> Result<(), CheckpointError> {
    let about = About {
        schema: SCHEMA.to_owned(),
        model: model.clone(),
        positions,
        tokenizer: tokenizer.clone(),
    };
    checkpoint::write(path, &about, declared, &[("weights", weights)])
}

/// How well a model foretells a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Bits for each raw byte.
    pub bits_per_byte: f64,
    /// Raw bytes, separators not counted.
    pub bytes: usize,
    /// Tokens that were foretold.
    pub tokens: usize,
}

/// A model that was read.
pub struct ModelFile {
    about: About,
    declared: Vec<Declared>,
    weights: Weights,
}

impl ModelFile {
    /// Whether a file says that it is such a model, of this version or another. What cannot be read is none.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        /// Nothing else is looked at, nor kept.
        #[derive(Deserialize)]
        struct Stated {
            schema: String,
        }
        let stated = || Saved::open(path).ok()?.about::<Stated>().ok();
        let family = SCHEMA.split('/').next();
        path.is_file() && stated().is_some_and(|one| one.schema.split('/').next() == family)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ModelFileError`]: what was expected, and what came.
    pub fn open(path: &Path) -> Result<Self, ModelFileError> {
        let saved = Saved::open(path)?;
        let about: About = saved.about()?;
        if about.schema != SCHEMA {
            return Err(wrong("the schema", SCHEMA, &about.schema));
        }
        let (tokens, vocabulary) = (about.tokenizer.vocabulary(), about.model.vocabulary);
        if vocabulary != tokens {
            let expected = format!("{tokens}, as many as the tokenizer has");
            return Err(wrong("the vocabulary", expected, vocabulary));
        }
        let one = Batch {
            sequences: 1,
            positions: 1,
        };
        let declared = about.model.graph(one)?.parameters().to_vec();
        let parameters: usize = declared.iter().map(|one| one.rows * one.columns).sum();
        if parameters > MOST_PARAMETERS {
            let most = format!("at most {MOST_PARAMETERS}");
            return Err(wrong("the number of parameters", most, parameters));
        }
        saved.has_only("weights", &declared)?;
        let mut weights = Weights::zeroed(&declared)?;
        saved.read("weights", &declared, &mut weights)?;
        Ok(Self {
            about,
            declared,
            weights,
        })
    }

    /// Parameters in all.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.weights.places().iter().map(std::ops::Range::len).sum()
    }

    /// What it says about itself.
    #[must_use]
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// As a GGUF file; see [`export::gguf`].
    ///
    /// # Errors
    /// It has no place in GGUF.
    pub fn gguf(
        &self,
        path: &Path,
        name: &str,
        asked: Option<Quantisation>,
    ) -> Result<Exported, ExportError> {
        let About {
            model,
            positions,
            tokenizer,
            ..
        } = &self.about;
        let trained = Trained {
            name,
            configuration: model,
            context: *positions,
            tokenizer,
            declared: &self.declared,
            weights: &self.weights,
        };
        export::gguf(path, &trained, asked)
    }

    /// Scores a text whose documents are separated by byte 0: windows of at most `window` tokens that do not overlap, each of which sees
    /// nothing before it; every byte of a document is foretold once.
    ///
    /// # Errors
    /// The text is empty, or a batch asks for too much.
    pub fn score(
        &self,
        machine: &mut Machine,
        text: &[u8],
        window: usize,
    ) -> Result<Score, ModelFileError> {
        let stream = self.stream(text)?;
        let bytes = text.iter().filter(|&&byte| byte != 0).count();
        if bytes == 0 {
            return Err(wrong("the text", "at least one byte", "none"));
        }
        let inputs = stream.len() - 1;
        let positions = self.about.positions.min(window).min(inputs);
        if positions == 0 {
            return Err(wrong("positions", "at least 1", 0));
        }
        let sequences = (BATCH_TOKENS / positions)
            .max(1)
            .min(inputs.div_ceil(positions));
        let batch = Batch {
            sequences,
            positions,
        };
        let graph = self.about.model.graph(batch)?;
        let needed = Program::bytes_needed(&graph);
        if needed > MOST_ACTIVATIONS {
            let most = format!("at most {MOST_ACTIVATIONS}");
            return Err(wrong(
                "bytes of a batch's intermediate results",
                most,
                needed,
            ));
        }
        let mut program = Program::new(graph, Precision::F32, machine)?;
        let (mut nats, mut tokens) = (0.0, 0);
        let size = batch.tokens();
        for start in (0..inputs).step_by(size) {
            let at = |i: usize| stream.get(start + i).copied();
            let input: Vec<u32> = (0..size).map(|i| at(i).unwrap_or(SEPARATOR)).collect();
            let target = |i| at(i + 1).filter(|&t| t != SEPARATOR).unwrap_or(IGNORED);
            let targets: Vec<u32> = (0..size).map(target).collect();
            let losses = program.losses(machine, &self.weights, &input, &targets);
            nats += losses.iter().copied().map(f64::from).sum::<f64>();
            tokens += targets.iter().filter(|&&target| target != IGNORED).count();
        }
        Ok(Score {
            bits_per_byte: nats / bytes.max(1) as f64 / std::f64::consts::LN_2,
            bytes,
            tokens,
        })
    }

    /// Each document behind a separator, byte 0 being one too.
    fn stream(&self, text: &[u8]) -> Result<Vec<u32>, ModelFileError> {
        let encoder = match &self.about.tokenizer {
            // Any bytes are tokens.
            Tokenizer::Bytes => None,
            Tokenizer::Pairs(_) => Some(self.about.tokenizer.encoder()?),
        };
        let mut stream = Vec::new();
        for document in text.split(|&byte| byte == 0) {
            stream.push(SEPARATOR);
            let Some(encoder) = &encoder else {
                stream.extend(document.iter().map(|&byte| u32::from(byte)));
                continue;
            };
            let words = str::from_utf8(document)
                .map_err(|error| wrong("the text", "UTF-8 for a model with merges", error))?;
            let start = stream.len();
            stream.extend(encoder.encode(words));
            // Bits are counted for each raw byte: a tokenizer that loses one would gain by it.
            if self.about.tokenizer.decode(&stream[start..]) != document {
                return Err(wrong(
                    "what tokens spell",
                    "the text itself",
                    "something else",
                ));
            }
        }
        Ok(stream)
    }
}

#[cfg(test)]
mod tests;
