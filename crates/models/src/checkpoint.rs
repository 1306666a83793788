//! A Hugging Face checkpoint, seen as a GGUF file.
//!
//! 1. `config.json` becomes metadata ([`config`]), the tokenizer's files become more of it (the crate `text`).
//! 2. Every tensor that the GGUF convention asks for gets a recipe over the checkpoint's tensors ([`plan`], [`recipe`]) and
//!    a number format ([`formats::gguf::Formats`]).
//! 3. Both together are a derived [`Gguf`]. The loader runs it, `inspect` shows it, `convert` saves it: one way in for every
//!    model. Tensors are made one by one when they are asked for, on several threads.
//!
//! A family that the engine runs as GGUF but that is missing here is refused by name.

mod config;
mod error;
mod family;
mod plan;
mod recipe;

use std::path::Path;
use std::sync::Arc;

use formats::gguf::{Fallback, Gguf, Quantisation, Value};
use formats::json::Document;
use formats::safetensors::Checkpoint;

use config::Dimensions;
pub use error::{CheckpointError, MakeError};

/// A checkpoint, understood.
#[derive(Debug)]
pub struct Opened {
    /// The checkpoint as a GGUF file.
    pub gguf: Gguf,
    /// Formats that did not fit.
    pub fallbacks: Vec<Fallback>,
}

/// Opens the checkpoint at `path` (a folder, a `.safetensors` file or an index). Matrices get the format `quantisation`, or
/// keep theirs. Tensors are made on `threads` threads.
///
/// # Errors
/// A file is missing or damaged, files do not fit together, or the model is of a family or variant that Sprag does not
/// convert.
pub fn open(
    path: &Path,
    quantisation: Option<Quantisation>,
    threads: usize,
) -> Result<Opened, CheckpointError> {
    let checkpoint = Checkpoint::open(path)?;
    let dimensions = Dimensions::read(checkpoint.folder())?;
    let plan = plan::plan(&checkpoint, &dimensions, quantisation)?;
    let mut metadata = dimensions.metadata(&name(&checkpoint), plan.vocabulary);
    metadata.extend(plan.formats);
    metadata.extend(text::tokenizer_metadata(
        checkpoint.folder(),
        plan.vocabulary,
    )?);
    let (path, checkpoint) = (checkpoint.path().to_owned(), Arc::new(checkpoint));
    let recipes = plan.recipes;
    let make = move |name: &str| {
        let recipe = recipes.get(name).ok_or(MakeError::Recipe)?;
        Ok(recipe.make(&checkpoint, threads)?)
    };
    let gguf = Gguf::derived(&path, &metadata, &plan.specs, make).map_err(|source| {
        CheckpointError::Derived {
            file: path.display().to_string(),
            source,
        }
    })?;
    Ok(Opened {
        gguf,
        fallbacks: plan.fallbacks,
    })
}

/// What `config.json` alone says, as GGUF metadata.
///
/// # Errors
/// It is not the configuration of a model that Sprag converts.
pub fn config_metadata(config: &Document) -> Result<Vec<(String, Value)>, CheckpointError> {
    let dimensions = Dimensions::parse(config)?;
    let vocabulary = dimensions.vocabulary.unwrap_or(0);
    Ok(dimensions.metadata("", vocabulary))
}

/// The folder's name, by which people know a checkpoint.
fn name(checkpoint: &Checkpoint) -> String {
    let folder = checkpoint.folder();
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().unwrap_or_default();
    name.to_string_lossy().chars().take(200).collect()
}
