//! What the backward pass does between its products: element by element, and sums that become the gradients of the gates.

use super::{
    CHUNK, Rows,
    gates::{Gates, Squares},
};
use crate::simd::{LANES, Simd};

/// Sums of a chunk's tokens that the gates' gradients are made of.
#[derive(Default)]
pub(super) struct Sums {
    /// `dR . V` plus row sums of `dA . L . K K^T`.
    beta: [f32; CHUNK],
    /// Row sums less column sums of `W . Q K^T + B . K K^T`.
    within: [f32; CHUNK],
    /// `dR S^T . K`
    pub read: [f32; CHUNK],
    /// `dO S^T . Q`
    pub carried: [f32; CHUNK],
    /// `D dS^T . K`
    pub left: [f32; CHUNK],
}

/// From dR: the gradient of the values, `-beta E dR`, `E dO`, and the first part of beta's gradient.
///
/// # Safety
/// There are `count` rows of `columns` of everything; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn of_rows<S: Simd>(
    gates: &Gates,
    count: usize,
    columns: usize,
    (v, d_out): (Rows, Rows),
    (d_rows, d_read, d_carried): (Rows, Rows, Rows),
    (to, add): (Rows, bool),
    sums: &mut Sums,
) {
    for row in 0..count {
        // SAFETY: the caller's contract.
        unsafe {
            let (beta, carried) = (gates.beta[row], gates.carried[row]);
            let mut sum = S::splat(0.0);
            for column in (0..columns).step_by(LANES) {
                let at = |rows: Rows| rows.row(row).wrapping_add(column);
                let d = S::load(at(d_rows));
                sum = S::fma(d, S::load(at(v)), sum);
                S::store(at(d_read), S::mul(d, S::splat(-beta * carried)));
                let d_out = S::load(at(d_out));
                S::store(at(d_carried), S::mul(d_out, S::splat(carried)));
                let mut dv = S::mul(d, S::splat(beta));
                if add {
                    dv = S::add(S::load(at(to)), dv);
                }
                S::store(at(to), dv);
            }
            sums.beta[row] = S::sum(sum);
        }
    }
}

/// dP becomes W and -dA becomes B, with zeros above the diagonal; sums of their products.
///
/// # Safety
/// Both are squares; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn of_squares<S: Simd>(
    gates: &Gates,
    squares: &Squares,
    w: Rows,
    b: Rows,
    sums: &mut Sums,
) {
    // SAFETY: vectors of squares.
    unsafe {
        let zero = S::splat(0.0);
        let mut of_columns = [0.0f32; CHUNK];
        for row in 0..CHUNK {
            let (mut of_row, mut of_beta) = (zero, zero);
            for column in (0..CHUNK).step_by(LANES) {
                let at = row * CHUNK + column;
                let (w, b) = (w.at.add(at), b.at.add(at));
                if column > row {
                    S::store(w, zero);
                    S::store(b, zero);
                    continue;
                }
                let below = (row - column).min(LANES);
                let decay = S::load(squares.decays.add(at));
                let keys = S::load(squares.keys.add(at));
                let weight = S::mul(S::load(w), decay);
                let slope = S::keep(S::mul(S::sub(zero, S::load(b)), decay), zero, 0, below);
                let change = S::mul(slope, S::splat(gates.beta[row]));
                of_beta = S::fma(slope, keys, of_beta);
                let through = S::keep(
                    S::mul(weight, S::load(squares.queries.add(at))),
                    zero,
                    0,
                    below,
                );
                let both = S::fma(change, S::keep(keys, zero, 0, below), through);
                of_row = S::add(of_row, both);
                let of_column = of_columns.as_mut_ptr().add(column);
                S::store(of_column, S::add(S::load(of_column), both));
                S::store(w, weight);
                S::store(b, change);
            }
            sums.beta[row] += S::sum(of_beta);
            sums.within[row] = S::sum(of_row);
        }
        for (within, column) in sums.within.iter_mut().zip(of_columns) {
            *within -= column;
        }
    }
}

/// The transpose of a square.
///
/// # Safety
/// Both are squares; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn turn<S: Simd>(from: Rows, to: Rows) {
    for row in (0..CHUNK).step_by(LANES) {
        for column in (0..CHUNK).step_by(LANES) {
            // SAFETY: the caller's contract.
            unsafe {
                let mut square = [S::splat(0.0); LANES];
                for (i, vector) in square.iter_mut().enumerate() {
                    *vector = S::load(from.row(row + i).add(column));
                }
                for (j, vector) in S::transpose(square).into_iter().enumerate() {
                    S::store(to.row(column + j).add(row), vector);
                }
            }
        }
    }
}

/// A square and its transpose.
///
/// # Safety
/// As [`turn`].
#[inline(always)]
pub(super) unsafe fn add_square_transposed<S: Simd>(from: Rows, to: Rows) {
    // SAFETY: the caller's contract.
    unsafe {
        turn::<S>(from, to);
        for at in (0..CHUNK * CHUNK).step_by(LANES) {
            S::store(
                to.at.add(at),
                S::add(S::load(to.at.add(at)), S::load(from.at.add(at))),
            );
        }
    }
}

/// `to += factors product`, by channel; and of each token the sum over channels of `product . operand`.
///
/// # Safety
/// All have `channels` rows of a chunk's tokens; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn add_by_channel<S: Simd>(
    product: Rows,
    channels: usize,
    operand: Rows,
    factors: &[f32; CHUNK],
    to: Rows,
) -> [f32; CHUNK] {
    let mut sums = [0.0f32; CHUNK];
    for lane in (0..CHUNK).step_by(LANES) {
        // SAFETY: the caller's contract.
        unsafe {
            let factor = S::load(factors.as_ptr().add(lane));
            let mut sum = S::splat(0.0);
            for channel in 0..channels {
                let x = S::load(product.row(channel).add(lane));
                sum = S::fma(x, S::load(operand.row(channel).add(lane)), sum);
                let to = to.row(channel).add(lane);
                S::store(to, S::fma(factor, x, S::load(to)));
            }
            S::store(sums.as_mut_ptr().add(lane), sum);
        }
    }
    sums
}

/// The sum of `len` products.
///
/// # Safety
/// There are as many of both, a multiple of 256; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn dot<S: Simd>(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [S::splat(0.0); 4];
        for at in (0..len).step_by(4 * LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = at + i * LANES;
                *sum = S::fma(S::load(a.add(at)), S::load(b.add(at)), *sum);
            }
        }
        let [a, b, c, d] = sums;
        S::sum(S::add(S::add(a, b), S::add(c, d)))
    }
}

/// `count` rows from what lies by channel.
///
/// # Safety
/// The rows exist; there are `channels` of a chunk's tokens; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn give_channels<S: Simd>(
    from: Rows,
    count: usize,
    channels: usize,
    to: Rows,
    add: bool,
) {
    for token in (0..count).step_by(LANES) {
        for channel in (0..channels).step_by(LANES) {
            // SAFETY: the caller's contract.
            unsafe {
                let mut square = [S::splat(0.0); LANES];
                for (c, vector) in square.iter_mut().enumerate() {
                    *vector = S::load(from.row(channel + c).add(token));
                }
                let rows = S::transpose(square);
                if token + LANES <= count && !add {
                    for (i, vector) in rows.into_iter().enumerate() {
                        S::store(to.row(token + i).add(channel), vector);
                    }
                    continue;
                }
                for (i, mut vector) in rows.into_iter().enumerate() {
                    if token + i < count {
                        let to = to.row(token + i).add(channel);
                        if add {
                            vector = S::add(S::load(to), vector);
                        }
                        S::store(to, vector);
                    }
                }
            }
        }
    }
}

/// Gradients of the decays' logarithms and of beta; `dot` is that of the states before and behind.
///
/// # Safety
/// There are `count` of both.
pub(super) unsafe fn give_gates(
    gates: &Gates,
    sums: &Sums,
    dot: f32,
    count: usize,
    to: [(Rows, bool); 2],
) {
    let mut behind = f64::from(gates.last) * f64::from(dot);
    for i in 0..count {
        behind += f64::from(gates.left[i]) * f64::from(sums.left[i]);
    }
    for i in (0..count).rev() {
        let carried = sums.carried[i] - gates.beta[i] * sums.read[i];
        behind +=
            f64::from(gates.carried[i] * carried - gates.left[i] * sums.left[i] + sums.within[i]);
        let d_beta = sums.beta[i] - gates.carried[i] * sums.read[i];
        for ((rows, add), gradient) in to.into_iter().zip([behind as f32, d_beta]) {
            // SAFETY: the caller's contract.
            unsafe {
                let to = rows.row(i);
                *to = if add { *to + gradient } else { gradient };
            }
        }
    }
}
