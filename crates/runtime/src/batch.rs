//! Several sequences that share each pass over the weights: a step of eight sequences reads them once, not eight times.
//!
//! What a sequence computes does not depend, in a single bit, on which others are in the batch. A [`crate::Session`] is a batch
//! of one.

use kernels::cpu::{
    Member, Outputs, State, Step, StepLimits, Trace, Workspace, execute_batch, execute_nodes,
};

use crate::{Engine, RuntimeError};

/// Sequences in progress, numbered from 0.
pub struct Batch<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) states: Vec<State>,
    pub(crate) workspace: Workspace,
    /// What each sequence has seen.
    tokens: Vec<Vec<u32>>,
}

impl<'e> Batch<'e> {
    /// `limits.sequences` empty sequences of up to `limits.capacity` tokens.
    pub(crate) fn new(engine: &'e Engine, limits: StepLimits) -> Result<Self, RuntimeError> {
        let (program, profile) = (&engine.model().program, engine.profile());
        let context = limits.capacity;
        let memory = |source| RuntimeError::Memory { context, source };
        let states = (0..limits.sequences.max(1))
            .map(|_| State::new(program, profile, context))
            .collect::<Result<Vec<_>, _>>()
            .map_err(memory)?;
        let workspace = Workspace::new(program, profile, limits).map_err(memory)?;
        Ok(Self {
            engine,
            tokens: vec![Vec::new(); states.len()],
            states,
            workspace,
        })
    }

    /// The engine it runs on.
    #[must_use]
    pub fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// How many sequences there are.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.states.len()
    }

    /// Tokens that a sequence has seen.
    ///
    /// # Panics
    /// There is no such sequence; so do all methods that take one.
    #[must_use]
    pub fn tokens(&self, sequence: usize) -> &[u32] {
        &self.tokens[sequence]
    }

    /// Tokens that still fit a sequence.
    #[must_use]
    pub fn room(&self, sequence: usize) -> usize {
        let state = &self.states[sequence];
        state.capacity() - state.positions()
    }

    /// A sequence forgets everything.
    pub fn reset(&mut self, sequence: usize) {
        self.states[sequence].reset();
        self.tokens[sequence].clear();
    }

    /// Cuts a sequence back to its first `positions` tokens. A recurrent model can only forget everything: then false.
    #[must_use]
    pub fn truncate(&mut self, sequence: usize, positions: usize) -> bool {
        let done =
            positions <= self.tokens[sequence].len() && self.states[sequence].truncate(positions);
        if done {
            self.tokens[sequence].truncate(positions);
        }
        done
    }

    /// Makes a sequence `tokens`, keeping what both begin with; returns how many tokens were kept. At least the last token
    /// is left to compute, so that there are logits. A hybrid that has run past the common beginning starts anew.
    pub fn keep_common(&mut self, sequence: usize, tokens: &[u32]) -> usize {
        let same = self.tokens[sequence]
            .iter()
            .zip(tokens)
            .take_while(|(a, b)| a == b)
            .count();
        let keep = same.min(tokens.len().saturating_sub(1));
        if !self.truncate(sequence, keep) {
            self.reset(sequence);
        }
        self.tokens[sequence].len()
    }

    /// Computes `tokens` of one sequence in chunks; the logits of the last one. `progress` hears how many are done, and stops it
    /// by `false` (the tokens done so far stay).
    ///
    /// # Errors
    /// No tokens, or more than fit; nothing is computed then.
    pub fn prefill(
        &mut self,
        sequence: usize,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<&[f32]>, RuntimeError> {
        if tokens.is_empty() {
            return Err(RuntimeError::EmptyPrompt);
        }
        let room = self.room(sequence);
        if tokens.len() > room {
            return Err(RuntimeError::PromptTooLong {
                tokens: tokens.len(),
                room,
                trained: self.engine.model().config.context,
            });
        }
        let chunk = self.workspace.limits().tokens;
        let mut done = 0;
        while done < tokens.len() {
            // Chunks end at multiples of the chunk size, counted from the sequence's beginning, so that a kernel whose
            // form depends on absolute position is cut at the same places however a prompt arrives.
            let to_boundary = chunk - self.states[sequence].positions() % chunk;
            let end = (done + to_boundary).min(tokens.len());
            let outputs = if end == tokens.len() {
                Outputs::Last
            } else {
                Outputs::None
            };
            let step = Step {
                tokens: &tokens[done..end],
                outputs,
            };
            self.step(&[Member { sequence, step }], None)?;
            done = end;
            if !progress(done) && done < tokens.len() {
                return Ok(None);
            }
        }
        self.finite_logits(0).map(Some)
    }

    /// One step: some tokens of some sequences, each named once, in rising order.
    ///
    /// # Errors
    /// The step does not fit; nothing is computed then.
    pub fn step(
        &mut self,
        members: &[Member<'_>],
        trace: Option<&mut Trace>,
    ) -> Result<(), RuntimeError> {
        let engine = self.engine;
        execute_batch(
            &engine.model().program,
            &mut self.states,
            &mut self.workspace,
            members,
            engine.pool(),
            engine.profile(),
            trace,
        )?;
        for member in members {
            self.tokens[member.sequence].extend_from_slice(member.step.tokens);
        }
        Ok(())
    }

    /// Runs some nodes of the program alone, as in a step of these members at their present positions, without moving on,
    /// optionally traced: for timing.
    ///
    /// # Errors
    /// The step does not fit.
    pub fn run_nodes(
        &mut self,
        nodes: &[usize],
        members: &[Member<'_>],
        trace: Option<&mut Trace>,
    ) -> Result<(), RuntimeError> {
        let engine = self.engine;
        execute_nodes(
            &engine.model().program,
            &mut self.states,
            &mut self.workspace,
            members,
            engine.pool(),
            engine.profile(),
            nodes,
            trace,
        )?;
        Ok(())
    }

    /// Pretends that a sequence has seen `depth` tokens, with zeros in the caches: speed does not depend on their values.
    pub fn pretend_depth(&mut self, sequence: usize, depth: usize) {
        let state = &mut self.states[sequence];
        state.pretend(depth);
        self.tokens[sequence].clear();
        self.tokens[sequence].resize(state.positions(), 0);
    }

    /// Logits of output `i` of the last step, in the order of its members and their tokens.
    #[must_use]
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        self.workspace.logits(i)
    }

    /// As [`Batch::logits`], where they can be chosen from.
    ///
    /// # Errors
    /// The model answered with numbers that are none; the last step has no such output.
    pub fn finite_logits(&self, i: usize) -> Result<&[f32], RuntimeError> {
        match self.workspace.logits(i) {
            Some(logits) if are_finite(logits) => Ok(logits),
            _ => Err(RuntimeError::NotFinite {
                position: self.workspace.position_of(i).unwrap_or(0),
            }),
        }
    }
}

/// Looks at every number, without a way out: that makes vectors of it.
fn are_finite(logits: &[f32]) -> bool {
    logits.iter().fold(true, |so_far, x| so_far & x.is_finite())
}
