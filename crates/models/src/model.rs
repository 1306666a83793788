//! A model: its configuration, its program, and what it needs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use formats::{
    gguf::Gguf,
    packed::{PackedFile, PackedWriter, identity_of},
};
use kernels::{
    FloatProducts, KvCache, KvType, PACKING, PackError, RuntimeProfile,
    program::{Program, StepShape},
};
use ops::Cost;

use crate::{
    Config, ModelError,
    arch::Architecture,
    config::file_name,
    load::{Kept, Loader, Matrices, Weights},
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
    /// Whether its weights come from what was kept on disk.
    pub is_kept: bool,
}

/// Where packed weights are while a model runs. A checkpoint's are always in memory, packed anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// In memory, packed anew.
    #[default]
    Memory,
    /// In memory; copied from this file where it holds them, which is faster than packing.
    Kept(PathBuf),
    /// In this file, which is written first where it does not hold them, and read as they are needed.
    Disk(PathBuf),
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
        let gguf = Arc::new(Gguf::open(path)?);
        Self::from_gguf(gguf, profile, &Placement::Memory, progress)
    }

    /// As [`Model::load`] for a file that is open already, with weights where `placement` wants them.
    ///
    /// # Errors
    /// As [`Model::load`]; weights could not be written to the disk.
    pub fn from_gguf(
        gguf: Arc<Gguf>,
        profile: &RuntimeProfile,
        placement: &Placement,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        let identity = gguf.path().filter(|_| !gguf.is_derived());
        let identity = identity.and_then(|path| identity_of(path).ok());
        let (placement, identity) = match identity {
            Some(identity) => (placement, identity),
            None => (&Placement::Memory, String::new()),
        };
        let open = |path| PackedFile::open(path, PACKING, &identity);
        let write = |path| {
            let writer = PackedWriter::create(path, PACKING, &identity);
            let file = file_name(&gguf);
            writer.map_err(|source| ModelError::Keep { file, source })
        };
        let kept = match placement {
            Placement::Memory => Kept::Nothing,
            Placement::Kept(path) => open(path).map_or(Kept::Nothing, Kept::Copied),
            Placement::Disk(path) => match open(path) {
                Some(file) => Kept::Lent(file),
                None => Kept::Written(write(path)?),
            },
        };
        let weights = Weights::Packed {
            threads: profile.threads,
            pages: profile.pages,
        };
        let built = Self::build(Arc::clone(&gguf), weights, kept, None, progress);
        let is_another = matches!(
            built,
            Err(ModelError::Weights {
                source: PackError::Kept,
                ..
            })
        );
        if !is_another {
            return built;
        }
        // Its identity is right and its content is not: whatever the reason, packing does without it.
        let kept = match placement {
            Placement::Disk(path) => Kept::Written(write(path)?),
            _ => Kept::Nothing,
        };
        Self::build(gguf, weights, kept, None, progress)
    }

    /// Writes the packed weights to `path`, for [`Placement::Kept`] and [`Placement::Disk`]. `progress` hears how many bytes are
    /// written, of how many, and answers `false` to give up, which leaves nothing.
    ///
    /// # Errors
    /// The disk is full or refuses; the model is not from a file.
    pub fn keep(&self, path: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> io::Result<()> {
        let Some(model) = self.gguf.path().filter(|_| !self.gguf.is_derived()) else {
            return Err(io::Error::other("the model is not from one file"));
        };
        let mut writer = PackedWriter::create(path, PACKING, &identity_of(model)?)?;
        let matrices = self.program.matrices();
        let total = matrices.iter().map(|m| m.bytes() as u64).sum();
        let mut done = 0;
        for matrix in matrices {
            if !progress(done, total) {
                return Ok(());
            }
            let (rows, cols) = (matrix.rows(), matrix.cols());
            writer.append(matrix.dtype(), rows, cols, matrix.packed_bytes())?;
            done += matrix.bytes() as u64;
        }
        writer.finish()
    }

    /// Understands a file from its header alone, in milliseconds: costs and memory, but no weights to run.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn describe(gguf: Arc<Gguf>) -> Result<Self, ModelError> {
        Self::build(gguf, Weights::Hollow, Kept::Nothing, None, &mut |_| {})
    }

    /// Sends the weights to another device; here they are only described, small vectors aside.
    ///
    /// # Errors
    /// As [`Model::load`]; the device did not take a matrix.
    pub fn send(
        gguf: Arc<Gguf>,
        to: &mut dyn Matrices,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        Self::build(gguf, Weights::Sent, Kept::Nothing, Some(to), progress)
    }

    fn build(
        gguf: Arc<Gguf>,
        weights: Weights,
        kept: Kept,
        elsewhere: Option<&mut dyn Matrices>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        let is_kept = !matches!(kept, Kept::Nothing);
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
        let mut loader = Loader::new(Arc::clone(&gguf), &config, weights, kept, progress)?;
        loader.elsewhere = elsewhere.map(|to| to as &mut dyn Matrices);
        let logits = architecture.describe(&mut loader, &config)?;
        loader.check_complete(
            config.layers,
            config.optional(&gguf, "nextn_predict_layers")?.unwrap_or(0),
        )?;
        loader.finish_keeping()?;
        let file = file_name(&gguf);
        let program = loader
            .program
            .finish(logits)
            .map_err(|source| ModelError::Program { file, source })?;
        Ok(Self {
            gguf,
            config,
            program,
            is_kept,
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
            float_products: FloatProducts::F32,
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
