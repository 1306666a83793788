//! The decays of a chunk, and the squares of its tokens that they are multiplied with.

use super::{
    CHUNK, Rows, SQUARE,
    products::{Left, Part, Products, Size},
};
use crate::{
    simd::{LANES, Simd, math},
    training::shared::Pieces,
};

/// Decays of a chunk, and beta; behind its last token nothing decays and nothing is written.
pub(super) struct Gates {
    /// G, in two parts: differences of it are exact however far it has fallen.
    sums: [[f32; CHUNK]; 2],
    /// E.
    pub carried: [f32; CHUNK],
    /// F.
    pub left: [f32; CHUNK],
    /// beta.
    pub beta: [f32; CHUNK],
    /// `E_last`.
    pub last: f32,
}

impl Gates {
    /// # Safety
    /// There are `count` gates in `log_decay` and in `beta`; the features of `S` are there.
    #[inline(always)]
    pub(super) unsafe fn of<S: Simd>(log_decay: Rows, beta: Rows, count: usize) -> Self {
        let mut gates = Self {
            sums: [[0.0; CHUNK]; 2],
            carried: [0.0; CHUNK],
            left: [0.0; CHUNK],
            beta: [0.0; CHUNK],
            last: 0.0,
        };
        let mut exact = [0.0f64; CHUNK];
        let mut sum = 0.0f64;
        // SAFETY: the caller's contract; arrays are whole vectors.
        unsafe {
            for (i, exact) in exact.iter_mut().enumerate() {
                if i < count {
                    sum += f64::from(*log_decay.row(i));
                    gates.beta[i] = *beta.row(i);
                }
                *exact = sum;
                let high = sum as f32;
                gates.sums[0][i] = high;
                gates.sums[1][i] = (sum - f64::from(high)) as f32;
            }
            for (left, exact) in gates.left.iter_mut().zip(exact) {
                *left = (sum - exact) as f32;
            }
            for at in (0..CHUNK).step_by(LANES) {
                let carried = exp::<S>(S::load(gates.sums[0].as_ptr().add(at)));
                S::store(gates.carried.as_mut_ptr().add(at), carried);
                let left = gates.left.as_mut_ptr().add(at);
                S::store(left, exp::<S>(S::load(left)));
            }
        }
        gates.last = gates.carried[CHUNK - 1];
        gates
    }

    /// `L_ij` of row `row` and the 16 columns from `column` on.
    #[inline(always)]
    unsafe fn decay<S: Simd>(&self, row: usize, column: usize) -> S::F {
        // SAFETY: the columns exist.
        unsafe {
            let mut parts = [S::splat(0.0); 2];
            for (part, sums) in parts.iter_mut().zip(&self.sums) {
                *part = S::sub(S::splat(sums[row]), S::load(sums.as_ptr().add(column)));
            }
            let difference = S::add(parts[0], parts[1]);
            let there = (row + 1 - column).min(LANES);
            exp::<S>(S::keep(difference, S::splat(-1.0e30), 0, there))
        }
    }
}

/// e^x, and 0 below e^-60: products with what is left of such a decay would be subnormal numbers, which take a hundred cycles each.
#[inline(always)]
unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe { S::zero_below(x, S::splat(-60.0), math::exp::<S>(x)) }
}

/// Squares of a chunk's tokens, row i of columns j.
#[derive(Clone, Copy)]
pub(super) struct Squares {
    /// `K K^T` and `Q K^T`, up to the diagonal's vector.
    pub keys: *mut f32,
    pub queries: *mut f32,
    /// A's strictly lower part, negated.
    pub minus_a: *mut f32,
    pub p: *mut f32,
    pub decays: *mut f32,
}

impl Squares {
    pub(super) fn of(pieces: &mut Pieces) -> Self {
        Self {
            keys: pieces.take(SQUARE),
            queries: pieces.take(SQUARE),
            minus_a: pieces.take(SQUARE),
            p: pieces.take(SQUARE),
            decays: pieces.take(SQUARE),
        }
    }

    /// Products of a chunk's keys and queries with its keys, both by channel.
    ///
    /// # Safety
    /// There are `key_dim` channels of both; the processor has `isa`.
    pub(super) unsafe fn multiply(
        &self,
        products: &mut Products,
        (keys, queries): (Rows, Rows),
        key_dim: usize,
    ) {
        let size = Size {
            rows: CHUNK,
            columns: CHUNK,
            depth: key_dim,
            part: Part::ColumnsUpTo,
        };
        for (left, to) in [(keys, self.keys), (queries, self.queries)] {
            let to = Rows::of(to, CHUNK);
            // SAFETY: the caller's contract.
            unsafe { products.multiply(size, Left::by_step(left), keys, None, to) };
        }
    }

    /// A, P and L of a value head.
    ///
    /// # Safety
    /// [`Squares::multiply`] was called; the features of `S` are there.
    #[inline(always)]
    pub(super) unsafe fn decay<S: Simd>(&self, gates: &Gates) {
        // SAFETY: vectors of squares.
        unsafe {
            for row in 0..CHUNK {
                let minus_beta = S::splat(-gates.beta[row]);
                for column in (0..CHUNK).step_by(LANES) {
                    let at = row * CHUNK + column;
                    let zero = S::splat(0.0);
                    let (mut a, mut p, mut decay) = (zero, zero, zero);
                    if column <= row {
                        decay = gates.decay::<S>(row, column);
                        a = S::mul(S::mul(S::load(self.keys.add(at)), minus_beta), decay);
                        a = S::keep(a, zero, 0, (row - column).min(LANES));
                        p = S::mul(S::load(self.queries.add(at)), decay);
                    }
                    S::store(self.minus_a.add(at), a);
                    S::store(self.p.add(at), p);
                    S::store(self.decays.add(at), decay);
                }
            }
        }
    }
}
