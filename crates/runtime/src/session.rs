//! One sequence: its state, the buffers of its steps, and the tokens that it has seen.

use kernels::cpu::{Outputs, State, Step, Trace, Workspace, execute, execute_nodes};

use crate::{Engine, RuntimeError};

/// A sequence in progress.
pub struct Session<'e> {
    engine: &'e Engine,
    state: State,
    workspace: Workspace,
    tokens: Vec<u32>,
    /// Tokens per step, at most.
    chunk: usize,
}

impl<'e> Session<'e> {
    pub(crate) fn new(engine: &'e Engine, context: usize) -> Result<Self, RuntimeError> {
        Self::with_outputs(engine, context, engine.profile().prefill_chunk.max(1), 1)
    }

    /// A session whose steps have up to `chunk` tokens and `outputs` rows of logits.
    pub(crate) fn with_outputs(
        engine: &'e Engine,
        context: usize,
        chunk: usize,
        outputs: usize,
    ) -> Result<Self, RuntimeError> {
        let (program, profile) = (&engine.model().program, engine.profile());
        let memory = |source| RuntimeError::Memory { context, source };
        let state = State::new(program, profile, context).map_err(memory)?;
        let workspace =
            Workspace::new(program, profile, chunk, outputs, context).map_err(memory)?;
        Ok(Self {
            engine,
            state,
            workspace,
            tokens: Vec::new(),
            chunk,
        })
    }

    /// The engine it runs on.
    #[must_use]
    pub fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Tokens seen so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.state.capacity() - self.state.positions()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.state.reset();
        self.tokens.clear();
    }

    /// Cuts the sequence back to its first `positions` tokens. A recurrent model can only forget everything: then false.
    #[must_use]
    pub fn truncate(&mut self, positions: usize) -> bool {
        let done = positions <= self.tokens.len() && self.state.truncate(positions);
        if done {
            self.tokens.truncate(positions);
        }
        done
    }

    /// Makes the sequence `tokens`, keeping what both begin with; returns how many tokens were kept. At least the last token
    /// is left to compute, so that there are logits. A hybrid that has run past the common beginning starts anew.
    pub fn keep_common(&mut self, tokens: &[u32]) -> usize {
        let same = self
            .tokens
            .iter()
            .zip(tokens)
            .take_while(|(a, b)| a == b)
            .count();
        let keep = same.min(tokens.len().saturating_sub(1));
        if !self.truncate(keep) {
            self.reset();
        }
        self.tokens.len()
    }

    /// Computes `tokens` in chunks; the logits of the last one. `progress` hears how many are done, and stops it by `false`
    /// (the tokens done so far stay).
    ///
    /// # Errors
    /// No tokens, or more than fit; nothing is computed then.
    pub fn prefill(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<&[f32]>, RuntimeError> {
        if tokens.is_empty() {
            return Err(RuntimeError::EmptyPrompt);
        }
        if tokens.len() > self.room() {
            let trained = self.engine.model().config.context;
            return Err(RuntimeError::PromptTooLong {
                tokens: tokens.len(),
                room: self.room(),
                trained,
            });
        }
        let mut done = 0;
        while done < tokens.len() {
            // Chunks end at multiples of the chunk size, counted from the sequence's beginning, so that a kernel whose
            // form depends on absolute position is cut at the same places however a prompt arrives.
            let to_boundary = self.chunk - self.state.positions() % self.chunk;
            let end = (done + to_boundary).min(tokens.len());
            let outputs = if end == tokens.len() {
                Outputs::Last
            } else {
                Outputs::None
            };
            self.step(&tokens[done..end], outputs, None)?;
            done = end;
            if !progress(done) && done < tokens.len() {
                return Ok(None);
            }
        }
        self.last_logits().map(Some)
    }

    /// Computes one token; its logits.
    ///
    /// # Errors
    /// The context is full, or the token is beyond the vocabulary.
    pub fn decode(&mut self, token: u32) -> Result<&[f32], RuntimeError> {
        self.step(&[token], Outputs::Last, None)?;
        self.last_logits()
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
        let engine = self.engine;
        let step = Step { tokens, outputs };
        let program = &engine.model().program;
        execute(
            program,
            &mut self.state,
            &mut self.workspace,
            step,
            engine.pool(),
            engine.profile(),
            trace,
        )?;
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// Runs some nodes of the program alone, as in a step of `tokens` at the present position, without moving on, optionally traced: for
    /// timing.
    ///
    /// # Errors
    /// The step does not fit.
    pub fn run_nodes(
        &mut self,
        nodes: &[usize],
        tokens: &[u32],
        outputs: Outputs,
        trace: Option<&mut Trace>,
    ) -> Result<(), RuntimeError> {
        let engine = self.engine;
        let step = Step { tokens, outputs };
        let program = &engine.model().program;
        execute_nodes(
            program,
            &mut self.state,
            &mut self.workspace,
            step,
            engine.pool(),
            engine.profile(),
            nodes,
            trace,
        )?;
        Ok(())
    }

    /// Pretends that `depth` tokens were seen, with zeros in the caches: speed does not depend on their values.
    pub fn pretend_depth(&mut self, depth: usize) {
        self.state.pretend(depth);
        self.tokens.clear();
        self.tokens.resize(self.state.positions(), 0);
    }

    /// Logits of output `i` of the last step.
    #[must_use]
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        self.workspace.logits(i)
    }

    fn last_logits(&self) -> Result<&[f32], RuntimeError> {
        let position = self.state.positions();
        match self.workspace.logits(0) {
            Some(logits) if logits.iter().all(|x| x.is_finite()) => Ok(logits),
            _ => Err(RuntimeError::NotFinite { position }),
        }
    }
}
