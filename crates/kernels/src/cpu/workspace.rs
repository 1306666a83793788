//! The activations of a step: allocated once for the largest step, so that a step allocates nothing.

use std::sync::Arc;

use super::{Member, State};
use crate::{
    RuntimeProfile, attention,
    experts::plan::Plan,
    matmul,
    memory::{Aligned, OutOfMemory},
    program::{BufferId, Node, Program},
    rows::{QuantRows, Rows},
};

struct Slot {
    plain: Aligned<f32>,
    stride: usize,
    width: usize,
    quantised: Option<Aligned<u8>>,
}

/// The largest step that a workspace has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// Tokens of all sequences together.
    pub tokens: usize,
    /// Rows of logits.
    pub outputs: usize,
    /// Sequences.
    pub sequences: usize,
    /// Positions of a sequence.
    pub capacity: usize,
}

/// What a step's rows are: the sequences' tokens, one sequence behind the other.
#[derive(Default)]
pub(crate) struct Layout {
    /// Token of each row.
    pub tokens: Vec<u32>,
    /// Its position in its sequence.
    pub positions: Vec<usize>,
    /// Row of each output.
    pub outputs: Vec<usize>,
}

/// The buffers of a step.
pub struct Workspace {
    slots: Vec<Slot>,
    /// One per thread.
    scratch: Vec<Aligned<f32>>,
    splits: Aligned<f32>,
    /// The order of a layer's slots.
    plan: Aligned<i32>,
    /// The same of each number of heads that have matrices of their own; it depends on a step's tokens alone.
    head_plans: Vec<(usize, Aligned<i32>)>,
    pub(crate) layout: Layout,
    pub(crate) limits: StepLimits,
    /// Of one sequence.
    splits_len: usize,
    /// The largest that the scratch has room for.
    pub(crate) attention_tile: usize,
    logits: BufferId,
    /// Rows of logits of the last step.
    pub(crate) filled: usize,
    pub(crate) program: Arc<()>,
}

impl Workspace {
    /// Buffers for steps of up to `limits`; a step needs at least one of everything.
    ///
    /// # Errors
    /// The system refuses the memory.
    pub fn new(
        program: &Program,
        profile: &RuntimeProfile,
        limits: StepLimits,
    ) -> Result<Self, OutOfMemory> {
        let limits = StepLimits {
            tokens: limits.tokens.max(1),
            outputs: limits.outputs.max(1),
            sequences: limits.sequences.max(1),
            ..limits
        };
        let (tokens, outputs) = (limits.tokens, limits.outputs);
        let mut slots = Vec::new();
        for buffer in &program.buffers {
            let rows = buffer.extent.rows(tokens, outputs);
            let stride = buffer.width.next_multiple_of(16);
            // A vector of slack behind the last row: heads narrower than a vector are read as whole vectors.
            let len = rows
                .checked_mul(stride)
                .and_then(|n| n.checked_add(16))
                .ok_or(OutOfMemory { bytes: None })?;
            let quantised = match buffer.quantised {
                true => Some(Aligned::zeroed(rows * QuantRows::row_bytes(buffer.width))?),
                false => None,
            };
            slots.push(Slot {
                plain: Aligned::zeroed(len)?,
                stride,
                width: buffer.width,
                quantised,
            });
        }
        let (mut splits_len, mut plan_len) = (0, 0);
        let mut head_plans: Vec<(usize, Aligned<i32>)> = Vec::new();
        let quantised = program.buffers.iter().filter(|buffer| buffer.quantised);
        let mut scratch_len = quantised
            .map(|buffer| matmul::cpu::gathered_len(buffer.width))
            .max()
            .unwrap_or(0);
        for labelled in &program.nodes {
            if let Node::Route { logits, chosen, .. } = &labelled.node {
                let experts = program.buffers[logits.0].width;
                plan_len = plan_len.max(Plan::len(experts, tokens * chosen));
            }
            if let Node::HeadMatMul { heads, .. } = &labelled.node
                && head_plans.iter().all(|(known, _)| known != heads)
            {
                head_plans.push((*heads, Aligned::zeroed(Plan::len(*heads, tokens * heads))?));
            }
            if let Node::Attention {
                cache,
                heads,
                head_dim,
                ..
            } = &labelled.node
            {
                let group = heads / program.kv[cache.0].kv_heads;
                scratch_len =
                    scratch_len.max(attention::cpu::scratch_len(profile, group, *head_dim));
                splits_len = splits_len.max(attention::cpu::splits_len(
                    *heads,
                    *head_dim,
                    limits.capacity + tokens,
                ));
            }
        }
        let scratch = (0..profile.threads.max(1))
            .map(|_| Aligned::zeroed(scratch_len))
            .collect::<Result<_, _>>()?;
        let logits = program.logits;
        let all_splits = splits_len
            .checked_mul(limits.sequences)
            .ok_or(OutOfMemory { bytes: None })?;
        Ok(Self {
            slots,
            scratch,
            splits: Aligned::zeroed(all_splits)?,
            plan: Aligned::zeroed(plan_len)?,
            head_plans,
            layout: Layout {
                tokens: Vec::with_capacity(tokens),
                positions: Vec::with_capacity(tokens),
                outputs: Vec::with_capacity(outputs),
            },
            limits,
            splits_len,
            attention_tile: profile.attention_tile,
            logits,
            filled: 0,
            program: Arc::clone(&program.identity),
        })
    }

    /// Notes what the rows of a checked step are.
    pub(super) fn lay_out(&mut self, states: &[State], members: &[Member<'_>]) {
        let Layout {
            tokens,
            positions,
            outputs,
        } = &mut self.layout;
        tokens.clear();
        positions.clear();
        outputs.clear();
        for member in members {
            let step = member.step;
            let start = states[member.sequence].positions;
            tokens.extend_from_slice(step.tokens);
            positions.extend(start..start + step.tokens.len());
            outputs.extend(tokens.len() - step.output_rows()..tokens.len());
        }
        self.filled = outputs.len();
        for (heads, _) in &self.head_plans {
            let plan = self.head_plan(*heads);
            // SAFETY: the plan has room for the step's slots, and no thread runs yet.
            unsafe {
                if !plan.is_filled() {
                    plan.fill(|slot| slot % heads);
                }
            }
        }
    }

    /// Logits of the last step's output `i`, in the order of its sequences and their tokens.
    #[must_use]
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        let slot = &self.slots[self.logits.0];
        (i < self.filled).then(|| &slot.plain.as_slice()[i * slot.stride..][..slot.width])
    }

    /// Position of the last step's output `i` in its sequence.
    #[must_use]
    pub fn position_of(&self, i: usize) -> Option<usize> {
        let row = *self.layout.outputs.get(i)?;
        self.layout.positions.get(row).copied()
    }

    /// The largest step.
    #[must_use]
    pub fn limits(&self) -> StepLimits {
        self.limits
    }

    /// Bytes of all buffers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots: usize = self
            .slots
            .iter()
            .map(|s| 4 * s.plain.len() + s.quantised.as_ref().map_or(0, Aligned::len))
            .sum();
        let scratch: usize = self.scratch.iter().map(Aligned::len).sum();
        let head_plans: usize = self.head_plans.iter().map(|(_, plan)| plan.len()).sum();
        slots + 4 * (scratch + self.splits.len() + self.plan.len() + head_plans)
    }

    pub(crate) fn threads(&self) -> usize {
        self.scratch.len()
    }

    pub(crate) fn rows(&self, id: BufferId) -> Rows {
        let slot = &self.slots[id.0];
        Rows {
            pointer: slot.plain.as_mut_pointer(),
            stride: slot.stride,
        }
    }

    pub(crate) fn quantised(&self, id: BufferId) -> Option<QuantRows> {
        let slot = &self.slots[id.0];
        slot.quantised.as_ref().map(|q| QuantRows {
            pointer: q.as_mut_pointer(),
            cols: slot.width,
        })
    }

    pub(crate) fn scratch(&self, thread: usize) -> *mut f32 {
        self.scratch[thread].as_mut_pointer()
    }

    /// The plan of a step with `slots` slots.
    pub(crate) fn plan(&self, experts: usize, slots: usize) -> Plan {
        Plan {
            pointer: self.plan.as_mut_pointer(),
            experts,
            slots,
        }
    }

    /// The plan in which slot s is head s mod `heads` of token s / `heads`, of the step laid out.
    pub(crate) fn head_plan(&self, heads: usize) -> Plan {
        let none = std::ptr::null_mut();
        let mut plans = self.head_plans.iter();
        let found = plans.find(|(known, _)| *known == heads);
        Plan {
            pointer: found.map_or(none, |(_, plan)| plan.as_mut_pointer()),
            experts: heads,
            slots: self.layout.tokens.len() * heads,
        }
    }

    /// The splits of the step's `member`-th sequence.
    pub(crate) fn splits(&self, member: usize) -> *mut f32 {
        self.splits
            .as_mut_pointer()
            .wrapping_add(member * self.splits_len)
    }
}
