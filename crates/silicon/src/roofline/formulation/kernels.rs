//! Both forms, written once over a vector type and compiled for each instruction set.
//!
//! A block holds its sums in registers: 12 of AVX2's 16, 16 or 24 of AVX-512's 32 (the compiler spills a product of 24), 8 of the 16 that
//! every x86 has. That is enough to hide the latency of a multiply-add, and every load serves several of them.

use super::{INPUTS, OUTPUTS};

/// Both forms for one instruction set. Each takes activations, weights and results, in the layouts of `Work`.
#[derive(Clone, Copy)]
pub(super) struct Forms {
    pub(super) instructions: &'static str,
    pub(super) product: fn(&[f32], &[f32], &mut [f32]),
    pub(super) convolution: fn(&[f32], &[f32], &mut [f32]),
}

/// The widest forms of this processor.
pub(super) fn widest() -> Forms {
    all().last().copied().unwrap_or(portable::FORMS)
}

/// Every pair of forms that was detected on this processor, the widest last.
pub(super) fn all() -> Vec<Forms> {
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_mut, reason = "only x86 adds to the list")
    )]
    let mut forms = vec![portable::FORMS];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            forms.push(Forms {
                instructions: "avx2",
                // SAFETY: avx2 and fma were detected above.
                product: |x, w, y| unsafe { avx2::product(x, w, y) },
                // SAFETY: avx2 and fma were detected above.
                convolution: |x, w, y| unsafe { avx2::convolution(x, w, y) },
            });
        }
        if is_x86_feature_detected!("avx512f") {
            forms.push(Forms {
                instructions: "avx512",
                // SAFETY: avx512f was detected above.
                product: |x, w, y| unsafe { avx512::product(x, w, y) },
                // SAFETY: avx512f was detected above.
                convolution: |x, w, y| unsafe { avx512::convolution(x, w, y) },
            });
        }
    }
    forms
}

/// The two forms over `LANES`, `zero`, `splat`, `load`, `store`, `multiply_add` and `sum` of the module around it. Closures would not
/// have the instruction set of the function around them, so there are none on the way of a vector.
macro_rules! forms {
    ($(#[$feature:meta])? positions: $p:literal, outputs: $o:literal, outputs_of_one: $o1:literal, spread: $s:literal) => {
        const STEPS: usize = INPUTS / LANES;

        $(#[$feature])?
        pub(super) fn product(x: &[f32], w: &[f32], y: &mut [f32]) {
            let positions = x.len() / INPUTS;
            if positions.is_multiple_of($p) {
                dot_products::<$p, $o>(x, w, y, positions);
            } else {
                dot_products::<1, $o1>(x, w, y, positions);
            }
        }

        $(#[$feature])?
        pub(super) fn convolution(x: &[f32], w: &[f32], y: &mut [f32]) {
            let stride = x.len() / INPUTS;
            if stride.is_multiple_of(2 * LANES) {
                spread_weights::<2, $s>(x, w, y, stride);
            } else {
                spread_weights::<1, { 2 * $s }>(x, w, y, stride);
            }
        }

        /// P positions by O outputs at a time.
        $(#[$feature])?
        fn dot_products<const P: usize, const O: usize>(x: &[f32], w: &[f32], y: &mut [f32], positions: usize) {
            for output in (0..OUTPUTS).step_by(O) {
                let mut weights: [&[[f32; LANES]]; O] = [&[]; O];
                for (at, row) in weights.iter_mut().enumerate() {
                    *row = &w[(output + at) * INPUTS..][..INPUTS].as_chunks().0[..STEPS];
                }
                for position in (0..positions).step_by(P) {
                    let mut rows: [&[[f32; LANES]]; P] = [&[]; P];
                    for (at, row) in rows.iter_mut().enumerate() {
                        *row = &x[(position + at) * INPUTS..][..INPUTS].as_chunks().0[..STEPS];
                    }
                    let mut sums = [[zero(); O]; P];
                    for step in 0..STEPS {
                        let mut factors = [zero(); O];
                        for (factor, row) in factors.iter_mut().zip(&weights) {
                            *factor = load(&row[step]);
                        }
                        for (sums, row) in sums.iter_mut().zip(&rows) {
                            let value = load(&row[step]);
                            for (sum, factor) in sums.iter_mut().zip(&factors) {
                                *sum = multiply_add(value, *factor, *sum);
                            }
                        }
                    }
                    for (at, sums) in sums.iter().enumerate() {
                        let results = &mut y[(position + at) * OUTPUTS + output..][..O];
                        for (result, lanes) in results.iter_mut().zip(sums) {
                            *result = sum(*lanes);
                        }
                    }
                }
            }
        }

        /// V vectors of positions by O outputs at a time.
        $(#[$feature])?
        fn spread_weights<const V: usize, const O: usize>(x: &[f32], w: &[f32], y: &mut [f32], stride: usize) {
            for output in (0..OUTPUTS).step_by(O) {
                let mut weights: [&[f32]; O] = [&[]; O];
                for (at, row) in weights.iter_mut().enumerate() {
                    *row = &w[(output + at) * INPUTS..][..INPUTS];
                }
                for position in (0..stride).step_by(V * LANES) {
                    let mut sums = [[zero(); V]; O];
                    for (input, channel) in x.chunks_exact(stride).take(INPUTS).enumerate() {
                        let here = &channel[position..][..V * LANES];
                        let mut values = [zero(); V];
                        for (value, lanes) in values.iter_mut().zip(here.as_chunks().0) {
                            *value = load(lanes);
                        }
                        for (sums, row) in sums.iter_mut().zip(&weights) {
                            let factor = splat(row[input]);
                            for (sum, value) in sums.iter_mut().zip(&values) {
                                *sum = multiply_add(*value, factor, *sum);
                            }
                        }
                    }
                    for (at, sums) in sums.iter().enumerate() {
                        let results = &mut y[(output + at) * stride + position..][..V * LANES];
                        for (result, lanes) in results.as_chunks_mut().0.iter_mut().zip(sums) {
                            store(result, *lanes);
                        }
                    }
                }
            }
        }
    };
}

mod portable {
    //! Four lanes in plain Rust, which the compiler turns into the vectors that the target always has.

    use super::{Forms, INPUTS, OUTPUTS};

    pub(super) const FORMS: Forms = Forms {
        instructions: "portable",
        product,
        convolution,
    };

    const LANES: usize = 4;
    type Vector = [f32; LANES];

    #[inline]
    fn zero() -> Vector {
        [0.0; LANES]
    }

    #[inline]
    fn splat(value: f32) -> Vector {
        [value; LANES]
    }

    #[inline]
    fn load(lanes: &[f32; LANES]) -> Vector {
        *lanes
    }

    #[inline]
    fn store(to: &mut [f32; LANES], lanes: Vector) {
        *to = lanes;
    }

    /// Fused where every core of the architecture has it; elsewhere that would be a library call.
    #[inline]
    fn multiply_add(a: Vector, b: Vector, mut sum: Vector) -> Vector {
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum = if cfg!(target_arch = "aarch64") {
                a.mul_add(b, *sum)
            } else {
                *sum + a * b
            };
        }
        sum
    }

    #[inline]
    fn sum(lanes: Vector) -> f32 {
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }

    forms!(positions: 4, outputs: 2, outputs_of_one: 8, spread: 4);
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! Eight lanes.

    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::{INPUTS, OUTPUTS};

    const LANES: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn zero() -> __m256 {
        _mm256_setzero_ps()
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn splat(value: f32) -> __m256 {
        _mm256_set1_ps(value)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(lanes: &[f32; LANES]) -> __m256 {
        // SAFETY: eight numbers lie there.
        unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn store(to: &mut [f32; LANES], lanes: __m256) {
        // SAFETY: eight numbers have room there.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), lanes) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn multiply_add(a: __m256, b: __m256, sum: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, sum)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn sum(lanes: __m256) -> f32 {
        let four = _mm_add_ps(
            _mm256_castps256_ps128(lanes),
            _mm256_extractf128_ps::<1>(lanes),
        );
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    forms!(#[target_feature(enable = "avx2,fma")] positions: 4, outputs: 3, outputs_of_one: 8, spread: 6);
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    //! Sixteen lanes.

    use std::arch::x86_64::{
        __m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::{INPUTS, OUTPUTS};

    const LANES: usize = 16;

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> __m512 {
        _mm512_setzero_ps()
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn splat(value: f32) -> __m512 {
        _mm512_set1_ps(value)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(lanes: &[f32; LANES]) -> __m512 {
        // SAFETY: sixteen numbers lie there.
        unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [f32; LANES], lanes: __m512) {
        // SAFETY: sixteen numbers have room there.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), lanes) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn multiply_add(a: __m512, b: __m512, sum: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, sum)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn sum(lanes: __m512) -> f32 {
        _mm512_reduce_add_ps(lanes)
    }

    forms!(#[target_feature(enable = "avx512f")] positions: 4, outputs: 4, outputs_of_one: 12, spread: 12);
}
