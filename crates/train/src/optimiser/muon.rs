//! Muon: momentum made nearly orthogonal by five Newton-Schulz iterations, `X = a X + (b A + c A A) X` with `A = X X^T`.
//!
//! Constants and scaling as in Keller Jordan's `muon.py`, 2024; the sums are f32 here. Where a matrix has more rows than columns the same is
//! done from the other side, so that A has the smaller size.

use kernels::training::{
    Into, Machine, Matrix as View, MatrixMut, Precision, gemm, sum_of_squares,
};

const BETA: f32 = 0.95;
const ITERATIONS: usize = 5;
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// A parameter with what moves it.
pub(super) struct Matrix<'a> {
    pub rows: usize,
    pub columns: usize,
    pub weights: &'a mut [f32],
    pub gradient: &'a [f32],
    pub momentum: &'a mut [f32],
}

/// One step; the gradient counts `scale` times.
pub(super) fn step(machine: &Machine, matrix: Matrix<'_>, scale: f32, rate: f32, decay: f32) {
    let Matrix {
        rows,
        columns,
        weights,
        gradient,
        momentum,
    } = matrix;
    let mut update: Vec<f32> = Vec::with_capacity(weights.len());
    for (momentum, gradient) in momentum.iter_mut().zip(gradient) {
        let gradient = gradient * scale;
        *momentum = BETA * *momentum + (1.0 - BETA) * gradient;
        // Nesterov's look ahead.
        update.push(BETA * *momentum + (1.0 - BETA) * gradient);
    }
    orthogonalise(machine, rows, columns, &mut update);
    let factor = rate * (rows as f32 / columns as f32).max(1.0).sqrt();
    for (weight, update) in weights.iter_mut().zip(&update) {
        *weight = *weight * (1.0 - rate * decay) - factor * update;
    }
}

fn orthogonalise(machine: &Machine, rows: usize, columns: usize, x: &mut [f32]) {
    let norm = sum_of_squares(machine, x).sqrt() as f32 + 1e-7;
    x.iter_mut().for_each(|x| *x /= norm);
    let small = rows.min(columns);
    let (mut square, mut polynomial) = (vec![0.0; small * small], vec![0.0; small * small]);
    let mut product = vec![0.0; x.len()];
    let [a, b, c] = COEFFICIENTS;
    let multiply = |left: View<'_>, right: View<'_>, to: &mut [f32], shape: (usize, usize)| {
        let to = MatrixMut::of(to, shape.0, shape.1);
        gemm(machine, Precision::F32, left, right, Into::Set, to);
    };
    for _ in 0..ITERATIONS {
        let view = View::of(x, rows, columns);
        let (left, right) = if rows <= columns {
            (view, view.transposed())
        } else {
            (view.transposed(), view)
        };
        multiply(left, right, &mut square, (small, small));
        let view = View::of(&square, small, small);
        multiply(view, view, &mut polynomial, (small, small));
        for (p, s) in polynomial.iter_mut().zip(&square) {
            *p = c * *p + b * s;
        }
        let (matrix, polynomial) = (
            View::of(x, rows, columns),
            View::of(&polynomial, small, small),
        );
        if rows <= columns {
            multiply(polynomial, matrix, &mut product, (rows, columns));
        } else {
            multiply(matrix, polynomial, &mut product, (rows, columns));
        }
        for (x, p) in x.iter_mut().zip(&product) {
            *x = a * *x + p;
        }
    }
}

#[cfg(test)]
mod tests;
