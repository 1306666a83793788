//! The nodes that carry a state from token to token.

use super::Walk;
use crate::{causal_conv, gated_delta, mamba2, pool::Team, program::Node, rg_lru};

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
                    silu,
                    state,
                } => {
                    for part in self.parts() {
                        let conv = causal_conv::cpu::Conv {
                            input: self.rows(*input).from(part.first_row),
                            out: self.wide_rows(*out).from(part.first_row),
                            weight: self.program.vector(*weight),
                            bias: bias.map(|id| self.program.vector(id)),
                            silu: *silu,
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
                    for part in self.parts() {
                        let rows = |id| self.rows(id).from(part.first_row);
                        let call = rg_lru::cpu::RgLru {
                            x: self.wide_rows(*x).from(part.first_row),
                            input: rows(*input),
                            recurrence: rows(*recurrence),
                            input_bias: self.program.vector(*input_bias),
                            recurrence_bias: self.program.vector(*recurrence_bias),
                            rate: self.program.vector(*rate),
                            out: rows(*out),
                            state: part.state.rg_lru[state.0].as_mut_pointer(),
                            channels: self.program.rg_lru[state.0],
                            begins: part.state.positions == 0,
                            tokens: part.tokens,
                        };
                        rg_lru::cpu::rg_lru(isa, call, team);
                    }
                }
                _ => {}
            }
        }
    }
}
