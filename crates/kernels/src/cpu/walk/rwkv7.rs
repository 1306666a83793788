//! The nodes of RWKV-7.

use super::Walk;
use crate::{
    layer_norm,
    pool::Team,
    program::{BufferId, Node, ShiftOut},
    token_shift::cpu::{self as token_shift, MOST_MIXTURES},
    wkv7,
};

impl Walk<'_> {
    /// # Safety
    /// As [`Walk::node`].
    pub(super) unsafe fn rwkv7(&self, node: &Node, team: &Team<'_>) {
        let (isa, tokens) = (self.profile.isa, self.tokens());
        // SAFETY: as `node`.
        unsafe {
            match node {
                Node::LayerNorm {
                    input,
                    out,
                    weight,
                    bias,
                    eps,
                    quantise,
                } => {
                    let norm = layer_norm::cpu::Norm {
                        input: self.rows(*input),
                        out: self.rows(*out),
                        weight: self.program.vector(*weight),
                        bias: self.program.vector(*bias),
                        eps: *eps,
                        width: self.program.buffers[input.0].width,
                        quantised: self.quantised_if(*quantise, *out),
                    };
                    layer_norm::cpu::layer_norm(isa, norm, self.count(*input), team);
                }
                Node::TokenShift {
                    input,
                    outs,
                    mu,
                    state,
                } => {
                    for part in self.parts() {
                        let mixture = |one: &ShiftOut| token_shift::Mixture {
                            out: self.rows(one.out).from(part.first_row),
                            quantised: self
                                .quantised_if(one.quantise, one.out)
                                .map(|rows| rows.from(part.first_row)),
                        };
                        let mut mixtures = [mixture(&outs[0]); MOST_MIXTURES];
                        for (slot, one) in mixtures.iter_mut().zip(outs) {
                            *slot = mixture(one);
                        }
                        let call = token_shift::Shift {
                            input: self.rows(*input).from(part.first_row),
                            mixtures: &mixtures[..outs.len()],
                            mu: self.program.vector(*mu),
                            state: part.state.shifts[state.0].as_mut_pointer(),
                            width: self.program.shifts[state.0],
                            tokens: part.tokens,
                        };
                        token_shift::token_shift(isa, call, team);
                    }
                }
                Node::Wkv7Gates {
                    decay,
                    rate,
                    key,
                    value,
                    removal,
                    residual,
                    k_k,
                    k_a,
                    shape,
                } => {
                    let call = wkv7::cpu::Gates {
                        decay: self.rows(*decay),
                        rate: self.rows(*rate),
                        key: self.rows(*key),
                        value: self.rows(*value),
                        removal: self.rows(*removal),
                        residual: residual.map(|r| wkv7::cpu::Residual {
                            first: self.rows(r.first),
                            mix: self.rows(r.mix),
                        }),
                        k_k: self.program.vector(*k_k),
                        k_a: self.program.vector(*k_a),
                        shape: *shape,
                    };
                    wkv7::cpu::gates(isa, call, tokens, team);
                }
                Node::Wkv7 {
                    receptance,
                    decay,
                    key,
                    value,
                    removal,
                    erasure,
                    out,
                    state,
                    shape,
                } => {
                    for part in self.parts() {
                        let rows = |id: &BufferId| self.rows(*id).from(part.first_row);
                        let call = wkv7::cpu::Scan {
                            receptance: rows(receptance),
                            decay: rows(decay),
                            key: rows(key),
                            value: rows(value),
                            removal: rows(removal),
                            erasure: rows(erasure),
                            out: rows(out),
                            state: part.state.wkv7[state.0].as_mut_pointer(),
                            shape: *shape,
                            tokens: part.tokens,
                        };
                        wkv7::cpu::scan(isa, call, team);
                    }
                }
                Node::Wkv7Output {
                    y,
                    receptance,
                    key,
                    value,
                    gate,
                    weight,
                    bias,
                    r_k,
                    eps,
                    shape,
                    quantise,
                } => {
                    let call = wkv7::cpu::Output {
                        y: self.rows(*y),
                        receptance: self.rows(*receptance),
                        key: self.rows(*key),
                        value: self.rows(*value),
                        gate: self.rows(*gate),
                        weight: self.program.vector(*weight),
                        bias: self.program.vector(*bias),
                        r_k: self.program.vector(*r_k),
                        eps: *eps,
                        shape: *shape,
                        quantised: self.quantised_if(*quantise, *y),
                    };
                    wkv7::cpu::output(isa, call, tokens, team);
                }
                _ => {}
            }
        }
    }
}
