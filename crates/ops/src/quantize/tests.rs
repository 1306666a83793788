//! Byte equality with the `gguf` Python package, error bounds, and what a format cannot hold.

use super::*;
use crate::dequantize::dequantize;
use crate::input;

fn round_trip(dtype: Dtype, x: &[f32]) -> Vec<f32> {
    let bytes = quantize(dtype, x).unwrap();
    let mut out = vec![0.0; x.len()];
    dequantize(dtype, &bytes, &mut out).unwrap();
    out
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn a_block_equals_the_gguf_package_byte_for_byte() {
    let x: Vec<f32> = (0..32u8)
        .map(|i| (f32::from(i) * 37.0 % 64.0 - 29.0) / 8.0)
        .collect();
    for (dtype, hex) in [
        (
            Dtype::Q8_0,
            "4928941eb943de69049f29c44eea740faa34cf5af57f1ab540db65009b25c04be670",
        ),
        (Dtype::Q4_0, "40b8bf269c046ad148ae258ce369c137ad15"),
        (Dtype::Q4_1, "333840c340d962fb952eb751da730c953ec851ea"),
    ] {
        assert_eq!(quantize(dtype, &x).unwrap(), from_hex(hex), "{dtype}");
    }
}

#[test]
fn errors_are_bounded_by_the_step() {
    let x = input::normal(9, 32 * 100);
    // (format, steps between the extremes, largest error in steps): Q4_0's last step is cut off at code 15, and the stored
    // step is rounded to f16.
    for (dtype, largest) in [(Dtype::Q8_0, 0.6), (Dtype::Q4_0, 1.01), (Dtype::Q4_1, 0.52)] {
        for (x, y) in x
            .chunks_exact(32)
            .zip(round_trip(dtype, &x).chunks_exact(32))
        {
            let amax = x.iter().fold(0.0f32, |amax, x| amax.max(x.abs()));
            let (min, max) = x
                .iter()
                .fold((0.0f32, 0.0f32), |(min, max), &x| (min.min(x), max.max(x)));
            let step = match dtype {
                Dtype::Q8_0 => amax / 127.0,
                Dtype::Q4_0 => amax / 8.0,
                _ => (max - min) / 15.0,
            };
            for (x, y) in x.iter().zip(y) {
                assert!(
                    (x - y).abs() <= largest * step,
                    "{dtype}: {x} became {y}, step {step}"
                );
            }
        }
    }
}

#[test]
fn blocks_without_extent_keep_their_value() {
    for dtype in [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_1] {
        assert_eq!(round_trip(dtype, &[0.0; 32]), [0.0; 32], "{dtype}");
    }
    assert_eq!(round_trip(Dtype::Q4_1, &[-3.0; 32]), [-3.0; 32]);
    assert_eq!(round_trip(Dtype::Q4_0, &[-4.0; 32]), [-4.0; 32]);
}

#[test]
fn floats_round_to_nearest_even() {
    let x = [
        1.0,
        -0.0,
        1.0 + 1.0 / 2048.0,
        1.0 + 3.0 / 2048.0,
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
    ];
    assert_eq!(round_trip(Dtype::F32, &x), x);
    assert_eq!(round_trip(Dtype::F16, &x)[2..4], [1.0, 1.0 + 2.0 / 1024.0]);
    assert_eq!(round_trip(Dtype::Bf16, &x)[4..], [1.0, 1.0 + 2.0 / 128.0]);
}

#[test]
fn what_a_format_cannot_hold_is_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38] {
        let mut x = vec![1.0; 64];
        x[40] = bad;
        for dtype in [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_1] {
            assert_eq!(
                quantize(dtype, &x),
                Err(QuantizeError::OutOfRange { dtype, at: 32 }),
                "{dtype} {bad}"
            );
        }
        assert_eq!(
            quantize(Dtype::F16, &x),
            Err(QuantizeError::OutOfRange {
                dtype: Dtype::F16,
                at: 40
            })
        );
        assert!(quantize(Dtype::F32, &x).is_ok() && quantize(Dtype::Bf16, &x).is_ok());
    }
    let dtype = Dtype::Q4_0;
    assert_eq!(
        quantize(dtype, &[1.0; 33]),
        Err(QuantizeError::PartialBlock {
            dtype,
            elements: 33
        })
    );
    for dtype in [Dtype::Q5_0, Dtype::Q5_1, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K] {
        let error = quantize(dtype, &[1.0; 256]).unwrap_err();
        assert_eq!(error, QuantizeError::Unsupported { dtype });
        assert!(error.to_string().contains("Q8_0"), "{error}");
    }
}
