//! The formats of 32: the scale follows from the block's extremes, and codes are rounded.
//!
//! Every operation is rounded to f32:
//!
//! - Q8_0: `d = amax / 127`; code = x / d, rounded half away from zero;
//! - Q4_0, Q5_0: `d = m / -8` or `m / -16`, where m is the value of largest magnitude (the first of equals), sign kept, so that
//!   it gets code 0; code = floor(x / d + 8.5) or floor(x / d + 16.5);
//! - Q4_1, Q5_1: `d = (max - min) / 15` or `/ 31`, minimum `min`; code = floor((x - min) / d + 0.5).
//!
//! `/ d` is a product with the rounded `1 / d`. `d` and the minimum are stored as f16, but the codes are chosen with the unrounded
//! ones. A block whose `1 / d` overflows holds values that every f16 scale rounds to zero; it gets the codes of zero.

use super::{finite_half, largest, pack};

/// Weights in a block of these formats.
const BLOCK: usize = 32;

pub(super) fn q8_0(x: &[f32; BLOCK], out: &mut [u8; 34]) -> Option<()> {
    let d = x.iter().fold(0.0f32, |amax, x| amax.max(x.abs())) / 127.0;
    put_half(out, 0, d)?;
    let inverse = inverse(d);
    for (x, out) in x.iter().zip(&mut out[2..]) {
        *out = ((x * inverse).round() as i8).cast_unsigned();
    }
    Some(())
}

pub(super) fn q4_0(x: &[f32; BLOCK], out: &mut [u8; 18]) -> Option<()> {
    let (d, codes) = symmetric(x, 8);
    put_half(out, 0, d)?;
    pack::nibbles(&codes, &mut out[2..]);
    Some(())
}

pub(super) fn q5_0(x: &[f32; BLOCK], out: &mut [u8; 22]) -> Option<()> {
    let (d, codes) = symmetric(x, 16);
    put_half(out, 0, d)?;
    pack::fifth_bits(&codes, &mut out[2..6]);
    pack::nibbles(&codes, &mut out[6..]);
    Some(())
}

pub(super) fn q4_1(x: &[f32; BLOCK], out: &mut [u8; 20]) -> Option<()> {
    let (d, minimum, codes) = affine(x, 15);
    put_half(out, 0, d)?;
    put_half(out, 2, minimum)?;
    pack::nibbles(&codes, &mut out[4..]);
    Some(())
}

pub(super) fn q5_1(x: &[f32; BLOCK], out: &mut [u8; 24]) -> Option<()> {
    let (d, minimum, codes) = affine(x, 31);
    put_half(out, 0, d)?;
    put_half(out, 2, minimum)?;
    pack::fifth_bits(&codes, &mut out[4..8]);
    pack::nibbles(&codes, &mut out[8..]);
    Some(())
}

/// Scale and codes around `zero`, the code of 0.0.
fn symmetric(x: &[f32; BLOCK], zero: u8) -> (f32, [u8; BLOCK]) {
    let d = largest(x).1 / -f32::from(zero);
    let (inverse, shift) = (inverse(d), f32::from(zero) + 0.5);
    (
        d,
        x.map(|x| ((x * inverse + shift) as u8).min(2 * zero - 1)),
    )
}

/// Scale, minimum and codes from 0 to `most`.
fn affine(x: &[f32; BLOCK], most: u8) -> (f32, f32, [u8; BLOCK]) {
    // Plain comparisons: which zero `f32::min` picks from 0.0 and -0.0 depends on the machine.
    let (min, max) = x.iter().fold((x[0], x[0]), |(min, max), &x| {
        (if x < min { x } else { min }, if x > max { x } else { max })
    });
    let d = (max - min) / f32::from(most);
    let inverse = inverse(d);
    let codes = x.map(|x| (((x - min) * inverse + 0.5) as u8).min(most));
    (d, min, codes)
}

/// `1 / d`, and 0 where that is no number to multiply with.
fn inverse(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// `x` as f16 at byte `at`, if finite there.
fn put_half(out: &mut [u8], at: usize, x: f32) -> Option<()> {
    out[at..at + 2].copy_from_slice(&finite_half(x)?.to_le_bytes());
    Some(())
}
