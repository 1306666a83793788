//! Checkpoints wherever a command takes a model: a folder with `config.json` and safetensors, or a model that Sprag has trained.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use formats::gguf::{Fallback, Gguf, Quantisation};
use formats::safetensors::Checkpoint;
use kernels::RuntimeProfile;
use models::checkpoint::{self, Opened};
use train::{export::Exported, model_file::ModelFile};

use crate::{arguments::EngineArguments, failure::Failure, terminal::complain};

/// How a checkpoint's weights are taken.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct WeightArguments {
    /// Of a checkpoint in safetensors: the format that its matrices get [default: as stored]
    #[arg(long, value_name = "TYPE", value_parser = quantisation)]
    pub quantize: Option<Quantisation>,
}

/// For clap: the name of a format.
pub fn quantisation(text: &str) -> Result<Quantisation, String> {
    Quantisation::named(text).ok_or_else(|| {
        let names: Vec<&str> = Quantisation::names().collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// Whether MODEL is a checkpoint rather than a GGUF file.
pub fn is_meant_by(path: &Path) -> bool {
    Checkpoint::is_meant_by(path)
}

/// Reads a checkpoint as a GGUF file, its matrices in the format that was asked for.
///
/// # Errors
/// The files can't be used.
pub fn read(
    path: &Path,
    quantize: Option<Quantisation>,
    threads: usize,
) -> Result<Opened, Failure> {
    if !ModelFile::is_at(path) {
        return Ok(checkpoint::open(path, quantize, threads)?);
    }
    let file = ModelFile::open(path)?;
    let folder = path.canonicalize().ok();
    let folder = folder.as_deref().and_then(Path::parent);
    let name = folder.and_then(Path::file_name).unwrap_or_default();
    let Exported { gguf, fallbacks } = file.gguf(path, &name.to_string_lossy(), quantize)?;
    Ok(Opened { gguf, fallbacks })
}

/// Opens a model for the engine, of either kind.
///
/// # Errors
/// The files can't be used, or `--quantize` was given with a GGUF file.
pub fn open_for(path: &Path, engine: &EngineArguments) -> Result<Arc<Gguf>, Failure> {
    open(path, engine.weights, engine.profile().threads)
}

/// Opens a model of either kind, without its weights.
///
/// # Errors
/// As [`open_for`].
pub fn open(path: &Path, weights: WeightArguments, threads: usize) -> Result<Arc<Gguf>, Failure> {
    if is_meant_by(path) {
        let Opened { gguf, fallbacks } = read(path, weights.quantize, threads)?;
        for fallback in &fallbacks {
            complain(&format!("note: {}", told(fallback)));
        }
        return Ok(Arc::new(gguf));
    }
    match weights.quantize {
        None => Ok(Arc::new(Gguf::open(path)?)),
        Some(_) => Err(Failure::QuantizeGguf(path.to_owned())),
    }
}

/// Opens a model as it is stored.
///
/// # Errors
/// The files can't be used.
pub fn open_as_stored(path: &Path) -> Result<Arc<Gguf>, Failure> {
    let threads = RuntimeProfile::default().threads;
    open(path, WeightArguments::default(), threads)
}

/// Which tensors have another format than was asked for, and why.
pub fn told(fallback: &Fallback) -> String {
    let Fallback {
        wanted,
        used,
        tensors,
        first,
        row_len,
    } = fallback;
    let block = wanted.block_len();
    format!(
        "{tensors} tensors are in {used} instead of {wanted}, whose blocks of {block} weights do not divide their rows ({first} has rows of {row_len})"
    )
}
