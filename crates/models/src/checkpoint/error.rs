//! What can be wrong with a checkpoint whose files are each valid.

use formats::gguf::WriteError;
use formats::json::JsonError;
use formats::safetensors::SafetensorsError;
use ops::Dtype;
use text::TokenizerFilesError;

/// Why a checkpoint can't be seen as a model. Messages name the file, what was expected and the next step.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The weights' files.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// `config.json` or another JSON file.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The tokenizer's files.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerFilesError),
    /// A family of models that Sprag does not convert.
    #[error("{file}: `model_type` is {found}, which Sprag does not convert; it converts {known}")]
    Family {
        /// Where.
        file: String,
        /// What the configuration says.
        found: String,
        /// What is known.
        known: String,
    },
    /// A variant of a known family that Sprag does not convert.
    #[error("{file}: {feature} is not supported; {remedy}")]
    Unsupported {
        /// Where.
        file: String,
        /// What the checkpoint asks for.
        feature: String,
        /// What to do instead.
        remedy: String,
    },
    /// Weights that the configuration asks for are not there.
    #[error(
        "{file}: tensor {tensor} is missing; the checkpoint is incomplete or of another kind than config.json says: fetch all its files again"
    )]
    Missing {
        /// Where.
        file: String,
        /// Its name.
        tensor: String,
    },
    /// Weights of another shape than the configuration asks for.
    #[error(
        "{file}: tensor {tensor} has the shape {found:?}, where config.json asks for {expected:?}; the files do not belong together: fetch them all again"
    )]
    Shape {
        /// Where.
        file: String,
        /// Its name.
        tensor: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
    /// Weights in a number format that Sprag does not compute with.
    #[error(
        "{file}: tensor {tensor} is stored as {found}; take a checkpoint of the model in BF16, F16 or F32"
    )]
    Type {
        /// Where.
        file: String,
        /// Its name.
        tensor: String,
        /// The format's name.
        found: &'static str,
    },
    /// Weights that the model, as Sprag knows it, has no place for.
    #[error(
        "{file}: tensor {tensor} has no place in a {family} model; results without it would be wrong: take a standard model of the family"
    )]
    Unused {
        /// Where.
        file: String,
        /// Its name.
        tensor: String,
        /// The model's architecture.
        family: &'static str,
    },
    /// The view of the checkpoint as a GGUF file is not valid.
    #[error("{file}: {source}")]
    Derived {
        /// Where.
        file: String,
        /// What is wrong.
        source: WriteError,
    },
}

/// Why one tensor's weights can't be made from the checkpoint's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// NaN or infinity among the weights.
    #[error(
        "its weights hold a value that is not finite; the checkpoint is damaged: fetch it again"
    )]
    NotFinite,
    /// A weight beyond what the target format can hold.
    #[error("its weights do not fit {dtype}: {reason}; use bf16 or f32")]
    Encode {
        /// The target format.
        dtype: Dtype,
        /// The encoder's words.
        reason: String,
    },
    /// The machine has no memory for it.
    #[error("there is no memory for its {bytes} bytes; close other programs")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A contradiction that the plan should have excluded.
    #[error("its recipe does not fit the checkpoint; this is a bug in sprag, please report it")]
    Recipe,
}
