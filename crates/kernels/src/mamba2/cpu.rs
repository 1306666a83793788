//! Lanes over a head's channels; work is split over (head, tile of 32 channels).

use crate::{
    gated_delta::cpu::softplus,
    pool::Team,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch},
};

/// Vectors of channels in a tile: with 128 rows the tile of S is 16 KiB.
const VECTORS: usize = 2;

/// Dimensions of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mamba2Shape {
    /// Heads.
    pub heads: usize,
    /// Groups of heads that share B and C.
    pub groups: usize,
    /// Channels of a head; a multiple of 16.
    pub head_dim: usize,
    /// Rows of a head's state.
    pub state_dim: usize,
}

impl Mamba2Shape {
    /// Columns of x, and of the result.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns of `x | B | C`.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.values() + 2 * self.groups * self.state_dim
    }

    /// Elements of the state.
    #[must_use]
    pub const fn state_len(&self) -> usize {
        self.heads * self.state_dim * self.head_dim
    }
}

/// Inputs of [`steps`].
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a> {
    /// `(tokens, heads)`.
    pub dt: Rows,
    /// `(tokens, 2 heads)`: steps, then decays.
    pub out: Rows,
    /// -exp(A_log) per head.
    pub rate: &'a [f32],
    pub bias: &'a [f32],
    pub heads: usize,
}

/// Step sizes and decays of this thread's share of the tokens' heads; a few values per token, so plain scalar code.
///
/// # Safety
/// The views have `tokens` rows.
pub(crate) unsafe fn steps(call: Steps<'_>, tokens: usize, team: &Team<'_>) {
    for item in team.share(tokens * call.heads) {
        let (token, head) = (item / call.heads, item % call.heads);
        // SAFETY: the caller's contract; heads are disjoint.
        unsafe {
            let step = softplus(*call.dt.row(token).add(head) + call.bias[head]);
            let out = call.out.row(token).add(head);
            *out = step;
            *out.add(call.heads) = (call.rate[head] * step).exp();
        }
    }
}

/// Inputs of [`scan`].
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    /// `x | B | C`.
    pub xbc: Rows,
    /// As [`Steps::out`].
    pub steps: Rows,
    /// How much of x goes past the state, per head.
    pub skip: &'a [f32],
    pub out: Rows,
    /// `(head, state_dim, head_dim)`.
    pub state: *mut f32,
    pub shape: Mamba2Shape,
    pub tokens: usize,
}

// SAFETY: threads use disjoint tiles of the state.
unsafe impl Sync for Scan<'_> {}

/// All tokens of this thread's share of the tiles.
///
/// # Safety
/// The views have `tokens` rows, `state` the shape's elements; `head_dim` is a multiple of 16; `out` is not `xbc`.
pub(crate) unsafe fn scan(isa: Isa, call: Scan<'_>, team: &Team<'_>) {
    let tiles = call.shape.head_dim.div_ceil(VECTORS * LANES);
    let share = team.share(call.shape.heads * tiles);
    // SAFETY: the caller's contract; tiles are disjoint.
    unsafe { dispatch(isa, Run { call, tiles, share }) }
}

struct Run<'a> {
    call: Scan<'a>,
    tiles: usize,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for item in self.share {
            let (head, column) = (item / self.tiles, item % self.tiles * VECTORS * LANES);
            // SAFETY: the contract of `scan`.
            unsafe {
                if column + VECTORS * LANES <= self.call.shape.head_dim {
                    tile::<S, VECTORS>(&self.call, head, column);
                } else {
                    tile::<S, 1>(&self.call, head, column);
                }
            }
        }
    }
}

/// `V` vectors of channels of one head, all tokens.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize>(call: &Scan<'_>, head: usize, column: usize) {
    let shape = &call.shape;
    let group = head / (shape.heads / shape.groups);
    // SAFETY: as `scan`; the tile's columns exist.
    unsafe {
        let state = call
            .state
            .add(head * shape.state_dim * shape.head_dim + column);
        let skip = S::splat(*call.skip.get_unchecked(head));
        for token in 0..call.tokens {
            let row = call.xbc.row(token).cast_const();
            let b = row.add(shape.values() + group * shape.state_dim);
            let c = b.add(shape.groups * shape.state_dim);
            let at = head * shape.head_dim + column;
            let steps = call.steps.row(token).cast_const();
            let step = S::splat(*steps.add(head));
            let decay = S::splat(*steps.add(shape.heads + head));
            let (mut x, mut input) = ([S::splat(0.0); V], [S::splat(0.0); V]);
            for j in 0..V {
                x[j] = S::load(row.add(at + j * LANES));
                input[j] = S::mul(step, x[j]);
            }
            // Even and odd rows apart: two chains hide each other's latency.
            let mut y = [[S::splat(0.0); V]; 2];
            let mut i = 0;
            while i + 2 <= shape.state_dim {
                for (half, y) in y.iter_mut().enumerate() {
                    let at = state.add((i + half) * shape.head_dim);
                    let (b, c) = (*b.add(i + half), *c.add(i + half));
                    advance::<S, V>(at, (b, c), decay, &input, y);
                }
                i += 2;
            }
            if i < shape.state_dim {
                let at = state.add(i * shape.head_dim);
                advance::<S, V>(at, (*b.add(i), *c.add(i)), decay, &input, &mut y[0]);
            }
            let out = call.out.row(token).add(at);
            for j in 0..V {
                let y = S::add(y[0][j], y[1][j]);
                S::store(out.add(j * LANES), S::fma(skip, x[j], y));
            }
        }
    }
}

/// One row of the tile: decayed, written to, and added to what is read.
#[inline(always)]
unsafe fn advance<S: Simd, const V: usize>(
    row: *mut f32,
    (b, c): (f32, f32),
    decay: S::F,
    input: &[S::F; V],
    y: &mut [S::F; V],
) {
    // SAFETY: as `tile`; the row has `V` vectors.
    unsafe {
        let (b, c) = (S::splat(b), S::splat(c));
        for j in 0..V {
            let at = row.add(j * LANES);
            let s = S::fma(b, input[j], S::mul(decay, S::load(at)));
            S::store(at, s);
            y[j] = S::fma(c, s, y[j]);
        }
    }
}
