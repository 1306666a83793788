//! Several sequences that share each pass over the weights: a step of eight sequences reads them once, not eight times.
//!
//! What a sequence computes does not depend, in a single bit, on which others are in the batch, on a processor: a GPU has kernels for one token and
//! for several, which round differently. A [`crate::Session`] is a batch of one.

use std::sync::Arc;

use cuda::Sequences;
use kernels::cpu::{
    Member, Outputs, State, Step, StepLimits, Trace, Workspace, execute_batch, execute_nodes,
};

use crate::{Engine, RuntimeError, sampler::largest};

/// Sequences in progress, numbered from 0.
pub struct Batch<'e> {
    engine: &'e Engine,
    place: Place,
    limits: StepLimits,
    /// What each sequence has seen.
    tokens: Vec<Vec<u32>>,
}

/// Where sequences are.
enum Place {
    Cpu {
        states: Vec<State>,
        workspace: Box<Workspace>,
    },
    Cuda(Box<Sequences>),
}

impl<'e> Batch<'e> {
    /// `limits.sequences` empty sequences of up to `limits.capacity` tokens.
    pub(crate) fn new(engine: &'e Engine, limits: StepLimits) -> Result<Self, RuntimeError> {
        let (program, profile) = (&engine.model().program, engine.profile());
        let context = limits.capacity;
        let count = limits.sequences.max(1);
        let place = if let Some(weights) = engine.cuda() {
            let weights = Arc::clone(weights);
            let sequences = Sequences::new(weights, count, context, limits.outputs)?;
            Place::Cuda(Box::new(sequences))
        } else {
            let memory = |source| RuntimeError::Memory { context, source };
            let states = (0..count)
                .map(|_| State::new(program, profile, context))
                .collect::<Result<Vec<_>, _>>()
                .map_err(memory)?;
            let workspace = Workspace::new(program, profile, limits).map_err(memory)?;
            Place::Cpu {
                states,
                workspace: Box::new(workspace),
            }
        };
        Ok(Self {
            engine,
            place,
            limits,
            tokens: vec![Vec::new(); count],
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
        self.tokens.len()
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
        match &self.place {
            Place::Cpu { states, .. } => states[sequence].capacity() - states[sequence].positions(),
            Place::Cuda(sequences) => sequences.capacity() - sequences.positions(sequence),
        }
    }

    fn positions(&self, sequence: usize) -> usize {
        match &self.place {
            Place::Cpu { states, .. } => states[sequence].positions(),
            Place::Cuda(sequences) => sequences.positions(sequence),
        }
    }

    /// A sequence forgets everything.
    pub fn reset(&mut self, sequence: usize) {
        match &mut self.place {
            Place::Cpu { states, .. } => states[sequence].reset(),
            Place::Cuda(sequences) => sequences.reset(sequence),
        }
        self.tokens[sequence].clear();
    }

    /// Cuts a sequence back to its first `positions` tokens. A recurrent model can only forget everything: then false.
    #[must_use]
    pub fn truncate(&mut self, sequence: usize, positions: usize) -> bool {
        let done = positions <= self.tokens[sequence].len()
            && match &mut self.place {
                Place::Cpu { states, .. } => states[sequence].truncate(positions),
                Place::Cuda(sequences) => sequences.truncate(sequence, positions),
            };
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
        let chunk = self.limits.tokens;
        let mut done = 0;
        while done < tokens.len() {
            // Chunks end at multiples of the chunk size, counted from the sequence's beginning, so that a kernel whose
            // form depends on absolute position is cut at the same places however a prompt arrives.
            let to_boundary = chunk - self.positions(sequence) % chunk;
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
    /// The step does not fit, and nothing is computed then; a GPU failed, and the sequences are lost then.
    pub fn step(
        &mut self,
        members: &[Member<'_>],
        trace: Option<&mut Trace>,
    ) -> Result<(), RuntimeError> {
        self.advance(members, trace, true)
    }

    /// As [`Batch::step`], for [`Batch::likeliest`] alone: a GPU keeps the logits to itself, which saves their way to the host.
    ///
    /// # Errors
    /// As [`Batch::step`].
    pub fn step_for_likeliest(&mut self, members: &[Member<'_>]) -> Result<(), RuntimeError> {
        self.advance(members, None, false)
    }

    fn advance(
        &mut self,
        members: &[Member<'_>],
        trace: Option<&mut Trace>,
        logits: bool,
    ) -> Result<(), RuntimeError> {
        let engine = self.engine;
        let program = &engine.model().program;
        match &mut self.place {
            Place::Cpu { states, workspace } => execute_batch(
                program,
                states,
                workspace,
                members,
                engine.pool(),
                engine.profile(),
                trace,
            )?,
            Place::Cuda(sequences) => {
                sequences.check(program, members, self.limits)?;
                sequences.step(program, members, logits)?;
            }
        }
        for member in members {
            self.tokens[member.sequence].extend_from_slice(member.step.tokens);
        }
        Ok(())
    }

    /// Runs some nodes of the program alone, as in a step of these members at their present positions, without moving on,
    /// optionally traced: for timing.
    ///
    /// # Errors
    /// The step does not fit; the model is on a GPU, where nodes do not run alone.
    pub fn run_nodes(
        &mut self,
        nodes: &[usize],
        members: &[Member<'_>],
        trace: Option<&mut Trace>,
    ) -> Result<(), RuntimeError> {
        let engine = self.engine;
        let Place::Cpu { states, workspace } = &mut self.place else {
            return Err(RuntimeError::OnGpu);
        };
        execute_nodes(
            &engine.model().program,
            states,
            workspace,
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
        match &mut self.place {
            Place::Cpu { states, .. } => states[sequence].pretend(depth),
            Place::Cuda(sequences) => sequences.pretend(sequence, depth),
        }
        let positions = self.positions(sequence);
        self.tokens[sequence].clear();
        self.tokens[sequence].resize(positions, 0);
    }

    /// Logits of output `i` of the last step, in the order of its members and their tokens.
    #[must_use]
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        match &self.place {
            Place::Cpu { workspace, .. } => workspace.logits(i),
            Place::Cuda(sequences) => sequences.logits(i),
        }
    }

    /// As [`Batch::logits`], where they can be chosen from.
    ///
    /// # Errors
    /// The model answered with numbers that are none; the last step has no such output.
    pub fn finite_logits(&self, i: usize) -> Result<&[f32], RuntimeError> {
        // A GPU has looked at them where it made them.
        let known = match &self.place {
            Place::Cpu { .. } => None,
            Place::Cuda(sequences) => sequences.best(i).map(|best| best.is_some()),
        };
        match self.logits(i) {
            Some(logits) if known.unwrap_or_else(|| are_finite(logits)) => Ok(logits),
            _ => Err(self.not_finite(i)),
        }
    }

    /// The likeliest token of output `i` of the last step, of equal ones the first: what a temperature of 0 takes.
    ///
    /// # Errors
    /// As [`Batch::finite_logits`].
    pub fn likeliest(&self, i: usize) -> Result<u32, RuntimeError> {
        match &self.place {
            Place::Cpu { .. } => self.finite_logits(i).map(largest),
            Place::Cuda(sequences) => sequences
                .best(i)
                .flatten()
                .ok_or_else(|| self.not_finite(i)),
        }
    }

    fn not_finite(&self, i: usize) -> RuntimeError {
        let position = match &self.place {
            Place::Cpu { workspace, .. } => workspace.position_of(i),
            Place::Cuda(sequences) => sequences.position_of(i),
        };
        RuntimeError::NotFinite {
            position: position.unwrap_or(0),
        }
    }
}

/// Looks at every number, without a way out: that makes vectors of it.
fn are_finite(logits: &[f32]) -> bool {
    logits.iter().fold(true, |so_far, x| so_far & x.is_finite())
}
