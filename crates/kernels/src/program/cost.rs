//! What a node must move and compute in a step, by the formulas of `ops`; weights count as packed.

use ops::{
    Cost, attention, causal_conv, delta_gates, embed, gated_delta, gated_rms_norm, glu, l2_norm,
    layer_norm, mamba2, matmul, mix, pointwise, rg_lru, rms_norm, rope, route, time_steps,
    token_shift, wkv7, wkv7_gates, wkv7_output,
};

use super::{Node, Program};
use crate::{FloatProducts, KvType};

/// The size of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Tokens computed.
    pub tokens: usize,
    /// Tokens already in the state.
    pub depth: usize,
    /// Rows of logits.
    pub outputs: usize,
    /// Precision of the cache.
    pub kv_type: KvType,
    /// How products with BF16 weights are computed: [`RuntimeProfile::float_products_here`](crate::RuntimeProfile::float_products_here).
    pub float_products: FloatProducts,
}

impl StepShape {
    /// What a node does where `sequences` of this size share a step: its shape, and how often. Products see all rows at once;
    /// attention and what carries a state from token to token go over each sequence.
    #[must_use]
    pub fn of_sequences(self, node: &Node, sequences: usize) -> (Self, u64) {
        let apart = matches!(
            node,
            Node::Attention { .. }
                | Node::CausalConv { .. }
                | Node::GatedDelta { .. }
                | Node::Mamba2 { .. }
                | Node::Wkv7 { .. }
                | Node::RgLru { .. }
                | Node::TokenShift { .. }
        );
        if apart {
            (self, sequences as u64)
        } else {
            let all = Self {
                tokens: self.tokens * sequences,
                outputs: self.outputs * sequences,
                ..self
            };
            (all, 1)
        }
    }
}

impl Program {
    /// The cost of one node in a step of this size.
    #[must_use]
    pub fn cost(&self, node: &Node, step: StepShape) -> Cost {
        let rows = |id: super::BufferId| {
            let extent = self.buffers[id.0].extent;
            extent.rows(step.tokens, step.outputs)
        };
        let width = |id: super::BufferId| self.buffers[id.0].width;
        match node {
            Node::Embed { out, scale } => embed::cost(&embed::Shape {
                tokens: step.tokens,
                rows: self.embedding.rows(),
                width: width(*out),
                dtype: self.embedding.dtype(),
                scale: *scale,
            }),
            Node::RmsNorm {
                input,
                width: norm,
                weight,
                eps,
                gate,
                ..
            } => {
                let rows = rows(*input) * (width(*input) / norm);
                let mut cost = match gate {
                    Some((_, gate)) => gated_rms_norm::cost(&gated_rms_norm::Shape {
                        rows,
                        width: *norm,
                        eps: *eps,
                        gate: *gate,
                    }),
                    None => rms_norm::cost(&rms_norm::Shape {
                        rows,
                        width: *norm,
                        eps: *eps,
                    }),
                };
                // Groups with weights of their own.
                cost.read_bytes += 4 * (self.vectors[weight.0].1 - norm) as u64;
                cost
            }
            Node::LayerNorm { input, eps, .. } => layer_norm::cost(&layer_norm::Shape {
                rows: rows(*input),
                groups: 1,
                width: width(*input),
                eps: *eps,
            }),
            Node::TokenShift { input, outs, .. } => token_shift::cost(&token_shift::Shape {
                tokens: step.tokens,
                mixtures: outs.len(),
                width: width(*input),
            }),
            Node::Wkv7Gates {
                residual, shape, ..
            } => wkv7_gates::cost(&wkv7_gates::Shape {
                tokens: step.tokens,
                heads: shape.heads,
                head_dim: shape.head_dim,
                residual: residual.is_some(),
            }),
            Node::Wkv7 { shape, .. } => wkv7::cost(&wkv7::Shape {
                tokens: step.tokens,
                heads: shape.heads,
                head_dim: shape.head_dim,
            }),
            Node::Wkv7Output { shape, eps, .. } => wkv7_output::cost(&wkv7_output::Shape {
                tokens: step.tokens,
                heads: shape.heads,
                head_dim: shape.head_dim,
                eps: *eps,
            }),
            Node::Quantise { buffer } => ops::activation::cost(&ops::activation::Shape {
                tokens: rows(*buffer),
                width: width(*buffer),
            }),
            Node::MatMul { input, projections } => projections
                .iter()
                .map(|p| self.projection_cost(p, rows(*input), step.float_products))
                .sum(),
            Node::Route {
                logits,
                chosen,
                scoring,
                ..
            } => route::cost(&route::Shape {
                tokens: step.tokens,
                experts: width(*logits),
                chosen: *chosen,
                scoring: *scoring,
            }),
            Node::HeadMatMul {
                rest,
                heads,
                matrix,
                ..
            } => self.heads_cost(*rest, *heads, *matrix, step),
            Node::ExpertMatMul { .. } => self.experts_cost(node, step),
            Node::Mix {
                input,
                shared,
                scale,
                chosen,
                ..
            } => mix::cost(&mix::Shape {
                tokens: step.tokens,
                chosen: *chosen,
                width: width(*input),
                shared: match shared {
                    None => mix::SharedExpert::None,
                    Some((_, None)) => mix::SharedExpert::Plain,
                    Some((_, Some(_))) => mix::SharedExpert::Gated,
                },
                scale: *scale,
            }),
            Node::RopeTable { out, .. } => Cost {
                written_bytes: (4 * width(*out) * step.tokens) as u64,
                ..Cost::default()
            },
            Node::Heads {
                q,
                k,
                head_dim,
                table,
                ..
            } => {
                let mut cost = rope::cost(&rope::Shape {
                    tokens: step.tokens,
                    heads: q.count + k.count,
                    head_dim: *head_dim,
                    rotary_dims: table.map_or(0, |(_, dims)| dims),
                    pairing: rope::Pairing::Half,
                    theta: 1.0,
                    position_scale: 1.0,
                });
                cost.written_bytes +=
                    (2 * step.tokens * k.count * step.kv_type.head_bytes(*head_dim)) as u64;
                cost
            }
            Node::Attention {
                gate,
                cache,
                heads,
                head_dim,
                window,
                ..
            } => {
                let shape = attention::Shape {
                    tokens: step.tokens,
                    depth: step.depth,
                    heads: *heads,
                    kv_heads: self.kv[cache.0].kv_heads,
                    head_dim: *head_dim,
                    scale: 1.0,
                    window: *window,
                    softcap: None,
                    gated: gate.is_some(),
                };
                let mut cost = attention::cost(&shape);
                if step.kv_type == KvType::I16 {
                    cost.int16_ops = attention::product_flops(&shape);
                    cost.f32_flops -= cost.int16_ops;
                }
                // The reference's cost counts binary16.
                let keys = window.map_or(step.depth + step.tokens, |w| {
                    (step.depth + step.tokens).min(w - 1 + step.tokens)
                });
                let cached = |kind: KvType| {
                    2 * keys * self.kv[cache.0].kv_heads * kind.head_bytes(*head_dim)
                };
                cost.read_bytes += cached(step.kv_type) as u64;
                cost.read_bytes -= cached(KvType::F16) as u64;
                cost
            }
            Node::Glu {
                gate, activation, ..
            } => glu::cost(&glu::Shape {
                activation: *activation,
                tokens: rows(*gate),
                width: width(*gate),
            }),
            Node::CausalConv {
                input, bias, silu, ..
            } => causal_conv::cost(&causal_conv::Shape {
                tokens: step.tokens,
                channels: width(*input),
                bias: bias.is_some(),
                silu: *silu,
            }),
            Node::DeltaPrepare { shape, eps, .. } => {
                let norms = l2_norm::cost(&l2_norm::Shape {
                    rows: 2 * step.tokens * shape.key_heads,
                    width: shape.key_dim,
                    eps: *eps,
                    scale: 1.0,
                });
                let gates = delta_gates::cost(&delta_gates::Shape {
                    tokens: step.tokens,
                    value_heads: shape.value_heads,
                    channels: shape.decay.count(shape.key_dim),
                });
                norms + gates
            }
            Node::GatedDelta { shape, .. } => gated_delta::cost(&gated_delta::Shape {
                tokens: step.tokens,
                key_heads: shape.key_heads,
                value_heads: shape.value_heads,
                key_dim: shape.key_dim,
                value_dim: shape.value_dim,
                head_map: shape.head_map,
                decay: shape.decay,
            }),
            Node::TimeSteps { dt, .. } => time_steps::cost(&time_steps::Shape {
                tokens: step.tokens,
                heads: width(*dt),
            }),
            Node::Mamba2 { shape, .. } => mamba2::cost(&mamba2::Shape {
                tokens: step.tokens,
                heads: shape.heads,
                groups: shape.groups,
                head_dim: shape.head_dim,
                state_dim: shape.state_dim,
            }),
            Node::RgLru { out, .. } => rg_lru::cost(&rg_lru::Shape {
                tokens: step.tokens,
                channels: width(*out),
                begins: step.depth == 0,
            }),
            Node::SelectOutputs { out, .. } => {
                let bytes = (4 * step.outputs * width(*out)) as u64;
                Cost {
                    read_bytes: bytes,
                    written_bytes: bytes,
                    ..Cost::default()
                }
            }
        }
    }

    /// A product, and what its outputs go through before they are written.
    fn projection_cost(
        &self,
        p: &super::Projection,
        tokens: usize,
        float_products: FloatProducts,
    ) -> Cost {
        let mut cost = self.product_cost(p.matrix, tokens, float_products);
        if let Some(function) = p.function {
            let shape = pointwise::Shape {
                function,
                tokens,
                width: self.matrix(p.matrix).rows(),
            };
            cost.f32_flops += pointwise::cost(&shape).f32_flops;
        }
        if let Some((_, activation)) = p.gate {
            let shape = glu::Shape {
                activation,
                tokens,
                width: self.matrix(p.matrix).rows(),
            };
            cost.f32_flops += glu::cost(&shape).f32_flops;
        }
        cost
    }

    fn product_cost(
        &self,
        id: super::MatrixId,
        tokens: usize,
        float_products: FloatProducts,
    ) -> Cost {
        if tokens == 0 {
            return Cost::default();
        }
        let matrix = self.matrix(id);
        let shape = matmul::Shape {
            tokens,
            inputs: matrix.cols(),
            outputs: matrix.rows(),
            dtype: matrix.dtype(),
        };
        let mut cost = if matrix.is_integer() {
            matmul::cost_int8(&shape)
        } else {
            matmul::cost(&shape)
        };
        if crate::matmul::splits(float_products, matrix) {
            // Both parts of each input.
            cost.bf16_flops = 2 * cost.f32_flops;
            cost.f32_flops = 0;
        }
        cost.read_bytes = cost.read_bytes - matmul::weight_bytes(&shape) + matrix.bytes() as u64;
        cost
    }

    /// The products of each token's heads with their matrices, all of which are read, and what is copied behind them.
    fn heads_cost(
        &self,
        rest: Option<super::BufferId>,
        heads: usize,
        id: super::MatrixId,
        step: StepShape,
    ) -> Cost {
        let tokens = step.tokens;
        if tokens == 0 {
            return Cost::default();
        }
        let (rows, heads) = (tokens as u64, heads as u64);
        let weights = self.matrix(id).bytes() as u64;
        let all = self.product_cost(id, 1, step.float_products);
        let copied = rest.map_or(0, |id| 4 * self.buffers[id.0].width as u64) * rows * heads;
        Cost {
            read_bytes: weights + (all.read_bytes - weights) * rows * heads + copied,
            written_bytes: all.written_bytes * rows + copied,
            ..all * rows
        }
    }

    /// The products of the slots with their experts.
    fn experts_cost(&self, node: &Node, step: StepShape) -> Cost {
        let Node::ExpertMatMul {
            input,
            experts,
            chosen,
            projections,
        } = node
        else {
            return Cost::default();
        };
        let rows = self.buffers[input.0].extent.rows(step.tokens, step.outputs) as u64;
        let (experts, slots) = (*experts as u64, (step.tokens * chosen) as u64);
        let one = |p: &super::ExpertProjection| {
            let all = self.product_cost(p.matrix, 1, step.float_products);
            let activations = all.read_bytes - self.matrix(p.matrix).bytes() as u64;
            Cost {
                read_bytes: activations * rows,
                written_bytes: all.written_bytes / experts * slots,
                f32_flops: all.f32_flops / experts * slots,
                int8_ops: all.int8_ops / experts * slots,
                bf16_flops: all.bf16_flops / experts * slots,
                ..Cost::default()
            }
        };
        let mut cost: Cost = projections.iter().map(one).sum();
        cost.read_bytes += self.expert_weight_bytes(node, step.tokens);
        cost
    }

    /// Bytes of the experts' weights that a step of `tokens` is expected to stream in a node; 0 for any other node. A token's
    /// experts differ; the tokens' choices are taken as uniform: `experts * (1 - (1 - chosen / experts)^tokens)` experts.
    #[must_use]
    pub fn expert_weight_bytes(&self, node: &Node, tokens: usize) -> u64 {
        let Node::ExpertMatMul {
            experts,
            chosen,
            projections,
            ..
        } = node
        else {
            return 0;
        };
        let missed = 1.0 - *chosen as f64 / *experts as f64;
        let share = 1.0 - missed.powf(tokens as f64);
        let bytes: usize = projections
            .iter()
            .map(|p| self.matrix(p.matrix).bytes())
            .sum();
        (bytes as f64 * share) as u64
    }

    /// The sum over all nodes.
    #[must_use]
    pub fn step_cost(&self, step: StepShape) -> Cost {
        self.nodes.iter().map(|n| self.cost(&n.node, step)).sum()
    }
}
