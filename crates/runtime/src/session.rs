//! One sequence: its state, the buffers of its steps, and the tokens that it has seen.

use kernels::cpu::{Member, Outputs, Step, StepLimits, Trace};

use crate::{Batch, Engine, RuntimeError};

/// A sequence in progress.
pub struct Session<'e> {
    only: Batch<'e>,
}

impl<'e> Session<'e> {
    /// A session whose steps have up to `chunk` tokens and `outputs` rows of logits.
    pub(crate) fn new(
        engine: &'e Engine,
        context: usize,
        chunk: usize,
        outputs: usize,
    ) -> Result<Self, RuntimeError> {
        let limits = StepLimits {
            tokens: chunk,
            outputs,
            sequences: 1,
            capacity: context,
        };
        Batch::new(engine, limits).map(|only| Self { only })
    }

    /// The engine it runs on.
    #[must_use]
    pub fn engine(&self) -> &'e Engine {
        self.only.engine()
    }

    /// Tokens seen so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        self.only.tokens(0)
    }

    /// Tokens that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.only.room(0)
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.only.reset(0);
    }

    /// See [`Batch::truncate`].
    #[must_use]
    pub fn truncate(&mut self, positions: usize) -> bool {
        self.only.truncate(0, positions)
    }

    /// See [`Batch::keep_common`].
    pub fn keep_common(&mut self, tokens: &[u32]) -> usize {
        self.only.keep_common(0, tokens)
    }

    /// See [`Batch::prefill`].
    ///
    /// # Errors
    /// No tokens, or more than fit; nothing is computed then.
    pub fn prefill(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<&[f32]>, RuntimeError> {
        self.only.prefill(0, tokens, progress)
    }

    /// Computes one token; its logits.
    ///
    /// # Errors
    /// The context is full, or the token is beyond the vocabulary.
    pub fn decode(&mut self, token: u32) -> Result<&[f32], RuntimeError> {
        self.step(&[token], Outputs::Last, None)?;
        self.only.finite_logits(0)
    }

    /// Computes one token; the likeliest that follows it.
    ///
    /// # Errors
    /// As [`Session::decode`].
    pub fn decode_likeliest(&mut self, token: u32) -> Result<u32, RuntimeError> {
        let step = Step {
            tokens: &[token],
            outputs: Outputs::Last,
        };
        self.only
            .step_for_likeliest(&[Member { sequence: 0, step }])?;
        self.only.likeliest(0)
    }

    /// One step of up to a chunk of tokens, as it is, optionally traced.
    ///
    /// # Errors
    /// The step does not fit.
    pub fn step(
        &mut self,
        tokens: &[u32],
        outputs: Outputs,
        trace: Option<&mut Trace>,
    ) -> Result<(), RuntimeError> {
        let step = Step { tokens, outputs };
        self.only.step(&[Member { sequence: 0, step }], trace)
    }

    /// It as the batch of one that it is.
    #[must_use]
    pub fn as_batch(&mut self) -> &mut Batch<'e> {
        &mut self.only
    }

    /// See [`Batch::pretend_depth`].
    pub fn pretend_depth(&mut self, depth: usize) {
        self.only.pretend_depth(0, depth);
    }

    /// Logits of output `i` of the last step.
    #[must_use]
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        self.only.logits(i)
    }
}
