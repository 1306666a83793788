//! Muon: momentum whose matrix is made nearly orthogonal, so that a step moves every direction of a weight matrix alike.
//!
//! With gradient G, momentum M and learning rate lr:
//!
//! ```text
//! M = beta * M + (1 - beta) * G
//! U = beta * M + (1 - beta) * G               Nesterov: the gradient once more
//! O = newton_schulz(U)                        U's singular vectors, with singular values near 1
//! W = W * (1 - lr * weight_decay)             decoupled
//! W = W - lr * sqrt(max(1, rows / columns)) * O
//! ```
//!
//! [`newton_schulz`] takes no singular vectors: each of 5 iterations sends every singular value s to an odd polynomial of itself,
//!
//! ```text
//! X = U / (|U| + 1e-7)                        Frobenius norm: no singular value is above 1
//! A = X X^T,  X = a X + (b A + c A A) X       s -> a s + b s^3 + c s^5,  (a, b, c) = (3.4445, -4.7750, 2.0315)
//! ```
//!
//! on the transpose where there are more rows than columns, so that A is small. The coefficients give up convergence to 1 for the steepest
//! slope at 0: what is not nearly 0 ends between about 0.7 and 1.2.
//!
//! For weight matrices inside a model. Embeddings, the head, norms and biases take [`adamw`](crate::adamw).
//!
//! # Shape
//! All matrices `(rows, columns)`; rows are outputs.
//!
//! # Source
//! Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024, and his `muon.py` in github.com/KellerJordan/Muon. There
//! the iterations run in bfloat16.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Of momentum and of parameters, in f32 throughout. From parameters of zero the result is the step itself. The polynomial's terms cancel,
/// and small singular values grow up to 485 times, with what was rounded in them.
pub const TOLERANCE: f64 = 1e-5;

/// Iterations.
pub const ITERATIONS: usize = 5;
/// Of the first, third and fifth power.
pub const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Added to the norm, for a matrix of zeros.
pub const EPS: f64 = 1e-7;

/// Dimensions and constants of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Outputs of the matrix.
    pub rows: usize,
    /// Inputs of the matrix.
    pub columns: usize,
    /// The step's size, in units of the spectral norm.
    pub learning_rate: f64,
    /// How much of the momentum stays.
    pub beta: f64,
    /// What a parameter loses, times the learning rate.
    pub weight_decay: f64,
}

/// One step; parameters and momentum advance.
///
/// # Panics
/// When a slice does not fit `shape`.
pub fn reference(shape: &Shape, gradient: &[f32], parameters: &mut [f64], momentum: &mut [f64]) {
    let Shape {
        rows,
        columns,
        learning_rate,
        beta,
        weight_decay,
    } = *shape;
    let len = rows * columns;
    assert_eq!(
        (gradient.len(), parameters.len(), momentum.len()),
        (len, len, len),
        "gradient, parameters and momentum must be (rows, columns)"
    );
    let mix = |momentum: f64, gradient: f32| beta * momentum + (1.0 - beta) * f64::from(gradient);
    for (momentum, &gradient) in momentum.iter_mut().zip(gradient) {
        *momentum = mix(*momentum, gradient);
    }
    let ahead: Vec<f64> = momentum
        .iter()
        .zip(gradient)
        .map(|(&momentum, &gradient)| mix(momentum, gradient))
        .collect();
    let scale = (rows as f64 / columns as f64).max(1.0).sqrt();
    for (parameter, update) in parameters
        .iter_mut()
        .zip(newton_schulz(rows, columns, &ahead))
    {
        *parameter *= 1.0 - learning_rate * weight_decay;
        *parameter -= learning_rate * scale * update;
    }
}

/// The matrix with its singular values moved towards 1.
///
/// # Panics
/// When `matrix` is not `(rows, columns)`.
#[must_use]
pub fn newton_schulz(rows: usize, columns: usize, matrix: &[f64]) -> Vec<f64> {
    assert_eq!(
        matrix.len(),
        rows * columns,
        "matrix must be (rows, columns)"
    );
    if rows > columns {
        let flat = newton_schulz(columns, rows, &transposed(columns, matrix));
        return transposed(rows, &flat);
    }
    let [a, b, c] = COEFFICIENTS;
    let norm = matrix.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut x: Vec<f64> = matrix.iter().map(|x| x / (norm + EPS)).collect();
    for _ in 0..ITERATIONS {
        let gram = product_with_transpose(columns, &x, &x);
        // A is symmetric, its own transpose.
        let square = product_with_transpose(rows, &gram, &gram);
        let polynomial: Vec<f64> = gram
            .iter()
            .zip(square)
            .map(|(gram, square)| b * gram + c * square)
            .collect();
        let through = product_with_transpose(rows, &polynomial, &transposed(columns, &x));
        x = x
            .iter()
            .zip(through)
            .map(|(x, through)| a * x + through)
            .collect();
    }
    x
}

/// The transpose of a matrix with `columns`.
fn transposed(columns: usize, matrix: &[f64]) -> Vec<f64> {
    (0..columns)
        .flat_map(|column| matrix.iter().skip(column).step_by(columns).copied())
        .collect()
}

/// `X Y^T`, of two matrices with `inner` columns.
fn product_with_transpose(inner: usize, x: &[f64], y: &[f64]) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len() / inner * (y.len() / inner));
    for x in x.chunks_exact(inner) {
        for y in y.chunks_exact(inner) {
            out.push(x.iter().zip(y).map(|(x, y)| x * y).sum());
        }
    }
    out
}

/// Reads gradient, parameters and momentum once and writes the last two, in f32.
///
/// With s the smaller and l the larger side, an iteration needs half of two symmetric products, `s (s + 1) l` and `s (s + 1) s` flops, one
/// whole product of `2 s s l`, 3 flops for each element of half the polynomial and 2 for the sum with X. Outside there are 12 per
/// element: momentum (3), Nesterov (3), norm (2), division, decay and step (2).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape { rows, columns, .. } = *shape;
    let (small, large) = (rows.min(columns), rows.max(columns));
    let half = product(&[small, small.saturating_add(1)]);
    let iteration = half
        .saturating_mul(large as u64)
        .saturating_add(half.saturating_mul(small as u64))
        .saturating_add(product(&[2, small, small, large]))
        .saturating_add((half / 2).saturating_mul(3))
        .saturating_add(product(&[2, small, large]));
    let values = f32_bytes(&[rows, columns]);
    Cost {
        read_bytes: values.saturating_mul(3),
        written_bytes: values.saturating_mul(2),
        f32_flops: iteration
            .saturating_mul(ITERATIONS as u64)
            .saturating_add(product(&[12, rows, columns])),
        ..Cost::default()
    }
}

/// Tall, wide and square matrices, and odd sizes.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, rows, columns| Case {
        name,
        shape: Shape {
            rows,
            columns,
            learning_rate: 0.02,
            beta: 0.95,
            weight_decay: 0.1,
        },
    };
    vec![
        case("one weight", 1, 1),
        case("one row", 1, 19),
        case("odd sizes, wide", 17, 37),
        case("odd sizes, tall", 37, 17),
        case("a head's keys", 64, 192),
        case("square", 96, 96),
        case("four times as tall", 256, 64),
    ]
}

#[cfg(test)]
mod tests;
