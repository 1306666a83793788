//! Gated DeltaNet's gates backwards, with the decay's parameter in either of its forms.
//!
//! With `g = ln(alpha) = rate * softplus(a + dt_bias)` and `beta = sigmoid(b)`:
//!
//! ```text
//! dg        = dalpha * alpha
//! da        = dg * rate * softplus'(a + dt_bias)      softplus' = sigmoid, and 1 above 20 as the forward is linear there
//! ddt_bias  = sum over the tokens of da
//! drate     = sum over the tokens and the head's channels of dg * softplus(a + dt_bias)
//! dA_log    = drate * rate                            since rate = -exp(A_log)
//! db        = dbeta * beta * (1 - beta)
//! ```
//!
//! Files for inference hold the rate (`ssm_a`); checkpoints, and so training, hold `A_log`, which keeps the rate negative whatever an
//! optimizer does to it. [`forward`] takes either, so that a gradient of `A_log` needs no rate rounded to f32.
//!
//! # Shape
//! As in [`delta_gates`](super): `b` and beta `(tokens, value_heads)`; `a` and alpha `(tokens, value_heads, channels)`; the rate
//! `(value_heads)`; `dt_bias` `(value_heads, channels)`. A gradient has the shape of its value.

use super::{Gates, Shape, softplus};
use crate::glu;

/// The decay's parameter, one for each value head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate<'a> {
    /// The rate itself, as in GGUF's `ssm_a`.
    Plain(&'a [f32]),
    /// Of a rate of `-exp(A_log)`, as checkpoints have it.
    ALog(&'a [f32]),
}

impl Rate<'_> {
    const fn len(self) -> usize {
        match self {
            Self::Plain(values) | Self::ALog(values) => values.len(),
        }
    }

    fn of(self, head: usize) -> f64 {
        match self {
            Self::Plain(rate) => f64::from(rate[head]),
            Self::ALog(a_log) => -f64::from(a_log[head]).exp(),
        }
    }
}

/// What the gates are made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `(tokens, value_heads, channels)`.
    pub a: &'a [f32],
    /// `(tokens, value_heads)`.
    pub b: &'a [f32],
    /// `(value_heads)`.
    pub rate: Rate<'a>,
    /// `(value_heads, channels)`.
    pub dt_bias: &'a [f32],
}

/// Of a loss with respect to the projections and the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, value_heads, channels)`.
    pub a: Vec<f64>,
    /// `(tokens, value_heads)`.
    pub b: Vec<f64>,
    /// Of the rate, `(value_heads)`.
    pub decay_rate: Vec<f64>,
    /// Of the rate's `A_log`, `(value_heads)`.
    pub a_log: Vec<f64>,
    /// `(value_heads, channels)`.
    pub dt_bias: Vec<f64>,
}

/// The gates, from either form of the rate.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn forward(shape: &Shape, inputs: &Inputs<'_>) -> Gates {
    check(shape, inputs);
    let alpha = (0..inputs.a.len()).map(|i| Decay::of(shape, inputs, i).alpha());
    Gates {
        alpha: alpha.collect(),
        beta: inputs
            .b
            .iter()
            .map(|&b| glu::sigmoid(f64::from(b)))
            .collect(),
    }
}

/// The gradients of the projections and the parameters.
///
/// # Panics
/// As [`forward`], and when `dalpha` or `dbeta` does not fit.
#[must_use]
pub fn reference(shape: &Shape, inputs: &Inputs<'_>, dalpha: &[f32], dbeta: &[f32]) -> Gradients {
    check(shape, inputs);
    assert_eq!(
        (dalpha.len(), dbeta.len()),
        (inputs.a.len(), inputs.b.len()),
        "dalpha must be (tokens, value_heads, channels) and dbeta (tokens, value_heads)"
    );
    let mut da = Vec::with_capacity(inputs.a.len());
    let mut decay_rate = vec![0.0; shape.value_heads];
    let mut dt_bias = vec![0.0; inputs.dt_bias.len()];
    for (i, &dalpha) in dalpha.iter().enumerate() {
        let decay = Decay::of(shape, inputs, i);
        let dg = f64::from(dalpha) * decay.alpha();
        let slope = if decay.time > 20.0 {
            1.0
        } else {
            glu::sigmoid(decay.time)
        };
        let dtime = dg * decay.rate * slope;
        da.push(dtime);
        dt_bias[decay.channel] += dtime;
        decay_rate[decay.head] += dg * softplus(decay.time);
    }
    let pairs = inputs.b.iter().zip(dbeta);
    Gradients {
        a: da,
        b: pairs
            .map(|(&b, &dbeta)| f64::from(dbeta) * glu::backward::sigmoid_slope(f64::from(b)))
            .collect(),
        a_log: decay_rate
            .iter()
            .enumerate()
            .map(|(head, drate)| drate * inputs.rate.of(head))
            .collect(),
        decay_rate,
        dt_bias,
    }
}

/// One decay of one token, with `alpha = exp(rate * softplus(time))`.
struct Decay {
    head: usize,
    /// Among all channels of all heads.
    channel: usize,
    rate: f64,
    time: f64,
}

impl Decay {
    fn of(shape: &Shape, inputs: &Inputs<'_>, i: usize) -> Self {
        let channel = i % (shape.value_heads * shape.channels);
        let head = channel / shape.channels;
        Self {
            head,
            channel,
            rate: inputs.rate.of(head),
            time: f64::from(inputs.a[i]) + f64::from(inputs.dt_bias[channel]),
        }
    }

    fn alpha(&self) -> f64 {
        (self.rate * softplus(self.time)).exp()
    }
}

fn check(shape: &Shape, inputs: &Inputs<'_>) {
    let Shape {
        tokens,
        value_heads,
        channels,
    } = *shape;
    assert_eq!(
        (inputs.a.len(), inputs.b.len()),
        (tokens * value_heads * channels, tokens * value_heads),
        "a must be (tokens, value_heads, channels) and b (tokens, value_heads)"
    );
    assert_eq!(
        (inputs.rate.len(), inputs.dt_bias.len()),
        (value_heads, value_heads * channels),
        "the rate must be (value_heads) and dt_bias (value_heads, channels)"
    );
}

#[cfg(test)]
mod tests;
