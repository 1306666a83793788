//! The tokens of a step: many at a time, or one by one, and the logits that are asked for.

use std::{ops::Range, sync::Arc};

use cudarc::driver::{CudaStream, LaunchConfig, PushKernelArg, result};
use kernels::program::Program;

use super::{OfMember, ROWS, Room, Sequences, likeliest, number};
use crate::{
    CudaError,
    error::at,
    many::{self, Batch, FEWEST_TOKENS, Kept, MOST_SEQUENCES, Offsets, Prompt, fewest_sequences},
    op::{At, OP_BYTES},
    plan::{THREADS, TURNED},
};

/// A launch of the kernel of a token.
struct Launch {
    ops: At,
    count: usize,
    position: usize,
    /// The token's row of the stream, and the turns of its position where an operation needs them.
    row: At,
    /// Which output its logits are, where it has its last operation.
    output: Option<usize>,
}

impl Sequences {
    /// Computes a member's first tokens many at a time, as far as that is worth it; how many that were.
    pub(super) fn many(
        &mut self,
        program: &Program,
        member: OfMember<'_>,
    ) -> Result<usize, CudaError> {
        let OfMember {
            sequence, tokens, ..
        } = member;
        if tokens.len() < FEWEST_TOKENS {
            return Ok(0);
        }
        let weights = Arc::clone(&self.weights);
        if matches!(self.prompt, Room::Unknown) {
            let room = Prompt::new(&weights, self.capacity)?;
            self.prompt = room.map_or(Room::None, Room::Taken);
        }
        self.begin(sequence)?;
        let mut done = 0;
        while tokens.len() - done >= FEWEST_TOKENS {
            let (Room::Taken(prompt), Some(kernels)) = (&mut self.prompt, &weights.many) else {
                break;
            };
            let some = &tokens[done..tokens.len().min(done + prompt.tokens())];
            let own = &mut self.each[sequence];
            let start = own.positions;
            let kept = Kept {
                caches: &|cache| own.caches.at(own.cache_at[cache]),
                states: &|state| {
                    let (state, recent) = own.state_at[state];
                    (own.states.at(state), own.states.at(recent))
                },
                capacity: self.capacity,
            };
            prompt.run(&weights, kernels, program, some, start, &kept)?;
            let here = member.behind(done).first(some.len());
            let rows: Vec<_> = (here.first_output..some.len())
                .map(|i| (start + i, prompt.row(&weights, i)))
                .collect();
            // The operations of a row that is there already lie behind a token's.
            let head = own.ops.at(weights.plan.steps.len() * OP_BYTES);
            for (part, rows) in rows.chunks(ROWS).enumerate() {
                let output = here.output + part * ROWS;
                for (i, &(position, row)) in rows.iter().enumerate() {
                    let launch = Launch {
                        ops: head,
                        count: 2,
                        position,
                        row,
                        output: Some(output + i),
                    };
                    self.launch(i, &launch)?;
                }
                self.collect(0..rows.len(), output)?;
            }
            if rows.is_empty() {
                self.collect(0..0, 0)?;
            }
            self.each[sequence].positions = start + some.len();
            done += some.len();
        }
        Ok(done)
    }

    /// Computes up to [`ROWS`] tokens of a member one by one.
    pub(super) fn some(
        &mut self,
        program: &Program,
        member: OfMember<'_>,
    ) -> Result<(), CudaError> {
        let OfMember {
            sequence,
            tokens,
            first_output,
            output,
        } = member;
        let weights = Arc::clone(&self.weights);
        let plan = &weights.plan;
        self.begin(sequence)?;
        let start = self.each[sequence].positions;
        let row = plan.width + TURNED;
        for (i, &token) in tokens.iter().enumerate() {
            let to = &mut self.rows.values_mut()[i * row..(i + 1) * row];
            let (embedding, turns) = to.split_at_mut(plan.width);
            plan.embed(program, token, embedding);
            let factors = plan.rope.factors.map(|id| program.vector(id));
            plan.fill_turns(start + i, factors, turns);
        }
        for i in 0..tokens.len() {
            let output = (i >= first_output).then(|| output + i - first_output);
            let launch = Launch {
                ops: self.each[sequence].ops.at(0),
                // Without its last operation there are no logits.
                count: plan.steps.len() - usize::from(output.is_none()),
                position: start + i,
                row: self.rows.at(i * row),
                output,
            };
            self.launch(i, &launch)?;
        }
        self.collect(first_output..tokens.len(), output)?;
        self.each[sequence].positions = start + tokens.len();
        Ok(())
    }

    /// Computes a token of each of several members at once, where it is worth it; whether it was.
    pub(super) fn each_of(
        &mut self,
        program: &Program,
        members: &[OfMember<'_>],
    ) -> Result<bool, CudaError> {
        let weights = Arc::clone(&self.weights);
        let plan = &weights.plan;
        let fits = (fewest_sequences(plan)..=MOST_SEQUENCES).contains(&members.len());
        let Some(kernels) = weights.many.as_ref().filter(|_| fits) else {
            return Ok(false);
        };
        if matches!(self.batch, Room::Unknown) {
            // All sequences' memory is laid out alike.
            let first = &self.each[members[0].sequence];
            let offsets = Offsets {
                caches: &first.cache_at,
                states: &first.state_at,
                capacity: self.capacity,
            };
            let room = Batch::new(&weights, &offsets)?;
            self.batch = room.map_or(Room::None, Room::Taken);
        }
        for member in members {
            self.begin(member.sequence)?;
        }
        let Room::Taken(batch) = &mut self.batch else {
            return Ok(false);
        };
        let each: Vec<_> = members
            .iter()
            .map(|member| {
                let own = &self.each[member.sequence];
                many::Member {
                    token: member.tokens[0],
                    position: own.positions,
                    caches: own.caches.at(0),
                    states: own.states.at(0),
                }
            })
            .collect();
        batch.run(&weights, kernels, program, &each)?;
        let stream = &weights.device.stream;
        let asked = members
            .iter()
            .enumerate()
            .filter(|(_, m)| m.first_output == 0);
        for (i, member) in asked.clone() {
            self.at[member.output] = each[i].position;
            if self.has_logits && member.output < self.outputs {
                let from = batch.logits(plan, i);
                let logits = &mut self.logits.values_mut()[member.output * plan.vocabulary..];
                copy_logits(stream, &mut logits[..plan.vocabulary], from)?;
            }
        }
        stream.synchronize().map_err(at("computing tokens"))?;
        for (i, member) in asked {
            self.best[member.output] = likeliest(batch.best()[i]);
        }
        for member in members {
            self.each[member.sequence].positions += 1;
        }
        Ok(true)
    }

    /// Clears what a sequence has of an earlier life.
    fn begin(&mut self, sequence: usize) -> Result<(), CudaError> {
        let own = &mut self.each[sequence];
        if std::mem::take(&mut own.has_old_state) {
            own.states.zero()?;
        }
        if std::mem::take(&mut own.has_old_cache) {
            own.caches.zero()?;
        }
        Ok(())
    }

    /// Launches the kernel of a token, whose answer gets place `i`.
    fn launch(&mut self, i: usize, launch: &Launch) -> Result<(), CudaError> {
        let weights = Arc::clone(&self.weights);
        let (plan, stream) = (&weights.plan, &weights.device.stream);
        let config = LaunchConfig {
            grid_dim: (number(plan.multiprocessors), 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: plan.shared,
        };
        let (count, position) = (number(launch.count), number(launch.position));
        let (meeting, answer, base) = (self.meeting.at(0), self.answers.at(i), self.base);
        self.base = base.wrapping_add(plan.marks);
        let mut token = stream.launch_builder(&weights.token);
        token.arg(&launch.ops).arg(&count).arg(&meeting);
        token
            .arg(&position)
            .arg(&base)
            .arg(&launch.row)
            .arg(&answer);
        // SAFETY: the arguments are those of `token`; the operations name memory of this sequence, of the weights and of what all share,
        // which outlive the launch; the row is memory that is not written before the stream has passed it.
        unsafe { token.launch_cooperative(config) }.map_err(at("launching a token"))?;
        let Some(output) = launch.output else {
            return Ok(());
        };
        self.at[output] = launch.position;
        if !self.has_logits || output >= self.outputs {
            return Ok(());
        }
        let logits = &mut self.logits.values_mut()[output * plan.vocabulary..];
        let from = self.activations.at(plan.logits);
        copy_logits(stream, &mut logits[..plan.vocabulary], from)
    }

    /// Waits for all that was launched, and takes the answers from their places: those of outputs from `output` on.
    fn collect(&mut self, places: Range<usize>, output: usize) -> Result<(), CudaError> {
        let stream = &self.weights.device.stream;
        stream.synchronize().map_err(at("computing tokens"))?;
        let answers = &self.answers.values()[places];
        for (best, &ranked) in self.best[output..].iter_mut().zip(answers) {
            *best = likeliest(ranked);
        }
        Ok(())
    }
}

/// Sends a row of logits to the host.
fn copy_logits(stream: &CudaStream, to: &mut [f32], from: At) -> Result<(), CudaError> {
    // SAFETY: both are this long; the host's are not read before the stream has passed it.
    unsafe { result::memcpy_dtoh_async(to, from, stream.cu_stream()) }.map_err(at("copying logits"))
}
