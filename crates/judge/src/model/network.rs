//! The whole forward pass: embedding, layers with a residual stream, and the logits of the next token.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::attention::Attention;
use super::configuration::{Configuration, Mixer, Mlp};
use super::flaw::Flaw;
use super::gated_delta::GatedDelta;
use super::operations::{ROWS, linear, rms_norm, silu, surprise};
use super::tensors::Tensors;

/// All weights.
#[derive(Debug)]
pub(super) struct Network {
    configuration: Configuration,
    embedding: Array2<f64>,
    layers: Vec<Layer>,
    norm: Array1<f64>,
    /// None where it is the embedding.
    output: Option<Array2<f64>>,
}

#[derive(Debug)]
struct Layer {
    mixer_norm: Array1<f64>,
    mixer: Mixing,
    mlp_norm: Array1<f64>,
    mlp: FeedForward,
}

#[derive(Debug)]
enum Mixing {
    Attention(Box<Attention>),
    GatedDelta(Box<GatedDelta>),
}

#[derive(Debug)]
struct FeedForward {
    /// None where the hidden layer has no gate: squared ReLU.
    gate: Option<Array2<f64>>,
    up: Array2<f64>,
    down: Array2<f64>,
}

impl Network {
    /// Takes every tensor that the configuration asks for.
    pub(super) fn take(
        tensors: &mut Tensors<'_>,
        configuration: Configuration,
    ) -> Result<Self, Flaw> {
        let of = &configuration;
        let embedding = tensors.matrix("token_embd.weight", of.vocabulary, of.width)?;
        let layers = (0..of.layers)
            .map(|layer| Layer::take(tensors, layer, of))
            .collect::<Result<_, _>>()?;
        let norm = tensors.vector("output_norm.weight", of.width)?;
        let output = if of.tied {
            None
        } else {
            Some(tensors.matrix("output.weight", of.vocabulary, of.width)?)
        };
        Ok(Self {
            configuration,
            embedding,
            layers,
            norm,
            output,
        })
    }

    /// The sum of -ln p over the targets, each behind the input of the same place; the separator's do not count.
    pub(super) fn nats(&self, inputs: &[u32], targets: &[u32]) -> f64 {
        let hidden = self.hidden(inputs);
        let blocks = hidden
            .axis_chunks_iter(Axis(0), ROWS)
            .zip(targets.chunks(ROWS));
        let mut nats = 0.0;
        for (hidden, targets) in blocks {
            let logits = self.logits(hidden);
            for (row, &target) in logits.rows().into_iter().zip(targets) {
                if target != super::SEPARATOR {
                    nats += surprise(row, target as usize);
                }
            }
        }
        nats
    }

    /// The residual stream behind the last layer, normed: (tokens, width).
    pub(super) fn hidden(&self, inputs: &[u32]) -> Array2<f64> {
        let of = &self.configuration;
        let tokens: Vec<usize> = inputs.iter().map(|&token| token as usize).collect();
        let mut x = self.embedding.select(Axis(0), &tokens);
        let mut first_v = None;
        for layer in &self.layers {
            let h = rms_norm(&x, &layer.mixer_norm, of.eps);
            x += &match &layer.mixer {
                Mixing::Attention(attention) => attention.forward(&h, of, &mut first_v),
                Mixing::GatedDelta(delta) => delta.forward(&h, of),
            };
            let h = rms_norm(&x, &layer.mlp_norm, of.eps);
            for (mut x, h) in x
                .axis_chunks_iter_mut(Axis(0), ROWS)
                .zip(h.axis_chunks_iter(Axis(0), ROWS))
            {
                x += &layer.mlp.forward(h);
            }
        }
        rms_norm(&x, &self.norm, of.eps)
    }

    /// (tokens, vocabulary).
    pub(super) fn logits(&self, hidden: ArrayView2<'_, f64>) -> Array2<f64> {
        let logits = linear(&hidden, self.output.as_ref().unwrap_or(&self.embedding));
        match self.configuration.soft_cap {
            Some(cap) => logits.mapv_into(|x| cap * (x / cap).tanh()),
            None => logits,
        }
    }

    /// Multiplications for each token besides those with the weights, in a window of this length.
    pub(super) fn mixing_work(&self, window: usize) -> u128 {
        let of = &self.configuration;
        let each = |layer: &Layer| match &layer.mixer {
            Mixing::Attention(attention) => {
                window.min(attention.span()) * of.heads * (2 * of.head_dim + 16)
            }
            Mixing::GatedDelta(_) => 4 * of.inner() * of.head_dim,
        };
        self.layers.iter().map(|layer| each(layer) as u128).sum()
    }
}

impl Layer {
    fn take(tensors: &mut Tensors<'_>, layer: usize, of: &Configuration) -> Result<Self, Flaw> {
        let prefix = format!("blk.{layer}.");
        let mixer_norm = tensors.vector(&format!("{prefix}attn_norm.weight"), of.width)?;
        let mixer = match of.mixer(layer).unwrap_or(Mixer::Full) {
            Mixer::GatedDelta => {
                Mixing::GatedDelta(Box::new(GatedDelta::take(tensors, &prefix, of)?))
            }
            mixer @ (Mixer::Window | Mixer::Full) => {
                Mixing::Attention(Box::new(Attention::take(tensors, &prefix, of, mixer)?))
            }
        };
        let mlp_norm = tensors.vector(&format!("{prefix}ffn_norm.weight"), of.width)?;
        let mlp = FeedForward::take(tensors, &prefix, of)?;
        Ok(Self {
            mixer_norm,
            mixer,
            mlp_norm,
            mlp,
        })
    }
}

impl FeedForward {
    fn take(tensors: &mut Tensors<'_>, prefix: &str, of: &Configuration) -> Result<Self, Flaw> {
        let (width, hidden) = (of.width, of.hidden);
        let mut matrix =
            |name, rows, columns| tensors.matrix(&format!("{prefix}{name}.weight"), rows, columns);
        let gate = match of.mlp {
            Mlp::Swiglu => Some(matrix("ffn_gate", hidden, width)?),
            Mlp::SquaredRelu => None,
        };
        Ok(Self {
            gate,
            up: matrix("ffn_up", hidden, width)?,
            down: matrix("ffn_down", width, hidden)?,
        })
    }

    fn forward(&self, h: ArrayView2<'_, f64>) -> Array2<f64> {
        let up = linear(&h, &self.up);
        let hidden = match &self.gate {
            Some(gate) => linear(&h, gate).mapv_into(silu) * up,
            // Not `max`, which would make 0 of what is no number.
            None => up.mapv_into(|x| if x < 0.0 { 0.0 } else { x * x }),
        };
        linear(&hidden, &self.down)
    }
}
