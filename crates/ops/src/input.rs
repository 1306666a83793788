//! Deterministic inputs for the case tables: the same numbers in every test, timing and report, on every machine.
//!
//! A SplitMix64 sequence from a seed, with no state outside the call. Values are approximately normal: a sum of 12 uniform
//! values has variance 1, tails to +-6, and needs no function whose last bit depends on a library.
//!
//! # Source
//! Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014.

use half::{bf16, f16};

use crate::Dtype;

/// `len` values of mean 0 and standard deviation 1.
#[must_use]
pub fn normal(seed: u64, len: usize) -> Vec<f32> {
    let mut random = SplitMix64(seed);
    (0..len).map(|_| random.normal()).collect()
}

/// `len` values in `low..high`.
#[must_use]
pub fn uniform(seed: u64, len: usize, low: f32, high: f32) -> Vec<f32> {
    let mut random = SplitMix64(seed);
    (0..len)
        .map(|_| low + (high - low) * random.unit())
        .collect()
}

/// `elements` weights of `dtype` with a mean near 0 and a standard deviation of about 0.01 to 0.04, reaching every code that
/// the format has, and for block formats every packed scale.
///
/// # Panics
/// When `elements` are not whole blocks.
#[must_use]
pub fn weights(seed: u64, dtype: Dtype, elements: usize) -> Vec<u8> {
    assert!(
        dtype.bytes_for(elements).is_some(),
        "{elements} weights are not whole {dtype} blocks"
    );
    let mut random = SplitMix64(seed);
    let mut out = Vec::new();
    for _ in 0..elements / dtype.block_len() {
        let from = out.len();
        match dtype {
            Dtype::F32 => out.extend((0.02 * random.normal()).to_le_bytes()),
            Dtype::F16 => out.extend(f16::from_f32(0.02 * random.normal()).to_le_bytes()),
            Dtype::Bf16 => out.extend(bf16::from_f32(0.02 * random.normal()).to_le_bytes()),
            _ => out.extend((0..dtype.block_bytes()).map(|_| (random.next() >> 56) as u8)),
        }
        // Random bytes serve as codes and 6-bit scales; as f16 they could be NaN, so the f16 fields are set. A minimum is set
        // to what centres the weights: -d times the middle code.
        let d = 0.002 * (0.5 + random.unit());
        let mut set = |at: usize, value: f32| {
            out[from + at..from + at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
        };
        match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {}
            Dtype::Q4_0 | Dtype::Q5_0 => set(0, if random.next() & 1 == 0 { d } else { -d }),
            Dtype::Q8_0 => set(0, d / 16.0),
            Dtype::Q4_1 => {
                set(0, d);
                set(2, -7.5 * d);
            }
            Dtype::Q5_1 => {
                set(0, d);
                set(2, -15.5 * d);
            }
            Dtype::Q4K => {
                set(0, d / 32.0);
                set(2, 7.5 * d / 32.0);
            }
            Dtype::Q5K => {
                set(0, d / 32.0);
                set(2, 15.5 * d / 32.0);
            }
            Dtype::Q6K => set(208, d / 128.0),
        }
    }
    out
}

/// The generator: a counter through a mixing function.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0..1, in steps of 2^-24, exact in f32.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

#[cfg(test)]
mod tests;
