//! The nodes that carry a state from token to token.

use super::Walk;
use crate::{causal_conv, gated_delta, mamba2, pool::Team, program::Node};

impl Walk<'_> {
    /// # Safety
    /// As [`Walk::node`].
    pub(super) unsafe fn recurrent(&self, node: &Node, team: &Team<'_>) {
        let (isa, tokens) = (self.profile.isa, self.tokens());
        // SAFETY: as `node`.
        unsafe {
            match node {
                Node::CausalConv {
                    input,
                    out,
                    weight,
                    bias,
                    state,
                } => {
                    for part in self.parts() {
                        let rows = |id| self.rows(id).from(part.first_row);
                        let conv = causal_conv::cpu::Conv {
                            input: rows(*input),
                            out: rows(*out),
                            weight: self.program.vector(*weight),
                            bias: bias.map(|id| self.program.vector(id)),
                            channels: self.program.convs[state.0],
                            state: part.state.convs[state.0].as_mut_pointer(),
                            tokens: part.tokens,
                        };
                        causal_conv::cpu::causal_conv(isa, conv, team);
                    }
                }
                Node::DeltaPrepare {
                    qkv,
                    a,
                    b,
                    decay_rate,
                    dt_bias,
                    eps,
                    shape,
                } => {
                    let call = gated_delta::cpu::Prepare {
                        qkv: self.rows(*qkv),
                        a: self.rows(*a),
                        b: self.rows(*b),
                        decay_rate: self.program.vector(*decay_rate),
                        dt_bias: self.program.vector(*dt_bias),
                        eps: *eps,
                        shape: *shape,
                    };
                    gated_delta::cpu::prepare(isa, call, tokens, team);
                }
                Node::GatedDelta {
                    qkv,
                    alpha,
                    beta,
                    out,
                    state,
                    shape,
                } => {
                    for part in self.parts() {
                        let rows = |id| self.rows(id).from(part.first_row);
                        let call = gated_delta::cpu::Step {
                            qkv: rows(*qkv),
                            alpha: rows(*alpha),
                            beta: rows(*beta),
                            out: rows(*out),
                            state: part.state.deltas[state.0].as_mut_pointer(),
                            shape: *shape,
                            tokens: part.tokens,
                        };
                        gated_delta::cpu::step(isa, call, team);
                    }
                }
                Node::TimeSteps {
                    dt,
                    out,
                    rate,
                    bias,
                } => {
                    let call = mamba2::cpu::Steps {
                        dt: self.rows(*dt),
                        out: self.rows(*out),
                        rate: self.program.vector(*rate),
                        bias: self.program.vector(*bias),
                        heads: self.program.buffers[dt.0].width,
                    };
                    mamba2::cpu::steps(call, tokens, team);
                }
                Node::Mamba2 {
                    xbc,
                    steps,
                    skip,
                    out,
                    state,
                    shape,
                } => {
                    for part in self.parts() {
                        let rows = |id| self.rows(id).from(part.first_row);
                        let call = mamba2::cpu::Scan {
                            xbc: rows(*xbc),
                            steps: rows(*steps),
                            skip: self.program.vector(*skip),
                            out: rows(*out),
                            state: part.state.mamba2[state.0].as_mut_pointer(),
                            shape: *shape,
                            tokens: part.tokens,
                        };
                        mamba2::cpu::scan(isa, call, team);
                    }
                }
                _ => {}
            }
        }
    }
}
