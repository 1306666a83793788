//! The two gates of Gated DeltaNet from their projections, and the backward pass.
//!
//! With `x = a + dt_bias` and `rate = exp(a_log)`, the decay's logarithm is `g = -rate softplus(x)` and the share that is written
//! `beta = sigmoid(b)`. Backwards
//!
//! ```text
//! da = -dg rate sigmoid(x)          ddt_bias = sum over tokens of da
//! da_log = sum over tokens of dg g  db = dbeta beta (1 - beta)
//! ```
//!
//! # Shape
//! `a`, `b`, `g` and beta (tokens, `value_heads`); `a_log` and `dt_bias` (`value_heads`).
//!
//! # Source
//! Yang, Kautz and Hatamizadeh, *Gated Delta Networks*, 2024, with the decay of Mamba-2.

use std::ops::Range;

use super::{
    Into, Machine,
    pointwise::sigmoids,
    rms_norm::sum_pieces,
    shared::{PIECE, Shared, load_some, pieces},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, math, store_first};

/// What both passes read.
#[derive(Clone, Copy)]
pub struct DeltaGates<'a> {
    /// (tokens, `value_heads`): of the decay.
    pub a: &'a [f32],
    /// (tokens, `value_heads`): of what is written.
    pub b: &'a [f32],
    /// (`value_heads`): logarithm of the rate.
    pub a_log: &'a [f32],
    /// (`value_heads`): added to a.
    pub dt_bias: &'a [f32],
}

impl DeltaGates<'_> {
    /// The number of tokens.
    fn check(&self) -> usize {
        let heads = self.a_log.len();
        assert_eq!(self.dt_bias.len(), heads, "parameters of each head");
        assert!(self.a.len().is_multiple_of(heads), "rows of all heads");
        assert_eq!(self.a.len(), self.b.len(), "both projections");
        self.a.len() / heads
    }

    fn shared(&self) -> [Shared; 4] {
        [self.a, self.b, self.a_log, self.dt_bias].map(Shared::read)
    }
}

/// Writes the decays' logarithms and beta.
///
/// # Panics
/// When a slice does not fit.
pub fn delta_gates(
    machine: &Machine,
    gates: &DeltaGates<'_>,
    log_decay: &mut [f32],
    beta: &mut [f32],
) {
    let tokens = gates.check();
    let len = gates.a.len();
    assert_eq!((log_decay.len(), beta.len()), (len, len), "decays and beta");
    let forward = Forward {
        read: gates.shared(),
        written: [log_decay, beta].map(Shared::of),
        heads: gates.a_log.len(),
        tokens: 0..0,
    };
    machine.for_pieces(tokens, |tokens| {
        let forward = Forward {
            tokens,
            ..forward.clone()
        };
        // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
        unsafe { dispatch_floats(machine.isa, forward) }
    });
}

#[derive(Clone)]
struct Forward {
    /// a, b, `a_log`, `dt_bias`.
    read: [Shared; 4],
    /// g and beta.
    written: [Shared; 2],
    heads: usize,
    tokens: Range<usize>,
}

impl Kernel for Forward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let [a, b, a_log, dt_bias] = self.read;
        for head in (0..self.heads).step_by(LANES) {
            let count = self.heads - head;
            // SAFETY: `count` heads are left of each row and of the parameters.
            unsafe {
                let rate = math::exp::<S>(load_some::<S>(a_log.at(head), count));
                let minus_rate = S::sub(S::splat(0.0), rate);
                let bias = load_some::<S>(dt_bias.at(head), count);
                for token in self.tokens.clone() {
                    let at = token * self.heads + head;
                    let x = S::add(load_some::<S>(a.at(at), count), bias);
                    let g = S::mul(minus_rate, math::softplus::<S>(x));
                    let beta = math::sigmoid::<S>(load_some::<S>(b.at(at), count));
                    store_first::<S>(self.written[0].at(at), g, count);
                    store_first::<S>(self.written[1].at(at), beta, count);
                }
            }
        }
    }
}

/// Working memory of [`delta_gates_backward`], in f32.
#[must_use]
pub const fn delta_gates_scratch(tokens: usize, value_heads: usize) -> usize {
    2 * pieces(tokens) * value_heads.next_multiple_of(LANES)
}

/// Gradients of a, b, `a_log` and `dt_bias`, in this order, from those of the decays' logarithms and of beta.
///
/// # Panics
/// When a slice does not fit, or [`delta_gates_scratch`] was not reserved.
pub fn delta_gates_backward(
    machine: &Machine,
    gates: &DeltaGates<'_>,
    (d_log_decay, d_beta): (&[f32], &[f32]),
    [d_a, d_b, d_a_log, d_dt_bias]: [(&mut [f32], Into); 4],
) {
    let tokens = gates.check();
    let (len, heads) = (gates.a.len(), gates.a_log.len());
    assert_eq!(
        (d_log_decay.len(), d_beta.len()),
        (len, len),
        "gradients of decays and beta"
    );
    assert_eq!(
        (d_a.0.len(), d_b.0.len()),
        (len, len),
        "gradients of the projections"
    );
    assert_eq!(
        (d_a_log.0.len(), d_dt_bias.0.len()),
        (heads, heads),
        "gradients of the parameters"
    );
    let mut scratch = machine.scratch(delta_gates_scratch(tokens, heads));
    let step = heads.next_multiple_of(LANES);
    let (of_a_log, rest) = scratch.as_mut_slice().split_at_mut(pieces(tokens) * step);
    let of_dt_bias = &mut rest[..pieces(tokens) * step];
    let backward = Backward {
        read: gates.shared(),
        d_gates: [d_log_decay, d_beta].map(Shared::read),
        written: [(Shared::of(d_a.0), d_a.1), (Shared::of(d_b.0), d_b.1)],
        sums: [Shared::of(of_a_log), Shared::of(of_dt_bias)],
        heads,
        tokens: 0..0,
    };
    machine.for_pieces(tokens, |tokens| {
        let backward = Backward {
            tokens,
            ..backward.clone()
        };
        // SAFETY: the lengths were checked; pieces are disjoint, in the sums too; the processor has the set.
        unsafe { dispatch_floats(machine.isa, backward) }
    });
    sum_pieces(of_a_log, step, d_a_log);
    sum_pieces(of_dt_bias, step, d_dt_bias);
}

#[derive(Clone)]
struct Backward {
    /// a, b, `a_log`, `dt_bias`.
    read: [Shared; 4],
    /// Of g and beta.
    d_gates: [Shared; 2],
    /// Of a and b.
    written: [(Shared, Into); 2],
    /// Of each piece, the gradients of `a_log` and of `dt_bias`.
    sums: [Shared; 2],
    heads: usize,
    tokens: Range<usize>,
}

impl Kernel for Backward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let [a, b, a_log, dt_bias] = self.read;
        let step = self.heads.next_multiple_of(LANES);
        for head in (0..self.heads).step_by(LANES) {
            let count = self.heads - head;
            // SAFETY: `count` heads are left of each row and of the parameters; a piece's sums are whole vectors.
            unsafe {
                let rate = math::exp::<S>(load_some::<S>(a_log.at(head), count));
                let minus_rate = S::sub(S::splat(0.0), rate);
                let bias = load_some::<S>(dt_bias.at(head), count);
                let mut sums = [S::splat(0.0); 2];
                for token in self.tokens.clone() {
                    let at = token * self.heads + head;
                    let x = S::add(load_some::<S>(a.at(at), count), bias);
                    let dg = S::mul(load_some::<S>(self.d_gates[0].at(at), count), minus_rate);
                    let da = S::mul(dg, math::sigmoid::<S>(x));
                    sums = [
                        S::fma(dg, math::softplus::<S>(x), sums[0]),
                        S::add(sums[1], da),
                    ];
                    let (beta, rest) = sigmoids::<S>(load_some::<S>(b.at(at), count));
                    let dbeta = load_some::<S>(self.d_gates[1].at(at), count);
                    let db = S::mul(S::mul(dbeta, beta), rest);
                    for (mut gradient, (to, into)) in [da, db].into_iter().zip(self.written) {
                        if into == Into::Add {
                            gradient = S::add(load_some::<S>(to.at(at), count), gradient);
                        }
                        store_first::<S>(to.at(at), gradient, count);
                    }
                }
                let piece = self.tokens.start / PIECE * step + head;
                for (to, sum) in self.sums.iter().zip(sums) {
                    S::store(to.at(piece), sum);
                }
            }
        }
    }
}
