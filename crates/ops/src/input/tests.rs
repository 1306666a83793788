//! Inputs are fixed, have the stated distribution and reach every code.

use super::*;
use crate::dequantize::{dequantize, for_each_block};

#[test]
fn inputs_never_change() {
    // Every number that a report compares with an older one rests on these.
    assert_eq!(SplitMix64(0).next(), 0xe220_a839_7b1d_cdaf);
    assert_eq!(normal(1, 1000)[..3], normal(1, 3)[..]);
    assert_ne!(normal(1, 3), normal(2, 3));
}

#[test]
fn values_have_the_stated_distribution() {
    let x = normal(7, 100_000);
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
    let variance = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1e5;
    assert!(
        mean.abs() <= 0.02 && (variance - 1.0).abs() <= 0.02,
        "{mean} {variance}"
    );
    assert!(
        uniform(7, 10_000, -2.0, 3.0)
            .iter()
            .all(|x| (-2.0..3.0).contains(x))
    );
}

#[test]
fn weights_are_finite_centred_and_reach_every_code() {
    for dtype in Dtype::ALL {
        let elements = 256 * 1000;
        let bytes = weights(3, dtype, elements);
        let mut decoded = vec![0.0; elements];
        dequantize(dtype, &bytes, &mut decoded).unwrap();
        let mean = decoded.iter().map(|&w| f64::from(w)).sum::<f64>() / elements as f64;
        let deviation =
            (decoded.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / elements as f64).sqrt();
        assert!((0.008..0.04).contains(&deviation), "{dtype}: {deviation}");
        assert!(
            mean.abs() <= 0.1 * deviation,
            "{dtype}: {mean} of {deviation}"
        );
        let mut seen = [false; 256];
        let visited = for_each_block(dtype, &bytes, elements, |_, block| {
            block
                .codes()
                .iter()
                .for_each(|&code| seen[usize::from(code)] = true);
        });
        if visited.is_ok() {
            let bits = crate::dequantize::Layout::of(dtype).map_or(0, |layout| layout.code_bits);
            assert_eq!(
                seen.iter().filter(|&&seen| seen).count(),
                1 << bits,
                "{dtype}"
            );
        }
    }
}
