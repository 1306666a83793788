//! Vector peaks of x86: AVX-512 and AVX2, FMA, VNNI and BF16.
//!
//! Throughput needs 2 pipes x 4 to 5 cycles of latency in flight: 16 accumulators of 512 bits (32 registers) or 12 of 256 bits
//! (16 registers, some for the operands).

use std::arch::asm;
use std::arch::x86_64::{
    _mm256_add_epi32, _mm256_dpbusd_avx_epi32, _mm256_dpwssd_avx_epi32, _mm256_fmadd_ps,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32,
    _mm512_fmadd_ps, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512,
};
use std::hint::black_box;

use super::{Kernel, Precision, Unit};

const CHAINS_512: usize = 16;
const CHAINS_256: usize = 12;
/// AVX2 without dot products needs three instructions per product, whose results are also live.
const CHAINS_MADDUBS: usize = 8;

/// The widest form of each precision.
pub(super) fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    for kernel in variants() {
        if !kernels
            .iter()
            .any(|wider| wider.precision == kernel.precision)
        {
            kernels.push(kernel);
        }
    }
    kernels
}

/// Every form that was detected on this processor, the widest of each precision first.
pub(super) fn variants() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    let mut list = |precision, instruction, ops: usize, run| {
        kernels.push(Kernel {
            precision,
            unit: Unit::Vector,
            instruction,
            ops_per_iteration: ops as f64,
            run,
        });
    };
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: avx512f was detected above.
        list(
            Precision::F32,
            "vfmadd213ps zmm",
            CHAINS_512 * 16 * 2,
            |n| unsafe { f32_512(n) },
        );
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: avx2 and fma were detected above.
        list(
            Precision::F32,
            "vfmadd213ps ymm",
            CHAINS_256 * 8 * 2,
            |n| unsafe { f32_256(n) },
        );
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: avx512f and avx512vnni were detected above.
        list(
            Precision::Int8,
            "vpdpbusd zmm",
            CHAINS_512 * 64 * 2,
            |n| unsafe { int8_512(n) },
        );
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
        // SAFETY: avx2 and avxvnni were detected above.
        list(
            Precision::Int8,
            "vpdpbusd ymm",
            CHAINS_256 * 32 * 2,
            |n| unsafe { int8_256(n) },
        );
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: avx2 was detected above.
        list(
            Precision::Int8,
            "vpmaddubsw ymm",
            CHAINS_MADDUBS * 32 * 2,
            |n| unsafe { int8_maddubs(n) },
        );
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: avx512f and avx512vnni were detected above.
        list(
            Precision::Int16,
            "vpdpwssd zmm",
            CHAINS_512 * 32 * 2,
            |n| unsafe { int16_512(n) },
        );
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
        // SAFETY: avx2 and avxvnni were detected above.
        list(
            Precision::Int16,
            "vpdpwssd ymm",
            CHAINS_256 * 16 * 2,
            |n| unsafe { int16_256(n) },
        );
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: avx2 was detected above.
        list(
            Precision::Int16,
            "vpmaddwd ymm",
            CHAINS_MADDUBS * 16 * 2,
            |n| unsafe { int16_maddwd(n) },
        );
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
        // SAFETY: avx512f and avx512bf16 were detected above.
        list(
            Precision::Bf16,
            "vdpbf16ps zmm",
            CHAINS_512 * 32 * 2,
            |n| unsafe { bf16_512(n) },
        );
    }
    kernels
}

#[target_feature(enable = "avx512f")]
fn f32_512(iterations: u64) {
    let (factor, term) = (
        _mm512_set1_ps(black_box(0.5)),
        _mm512_set1_ps(black_box(1.0)),
    );
    let mut chains = [_mm512_setzero_ps(); CHAINS_512];
    for (index, chain) in chains.iter_mut().enumerate() {
        *chain = _mm512_set1_ps(black_box(index as f32));
    }
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, factor, term);
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx2,fma")]
fn f32_256(iterations: u64) {
    let (factor, term) = (
        _mm256_set1_ps(black_box(0.5)),
        _mm256_set1_ps(black_box(1.0)),
    );
    let mut chains = [_mm256_setzero_ps(); CHAINS_256];
    for (index, chain) in chains.iter_mut().enumerate() {
        *chain = _mm256_set1_ps(black_box(index as f32));
    }
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, factor, term);
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn int8_512(iterations: u64) {
    let (a, b) = (
        _mm512_set1_epi8(black_box(3)),
        _mm512_set1_epi8(black_box(-2)),
    );
    let mut chains = [_mm512_setzero_si512(); CHAINS_512];
    for (index, chain) in chains.iter_mut().enumerate() {
        *chain = _mm512_set1_epi32(black_box(index as i32));
    }
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = _mm512_dpbusd_epi32(*chain, a, b);
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx2,avxvnni")]
fn int8_256(iterations: u64) {
    let (a, b) = (
        _mm256_set1_epi8(black_box(3)),
        _mm256_set1_epi8(black_box(-2)),
    );
    let mut chains = [_mm256_setzero_si256(); CHAINS_256];
    for (index, chain) in chains.iter_mut().enumerate() {
        *chain = _mm256_set1_epi32(black_box(index as i32));
    }
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = _mm256_dpbusd_avx_epi32(*chain, a, b);
        }
    }
    black_box(chains);
}

/// Three instructions per product. The products do not depend on the chains, so the factor is made anew to the compiler's eyes before
/// each of them: else it would compute them once.
#[target_feature(enable = "avx2")]
fn int8_maddubs(iterations: u64) {
    let (operand, ones) = (
        _mm256_set1_epi8(black_box(3)),
        _mm256_set1_epi16(black_box(1)),
    );
    let mut factor = _mm256_set1_epi8(black_box(-2));
    let mut chains = [_mm256_setzero_si256(); CHAINS_MADDUBS];
    for _ in 0..iterations {
        for chain in &mut chains {
            // SAFETY: an assembly comment; it keeps the register's value and touches neither memory nor flags.
            unsafe {
                asm!("/* {0} */", inout(ymm_reg) factor, options(nomem, nostack, preserves_flags))
            };
            let pairs = _mm256_maddubs_epi16(operand, factor);
            *chain = _mm256_add_epi32(*chain, _mm256_madd_epi16(pairs, ones));
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn int16_512(iterations: u64) {
    let (a, b) = (
        _mm512_set1_epi16(black_box(3)),
        _mm512_set1_epi16(black_box(-2)),
    );
    let mut chains = [_mm512_setzero_si512(); CHAINS_512];
    for (index, chain) in chains.iter_mut().enumerate() {
        *chain = _mm512_set1_epi32(black_box(index as i32));
    }
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = _mm512_dpwssd_epi32(*chain, a, b);
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx2,avxvnni")]
fn int16_256(iterations: u64) {
    let (a, b) = (
        _mm256_set1_epi16(black_box(3)),
        _mm256_set1_epi16(black_box(-2)),
    );
    let mut chains = [_mm256_setzero_si256(); CHAINS_256];
    for (index, chain) in chains.iter_mut().enumerate() {
        *chain = _mm256_set1_epi32(black_box(index as i32));
    }
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = _mm256_dpwssd_avx_epi32(*chain, a, b);
        }
    }
    black_box(chains);
}

/// Two instructions per product; the factor is made anew as in [`int8_maddubs`].
#[target_feature(enable = "avx2")]
fn int16_maddwd(iterations: u64) {
    let operand = _mm256_set1_epi16(black_box(3));
    let mut factor = _mm256_set1_epi16(black_box(-2));
    let mut chains = [_mm256_setzero_si256(); CHAINS_MADDUBS];
    for _ in 0..iterations {
        for chain in &mut chains {
            // SAFETY: an assembly comment; it keeps the register's value and touches neither memory nor flags.
            unsafe {
                asm!("/* {0} */", inout(ymm_reg) factor, options(nomem, nostack, preserves_flags))
            };
            *chain = _mm256_add_epi32(*chain, _mm256_madd_epi16(operand, factor));
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16_512(iterations: u64) {
    let half = _mm512_set1_ps(black_box(0.5));
    let (a, b) = (
        _mm512_cvtne2ps_pbh(half, half),
        _mm512_cvtne2ps_pbh(half, half),
    );
    let mut chains = [_mm512_setzero_ps(); CHAINS_512];
    for (index, chain) in chains.iter_mut().enumerate() {
        *chain = _mm512_set1_ps(black_box(index as f32));
    }
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = _mm512_dpbf16_ps(*chain, a, b);
        }
    }
    black_box(chains);
}
