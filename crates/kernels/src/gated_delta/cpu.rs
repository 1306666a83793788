//! Lanes over value columns; work is split over (value head, tile of 32 columns).

mod channels;

use ops::gated_delta::{Decay, HeadMap};

use self::channels::RunChannels;
use crate::{
    pool::Team,
    rms_norm::cpu::sum_of_squares,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch, math},
};

/// Vectors of value columns in a tile: with 128 rows the tile of S is 16 KiB.
const VECTORS: usize = 2;

/// Dimensions of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaShape {
    /// Key (and query) heads.
    pub key_heads: usize,
    /// Value heads.
    pub value_heads: usize,
    /// Width of a key head; a multiple of 16 where its channels have decays.
    pub key_dim: usize,
    /// Width of a value head; a multiple of 16.
    pub value_dim: usize,
    /// Which key head a value head uses.
    pub head_map: HeadMap,
    /// How many decays a value head has.
    pub decay: Decay,
}

impl DeltaShape {
    /// Columns of queries (and of keys).
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.key_heads * self.key_dim
    }

    /// Columns of values.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.value_heads * self.value_dim
    }

    /// Columns of decays.
    #[must_use]
    pub const fn decays(&self) -> usize {
        self.value_heads * self.decay.count(self.key_dim)
    }

    /// Elements of the state.
    #[must_use]
    pub const fn state_len(&self) -> usize {
        self.value_heads * self.key_dim * self.value_dim
    }
}

/// Inputs of [`prepare`].
#[derive(Clone, Copy)]
pub(crate) struct Prepare<'a> {
    /// `q | k | v`, normalised in place.
    pub qkv: Rows,
    /// Becomes alpha.
    pub a: Rows,
    /// Becomes beta.
    pub b: Rows,
    /// -exp(A_log) per value head.
    pub decay_rate: &'a [f32],
    /// One for each decay.
    pub dt_bias: &'a [f32],
    pub eps: f32,
    pub shape: DeltaShape,
}

impl Prepare<'_> {
    /// Pieces of a token: each query and key head, the gates of a value each, and each head's decays where its channels have some.
    fn pieces(shape: DeltaShape) -> usize {
        let of_channels = match shape.decay {
            Decay::PerHead => 0,
            Decay::PerChannel => shape.value_heads,
        };
        2 * shape.key_heads + 1 + of_channels
    }

    /// The decays of a head's key channels.
    ///
    /// # Safety
    /// As [`prepare`]; `head` is a value head, and heads have whole vectors of channels.
    #[inline(always)]
    unsafe fn channels<S: Simd>(&self, token: usize, head: usize) {
        let dim = self.shape.key_dim;
        // SAFETY: the caller's contract.
        unsafe {
            let a = self.a.row(token).add(head * dim);
            let bias = self.dt_bias.as_ptr().add(head * dim);
            let rate = S::splat(self.decay_rate[head]);
            for i in (0..dim).step_by(LANES) {
                let x = S::add(S::load(a.add(i)), S::load(bias.add(i)));
                let alpha = math::exp::<S>(S::mul(rate, math::softplus::<S>(x)));
                S::store(a.add(i), alpha);
            }
        }
    }
}

/// Normalises queries and keys, turns `a` and `b` into alpha and beta: this thread's heads of the tokens.
///
/// # Safety
/// The views have `tokens` rows, padded to whole vectors; `key_dim` is a multiple of 16 where channels have decays.
pub(crate) unsafe fn prepare(isa: Isa, call: Prepare<'_>, tokens: usize, team: &Team<'_>) {
    let share = team.share(tokens * Prepare::pieces(call.shape));
    // SAFETY: the caller's contract; heads and gates of tokens are disjoint.
    unsafe { dispatch(isa, RunPrepare { call, share }) }
}

struct RunPrepare<'a> {
    call: Prepare<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for RunPrepare<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let shape = self.call.shape;
        let scale = 1.0 / (shape.key_dim as f32).sqrt();
        let pieces = Prepare::pieces(shape);
        for item in self.share {
            let (token, head) = (item / pieces, item % pieces);
            // SAFETY: the contract of `prepare`.
            unsafe {
                if head < 2 * shape.key_heads {
                    let x = self.call.qkv.row(token).add(head * shape.key_dim);
                    let norm = 1.0 / (sum_of_squares::<S>(x, shape.key_dim) + self.call.eps).sqrt();
                    let factor = if head < shape.key_heads {
                        norm * scale
                    } else {
                        norm
                    };
                    for i in 0..shape.key_dim {
                        *x.add(i) *= factor;
                    }
                } else if head == 2 * shape.key_heads {
                    let (a, b) = (self.call.a.row(token), self.call.b.row(token));
                    for head in 0..shape.value_heads {
                        if shape.decay == Decay::PerHead {
                            let a = a.add(head);
                            *a = alpha(*a + self.call.dt_bias[head], self.call.decay_rate[head]);
                        }
                        let b = b.add(head);
                        *b = 1.0 / (1.0 + (-*b).exp());
                    }
                } else {
                    self.call
                        .channels::<S>(token, head - 2 * shape.key_heads - 1);
                }
            }
        }
    }
}

/// exp(rate * softplus(x)); a few values per token, so plain scalar code.
fn alpha(x: f32, rate: f32) -> f32 {
    (rate * softplus(x)).exp()
}

/// ln(1 + exp(x)), linear above 20.
pub(crate) fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// Inputs of [`step`].
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub qkv: Rows,
    pub alpha: Rows,
    pub beta: Rows,
    pub out: Rows,
    /// `(value head, key_dim, value_dim)`.
    pub state: *mut f32,
    pub shape: DeltaShape,
    pub tokens: usize,
}

// SAFETY: threads use disjoint tiles of the state.
unsafe impl Sync for Step {}

/// All tokens of this thread's share of the tiles.
///
/// # Safety
/// The views have `tokens` rows of prepared inputs, `state` the shape's elements; `value_dim` is a multiple of 16.
pub(crate) unsafe fn step(isa: Isa, call: Step, team: &Team<'_>) {
    let tiles = call.shape.value_dim.div_ceil(VECTORS * LANES);
    let share = team.share(call.shape.value_heads * tiles);
    // SAFETY: the caller's contract; tiles are disjoint.
    unsafe {
        match call.shape.decay {
            Decay::PerHead => dispatch(isa, RunStep { call, tiles, share }),
            Decay::PerChannel => dispatch(isa, RunChannels { call, tiles, share }),
        }
    }
}

struct RunStep {
    call: Step,
    tiles: usize,
    share: std::ops::Range<usize>,
}

impl Kernel for RunStep {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let shape = self.call.shape;
        for item in self.share {
            let (head, column) = (item / self.tiles, item % self.tiles * VECTORS * LANES);
            // SAFETY: the contract of `step`.
            unsafe {
                if column + VECTORS * LANES <= shape.value_dim {
                    tile::<S, VECTORS>(&self.call, head, column);
                } else {
                    tile::<S, 1>(&self.call, head, column);
                }
            }
        }
    }
}

/// `V` vectors of value columns of one head, all tokens.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize>(call: &Step, head: usize, column: usize) {
    let shape = &call.shape;
    let key_head = shape
        .head_map
        .key_head(head, shape.key_heads, shape.value_heads);
    // SAFETY: as `step`; the tile's columns exist.
    unsafe {
        let state = call
            .state
            .add(head * shape.key_dim * shape.value_dim + column);
        // The update that the next sweep writes: none before the first token.
        let (mut decay, mut delta, mut key) =
            (S::splat(1.0), [S::splat(0.0); V], std::ptr::null::<f32>());
        for token in 0..call.tokens {
            let row = call.qkv.row(token).cast_const();
            let q = row.add(key_head * shape.key_dim);
            let k = row.add(shape.keys() + key_head * shape.key_dim);
            let v = row.add(2 * shape.keys() + head * shape.value_dim + column);
            let alpha = S::splat(*call.alpha.row(token).add(head));
            let beta = S::splat(*call.beta.row(token).add(head));
            let (mut u, mut w) = ([S::splat(0.0); V], [S::splat(0.0); V]);
            let mut dot = 0.0f32;
            for i in 0..shape.key_dim {
                let (ki, qi) = (S::splat(*k.add(i)), S::splat(*q.add(i)));
                dot = (*k.add(i)).mul_add(*q.add(i), dot);
                let at = state.add(i * shape.value_dim);
                for j in 0..V {
                    let mut s = S::load(at.add(j * LANES));
                    if !key.is_null() {
                        s = S::fma(S::splat(*key.add(i)), delta[j], S::mul(decay, s));
                        S::store(at.add(j * LANES), s);
                    }
                    u[j] = S::fma(ki, s, u[j]);
                    w[j] = S::fma(qi, s, w[j]);
                }
            }
            let out = call.out.row(token).add(head * shape.value_dim + column);
            for j in 0..V {
                let wrong = S::sub(S::load(v.add(j * LANES)), S::mul(alpha, u[j]));
                delta[j] = S::mul(beta, wrong);
                S::store(
                    out.add(j * LANES),
                    S::fma(S::splat(dot), delta[j], S::mul(alpha, w[j])),
                );
            }
            (decay, key) = (alpha, k);
        }
        if !key.is_null() {
            for i in 0..shape.key_dim {
                let at = state.add(i * shape.value_dim);
                for (j, &delta) in delta.iter().enumerate() {
                    let s = S::mul(decay, S::load(at.add(j * LANES)));
                    S::store(at.add(j * LANES), S::fma(S::splat(*key.add(i)), delta, s));
                }
            }
        }
    }
}
