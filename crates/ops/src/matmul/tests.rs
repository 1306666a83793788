//! Both references by hand and against each other, so that every offset, minimum and group is shown right.

use super::*;
use crate::{input, relative_error};

#[test]
fn a_product_by_hand() {
    let shape = Shape {
        tokens: 2,
        inputs: 3,
        outputs: 2,
        dtype: Dtype::F32,
    };
    let weights: Vec<u8> = [1.0f32, 2.0, 3.0, -1.0, 0.5, 0.0]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    let y = reference(&shape, &weights, &[1.0, 1.0, 1.0, 2.0, 4.0, -1.0]).unwrap();
    assert_eq!(y, [6.0, -0.5, 7.0, 0.0]);
}

#[test]
fn an_integer_product_by_hand() {
    // Codes 0..=15 twice, offset 8, d = 0.5; activations that are their own codes: scale 1.
    let mut weights = vec![0x00, 0x38];
    weights.extend((0..16u8).map(|j| j | j << 4));
    let mut x = [0.0f32; 32];
    (x[0], x[1], x[31]) = (127.0, -3.0, 2.0);
    let shape = Shape {
        tokens: 1,
        inputs: 32,
        outputs: 1,
        dtype: Dtype::Q4_0,
    };
    let want = 0.5 * (127.0 * -8.0 + -3.0 * -7.0 + 2.0 * 7.0);
    assert_eq!(reference_int8(&shape, &weights, &x).unwrap(), [want]);
    assert_eq!(reference(&shape, &weights, &x).unwrap(), [want]);
}

/// The integer form is the plain product with the rounded activations, for every format's offsets, minima and groups.
#[test]
fn integer_products_equal_products_with_rounded_activations() {
    for Case { name, shape } in cases() {
        if Layout::of(shape.dtype).is_none() {
            let error = DequantizeError::NoCodes { dtype: shape.dtype };
            assert_eq!(
                reference_int8(&shape, &[], &vec![0.0; shape.tokens * shape.inputs]),
                Err(error)
            );
            continue;
        }
        let weights = input::weights(1, shape.dtype, shape.inputs * shape.outputs);
        let x = input::normal(2, shape.tokens * shape.inputs);
        let mut decoded = vec![0.0; shape.inputs * shape.outputs];
        dequantize::dequantize(shape.dtype, &weights, &mut decoded).unwrap();
        let rounded = activation::reference(&x).values();
        let plain: Vec<f32> = rounded
            .chunks_exact(shape.inputs)
            .flat_map(|x| {
                let dot = |row: &[f32]| {
                    row.iter()
                        .zip(x)
                        .map(|(&w, x)| f64::from(w) * x)
                        .sum::<f64>() as f32
                };
                decoded
                    .chunks_exact(shape.inputs)
                    .map(dot)
                    .collect::<Vec<_>>()
            })
            .collect();
        let exact = reference_int8(&shape, &weights, &x).unwrap();
        // The decoded weights carry an f32 rounding each, which the integer form does not have.
        assert!(
            relative_error(&plain, &exact) <= 1e-6,
            "{name} {}: {}",
            shape.dtype,
            relative_error(&plain, &exact)
        );
    }
}

#[test]
fn a_non_finite_activation_reaches_every_output_of_its_token_only() {
    let shape = Shape {
        tokens: 2,
        inputs: 256,
        outputs: 3,
        dtype: Dtype::Q6K,
    };
    let weights = input::weights(1, shape.dtype, 256 * 3);
    let mut x = input::normal(2, 512);
    x[100] = f32::INFINITY;
    let y = reference_int8(&shape, &weights, &x).unwrap();
    assert!(y[..3].iter().all(|y| y.is_nan()));
    assert!(y[3..].iter().all(|y| y.is_finite()));
}

#[test]
fn weights_that_do_not_fit_are_errors() {
    let shape = Shape {
        tokens: 1,
        inputs: 48,
        outputs: 2,
        dtype: Dtype::Q8_0,
    };
    let error = DequantizeError::PartialBlock {
        dtype: Dtype::Q8_0,
        elements: 48,
    };
    // 96 weights would be whole blocks, but their rows are not.
    assert_eq!(reference(&shape, &[0; 3 * 34], &[0.0; 48]), Err(error));
    let shape = Shape {
        tokens: 1,
        inputs: 32,
        outputs: 2,
        dtype: Dtype::Q8_0,
    };
    assert!(matches!(
        reference(&shape, &[0; 34], &[0.0; 32]),
        Err(DequantizeError::WrongLength { .. })
    ));
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        inputs: 64,
        outputs: 5,
        dtype: Dtype::Q4_0,
    };
    let weights = 5 * 2 * 18;
    let (x, y) = (3 * 64 * 4, 3 * 5 * 4);
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: weights + x,
            written_bytes: y,
            f32_flops: 2 * 3 * 64 * 5,
            ..Cost::default()
        }
    );
    let x = 3 * (64 + 2 * 4 + 4 * 2);
    assert_eq!(
        cost_int8(&shape),
        Cost {
            read_bytes: weights + x,
            written_bytes: y,
            f32_flops: 0,
            int8_ops: 2 * 3 * 64 * 5,
            ..Cost::default()
        }
    );
}

#[test]
fn every_format_is_in_the_table() {
    for dtype in Dtype::ALL {
        let tokens: Vec<usize> = cases()
            .iter()
            .filter(|case| case.shape.dtype == dtype)
            .map(|case| case.shape.tokens)
            .collect();
        assert!(
            [1, 2, 17, 65].iter().all(|t| tokens.contains(t))
                || dtype.block_len() == 256 && tokens.contains(&65),
            "{dtype}"
        );
    }
}
