//! The activations of a step: allocated once for the largest step, so that a step allocates nothing.

use std::sync::Arc;

use crate::{
    RuntimeProfile, attention,
    experts::plan::Plan,
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

/// Buffers for steps of up to `tokens` tokens and `outputs` rows of logits.
pub struct Workspace {
    slots: Vec<Slot>,
    /// One per thread.
    scratch: Vec<Aligned<f32>>,
    splits: Aligned<f32>,
    /// The order of a layer's slots.
    plan: Aligned<i32>,
    pub(crate) tokens: usize,
    pub(crate) outputs: usize,
    pub(crate) capacity: usize,
    /// The largest that the scratch has room for.
    pub(crate) attention_tile: usize,
    logits: BufferId,
    /// Rows of logits of the last step.
    pub(crate) filled: usize,
    pub(crate) program: Arc<()>,
}

impl Workspace {
    /// For states of up to `capacity` positions.
    ///
    /// # Errors
    /// The system refuses the memory.
    pub fn new(
        program: &Program,
        profile: &RuntimeProfile,
        tokens: usize,
        outputs: usize,
        capacity: usize,
    ) -> Result<Self, OutOfMemory> {
        let (tokens, outputs) = (tokens.max(1), outputs.max(1));
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
        let (mut scratch_len, mut splits_len, mut plan_len) = (0, 0, 0);
        for labelled in &program.nodes {
            if let Node::Route { logits, chosen, .. } = &labelled.node {
                let experts = program.buffers[logits.0].width;
                plan_len = plan_len.max(Plan::len(experts, tokens * chosen));
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
                    capacity + tokens,
                ));
            }
        }
        let scratch = (0..profile.threads.max(1))
            .map(|_| Aligned::zeroed(scratch_len))
            .collect::<Result<_, _>>()?;
        let logits = program.logits;
        Ok(Self {
            slots,
            scratch,
            splits: Aligned::zeroed(splits_len)?,
            plan: Aligned::zeroed(plan_len)?,
            tokens,
            outputs,
            capacity,
            attention_tile: profile.attention_tile,
            logits,
            filled: 0,
            program: Arc::clone(&program.identity),
        })
    }

    /// Logits of the last step's output `i`, in the order of its tokens.
    #[must_use]
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        let slot = &self.slots[self.logits.0];
        (i < self.filled).then(|| &slot.plain.as_slice()[i * slot.stride..][..slot.width])
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
        slots + 4 * (scratch + self.splits.len() + self.plan.len())
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

    pub(crate) fn splits(&self) -> *mut f32 {
        self.splits.as_mut_pointer()
    }
}
