//! Both pairings by hand, and the properties that make it a rotation.

use super::*;
use crate::input;

fn shape(pairing: Pairing, head_dim: usize, rotary_dims: usize) -> Shape {
    Shape {
        tokens: 1,
        heads: 1,
        head_dim,
        rotary_dims,
        pairing,
        theta: 100.0,
        position_scale: 1.0,
    }
}

#[test]
fn pairs_turn_by_hand() {
    // theta 100 over 4 dimensions: angles of 1 and 0.1 radian per position.
    let (s, c) = 2f64.sin_cos();
    let (slow_s, slow_c) = 0.2f64.sin_cos();
    let half = reference(
        &shape(Pairing::Half, 5, 4),
        &[1.0, 0.0, 0.0, 1.0, 9.0],
        &[2],
        None,
    );
    let interleaved = reference(
        &shape(Pairing::Interleaved, 5, 4),
        &[1.0, 0.0, 0.0, 1.0, 9.0],
        &[2],
        None,
    );
    for (got, want) in [
        (half, [c, -slow_s, s, slow_c, 9.0]),
        (interleaved, [c, s, -slow_s, slow_c, 9.0]),
    ] {
        assert!(
            got.iter()
                .zip(want)
                .all(|(got, want)| (got - want).abs() <= 1e-15),
            "{got:?} {want:?}"
        );
    }
}

#[test]
fn rotation_keeps_norms_and_position_zero_keeps_everything() {
    for Case { name, shape } in cases() {
        let x = input::normal(3, shape.tokens * shape.heads * shape.head_dim);
        let positions: Vec<u32> = (0..).map(|t| t * 1000).take(shape.tokens).collect();
        let y = reference(&shape, &x, &positions, None);
        let wide: Vec<f64> = x.iter().copied().map(f64::from).collect();
        assert_eq!(
            y[..shape.heads * shape.head_dim],
            wide[..shape.heads * shape.head_dim],
            "{name}"
        );
        for (x, y) in wide
            .chunks_exact(shape.head_dim)
            .zip(y.chunks_exact(shape.head_dim))
        {
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
            assert!((norm(x) - norm(y)).abs() <= 1e-12 * norm(x), "{name}");
            assert_eq!(x[shape.rotary_dims..], y[shape.rotary_dims..], "{name}");
        }
    }
}

/// What rotary embedding is for: scores depend on the distance only.
#[test]
fn scores_depend_on_the_distance() {
    let shape = Shape {
        tokens: 2,
        ..shape(Pairing::Half, 64, 64)
    };
    let x = input::normal(4, 128);
    let score = |positions: [u32; 2]| {
        let y = reference(&shape, &x, &positions, None);
        y[..64]
            .iter()
            .zip(&y[64..])
            .map(|(a, b)| a * b)
            .sum::<f64>()
    };
    assert!((score([5, 2]) - score([1005, 1002])).abs() <= 1e-9);
    assert!((score([5, 2]) - score([5, 3])).abs() > 1e-3);
}

#[test]
fn factors_and_linear_scaling_slow_the_rotation() {
    let plain = shape(Pairing::Interleaved, 4, 4);
    let x = [1.0, 2.0, 3.0, 4.0];
    let want = reference(&plain, &x, &[1], None);
    let scaled = Shape {
        position_scale: 0.125,
        ..plain
    };
    assert_eq!(reference(&scaled, &x, &[8], None), want);
    assert_eq!(reference(&plain, &x, &[8], Some(&[8.0, 8.0])), want);
    let mixed = reference(&plain, &x, &[8], Some(&[8.0, 1.0]));
    assert_eq!(mixed[..2], want[..2]);
    assert_ne!(mixed[2..], want[2..]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 2,
        heads: 3,
        ..shape(Pairing::Half, 10, 4)
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 96,
            written_bytes: 96,
            f32_flops: 3 * 24 + 8,
            ..Cost::default()
        }
    );
}
