//! A run on disk: weights, the optimiser's means and how far it is, in one safetensors file that is whole or not there.
//!
//! Tensors are `weights.NAME`, `mean.NAME`, `square.NAME` and, where there is one, `average.NAME`, all f32; `about` holds a JSON object:
//! settings and progress. The file is written beside its name, flushed to the disk and then renamed, so that an interruption or a full
//! disk leaves the last good one.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use formats::safetensors::{Checkpoint, SafetensorsError, Tensor};
use serde::{Serialize, de::DeserializeOwned};

use crate::{graph::Declared, weights::Weights};

/// Why a checkpoint is not written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refuses.
    #[error("can't write {}: {source}; what was there before is untouched", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not safetensors.
    #[error(transparent)]
    Format(#[from] SafetensorsError),
    /// It belongs to something else.
    #[error("{}: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// Writes named sets of weights and what there is to say about them.
///
/// # Errors
/// The system refuses; the file is then as it was.
pub fn write(
    path: &Path,
    about: &impl Serialize,
    declared: &[Declared],
    sets: &[(&str, &Weights)],
) -> Result<(), CheckpointError> {
    let refused = |source| CheckpointError::Write {
        path: path.to_owned(),
        source,
    };
    let temporary = path.with_extension("writing");
    let written = write_to(&temporary, about, declared, sets)
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| {
        // What is left of it helps nobody; that it cannot be removed changes nothing.
        let _ = std::fs::remove_file(&temporary);
        refused(source)
    })
}

fn write_to(
    path: &Path,
    about: &impl Serialize,
    declared: &[Declared],
    sets: &[(&str, &Weights)],
) -> std::io::Result<()> {
    let about = serde_json::to_vec(about)?;
    let mut head = serde_json::Map::new();
    let mut end = about.len();
    let entry = |dtype: &str, shape: &[usize], from: usize, to: usize| serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [from, to]});
    head.insert("about".to_owned(), entry("U8", &[about.len()], 0, end));
    for (set, weights) in sets {
        for (one, place) in declared.iter().zip(weights.places()) {
            let from = end;
            end += place.len() * size_of::<f32>();
            let name = format!("{set}.{}", one.name);
            head.insert(name, entry("F32", &[one.rows, one.columns], from, end));
        }
    }
    let mut head = serde_json::to_vec(&head)?;
    head.resize(head.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&(head.len() as u64).to_le_bytes())?;
    out.write_all(&head)?;
    out.write_all(&about)?;
    for (_, weights) in sets {
        for place in weights.places() {
            for value in &weights.all()[place.clone()] {
                out.write_all(&value.to_le_bytes())?;
            }
        }
    }
    out.flush()?;
    out.get_ref().sync_all()
}

/// A checkpoint that was opened.
pub struct Saved {
    path: PathBuf,
    checkpoint: Checkpoint,
}

impl Saved {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is not safetensors.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Ok(Self {
            path: path.to_owned(),
            checkpoint: Checkpoint::open(path)?,
        })
    }

    fn foreign(&self, reason: String) -> CheckpointError {
        CheckpointError::Foreign {
            path: self.path.clone(),
            reason,
        }
    }

    /// What it says about itself.
    ///
    /// # Errors
    /// It is nobody's checkpoint of ours, or of another version.
    pub fn about<T: DeserializeOwned>(&self) -> Result<T, CheckpointError> {
        let tensor = self.checkpoint.tensor("about");
        let tensor = tensor.ok_or_else(|| {
            self.foreign("no checkpoint of `sprag train`: it has no tensor \"about\"".to_owned())
        })?;
        serde_json::from_slice(self.checkpoint.bytes(tensor)).map_err(|error| {
            self.foreign(format!(
                "a checkpoint of another version or damaged: {error}"
            ))
        })
    }

    /// Whether the file has these tensors of a set, and no other tensor but `about`.
    ///
    /// # Errors
    /// One is missing, of another shape, or too much; named.
    pub fn has_only(&self, set: &str, declared: &[Declared]) -> Result<(), CheckpointError> {
        for one in declared {
            self.tensor(set, one)?;
        }
        let known = |name: &str| {
            name == "about"
                || name
                    .strip_prefix(set)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|rest| declared.iter().any(|one| one.name == rest))
        };
        match self
            .checkpoint
            .tensors()
            .iter()
            .map(Tensor::name)
            .find(|name| !known(name))
        {
            None => Ok(()),
            Some(name) => Err(self.foreign(format!("{name:?} is no tensor of this model"))),
        }
    }

    fn tensor(&self, set: &str, one: &Declared) -> Result<&Tensor, CheckpointError> {
        let name = format!("{set}.{}", one.name);
        let shape = [one.rows, one.columns];
        let tensor = self
            .checkpoint
            .tensor(&name)
            .filter(|tensor| tensor.element().name() == "F32");
        let tensor = tensor
            .ok_or_else(|| self.foreign(format!("no f32 tensor {name:?}: of another model")))?;
        if tensor.shape() != shape {
            return Err(self.foreign(format!(
                "{name:?} is {:?}, and the model's is {shape:?}",
                tensor.shape()
            )));
        }
        Ok(tensor)
    }

    /// Fills `weights` with a set.
    ///
    /// # Errors
    /// A parameter is missing, of another shape, or not finite.
    pub fn read(
        &self,
        set: &str,
        declared: &[Declared],
        weights: &mut Weights,
    ) -> Result<(), CheckpointError> {
        for (one, place) in declared.iter().zip(weights.places().to_vec()) {
            let tensor = self.tensor(set, one)?;
            let bytes = self.checkpoint.bytes(tensor);
            let values = &mut weights.all_mut()[place];
            for (value, four) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*four);
                if !value.is_finite() {
                    return Err(self.foreign(format!(
                        "\"{set}.{}\" has a number that is not finite",
                        one.name
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
