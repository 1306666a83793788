//! The checks of RWKV-7's nodes, layer norm among them.

use super::{BufferId, Node, ProgramBuilder, ProgramError};
use crate::{
    program::{ShiftId, ShiftOut, ValueResidual, VectorId},
    token_shift::cpu::{MOST_MIXTURES, mu_len},
    wkv7::cpu::Wkv7Shape,
};

/// All buffers of a node of the recurrence, those first that it writes.
pub(super) fn wkv7_buffers(node: &Node) -> [Option<BufferId>; 7] {
    match node {
        Node::Wkv7Gates {
            decay,
            rate,
            key,
            value,
            removal,
            residual,
            ..
        } => [
            Some(*decay),
            Some(*rate),
            Some(*key),
            Some(*value),
            Some(*removal),
            residual.map(|r| r.first),
            residual.map(|r| r.mix),
        ],
        Node::Wkv7 {
            receptance,
            decay,
            key,
            value,
            removal,
            erasure,
            out,
            ..
        } => [out, receptance, decay, key, value, removal, erasure].map(|id| Some(*id)),
        Node::Wkv7Output {
            y,
            receptance,
            key,
            value,
            gate,
            ..
        } => {
            let [y, receptance, key, value, gate] =
                [y, receptance, key, value, gate].map(|id| Some(*id));
            [y, receptance, key, value, gate, None, None]
        }
        _ => [None; 7],
    }
}

impl ProgramBuilder {
    /// Any other node passes.
    pub(super) fn check_rwkv7(&self, node: &Node) -> Result<(), ProgramError> {
        match node {
            Node::LayerNorm {
                input,
                out,
                weight,
                bias,
                ..
            } => {
                let width = self.buffers[input.0].width;
                self.width(*out, width)?;
                self.lens(&[*weight, *bias], width)
            }
            Node::TokenShift {
                input,
                outs,
                mu,
                state,
            } => self.check_shift(*input, outs, *mu, *state),
            Node::Wkv7Gates {
                residual,
                k_k,
                k_a,
                shape,
                ..
            } => {
                self.check_wkv7(node, shape)?;
                if let Some(ValueResidual { first, mix }) = residual {
                    self.expect(first != mix, || {
                        "a value that moves to its own share".into()
                    })?;
                }
                self.lens(&[*k_k, *k_a], shape.width())
            }
            Node::Wkv7 { state, shape, .. } => {
                self.check_wkv7(node, shape)?;
                self.expect(self.wkv7[state.0] == *shape, || {
                    "a state of other dimensions".into()
                })
            }
            Node::Wkv7Output {
                weight,
                bias,
                r_k,
                shape,
                ..
            } => {
                self.check_wkv7(node, shape)?;
                self.lens(&[*weight, *bias, *r_k], shape.width())
            }
            _ => Ok(()),
        }
    }

    fn check_shift(
        &self,
        input: BufferId,
        outs: &[ShiftOut],
        mu: VectorId,
        state: ShiftId,
    ) -> Result<(), ProgramError> {
        let width = self.shifts[state.0];
        self.width(input, width)?;
        self.expect((1..=MOST_MIXTURES).contains(&outs.len()), || {
            format!("expected 1 to {MOST_MIXTURES} mixtures, got {}", outs.len())
        })?;
        for (i, one) in outs.iter().enumerate() {
            let is_new = one.out != input && outs[..i].iter().all(|other| other.out != one.out);
            self.expect(is_new, || "two of its buffers are one".into())?;
            self.width(one.out, width)?;
        }
        self.len(mu, mu_len(outs.len(), width))
    }

    /// Heads are read as whole vectors; what a node writes is in no other of its buffers, since threads read those.
    fn check_wkv7(&self, node: &Node, shape: &Wkv7Shape) -> Result<(), ProgramError> {
        let whole = shape.heads > 0 && shape.head_dim > 0 && shape.head_dim.is_multiple_of(16);
        self.expect(whole, || {
            format!(
                "expected heads of a multiple of 16 columns, got {} of {}",
                shape.heads, shape.head_dim
            )
        })?;
        let written = match node {
            Node::Wkv7Gates { .. } => 5,
            _ => 1,
        };
        let buffers = wkv7_buffers(node);
        for (i, id) in buffers.iter().enumerate() {
            let Some(id) = *id else { continue };
            let clash = buffers[..i.min(written)].contains(&Some(id));
            self.expect(!clash, || "two of its buffers are one".into())?;
            self.width(id, shape.width())?;
        }
        Ok(())
    }

    fn lens(&self, ids: &[VectorId], want: usize) -> Result<(), ProgramError> {
        ids.iter().try_for_each(|&id| self.len(id, want))
    }
}
