//! Operations that mix tokens: attention, and what a Gated DeltaNet layer is made of.

use kernels::training::{AttentionShape, GatedDeltaShape, L2Norm};
use ops::gated_delta::HeadMap;

use super::{DeltaHeads, Graph, GraphError, Heads, Op, Parameter, Var, error};

impl Graph {
    /// Causal softmax attention with scores scaled by 1 / sqrt(`dim`).
    ///
    /// # Errors
    /// The widths are not those of the heads, or heads do not fit each other.
    pub fn attention(&mut self, [q, k, v]: [Var; 3], heads: Heads) -> Result<Var, GraphError> {
        const NAME: &str = "attention";
        Self::distinct(NAME, &[q, k, v])?;
        if heads.dim == 0 || !heads.dim.is_multiple_of(16) {
            return Err(error(
                NAME,
                "channels of a head",
                "a multiple of 16",
                heads.dim,
            ));
        }
        if heads.keys == 0 || !heads.queries.is_multiple_of(heads.keys) {
            let expected = format!("a divisor of the {} query heads", heads.queries);
            return Err(error(NAME, "key heads", expected, heads.keys));
        }
        if heads.window == Some(0) {
            return Err(error(NAME, "window", "at least 1", 0));
        }
        for (what, var, count) in [
            ("width of the queries", q, heads.queries),
            ("width of the keys", k, heads.keys),
            ("width of the values", v, heads.keys),
        ] {
            let (expected, found) = (count.saturating_mul(heads.dim), self.width(var));
            if expected != found {
                return Err(error(
                    NAME,
                    what,
                    format!("{count} heads of {}", heads.dim),
                    found,
                ));
            }
        }
        let shape = AttentionShape {
            sequences: self.batch.sequences,
            positions: self.batch.positions,
            heads: heads.queries,
            kv_heads: heads.keys,
            head_dim: heads.dim,
            window: heads.window,
            scale: 1.0 / (heads.dim as f32).sqrt(),
        };
        let width = heads.queries * heads.dim;
        Ok(self.push(Op::Attention(shape), &[q, k, v], width))
    }

    /// Each channel convolved with its last four values (weight (channels, 4), the last tap the newest), then SiLU; sequences begin with zeros.
    ///
    /// # Errors
    /// The weight has other rows than x has columns, or not four taps.
    pub fn causal_conv(&mut self, x: Var, weight: Parameter) -> Result<Var, GraphError> {
        let (width, declared) = (self.width(x), self.declared(weight));
        let taps = ops::causal_conv::TAPS;
        if (declared.rows, declared.columns) != (width, taps) {
            let found = format!("{} x {}", declared.rows, declared.columns);
            let expected = format!("{width} x {taps}");
            return Err(error("causal_conv", declared.name.clone(), expected, found));
        }
        Ok(self.push(Op::CausalConv { weight }, &[x], width))
    }

    /// Each head of `head_dim` channels over its length, times `scale`.
    ///
    /// # Errors
    /// A row is no multiple of the head, or eps is not above 0.
    pub fn l2_norm(
        &mut self,
        x: Var,
        head_dim: usize,
        eps: f32,
        scale: f32,
    ) -> Result<Var, GraphError> {
        let width = self.width(x);
        if head_dim == 0 || !width.is_multiple_of(head_dim) {
            let expected = format!("a divisor of the width {width}");
            return Err(error("l2_norm", "head_dim", expected, head_dim));
        }
        if !(eps > 0.0 && eps < 1.0 && scale.is_finite()) {
            return Err(error("l2_norm", "eps", "between 0 and 1", eps));
        }
        let norm = L2Norm {
            head_dim,
            eps,
            scale,
        };
        Ok(self.push(Op::L2Norm(norm), &[x], width))
    }

    /// Root-mean-square norm of each head of x, as wide as the weight, times `silu(gate)`.
    ///
    /// # Errors
    /// The widths differ, a row is no multiple of the weight, or eps is not above 0.
    pub fn gated_norm(
        &mut self,
        x: Var,
        gate: Var,
        weight: Parameter,
        eps: f32,
    ) -> Result<Var, GraphError> {
        let width = self.same_width("gated_norm", x, gate)?;
        let declared = self.declared(weight);
        if declared.rows != 1 || !width.is_multiple_of(declared.columns) {
            let expected = format!("1 x a divisor of {width}");
            let found = format!("{} x {}", declared.rows, declared.columns);
            return Err(error("gated_norm", declared.name.clone(), expected, found));
        }
        if !(eps > 0.0 && eps < 1.0) {
            return Err(error("gated_norm", "eps", "between 0 and 1", eps));
        }
        Ok(self.push(Op::GatedNorm { weight, eps }, &[x, gate], width))
    }

    /// The gated delta rule over each sequence: q and k normed, the decay of a value head `exp(-exp(a_log) softplus(a + dt_bias))`, its
    /// strength of writing `sigmoid(b)`. Value head h reads key head h mod their number, as in files of `qwen35`.
    ///
    /// # Errors
    /// Widths are not those of the heads, or channels no multiples of 16.
    pub fn gated_delta(
        &mut self,
        [q, k, v]: [Var; 3],
        [a, b]: [Var; 2],
        [a_log, dt_bias]: [Parameter; 2],
        heads: DeltaHeads,
    ) -> Result<Var, GraphError> {
        const NAME: &str = "gated_delta";
        Self::distinct(NAME, &[q, k, v, a, b])?;
        for (what, dim) in [
            ("channels of a key", heads.key_dim),
            ("channels of a value", heads.value_dim),
        ] {
            if dim == 0 || !dim.is_multiple_of(16) {
                return Err(error(NAME, what, "a multiple of 16", dim));
            }
        }
        if heads.keys == 0 || !heads.values.is_multiple_of(heads.keys) || heads.values == 0 {
            let expected = format!("a multiple of the {} key heads", heads.keys);
            return Err(error(NAME, "value heads", expected, heads.values));
        }
        for (what, var, count, dim) in [
            ("width of q", q, heads.keys, heads.key_dim),
            ("width of k", k, heads.keys, heads.key_dim),
            ("width of v", v, heads.values, heads.value_dim),
            ("width of a", a, heads.values, 1),
            ("width of b", b, heads.values, 1),
        ] {
            let (expected, found) = (count.saturating_mul(dim), self.width(var));
            if expected != found {
                return Err(error(NAME, what, expected, found));
            }
        }
        for parameter in [a_log, dt_bias] {
            let declared = self.declared(parameter);
            if (declared.rows, declared.columns) != (1, heads.values) {
                let found = format!("{} x {}", declared.rows, declared.columns);
                return Err(error(
                    NAME,
                    declared.name.clone(),
                    format!("1 x {}", heads.values),
                    found,
                ));
            }
        }
        let shape = GatedDeltaShape {
            sequences: self.batch.sequences,
            positions: self.batch.positions,
            key_heads: heads.keys,
            value_heads: heads.values,
            key_dim: heads.key_dim,
            value_dim: heads.value_dim,
            head_map: HeadMap::Tiled,
        };
        let op = Op::GatedDelta {
            shape,
            a_log,
            dt_bias,
        };
        Ok(self.push(op, &[q, k, v, a, b], heads.values * heads.value_dim))
    }
}
