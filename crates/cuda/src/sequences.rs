//! Sequences on the GPU: their caches and states, and the steps that move them on.
//!
//! Tokens are computed many at a time where there are enough of them ([`crate::many`]), else one by one: a launch for each, one behind the
//! other. What the host hands over (the token's embedding, the cosines and sines of its position) lies in its own memory, where the GPU reads it.

use std::sync::Arc;

use kernels::{
    cpu::{ExecuteError, Member, StepLimits, check_members},
    program::Program,
};

use crate::{
    CudaError, Weights,
    error::at,
    many::{Batch, MOST_SEQUENCES, Prompt},
    memory::{Layout, Memory, Pinned},
    op::Op,
    plan::{Operation, TURNED, cache_bytes, capacity, parts_bytes},
};

mod addressed;
mod computing;

/// Where blocks meet: `Meeting` of `kernels/block.cuh`.
const MEETING_BYTES: usize = 16;
/// Places for the rows of tokens on their way.
const ROWS: usize = 64;

/// One of the sequences.
struct Sequence {
    caches: Memory,
    states: Memory,
    ops: Memory,
    /// Where each layer's begin.
    cache_at: Vec<usize>,
    state_at: Vec<(usize, usize)>,
    positions: usize,
    /// To be cleared before the next step: of a sequence that was reset, of one that pretends.
    has_old_state: bool,
    has_old_cache: bool,
    /// Whether there were numbers that are none.
    is_spoiled: bool,
}

/// Sequences that share weights and what is between operations.
pub struct Sequences {
    weights: Arc<Weights>,
    each: Vec<Sequence>,
    capacity: usize,
    activations: Memory,
    parts: Memory,
    meeting: Memory,
    /// Embeddings and turns of the next tokens.
    rows: Pinned<f32>,
    /// The likeliest token behind each of them.
    answers: Pinned<u64>,
    /// Logits of the outputs of the last step.
    logits: Pinned<f32>,
    outputs: usize,
    /// Whether those of the last step are there.
    has_logits: bool,
    /// Where the next token's marks begin: no two tokens have the same until they are 2^32.
    base: u32,
    /// Positions of the outputs.
    at: Vec<usize>,
    best: Vec<Option<u32>>,
    prompt: Room<Prompt>,
    batch: Room<Batch>,
}

/// Room for many tokens at once.
enum Room<T> {
    /// Nobody has asked for it.
    Unknown,
    /// It can't be had.
    None,
    Taken(T),
}

impl<T> Room<T> {
    fn of(can_be_had: bool) -> Self {
        if can_be_had {
            Self::Unknown
        } else {
            Self::None
        }
    }
}

/// What a member of a step has to do, and where its outputs go.
#[derive(Clone, Copy)]
struct OfMember<'a> {
    sequence: usize,
    tokens: &'a [u32],
    /// The first token whose logits are asked for: the last ones' are.
    first_output: usize,
    /// Where these are among the step's.
    output: usize,
}

impl OfMember<'_> {
    /// Its first tokens.
    fn first(self, count: usize) -> Self {
        Self {
            tokens: &self.tokens[..count],
            first_output: self.first_output.min(count),
            ..self
        }
    }

    /// Those behind.
    fn behind(self, count: usize) -> Self {
        Self {
            tokens: &self.tokens[count..],
            first_output: self.first_output.saturating_sub(count),
            output: self.output + count.saturating_sub(self.first_output),
            ..self
        }
    }
}

/// The likeliest token as `rank_of` of `kernels/token.cu` says it; none where a logit was no number.
fn likeliest(ranked: u64) -> Option<u32> {
    let (order, token) = ((ranked >> 32) as u32, !(ranked as u32));
    (order != u32::MAX).then_some(token)
}

impl Sequences {
    /// `count` empty sequences of up to `context` tokens, with steps of up to `outputs` rows of logits.
    ///
    /// # Errors
    /// No memory.
    pub fn new(
        weights: Arc<Weights>,
        count: usize,
        context: usize,
        outputs: usize,
    ) -> Result<Self, CudaError> {
        let device = &weights.device;
        let (plan, stream) = (&weights.plan, &device.stream);
        let needed = plan.sequence_bytes(context).saturating_mul(count as u64);
        let free = device.free_bytes()?;
        if needed > free {
            return Err(CudaError::Memory {
                what: "caches and states of the sequences",
                needed,
                free,
                total: device.properties().memory_bytes,
            });
        }
        let kv_heads = plan.caches.iter().map(|c| c.kv_heads).max().unwrap_or(1);
        let bytes = parts_bytes(kv_heads, plan.splits(kv_heads)) + 4 * kv_heads;
        let mut all = Self {
            activations: Memory::zeroed(stream, plan.activation_bytes, "activations")?,
            parts: Memory::zeroed(stream, bytes, "parts of attention")?,
            meeting: Memory::zeroed(stream, MEETING_BYTES, "a meeting place")?,
            rows: Pinned::new(&device.context, ROWS * (plan.width + TURNED))?,
            answers: Pinned::new(&device.context, ROWS)?,
            logits: Pinned::new(&device.context, outputs.max(1) * plan.vocabulary)?,
            each: Vec::new(),
            capacity: context,
            outputs: outputs.max(1),
            has_logits: false,
            // What is new has marks of 0.
            base: 1,
            at: Vec::new(),
            best: Vec::new(),
            prompt: Room::of(weights.many.is_some()),
            batch: Room::of(weights.many.is_some()),
            weights: Arc::clone(&weights),
        };
        for _ in 0..count {
            let sequence = all.sequence()?;
            all.each.push(sequence);
        }
        Ok(all)
    }

    fn sequence(&self) -> Result<Sequence, CudaError> {
        let (plan, stream) = (&self.weights.plan, &self.weights.device.stream);
        let (mut caches, mut states) = (Layout::default(), Layout::default());
        let positions = capacity(self.capacity);
        let cache_at: Vec<usize> = plan
            .caches
            .iter()
            .map(|c| caches.add(cache_bytes(c.kv_heads, positions)))
            .collect();
        let state_at: Vec<(usize, usize)> = plan
            .states
            .iter()
            .map(|s| (states.add(s.state_bytes()), states.add(s.recent_bytes())))
            .collect();
        let caches = Memory::zeroed(stream, caches.bytes, "the key/value cache")?;
        let states = Memory::zeroed(stream, states.bytes, "recurrent states")?;
        let ops: Vec<Op> = plan
            .steps
            .iter()
            .map(|step| {
                let op = match &step.operation {
                    Operation::Embed => self.embed(),
                    Operation::Product(product) => self.product(product),
                    Operation::Delta(delta) => {
                        let (state, recent) = state_at[delta.state];
                        self.delta(delta, states.at(state), states.at(recent))
                    }
                    Operation::Attend(attend) => {
                        self.attend(attend, caches.at(cache_at[attend.cache]))
                    }
                };
                Op {
                    needs: step.needs,
                    mark: step.mark,
                    ..op
                }
            })
            .collect();
        // Behind a token's operations those of a row of the stream that another kernel has left: it is read like an embedding, and the
        // logits follow at once.
        let head: Vec<Op> = match (ops.first(), ops.last()) {
            (Some(&embed), Some(&logits)) => {
                let needs = embed.mark;
                vec![embed, Op { needs, ..logits }]
            }
            _ => Vec::new(),
        };
        let ops = [ops, head].concat();
        let memory = Memory::zeroed(stream, size_of_val(ops.as_slice()), "operations")?;
        memory.write(0, &ops)?;
        Ok(Sequence {
            caches,
            states,
            ops: memory,
            cache_at,
            state_at,
            positions: 0,
            has_old_state: false,
            has_old_cache: false,
            is_spoiled: false,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.each.len()
    }

    /// Tokens that fit each of them.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Positions that a sequence has filled.
    #[must_use]
    pub fn positions(&self, sequence: usize) -> usize {
        self.each[sequence].positions
    }

    /// A sequence forgets everything.
    pub fn reset(&mut self, sequence: usize) {
        let sequence = &mut self.each[sequence];
        sequence.positions = 0;
        sequence.has_old_state = true;
        // Behind what a sequence has, attention reads what was there before, times 0: what is no number would stay none.
        sequence.has_old_cache |= std::mem::take(&mut sequence.is_spoiled);
    }

    /// Cuts a sequence back to `positions`, which must not be more than it has; where it has a recurrent state, only to none.
    #[must_use]
    pub fn truncate(&mut self, sequence: usize, positions: usize) -> bool {
        let is_recurrent = !self.weights.plan.states.is_empty();
        let now = self.each[sequence].positions;
        if positions == 0 {
            self.reset(sequence);
        } else if positions != now {
            if is_recurrent || positions > now {
                return false;
            }
            self.each[sequence].positions = positions;
        }
        true
    }

    /// Pretends that a sequence has seen `depth` tokens: zeros in its cache, for timing.
    pub fn pretend(&mut self, sequence: usize, depth: usize) {
        let sequence = &mut self.each[sequence];
        sequence.positions = depth.min(self.capacity);
        sequence.has_old_cache = true;
    }

    /// Whether a step fits.
    ///
    /// # Errors
    /// What does not.
    pub fn check(
        &self,
        program: &Program,
        members: &[Member<'_>],
        limits: StepLimits,
    ) -> Result<(), ExecuteError> {
        let fill = |sequence: usize| {
            let sequence = self.each.get(sequence)?;
            Some((sequence.positions, self.capacity))
        };
        let vocabulary = program.embedding().rows();
        check_members(members, limits, vocabulary, self.each.len(), &fill)
    }

    /// One step: some tokens of some sequences. The caller has checked that they fit. Logits come to the host where `logits` says so; the
    /// likeliest tokens always do.
    ///
    /// # Errors
    /// The GPU failed; the sequences are lost then.
    pub fn step(
        &mut self,
        program: &Program,
        members: &[Member<'_>],
        logits: bool,
    ) -> Result<(), CudaError> {
        let device = &self.weights.device;
        let context = &device.context;
        context.bind_to_thread().map_err(at("computing tokens"))?;
        let done = self.compute(program, members, logits);
        if done.is_err() {
            // Nobody reads or writes what may still be on its way. The first error is the one to tell.
            let _ = self.weights.device.stream.synchronize();
            self.has_logits = false;
            self.at.clear();
            self.best.clear();
        }
        done
    }

    fn compute(
        &mut self,
        program: &Program,
        members: &[Member<'_>],
        logits: bool,
    ) -> Result<(), CudaError> {
        let rows = members.iter().map(|member| member.step.output_rows()).sum();
        self.at.clear();
        self.at.resize(rows, 0);
        self.best.clear();
        self.best.resize(rows, None);
        self.has_logits = logits;
        // Outputs are in the order of the members, whichever is computed first.
        let mut output = 0;
        let (mut single, mut others) = (Vec::new(), Vec::new());
        for member in members {
            let of_member = OfMember {
                sequence: member.sequence,
                tokens: member.step.tokens,
                first_output: member.step.tokens.len() - member.step.output_rows(),
                output,
            };
            output += member.step.output_rows();
            let to = if of_member.tokens.len() == 1 {
                &mut single
            } else {
                &mut others
            };
            to.push(of_member);
        }
        for members in single.chunks(MOST_SEQUENCES) {
            if !self.each_of(program, members)? {
                others.extend_from_slice(members);
            }
        }
        for member in others {
            let mut left = member.behind(self.many(program, member)?);
            while !left.tokens.is_empty() {
                let some = left.tokens.len().min(ROWS);
                self.some(program, left.first(some))?;
                left = left.behind(some);
            }
        }
        // What is no number may be in the caches, too.
        let mut output = 0;
        for member in members {
            let rows = member.step.output_rows();
            if self.best[output..output + rows].contains(&None) {
                self.each[member.sequence].is_spoiled = true;
            }
            output += rows;
        }
        Ok(())
    }

    /// Logits of output `i` of the last step.
    #[must_use]
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        let vocabulary = self.weights.plan.vocabulary;
        (self.has_logits && i < self.at.len().min(self.outputs))
            .then(|| &self.logits.values()[i * vocabulary..(i + 1) * vocabulary])
    }

    /// The likeliest token of output `i` of the last step; none within where a logit is no number.
    #[must_use]
    pub fn best(&self, i: usize) -> Option<Option<u32>> {
        self.best.get(i).copied()
    }

    /// The position of output `i` of the last step.
    #[must_use]
    pub fn position_of(&self, i: usize) -> Option<usize> {
        self.at.get(i).copied()
    }

    /// Rows of logits that a step may ask for.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }
}

fn number(n: usize) -> u32 {
    // Sizes of models and contexts, which the plan has bounded.
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{OfMember, likeliest};

    #[test]
    fn the_likeliest_token_is_told_from_its_rank() {
        assert_eq!(likeliest(1 << 63 | u64::from(!7u32)), Some(7));
        assert_eq!(likeliest(u64::MAX), None);
    }

    #[test]
    fn a_member_in_pieces_keeps_its_outputs() {
        let tokens: Vec<u32> = (0..100).collect();
        let all = OfMember {
            sequence: 0,
            tokens: &tokens,
            first_output: 90,
            output: 7,
        };
        // 64 tokens without outputs, then 36 of which the last ten have some: 7 to 16.
        let (first, rest) = (all.first(64), all.behind(64));
        assert_eq!((first.tokens.len(), first.first_output), (64, 64));
        assert_eq!(
            (rest.tokens[0], rest.first_output, rest.output),
            (64, 26, 7)
        );
        // Cut within the outputs: five are in front.
        let rest = all.behind(95);
        assert_eq!(
            (rest.tokens.len(), rest.first_output, rest.output),
            (5, 0, 12)
        );
    }
}
