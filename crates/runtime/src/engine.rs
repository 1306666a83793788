//! A loaded model, ready to run.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use cuda::{CudaError, Device, Loading, PROMPT_TOKENS, Plan, Weights};
use formats::gguf::{Gguf, Origin};
use kernels::{Pinning, Pool, RuntimeProfile, StoredMatrix, cpu::StepLimits};
use models::{Matrices, Model, ModelError, NotTaken, Placement, RowMap};
use text::Tokenizer;

use crate::{Batch, RuntimeError, Session, UnusableTokenizer};

/// Default context where the model allows more: what a chat needs, at a bounded cost in memory.
const DEFAULT_CONTEXT: usize = 8192;

/// A model, its tokenizer, and how to run them.
pub struct Engine {
    model: Model,
    tokenizer: Tokenizer,
    profile: RuntimeProfile,
    pool: Pool,
    packed_in: Duration,
    cuda: Option<Arc<Weights>>,
}

impl Engine {
    /// Loads the model file at `path`. `progress` hears how many bytes of weights are packed, of how many.
    ///
    /// # Errors
    /// The file or its tokenizer can't be used; no threads or memory.
    pub fn open(
        path: &Path,
        profile: RuntimeProfile,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, RuntimeError> {
        Self::from_gguf(
            Arc::new(Gguf::open(path).map_err(ModelError::File)?),
            profile,
            progress,
        )
    }

    /// As [`Engine::open`] for a file that is open already.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn from_gguf(
        gguf: Arc<Gguf>,
        profile: RuntimeProfile,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, RuntimeError> {
        Self::placed(gguf, profile, &Placement::Memory, progress)
    }

    /// As [`Engine::from_gguf`], with weights where `placement` wants them.
    ///
    /// # Errors
    /// As [`Engine::open`]; weights could not be written to the disk.
    pub fn placed(
        gguf: Arc<Gguf>,
        profile: RuntimeProfile,
        placement: &Placement,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, RuntimeError> {
        // The tokenizer first: it fails in milliseconds where packing takes seconds.
        let tokenizer = tokenizer_of(&gguf)?;
        let total = gguf.file_len() as u64;
        let packing = Instant::now();
        let mut progress = |done| progress(done, total);
        let model = Model::from_gguf(gguf, &profile, placement, &mut progress)?;
        let packed_in = packing.elapsed();
        let threads = profile.threads;
        let cores = match profile.pinning {
            Pinning::None => Vec::new(),
            Pinning::Compact | Pinning::Spread => silicon::probe::own_cores(),
        };
        let pool = Pool::of(&profile, &cores)
            .map_err(|source| RuntimeError::Threads { threads, source })?;
        Ok(Self {
            model,
            tokenizer,
            profile,
            pool,
            packed_in,
            cuda: None,
        })
    }

    /// As [`Engine::from_gguf`], with weights, caches and all that is computed on a GPU, which has its own threads and
    /// its own size of a prompt's chunks.
    ///
    /// # Errors
    /// As [`Engine::open`]; the GPU cannot run the model, has no memory for it, or failed.
    pub fn on_gpu(
        gguf: Arc<Gguf>,
        profile: RuntimeProfile,
        device: &Arc<Device>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, RuntimeError> {
        let tokenizer = tokenizer_of(&gguf)?;
        let described = Model::describe(Arc::clone(&gguf))?;
        let plan = Plan::of(&described.program, device.properties())?;
        let total = gguf.file_len() as u64;
        let packing = Instant::now();
        let mut to = Sending {
            loading: Loading::new(Arc::clone(device), plan)?,
            failed: None,
        };
        let sent = Model::send(gguf, &mut to, &mut |done| progress(done, total));
        if let Some(error) = to.failed {
            return Err(error.into());
        }
        let model = sent?;
        let weights = to.loading.finish(&model.program)?;
        let packed_in = packing.elapsed();
        // The GPU's work needs one thread here.
        let profile = RuntimeProfile {
            threads: 1,
            pinning: Pinning::None,
            prefill_chunk: PROMPT_TOKENS,
            ..profile
        };
        let pool = Pool::of(&profile, &[])
            .map_err(|source| RuntimeError::Threads { threads: 1, source })?;
        Ok(Self {
            model,
            tokenizer,
            profile,
            pool,
            packed_in,
            cuda: Some(Arc::new(weights)),
        })
    }

    /// A new sequence of up to `context` tokens (by default the model's own context, at most 8192).
    ///
    /// # Errors
    /// More than the model was made for; no memory.
    pub fn session(&self, context: Option<usize>) -> Result<Session<'_>, RuntimeError> {
        Session::new(self, self.context(context)?, self.profile.prefill_chunk, 1)
    }

    /// A sequence whose steps may ask for the logits of up to `rows` tokens at once ([`Session::step`] with all outputs).
    ///
    /// # Errors
    /// No memory.
    pub fn session_with_outputs(
        &self,
        context: usize,
        rows: usize,
    ) -> Result<Session<'_>, RuntimeError> {
        // A GPU takes what comes before those at once.
        let tokens = match self.cuda {
            Some(_) => rows.max(PROMPT_TOKENS),
            None => rows,
        };
        Session::new(self, context, tokens, rows)
    }

    /// `sequences` new sequences of up to `context` tokens each (by default as [`Engine::session`]), which share their steps.
    ///
    /// # Errors
    /// More than the model was made for; no memory.
    pub fn batch(
        &self,
        sequences: usize,
        context: Option<usize>,
    ) -> Result<Batch<'_>, RuntimeError> {
        let limits = StepLimits {
            tokens: self.profile.prefill_chunk.max(sequences),
            outputs: sequences,
            sequences,
            capacity: self.context(context)?,
        };
        Batch::new(self, limits)
    }

    fn context(&self, asked: Option<usize>) -> Result<usize, RuntimeError> {
        let trained = self.model.config.context;
        match asked {
            Some(asked) if asked > trained => Err(RuntimeError::Context { asked, trained }),
            Some(0) => {
                let (found, expected) = ("0".to_owned(), "at least 1 token");
                Err(RuntimeError::Option {
                    option: "--context",
                    found,
                    expected,
                })
            }
            Some(asked) => Ok(asked),
            None => Ok(trained.min(DEFAULT_CONTEXT)),
        }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How it runs.
    #[must_use]
    pub fn profile(&self) -> &RuntimeProfile {
        &self.profile
    }

    /// How long it took to pack the weights, or to take what was kept.
    #[must_use]
    pub fn packed_in(&self) -> Duration {
        self.packed_in
    }

    /// The weights on a GPU, where it runs on one.
    #[must_use]
    pub fn cuda(&self) -> Option<&Arc<Weights>> {
        self.cuda.as_ref()
    }

    /// The threads.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// Matrices on their way to a GPU.
struct Sending {
    loading: Loading,
    failed: Option<CudaError>,
}

impl Matrices for Sending {
    fn take(
        &mut self,
        index: usize,
        stored: StoredMatrix<'_>,
        rows: usize,
        map: RowMap<'_>,
    ) -> Result<(), NotTaken> {
        self.loading
            .matrix(index, stored, rows, map)
            .map_err(|error| {
                self.failed = Some(error);
                NotTaken
            })
    }
}

fn tokenizer_of(gguf: &Gguf) -> Result<Tokenizer, RuntimeError> {
    let tokenizer = Tokenizer::from_gguf(gguf.metadata()).map_err(|error| UnusableTokenizer {
        file: file_name(gguf),
        error,
    })?;
    check_vocabulary(&tokenizer, gguf)?;
    Ok(tokenizer)
}

fn file_name(gguf: &Gguf) -> String {
    gguf.path().map_or_else(
        || Origin::Memory.to_string(),
        |path| path.display().to_string(),
    )
}

/// Every token that a text can become has a row in the embedding table. The table may have more: some models pad it.
fn check_vocabulary(tokenizer: &Tokenizer, gguf: &Gguf) -> Result<(), ModelError> {
    // That the table is there, the model checks.
    let Some(table) = gguf.tensor("token_embd.weight") else {
        return Ok(());
    };
    let (tokens, rows) = (tokenizer.vocab_size(), table.rows());
    if tokens <= rows {
        return Ok(());
    }
    Err(ModelError::Value {
        file: file_name(gguf),
        key: "tokenizer.ggml.tokens".to_owned(),
        found: format!("{tokens} tokens"),
        expected: format!("at most {rows}, the rows of `token_embd.weight`"),
    })
}
