//! Byte equality with the `gguf` Python package, errors beside llama.cpp's (`fixtures/encode`), extremes, and properties.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::dequantize::{dequantize, for_each_block};

const OF_32: [Dtype; 5] = [
    Dtype::Q8_0,
    Dtype::Q4_0,
    Dtype::Q4_1,
    Dtype::Q5_0,
    Dtype::Q5_1,
];
const OF_256: [Dtype; 3] = [Dtype::Q4K, Dtype::Q5K, Dtype::Q6K];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/encode")
        .join(name)
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture(name)).expect("a fixture");
    let values = bytes.as_chunks().0.iter();
    values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn encoded(dtype: Dtype, x: &[f32]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(dtype, x, &mut out).unwrap_or_else(|error| panic!("{error}"));
    out
}

fn decoded(dtype: Dtype, bytes: &[u8], len: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; len];
    dequantize(dtype, bytes, &mut out).expect("whole blocks");
    out
}

fn round_trip(dtype: Dtype, x: &[f32]) -> Vec<f32> {
    decoded(dtype, &encoded(dtype, x), x.len())
}

fn rms_error(dtype: Dtype, x: &[f32]) -> f64 {
    let got = round_trip(dtype, x);
    let squares = got
        .iter()
        .zip(x)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    (squares.sum::<f64>() / x.len() as f64).sqrt()
}

#[test]
fn rounded_formats_equal_the_gguf_package_byte_for_byte() {
    let rows = floats("rows.f32");
    for dtype in [Dtype::F16, Dtype::Bf16].into_iter().chain(OF_32) {
        let name = format!("{}.bytes", dtype.name().to_lowercase());
        let want = std::fs::read(fixture(&name)).expect("a fixture");
        let got = encoded(dtype, &rows);
        assert_eq!(got.len(), want.len(), "{dtype}");
        let size = dtype.block_bytes();
        for (block, (got, want)) in got.chunks(size).zip(want.chunks(size)).enumerate() {
            assert_eq!(got, want, "{dtype}, block {block}");
        }
    }
    let f32s: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(encoded(Dtype::F32, &rows), f32s);
}

#[test]
fn searched_formats_err_no_more_than_llama_cpp() {
    let text = std::fs::read_to_string(fixture("errors.json")).expect("a fixture");
    let errors: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let wide = floats("wide.f32");
    let (gaussian, heavy_tailed) = wide.split_at(wide.len() / 2);
    for dtype in OF_256 {
        for (name, row) in [("gaussian", gaussian), ("heavy_tailed", heavy_tailed)] {
            let want = errors["rms_error"][dtype.name()][name]
                .as_f64()
                .expect("a number");
            let got = rms_error(dtype, row);
            println!(
                "{dtype} {name}: {got:.4e}, llama.cpp {want:.4e}, {:+.2}%",
                100.0 * (got / want - 1.0)
            );
            assert!(
                got <= 1.005 * want,
                "{dtype} {name}: {got}, llama.cpp {want}"
            );
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    for dtype in Dtype::ALL {
        for zero in [0.0f32, -0.0] {
            assert!(
                round_trip(dtype, &[zero; 256]).iter().all(|&x| x == 0.0),
                "{dtype}"
            );
        }
    }
}

/// The extremes of a block are where every format has a code, up to the rounding of its scales.
#[test]
fn a_spike_among_zeros_keeps_its_height_and_they_stay_zeros() {
    for dtype in Dtype::ALL {
        for spike in [3.0f32, -3.0, 1e-3, -2e4] {
            let mut x = [0.0; 256];
            x[77] = spike;
            let got = round_trip(dtype, &x);
            for (i, (got, want)) in got.iter().zip(x).enumerate() {
                let most = match dtype {
                    // A zero is the top code above a minimum of f16, or the code of zero.
                    Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K if want == 0.0 => 0.001,
                    _ if want == 0.0 => 0.0,
                    _ => 0.004,
                } * spike.abs();
                let ok = (got - want).abs() <= most;
                assert!(ok, "{dtype}, {spike}, weight {i}: got {got}, want {want}");
            }
        }
    }
}

#[test]
fn equal_values_stay_equal() {
    for dtype in Dtype::ALL {
        for value in [0.75f32, -0.75, 1e-3, -300.0] {
            let got = round_trip(dtype, &[value; 256]);
            assert!(got.iter().all(|x| *x == got[0]), "{dtype}, {value}");
            let error = (got[0] / value - 1.0).abs();
            assert!(error <= 0.003, "{dtype}: {value} became {}", got[0]);
        }
    }
}

/// Below the smallest f16, only the float formats can tell values from zero; the others must not turn them into something larger.
#[test]
fn tiny_values_stay_tiny() {
    let smallest = f16::MIN_POSITIVE_SUBNORMAL.to_f32();
    for dtype in OF_32.into_iter().chain(OF_256) {
        for size in [1e-45f32, 1e-39, 1e-36, 1e-20, 1e-8, 3e-8, 1e-7, 1e-6, 1e-5] {
            let x: Vec<f32> = (0..256)
                .map(|i| size * (((i * 37) % 101) as f32 / 50.0 - 1.0))
                .collect();
            for (got, want) in round_trip(dtype, &x).iter().zip(&x) {
                // Half an f16 step of error in the scale, times the code, or in a minimum.
                let slack = smallest * if dtype == Dtype::Q8_0 { 64.0 } else { 17.0 };
                let ok = (got - want).abs() <= size + slack;
                assert!(ok, "{dtype}, {size}: {want} became {got}");
            }
        }
    }
    // The integers of a super-block reach below what its factor could: 1e-5 is no subnormal for them.
    for dtype in OF_256 {
        let x: Vec<f32> = (0..256).map(|i| 1e-5 * (i as f32 / 128.0 - 1.0)).collect();
        let error = rms_error(dtype, &x);
        assert!(error <= 4e-7, "{dtype}: {error}");
    }
}

#[test]
fn values_up_to_the_limit_fit_and_those_far_beyond_are_refused() {
    for dtype in Dtype::ALL {
        let limit = limit(dtype);
        for (one, other) in [(limit, -limit), (-limit, -limit), (limit, 1.0)] {
            let x: Vec<f32> = (0..256)
                .map(|i| if i % 3 == 0 { one } else { other })
                .collect();
            let got = round_trip(dtype, &x);
            for (got, want) in got.iter().zip(&x) {
                let ok = (got - want).abs() <= 0.13 * limit;
                assert!(ok, "{dtype}: {want:e} became {got:e}");
            }
        }
        if dtype == Dtype::F32 {
            continue;
        }
        let mut x = [1.0; 256];
        x[200] = if dtype == Dtype::Bf16 {
            f32::MAX
        } else {
            -20.0 * limit
        };
        let mut out = vec![7, 7];
        let error = encode(dtype, &x, &mut out).expect_err("too large");
        let want = EncodeError::OutOfRange {
            dtype,
            at: 200,
            value: x[200],
            limit,
        };
        assert_eq!(error, want);
        assert_eq!(out, [7, 7], "{dtype}: the output is as it was");
        // Their difference overflows f32.
        let huge: Vec<f32> = (0..256).map(|i| [f32::MAX, f32::MIN][i % 2]).collect();
        let error = encode(dtype, &huge, &mut out);
        assert!(
            matches!(error, Err(EncodeError::OutOfRange { at: 0, .. })),
            "{dtype}: {error:?}"
        );
    }
}

#[test]
fn what_cannot_be_encoded_is_named() {
    let mut out = Vec::new();
    for dtype in Dtype::ALL {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [0.0; 256];
            x[131] = value;
            let error = encode(dtype, &x, &mut out).expect_err("not finite");
            let EncodeError::NotFinite { at: 131, .. } = error else {
                panic!("{dtype}: {error:?}");
            };
        }
        if dtype.block_len() > 1 {
            let error = encode(dtype, &[0.0; 255], &mut out);
            let want = EncodeError::PartialBlock {
                dtype,
                elements: 255,
            };
            assert_eq!(error, Err(want));
        }
        assert_eq!(encode(dtype, &[], &mut out), Ok(()));
    }
    assert!(out.is_empty());
    let partial = EncodeError::PartialBlock {
        dtype: Dtype::Q4K,
        elements: 96,
    };
    assert_eq!(
        partial.to_string(),
        "96 values are not whole Q4_K blocks of 256; choose a format with a smaller block for this tensor"
    );
    let large = EncodeError::OutOfRange {
        dtype: Dtype::F16,
        at: 3,
        value: 70_000.0,
        limit: 65_504.0,
    };
    assert_eq!(
        large.to_string(),
        "value 3 is 7e4, F16 takes magnitudes up to 6.5504e4; keep this tensor in F32"
    );
}

#[test]
fn encoding_appends() {
    let x = floats("rows.f32");
    for dtype in Dtype::ALL {
        let whole = encoded(dtype, &x[..512]);
        let mut parts = Vec::new();
        encode(dtype, &x[..256], &mut parts).expect("values that fit");
        encode(dtype, &x[256..512], &mut parts).expect("values that fit");
        assert_eq!(whole, parts, "{dtype}");
    }
}

/// A super-block of one size, with values of several.
fn values() -> impl Strategy<Value = Vec<f32>> {
    let kinds = prop_oneof![Just(1), Just(3), Just(9)];
    let parts = prop::collection::vec(-1.0f32..=1.0, 256);
    (kinds, -3i32..4, parts).prop_map(|(power, size, parts)| {
        let mut x: Vec<f32> = parts
            .iter()
            .map(|x| x.powi(power) * 10f32.powi(size))
            .collect();
        x[100] = 10f32.powi(size);
        x
    })
}

proptest! {
    /// No other code of the block would have come nearer, and only the ends of the range are farther than half a step.
    #[test]
    fn every_code_is_the_nearest(x in values()) {
        for dtype in OF_32.into_iter().chain(OF_256) {
            let bytes = encoded(dtype, &x);
            let mut failure = None;
            for_each_block(dtype, &bytes, x.len(), |index, block| {
                let layout = block.layout;
                let x = &x[index * layout.len..][..layout.len];
                let mut got = vec![0.0; layout.len];
                block.weights(&mut got);
                let amax = largest(x).1.abs();
                for (i, (&got, &want)) in got.iter().zip(x).enumerate() {
                    let code = block.codes()[i];
                    let scale = block.scales()[i / layout.group].abs();
                    let at_an_end = code == 0 || u32::from(code) == (1 << layout.code_bits) - 1;
                    // The formats of 32 choose codes before the scale and the minimum are rounded to f16.
                    let slack = 1e-5 + amax * if layout.len == 32 { 2.5e-3 } else { 1e-5 };
                    let most = scale / 2.0 + slack + if at_an_end && layout.len == 32 { scale / 2.0 } else { 0.0 };
                    let is_end_of_search = at_an_end && layout.len == 256;
                    if !is_end_of_search && (got - want).abs() > most {
                        failure.get_or_insert(format!("{dtype}, weight {i}: {want} became {got}, step {scale}"));
                    }
                }
            }).expect("whole blocks");
            prop_assert!(failure.is_none(), "{}", failure.unwrap_or_default());
        }
    }

    /// Whatever the search clips, it stays within one and a half steps of plain rounding over the super-block's range.
    #[test]
    fn searched_formats_stay_near(x in values()) {
        let low = x.iter().fold(0.0f32, |a, &b| a.min(b));
        let high = x.iter().fold(0.0f32, |a, &b| a.max(b));
        for (dtype, step) in [
            (Dtype::Q4K, (high - low) / 15.0),
            (Dtype::Q5K, (high - low) / 31.0),
            (Dtype::Q6K, high.max(-low) / 32.0),
        ] {
            for (got, want) in round_trip(dtype, &x).iter().zip(&x) {
                prop_assert!((got - want).abs() <= 1.5 * step, "{dtype}: {want} became {got}, step {step}");
            }
        }
    }

    /// What was encoded once is encoded to the same bytes again.
    #[test]
    fn decoded_rows_encode_to_themselves(x in values()) {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Q8_0, Dtype::Q4_0] {
            let once = encoded(dtype, &x);
            let twice = encoded(dtype, &decoded(dtype, &once, x.len()));
            prop_assert_eq!(once, twice, "{}", dtype);
        }
    }

    /// No bits make it panic or write a scale that is no number.
    #[test]
    fn any_finite_values_are_encoded_or_refused(bits in prop::collection::vec(any::<u32>(), 256)) {
        let x: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).map(|x| if x.is_finite() { x } else { 0.0 }).collect();
        for dtype in Dtype::ALL {
            for shrunk in [1.0, 1e-20, 1e-33, 1e-38] {
                let x: Vec<f32> = x.iter().map(|x| x * shrunk).collect();
                let mut out = Vec::new();
                match encode(dtype, &x, &mut out) {
                    Ok(()) => prop_assert!(decoded(dtype, &out, x.len()).iter().all(|x| x.is_finite())),
                    Err(error) => prop_assert!(matches!(error, EncodeError::OutOfRange { .. }), "{error}"),
                }
            }
        }
    }
}
