//! Bit equality with the `gguf` Python package on random blocks (`fixtures/dequant`), layouts by hand, and wrong lengths.

use std::path::Path;

use super::*;

/// Random blocks with their values as the `gguf` Python package decodes them.
fn oracle(dtype: Dtype) -> (Vec<u8>, Vec<f32>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/dequant");
    let read = |suffix: &str| {
        let path = folder.join(format!("{}.{suffix}", dtype.name().to_lowercase()));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let values = read("f32")
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    (read("bytes"), values)
}

#[test]
fn every_format_equals_the_gguf_package_bit_for_bit() {
    for dtype in Dtype::ALL.into_iter().filter(|&dtype| dtype != Dtype::F32) {
        let (bytes, want) = oracle(dtype);
        assert!(
            want.len() >= 8 * dtype.block_len(),
            "{dtype}: too few weights to show anything"
        );
        let mut got = vec![0.0; want.len()];
        dequantize(dtype, &bytes, &mut got).unwrap();
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(
                got.to_bits(),
                want.to_bits(),
                "{dtype}, weight {i}: got {got}, want {want}"
            );
        }
    }
}

#[test]
fn f32_passes_every_bit() {
    let bits = [
        0u32,
        0x8000_0000,
        1,
        0x3f80_0000,
        0x7f80_0000,
        0xff80_0000,
        0x7fa0_0001,
    ];
    let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let mut got = [0.0f32; 7];
    dequantize(Dtype::F32, &bytes, &mut got).unwrap();
    assert_eq!(got.map(f32::to_bits), bits);
}

#[test]
fn a_block_by_hand() {
    // d = 0.5; byte j holds code j in the low nibble and 15 - j in the high one.
    let mut bytes = vec![0x00, 0x38];
    bytes.extend((0..16u8).map(|j| j | (15 - j) << 4));
    let block = decode_block(Dtype::Q4_0, &bytes).unwrap();
    let codes: Vec<u8> = (0..16).chain((0..16).rev()).collect();
    assert_eq!(block.codes(), codes);
    assert_eq!(block.scales(), [0.5]);
    assert_eq!(block.minima()[0].to_bits(), (-0.0f32).to_bits());
    let mut weights = [0.0; 32];
    block.weights(&mut weights);
    assert_eq!(
        (
            weights[0],
            weights[8],
            weights[15],
            weights[16],
            weights[31]
        ),
        (-4.0, 0.0, 3.5, 3.5, -4.0)
    );
}

#[test]
fn six_bit_scales_by_hand() {
    // Scales 1..=8 and minima 56..=63: the latter need their top bits.
    let (scales, minima): (Vec<u8>, Vec<u8>) = ((1..=8).collect(), (56..=63).collect());
    let mut bytes = [0u8; 144];
    bytes[..4].copy_from_slice(&[0x00, 0x3c, 0x00, 0x40]); // d = 1, d_min = 2
    for i in 0..4 {
        bytes[4 + i] = scales[i] | scales[i + 4] >> 4 << 6;
        bytes[8 + i] = minima[i] | minima[i + 4] >> 4 << 6;
        bytes[12 + i] = scales[i + 4] & 15 | minima[i + 4] << 4;
    }
    let block = decode_block(Dtype::Q4K, &bytes).unwrap();
    assert_eq!(block.scales(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_eq!(
        block.minima(),
        [
            -112.0, -114.0, -116.0, -118.0, -120.0, -122.0, -124.0, -126.0
        ]
    );
}

#[test]
fn codes_stay_within_their_bits_and_reach_both_ends() {
    for dtype in Dtype::ALL {
        let Some(layout) = Layout::of(dtype) else {
            continue;
        };
        assert_eq!(layout.groups() * layout.group, dtype.block_len());
        for (fill, code) in [(0x00u8, 0u32), (0xff, (1 << layout.code_bits) - 1)] {
            // Q8_0 stores signed codes: 0x80 and 0x7f are its ends.
            let fill = if dtype == Dtype::Q8_0 {
                fill ^ 0x80
            } else {
                fill
            };
            let block = decode_block(dtype, &vec![fill; dtype.block_bytes()]).unwrap();
            assert!(
                block.codes().iter().all(|&c| u32::from(c) == code),
                "{dtype}: {:?}",
                block.codes()
            );
        }
    }
}

#[test]
fn wrong_lengths_are_errors_that_say_so_and_leave_the_output_alone() {
    for dtype in Dtype::ALL {
        let bytes = vec![0; dtype.block_bytes() * 2 - 1];
        let mut out = vec![7.0; dtype.block_len() * 2];
        let error = dequantize(dtype, &bytes, &mut out).unwrap_err();
        let expected_bytes = bytes.len() + 1;
        assert_eq!(
            error,
            DequantizeError::WrongLength {
                dtype,
                elements: out.len(),
                expected_bytes,
                got_bytes: bytes.len()
            }
        );
        assert!(
            error.to_string().contains(&expected_bytes.to_string()),
            "{error}"
        );
        assert!(out.iter().all(|&w| w == 7.0));
        if dtype.block_len() > 1 {
            let elements = dtype.block_len() - 1;
            let error = dequantize(dtype, &bytes, &mut out[..elements]).unwrap_err();
            assert_eq!(error, DequantizeError::PartialBlock { dtype, elements });
            assert!(decode_block(dtype, &bytes).is_err());
        } else {
            assert_eq!(
                decode_block(dtype, &bytes[..dtype.block_bytes()]),
                Err(DequantizeError::NoCodes { dtype })
            );
        }
    }
}

#[test]
fn no_weights_take_no_bytes() {
    for dtype in Dtype::ALL {
        assert_eq!(dequantize(dtype, &[], &mut []), Ok(()));
    }
}
