//! A model: its configuration, its program, and what it needs.

use std::{path::Path, sync::Arc};

use formats::gguf::Gguf;
use kernels::{
    KvCache, KvType, RuntimeProfile,
    program::{Program, StepShape},
};
use ops::Cost;

use crate::{
    Config, ModelError,
    arch::Architecture,
    config::file_name,
    load::{Loader, Weights},
};

/// Tensors of one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorGroup {
    /// Format, in the field's spelling.
    pub format: &'static str,
    /// How many tensors.
    pub tensors: usize,
    /// Their elements.
    pub elements: u64,
    /// Their bytes in the file; `None` where the format's size is unknown.
    pub bytes: Option<u64>,
}

/// Memory that a sequence takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Keys and values for the context, as allocated.
    pub kv_bytes: u64,
    /// Recurrent state, whatever the context.
    pub state_bytes: u64,
}

/// A model file, understood.
pub struct Model {
    /// The open file.
    pub gguf: Arc<Gguf>,
    /// Dimensions.
    pub config: Config,
    /// What runs.
    pub program: Program,
}

impl Model {
    /// Opens `path` and packs its weights, on the threads and in the pages of the profile. `progress` hears how many of the weights' bytes are done.
    ///
    /// # Errors
    /// The file can't be read, is damaged, or is not a model that Sprag runs.
    pub fn load(
        path: &Path,
        profile: &RuntimeProfile,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        Self::build(
            Arc::new(Gguf::open(path)?),
            Weights::Packed {
                threads: profile.threads,
                pages: profile.pages,
            },
            progress,
        )
    }

    /// As [`Model::load`] for a file that is open already.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_gguf(
        gguf: Arc<Gguf>,
        profile: &RuntimeProfile,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        let weights = Weights::Packed {
            threads: profile.threads,
            pages: profile.pages,
        };
        Self::build(gguf, weights, progress)
    }

    /// Understands a file from its header alone, in milliseconds: costs and memory, but no weights to run.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn describe(gguf: Arc<Gguf>) -> Result<Self, ModelError> {
        Self::build(gguf, Weights::Hollow, &mut |_| {})
    }

    fn build(
        gguf: Arc<Gguf>,
        weights: Weights,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        if let Some(parts) = gguf.metadata().opt_usize("split.count")?
            && parts > 1
        {
            return Err(ModelError::Unsupported {
                file: file_name(&gguf),
                feature: format!("a model split over {parts} files"),
                remedy: "merge the parts into one file first".into(),
            });
        }
        let architecture =
            Architecture::named(gguf.metadata().str("general.architecture")?, &gguf)?;
        let config = Config::from_gguf(&gguf)?;
        let mut loader = Loader::new(Arc::clone(&gguf), &config, weights, progress)?;
        let logits = architecture.describe(&mut loader, &config)?;
        loader.check_complete(
            config.layers,
            config.optional(&gguf, "nextn_predict_layers")?.unwrap_or(0),
        )?;
        let file = file_name(&gguf);
        let program = loader
            .program
            .finish(logits)
            .map_err(|source| ModelError::Program { file, source })?;
        Ok(Self {
            gguf,
            config,
            program,
        })
    }

    /// Number of weights in the file.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.gguf
            .tensors()
            .iter()
            .map(|t| t.elements() as u64)
            .sum()
    }

    /// The file's tensors by format, most bytes first.
    #[must_use]
    pub fn tensor_groups(gguf: &Gguf) -> Vec<TensorGroup> {
        let mut groups: Vec<TensorGroup> = Vec::new();
        for tensor in gguf.tensors() {
            let (format, elements) = (tensor.tensor_type().name(), tensor.elements() as u64);
            let bytes = tensor.byte_len().map(|b| b as u64);
            match groups.iter_mut().find(|g| g.format == format) {
                Some(group) => {
                    group.tensors += 1;
                    group.elements += elements;
                    group.bytes = group.bytes.zip(bytes).map(|(a, b)| a + b);
                }
                None => groups.push(TensorGroup {
                    format,
                    tensors: 1,
                    elements,
                    bytes,
                }),
            }
        }
        groups.sort_by_key(|g| std::cmp::Reverse(g.bytes));
        groups
    }

    /// Bytes and operations of computing `tokens` more at `depth`, with logits for the last one.
    #[must_use]
    pub fn cost(&self, tokens: usize, depth: usize, kv_type: KvType) -> Cost {
        self.program.step_cost(StepShape {
            tokens,
            depth,
            outputs: 1,
            kv_type,
        })
    }

    /// Memory of a sequence of `context` tokens; `None` when the size overflows.
    #[must_use]
    pub fn footprint(&self, context: usize, kv_type: KvType) -> Option<Footprint> {
        let mut kv_bytes = 0u64;
        for spec in self.program.kv() {
            let bytes = KvCache::bytes_for(kv_type, spec.kv_heads, spec.head_dim, context)?;
            kv_bytes = kv_bytes.checked_add(bytes as u64)?;
        }
        Some(Footprint {
            kv_bytes,
            state_bytes: self.program.recurrent_bytes() as u64,
        })
    }
}
