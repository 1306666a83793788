//! The declared family of models: decoder blocks of a mixer and a feed-forward network, described by a configuration.

use serde::{Deserialize, Serialize};

use crate::graph::{Batch, DeltaHeads, Graph, GraphError, Heads, Initial, Parameter, Role, Var};

/// What mixes tokens in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixer {
    /// Attention to all tokens before.
    Full,
    /// Attention to the last tokens, the window of the configuration.
    Window,
    /// Gated DeltaNet, with as many heads of keys and of values, as wide, as attention has for queries.
    GatedDelta,
}

/// A feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mlp {
    /// `down(silu(gate x) up x)`.
    #[serde(rename = "swiglu")]
    SwiGlu,
    /// `down(max(up x, 0)^2)`.
    SquaredRelu,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// Tokens.
    pub vocabulary: usize,
    /// Blocks.
    pub layers: usize,
    /// Channels of the residual stream.
    pub width: usize,
    /// Mixers of the layers, repeated from the first.
    pub mixers: Vec<Mixer>,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Tokens that windowed attention sees.
    pub window: usize,
    /// Whether each query and key head is normed before it is turned.
    pub head_norms: bool,
    /// Whether what attention gives is multiplied by the sigmoid of a gate of its own.
    pub output_gate: bool,
    /// Whether the values of each attention layer but the first are the mean of its own and the first one's.
    pub value_residual: bool,
    /// Feed-forward network.
    pub mlp: Mlp,
    /// Its channels.
    pub hidden: usize,
    /// Whether the output matrix is the embedding's.
    pub tied: bool,
    /// Of the logits.
    pub soft_cap: Option<f32>,
    /// Of the rotary embedding.
    pub rope_base: f64,
    /// Of the norms.
    pub eps: f32,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            vocabulary: 256,
            layers: 6,
            width: 384,
            mixers: vec![Mixer::Full],
            heads: 6,
            kv_heads: 6,
            head_dim: 64,
            window: 128,
            head_norms: false,
            output_gate: false,
            value_residual: false,
            mlp: Mlp::SwiGlu,
            hidden: 1024,
            tied: false,
            soft_cap: None,
            rope_base: 10_000.0,
            eps: 1e-5,
        }
    }
}

/// Of the lengths of queries and keys in a Gated DeltaNet layer, in Qwen3.5 as here.
const DELTA_EPS: f32 = 1e-6;

/// Plans take the square of the operations in time; no model that is trained here has a fraction of it.
const MOST_LAYERS: usize = 256;

/// Deviation of the matrices at the start.
const DEVIATION: f32 = 0.02;

impl Configuration {
    /// The model as a graph over a batch, its loss included. Names are those of GGUF files.
    ///
    /// # Errors
    /// Sizes do not fit each other: named as the operation found them.
    pub fn graph(&self, batch: Batch) -> Result<Graph, GraphError> {
        if !(1..=MOST_LAYERS).contains(&self.layers) {
            return Err(GraphError {
                operation: "model",
                what: "layers".to_owned(),
                expected: format!("1 to {MOST_LAYERS}"),
                found: self.layers.to_string(),
            });
        }
        let mut graph = Graph::new(batch)?;
        let normal = Initial::Normal(DEVIATION);
        let shape = [self.vocabulary, self.width];
        let table = graph.parameter("token_embd.weight", shape, normal, Role::Embedding)?;
        let mut x = graph.embed(table);
        let mut first_values = None;
        for layer in 0..self.layers {
            x = self.block(&mut graph, layer, x, &mut first_values)?;
        }
        let norm = self.norm(&mut graph, "output_norm.weight".to_owned(), self.width)?;
        let x = graph.rms_norm(x, norm, self.eps)?;
        let output = if self.tied {
            table
        } else {
            graph.parameter("output.weight", shape, normal, Role::Embedding)?
        };
        graph.loss(x, output, self.soft_cap)?;
        Ok(graph)
    }

    /// Of a layer.
    #[must_use]
    pub fn mixer(&self, layer: usize) -> Mixer {
        let count = self.mixers.len().max(1);
        self.mixers
            .get(layer % count)
            .copied()
            .unwrap_or(Mixer::Full)
    }

    fn norm(&self, graph: &mut Graph, name: String, width: usize) -> Result<Parameter, GraphError> {
        graph.parameter(name, [1, width], Initial::Constant(1.0), Role::Vector)
    }

    /// Pre-norm, mixer and feed-forward network, each added to the residual stream.
    fn block(
        &self,
        graph: &mut Graph,
        layer: usize,
        x: Var,
        first_values: &mut Option<Var>,
    ) -> Result<Var, GraphError> {
        let name = |what: &str| format!("blk.{layer}.{what}.weight");
        let norm = self.norm(graph, name("attn_norm"), self.width)?;
        let normed = graph.rms_norm(x, norm, self.eps)?;
        let mixed = match self.mixer(layer) {
            Mixer::GatedDelta => self.gated_delta(graph, layer, normed)?,
            Mixer::Full => self.attention(graph, layer, normed, None, first_values)?,
            Mixer::Window => {
                self.attention(graph, layer, normed, Some(self.window), first_values)?
            }
        };
        let x = graph.add(x, mixed)?;
        let norm = self.norm(graph, name("ffn_norm"), self.width)?;
        let normed = graph.rms_norm(x, norm, self.eps)?;
        let out = self.feed_forward(graph, layer, normed)?;
        graph.add(x, out)
    }

    fn matrix(
        &self,
        graph: &mut Graph,
        layer: usize,
        what: &str,
        shape: [usize; 2],
    ) -> Result<Parameter, GraphError> {
        // Matrices that write into the residual stream begin smaller, so that its variance does not grow with the depth (GPT-2).
        let is_last = matches!(what, "attn_output" | "delta_output" | "ffn_down");
        let deviation = if is_last {
            DEVIATION / (2.0 * self.layers as f32).sqrt()
        } else {
            DEVIATION
        };
        let name = format!("blk.{layer}.{what}.weight");
        graph.parameter(name, shape, Initial::Normal(deviation), Role::Matrix)
    }

    fn attention(
        &self,
        graph: &mut Graph,
        layer: usize,
        x: Var,
        window: Option<usize>,
        first_values: &mut Option<Var>,
    ) -> Result<Var, GraphError> {
        let queries = self.heads.saturating_mul(self.head_dim);
        let keys = self.kv_heads.saturating_mul(self.head_dim);
        let project = |graph: &mut Graph, what: &str, rows: usize| {
            let weight = self.matrix(graph, layer, what, [rows, self.width])?;
            graph.linear(x, weight)
        };
        let q = project(graph, "attn_q", queries)?;
        let k = project(graph, "attn_k", keys)?;
        let v = project(graph, "attn_v", keys)?;
        let v = match (self.value_residual, *first_values) {
            (true, Some(first)) => {
                let sum = graph.add(v, first)?;
                graph.scale(sum, 0.5)
            }
            _ => v,
        };
        first_values.get_or_insert(v);
        let (q, k) = if self.head_norms {
            let name = |what: &str| format!("blk.{layer}.attn_{what}_norm.weight");
            let of_queries = self.norm(graph, name("q"), self.head_dim)?;
            let of_keys = self.norm(graph, name("k"), self.head_dim)?;
            let q = graph.rms_norm(q, of_queries, self.eps)?;
            (q, graph.rms_norm(k, of_keys, self.eps)?)
        } else {
            (q, k)
        };
        let q = graph.rope(q, self.head_dim, self.head_dim, self.rope_base)?;
        let k = graph.rope(k, self.head_dim, self.head_dim, self.rope_base)?;
        let heads = Heads {
            queries: self.heads,
            keys: self.kv_heads,
            dim: self.head_dim,
            window,
        };
        let out = graph.attention([q, k, v], heads)?;
        let out = if self.output_gate {
            let gate = project(graph, "attn_gate", queries)?;
            graph.sigmoid_gate(out, gate)?
        } else {
            out
        };
        let weight = self.matrix(graph, layer, "attn_output", [self.width, queries])?;
        graph.linear(out, weight)
    }

    /// As in Qwen3.5: convolutions of q, k and v, both norms, the gated delta rule, and a norm with a gate.
    fn gated_delta(&self, graph: &mut Graph, layer: usize, x: Var) -> Result<Var, GraphError> {
        let inner = self.heads.saturating_mul(self.head_dim);
        let project = |graph: &mut Graph, what: &str, rows: usize| {
            let weight = self.matrix(graph, layer, what, [rows, self.width])?;
            graph.linear(x, weight)
        };
        let convolved = |graph: &mut Graph, what: &str| {
            let y = project(graph, &format!("delta_{what}"), inner)?;
            let name = format!("blk.{layer}.delta_conv_{what}.weight");
            // A fan-in of four taps.
            let shape = [inner, ops::causal_conv::TAPS];
            let weight = graph.parameter(name, shape, Initial::Uniform(-0.5, 0.5), Role::Vector)?;
            graph.causal_conv(y, weight)
        };
        let (q, k) = (convolved(graph, "q")?, convolved(graph, "k")?);
        let v = convolved(graph, "v")?;
        let q = graph.l2_norm(
            q,
            self.head_dim,
            DELTA_EPS,
            1.0 / (self.head_dim as f32).sqrt(),
        )?;
        let k = graph.l2_norm(k, self.head_dim, DELTA_EPS, 1.0)?;
        let gate = project(graph, "delta_gate", inner)?;
        let a = project(graph, "delta_a", self.heads)?;
        let b = project(graph, "delta_b", self.heads)?;
        let mut vector = |what: &str, columns: usize, initial: Initial| {
            let name = format!("blk.{layer}.delta_{what}");
            graph.parameter(name, [1, columns], initial, Role::Vector)
        };
        let a_log = vector("a_log", self.heads, Initial::LogUniform(1.0, 16.0))?;
        let dt_bias = vector("dt_bias", self.heads, Initial::Constant(1.0))?;
        let norm = vector("norm.weight", self.head_dim, Initial::Constant(1.0))?;
        let heads = DeltaHeads {
            keys: self.heads,
            values: self.heads,
            key_dim: self.head_dim,
            value_dim: self.head_dim,
        };
        let out = graph.gated_delta([q, k, v], [a, b], [a_log, dt_bias], heads)?;
        let out = graph.gated_norm(out, gate, norm, self.eps)?;
        let weight = self.matrix(graph, layer, "delta_output", [self.width, inner])?;
        graph.linear(out, weight)
    }

    fn feed_forward(&self, graph: &mut Graph, layer: usize, x: Var) -> Result<Var, GraphError> {
        let inner = match self.mlp {
            Mlp::SwiGlu => {
                let gate = self.matrix(graph, layer, "ffn_gate", [self.hidden, self.width])?;
                let up = self.matrix(graph, layer, "ffn_up", [self.hidden, self.width])?;
                let (gate, up) = (graph.linear(x, gate)?, graph.linear(x, up)?);
                graph.swiglu(gate, up)?
            }
            Mlp::SquaredRelu => {
                let up = self.matrix(graph, layer, "ffn_up", [self.hidden, self.width])?;
                let up = graph.linear(x, up)?;
                graph.squared_relu(up)
            }
        };
        let down = self.matrix(graph, layer, "ffn_down", [self.width, self.hidden])?;
        graph.linear(inner, down)
    }
}
