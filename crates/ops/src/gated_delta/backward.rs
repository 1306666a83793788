//! The gated delta rule backwards: token by token from the last to the first, over whole sequences from an empty state.
//!
//! Forwards, per value head (`S0` is the state before the token, `S1` the decayed one, `S2` the one after):
//!
//! ```text
//! S1 = alpha * S0        e = v - S1^T k        delta = beta * e        S2 = S1 + k delta^T        o = S2^T q
//! ```
//!
//! Backwards, `dS` comes in as the gradient with respect to S2 by all later tokens, and leaves as that of S0:
//!
//! 1. `dq = S2 do`, and `dS += q do^T`;
//! 2. `ddelta = dS^T k`, `dbeta = ddelta . e`, `dv = beta * ddelta`;
//! 3. `dk = dS delta - S1 dv`: the key writes delta, and reads S1 with `de = dv`;
//! 4. `dS -= k dv^T`, now with respect to S1;
//! 5. `dalpha` = the sum over all elements of `dS * S0`, and `dS *= alpha`.
//!
//! Of a decay's logarithm `g = ln(alpha)`, the gradient is `dg = dalpha * alpha`. q and k gather what all value heads of theirs say.
//! Every state of a head is kept in memory here; a fast version keeps one per chunk.
//!
//! # Shape
//! As in [`gated_delta`](super), a gradient as its value; [`Decay::PerHead`] only.
//!
//! # Source
//! The recurrence's derivative, taken here; the chunked form of the same is in Yang et al., *Parallelizing Linear Transformers with
//! the Delta Rule over Sequence Length*, 2024.

use super::{
    Decay, Inputs, Shape, Token, add_outer_product, add_scaled, check, dot, scale_rows,
    transposed_product,
};

/// Of a loss with respect to everything that a call reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, key_heads, key_dim)`, summed over the value heads that share a query head.
    pub q: Vec<f64>,
    /// `(tokens, key_heads, key_dim)`, likewise.
    pub k: Vec<f64>,
    /// `(tokens, value_heads, value_dim)`.
    pub v: Vec<f64>,
    /// `(tokens, value_heads)`; times alpha, it is the gradient of alpha's logarithm.
    pub alpha: Vec<f64>,
    /// `(tokens, value_heads)`.
    pub beta: Vec<f64>,
    /// Of the state before the first token, `(value_heads, key_dim, value_dim)`.
    pub state: Vec<f64>,
}

/// The gradients of everything that the recurrence reads, at a state of zeros.
///
/// # Panics
/// When a slice does not fit `shape`, `value_heads` is no multiple of `key_heads`, or decays are per channel.
#[must_use]
pub fn reference(shape: &Shape, inputs: &Inputs<'_>, dout: &[f32]) -> Gradients {
    let Shape {
        tokens,
        key_heads,
        value_heads,
        key_dim,
        value_dim,
        head_map,
        decay,
    } = *shape;
    assert_eq!(decay, Decay::PerHead, "decays must be per head");
    let state_len = key_dim * value_dim;
    let mut gradients = Gradients {
        q: vec![0.0; inputs.q.len()],
        k: vec![0.0; inputs.k.len()],
        v: vec![0.0; inputs.v.len()],
        alpha: vec![0.0; inputs.alpha.len()],
        beta: vec![0.0; inputs.beta.len()],
        state: vec![0.0; value_heads * state_len],
    };
    check(shape, inputs, &gradients.state);
    assert_eq!(
        dout.len(),
        inputs.v.len(),
        "dout must be (tokens, value_heads, value_dim)"
    );
    for head in 0..value_heads {
        let all: Vec<Token> = (0..tokens)
            .map(|token| Token::of(shape, inputs, token, head))
            .collect();
        let states = states(&all, value_dim, state_len);
        let dstate = &mut gradients.state[head * state_len..][..state_len];
        for (token, one) in all.iter().enumerate().rev() {
            let value = token * value_heads + head;
            let dout: Vec<f64> = dout[value * value_dim..][..value_dim]
                .iter()
                .copied()
                .map(f64::from)
                .collect();
            let step = step(one, &states[token], &dout, dstate);
            let key =
                (token * key_heads + head_map.key_head(head, key_heads, value_heads)) * key_dim;
            add_scaled(&mut gradients.q[key..][..key_dim], 1.0, &step.q);
            add_scaled(&mut gradients.k[key..][..key_dim], 1.0, &step.k);
            gradients.v[value * value_dim..][..value_dim].copy_from_slice(&step.v);
            gradients.alpha[value] = step.alpha;
            gradients.beta[value] = step.beta;
        }
    }
    gradients
}

/// A head's state before each token.
fn states(all: &[Token], value_dim: usize, state_len: usize) -> Vec<Vec<f64>> {
    let mut state = vec![0.0; state_len];
    all.iter()
        .map(|one| {
            let before = state.clone();
            scale_rows(&mut state, &one.alpha, value_dim);
            let delta = scaled_by(one.beta, &missing(one, &state));
            add_outer_product(&mut state, &one.k, &delta);
            before
        })
        .collect()
}

/// The gradients of one token's own inputs.
struct Step {
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    alpha: f64,
    beta: f64,
}

/// Steps 1 to 5 of one token, whose state was `before`; takes `dstate` from after the token to before it.
fn step(one: &Token, before: &[f64], dout: &[f64], dstate: &mut [f64]) -> Step {
    let value_dim = dout.len();
    let mut decayed = before.to_vec();
    scale_rows(&mut decayed, &one.alpha, value_dim);
    let error = missing(one, &decayed);
    let delta = scaled_by(one.beta, &error);
    let mut after = decayed.clone();
    add_outer_product(&mut after, &one.k, &delta);

    let dq = product(&after, dout);
    add_outer_product(dstate, &one.q, dout);
    let ddelta = transposed_product(dstate, &one.k, value_dim);
    let dv = scaled_by(one.beta, &ddelta);
    let mut dk = product(dstate, &delta);
    add_scaled(&mut dk, -1.0, &product(&decayed, &dv));
    add_outer_product(dstate, &one.k, &scaled_by(-1.0, &dv));
    let dalpha = dot(dstate, before);
    scale_rows(dstate, &one.alpha, value_dim);
    Step {
        q: dq,
        k: dk,
        v: dv,
        alpha: dalpha,
        beta: dot(&ddelta, &error),
    }
}

/// What a state lacks of the token's value: `v - S^T k`.
fn missing(one: &Token, state: &[f64]) -> Vec<f64> {
    let mut missing = one.v.clone();
    add_scaled(
        &mut missing,
        -1.0,
        &transposed_product(state, &one.k, one.v.len()),
    );
    missing
}

/// `S x`.
fn product(state: &[f64], x: &[f64]) -> Vec<f64> {
    state.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

fn scaled_by(factor: f64, x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| factor * x).collect()
}

#[cfg(test)]
mod tests;
