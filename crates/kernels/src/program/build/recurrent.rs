//! The checks of nodes that carry a state from token to token.

use ops::gated_delta::Decay;

use super::{BufferId, DeltaShape, Mamba2Shape, Node, ProgramBuilder, ProgramError};
use crate::causal_conv::cpu::TAPS;

impl ProgramBuilder {
    /// Any other node passes.
    pub(super) fn check_recurrent(&self, node: &Node) -> Result<(), ProgramError> {
        match node {
            Node::CausalConv {
                input,
                out,
                weight,
                bias,
                state,
                ..
            } => {
                let channels = self.convs[state.0];
                self.width(*input, channels)?;
                self.row_of(*out, channels)?;
                bias.map_or(Ok(()), |bias| self.len(bias, channels))?;
                self.len(*weight, TAPS * channels.next_multiple_of(16))
            }
            Node::DeltaPrepare {
                qkv,
                a,
                b,
                decay_rate,
                dt_bias,
                shape,
                ..
            } => {
                self.check_delta(*qkv, shape)?;
                self.width(*a, shape.decays())?;
                self.width(*b, shape.value_heads)?;
                self.len(*decay_rate, shape.value_heads)?;
                self.len(*dt_bias, shape.decays())
            }
            Node::GatedDelta {
                qkv,
                alpha,
                beta,
                out,
                state,
                shape,
            } => {
                self.check_delta(*qkv, shape)?;
                self.width(*alpha, shape.decays())?;
                self.width(*beta, shape.value_heads)?;
                self.width(*out, shape.values())?;
                self.expect(self.deltas[state.0] == *shape, || {
                    "a state of other dimensions".into()
                })
            }
            Node::TimeSteps {
                dt,
                out,
                rate,
                bias,
            } => {
                let heads = self.buffers[dt.0].width;
                self.width(*out, 2 * heads)?;
                self.len(*rate, heads)?;
                self.len(*bias, heads)
            }
            Node::Mamba2 {
                xbc,
                steps,
                skip,
                out,
                state,
                shape,
            } => {
                self.check_mamba2(shape)?;
                self.width(*xbc, shape.channels())?;
                self.width(*steps, 2 * shape.heads)?;
                self.len(*skip, shape.heads)?;
                self.width(*out, shape.values())?;
                self.expect(self.mamba2[state.0] == *shape, || {
                    "a state of other dimensions".into()
                })
            }
            Node::RgLru {
                x,
                input,
                recurrence,
                input_bias,
                recurrence_bias,
                rate,
                out,
                state,
            } => {
                let channels = self.rg_lru[state.0];
                self.row_of(*x, channels)?;
                [input, recurrence, out]
                    .iter()
                    .try_for_each(|id| self.width(**id, channels))?;
                [input_bias, recurrence_bias, rate]
                    .iter()
                    .try_for_each(|id| self.len(**id, channels))
            }
            _ => Ok(()),
        }
    }

    fn check_delta(&self, qkv: BufferId, shape: &DeltaShape) -> Result<(), ProgramError> {
        let heads = shape.key_heads > 0
            && shape.value_heads > 0
            && shape.value_heads.is_multiple_of(shape.key_heads);
        self.expect(heads, || {
            format!(
                "{} value heads are not whole groups for {} key heads",
                shape.value_heads, shape.key_heads
            )
        })?;
        self.expect(
            shape.value_dim.is_multiple_of(16) && shape.value_dim > 0 && shape.key_dim > 0,
            || {
                format!(
                    "expected value heads of a multiple of 16 columns, got {}",
                    shape.value_dim
                )
            },
        )?;
        let whole = shape.decay == Decay::PerHead || shape.key_dim.is_multiple_of(16);
        self.expect(whole, || {
            format!(
                "expected decays of a multiple of 16 key channels, got {}",
                shape.key_dim
            )
        })?;
        self.width(qkv, 2 * shape.keys() + shape.values())
    }

    /// `x | B | C` is wider than the result, so that a scan's output is never its input.
    fn check_mamba2(&self, shape: &Mamba2Shape) -> Result<(), ProgramError> {
        let heads = shape.groups > 0 && shape.heads > 0 && shape.heads.is_multiple_of(shape.groups);
        self.expect(heads, || {
            format!(
                "{} heads are not whole groups for {} groups",
                shape.heads, shape.groups
            )
        })?;
        let dims = shape.head_dim.is_multiple_of(16) && shape.head_dim > 0 && shape.state_dim > 0;
        self.expect(dims, || {
            format!(
                "expected heads of a multiple of 16 columns, got {}",
                shape.head_dim
            )
        })
    }
}
