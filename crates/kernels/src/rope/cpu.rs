//! The table, and the pass over query and key heads that ends in the KV cache.

use crate::{
    attention::cache::KvCache,
    pool::Team,
    rms_norm::cpu::inverse_rms,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch, store_first},
};

/// Which angles: `position * scale * theta^(-2i/dims) / factor[i]`.
#[derive(Clone, Copy)]
pub(crate) struct Angles<'a> {
    pub dims: usize,
    pub theta: f64,
    pub scale: f64,
    pub factors: Option<&'a [f32]>,
}

/// Fills this thread's rows of the table: `dims / 2` cosines, then (at half the row's stride) as many sines.
///
/// # Safety
/// `table` has a row for each of `positions`.
pub(crate) unsafe fn fill_table(
    table: Rows,
    angles: Angles<'_>,
    positions: &[usize],
    team: &Team<'_>,
) {
    let half = angles.dims / 2;
    for token in team.share(positions.len()) {
        for i in 0..half {
            let exponent = -2.0 * i as f64 / angles.dims as f64;
            let factor = angles.factors.map_or(1.0, |f| f64::from(f[i]));
            let position = positions[token] as f64 * angles.scale;
            let (sin, cos) = (position * angles.theta.powf(exponent) / factor).sin_cos();
            // SAFETY: the row exists and holds both halves.
            unsafe {
                *table.row(token).add(i) = cos as f32;
                *table.row(token).add(table.stride / 2 + i) = sin as f32;
            }
        }
    }
}

/// Heads of one projection.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub rows: Rows,
    pub count: usize,
    /// Weight of the norm over each head, padded to whole vectors.
    pub norm: Option<&'a [f32]>,
    /// Multiplies after all.
    pub scale: f32,
}

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub q: Heads<'a>,
    pub k: Heads<'a>,
    pub v: Rows,
    pub head_dim: usize,
    pub eps: f32,
    /// Cosines and sines, and how many leading dimensions are turned.
    pub table: Option<(Rows, usize)>,
    pub cache: &'a KvCache,
    /// Position of the first token.
    pub start: usize,
}

/// This thread's share of the heads, all tokens (so that no two threads write the same cache line of the cache).
///
/// # Safety
/// The views have `tokens` rows of their heads, padded to whole vectors; the cache has room for `start + tokens`.
pub(crate) unsafe fn turn(isa: Isa, turn: Turn<'_>, tokens: usize, team: &Team<'_>) {
    let share = team.share(turn.q.count + turn.k.count);
    // SAFETY: the caller's contract; heads are disjoint.
    unsafe {
        dispatch(
            isa,
            Run {
                turn,
                tokens,
                share,
            },
        )
    }
}

struct Run<'a> {
    turn: Turn<'a>,
    tokens: usize,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let t = &self.turn;
        for item in self.share {
            let (heads, head) = if item < t.q.count {
                (&t.q, item)
            } else {
                (&t.k, item - t.q.count)
            };
            for token in 0..self.tokens {
                // SAFETY: the contract of `turn`.
                unsafe {
                    let x = heads.rows.row(token).add(head * t.head_dim);
                    prepare::<S>(x, heads, t, token);
                    if item >= t.q.count {
                        let value = t.v.row(token).add(head * t.head_dim);
                        t.cache.write::<S>(head, t.start + token, x, value);
                    }
                }
            }
        }
    }
}

/// Norm, turn and scale of one head of one token, in place. The order of operations is the same for every element.
#[inline(always)]
unsafe fn prepare<S: Simd>(x: *mut f32, heads: &Heads<'_>, t: &Turn<'_>, token: usize) {
    // SAFETY: the head holds `head_dim` values; partial vectors are stored element by element.
    unsafe {
        if let Some(weight) = heads.norm {
            let scale = S::splat(inverse_rms::<S>(x, t.head_dim, t.eps));
            let mut i = 0;
            while i < t.head_dim {
                let w = S::load(weight.as_ptr().add(i));
                let y = S::mul(S::mul(S::load(x.add(i)), scale), w);
                // What follows the head is another thread's.
                store_first::<S>(x.add(i), y, t.head_dim - i);
                i += LANES;
            }
        }
        if let Some((table, dims)) = t.table {
            let (cos, half) = (table.row(token), dims / 2);
            let sin = cos.add(table.stride / 2);
            for i in 0..half {
                let (a, b) = (*x.add(i), *x.add(i + half));
                let (c, s) = (*cos.add(i), *sin.add(i));
                *x.add(i) = a * c - b * s;
                *x.add(i + half) = a * s + b * c;
            }
        }
        if heads.scale != 1.0 {
            for i in 0..t.head_dim {
                *x.add(i) *= heads.scale;
            }
        }
    }
}
