//! Instruction sets that the kernels and the roofline may use on this machine.
//!
//! The standard library's detection is used where it is stable: it also asks whether the operating system saves the registers.
//! AMX is read from CPUID directly, and using it needs the kernel's permission on top: see `roofline`.

use serde::{Deserialize, Serialize};

/// Instruction sets, by the names that the field uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isa {
    /// x86: 256-bit integers.
    pub avx2: bool,
    /// x86: fused multiply-add.
    pub fma: bool,
    /// x86: conversion between f16 and f32.
    pub f16c: bool,
    /// x86: 256-bit int8 dot products without AVX-512.
    pub avx_vnni: bool,
    /// x86: 512-bit foundation.
    pub avx512f: bool,
    /// x86: 512-bit bytes and words.
    pub avx512bw: bool,
    /// x86: the same on shorter vectors.
    pub avx512vl: bool,
    /// x86: 512-bit int8 dot products.
    pub avx512_vnni: bool,
    /// x86: 512-bit bf16 dot products.
    pub avx512_bf16: bool,
    /// x86: 512-bit f16 arithmetic.
    pub avx512_fp16: bool,
    /// x86: matrix tiles.
    pub amx_tile: bool,
    /// x86: int8 products of tiles.
    pub amx_int8: bool,
    /// x86: bf16 products of tiles.
    pub amx_bf16: bool,
    /// ARM: 128-bit vectors.
    pub neon: bool,
    /// ARM: int8 dot products.
    pub dotprod: bool,
    /// ARM: int8 matrix products.
    pub i8mm: bool,
}

impl Isa {
    /// Asks the processor and the operating system.
    #[must_use]
    pub fn detect() -> Self {
        detect()
    }

    /// Names of those that are present.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let all = [
            (self.avx2, "avx2"),
            (self.fma, "fma"),
            (self.f16c, "f16c"),
            (self.avx_vnni, "avx_vnni"),
            (self.avx512f, "avx512f"),
            (self.avx512bw, "avx512bw"),
            (self.avx512vl, "avx512vl"),
            (self.avx512_vnni, "avx512_vnni"),
            (self.avx512_bf16, "avx512_bf16"),
            (self.avx512_fp16, "avx512_fp16"),
            (self.amx_tile, "amx_tile"),
            (self.amx_int8, "amx_int8"),
            (self.amx_bf16, "amx_bf16"),
            (self.neon, "neon"),
            (self.dotprod, "dotprod"),
            (self.i8mm, "i8mm"),
        ];
        all.into_iter()
            .filter_map(|(present, name)| present.then_some(name))
            .collect()
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    let leaf = super::cpuid::leaf(7, 0);
    let amx = |bit: u32| leaf.is_some_and(|leaf| leaf.edx >> bit & 1 == 1);
    Isa {
        avx2: is_x86_feature_detected!("avx2"),
        fma: is_x86_feature_detected!("fma"),
        f16c: is_x86_feature_detected!("f16c"),
        avx_vnni: is_x86_feature_detected!("avxvnni"),
        avx512f: is_x86_feature_detected!("avx512f"),
        avx512bw: is_x86_feature_detected!("avx512bw"),
        avx512vl: is_x86_feature_detected!("avx512vl"),
        avx512_vnni: is_x86_feature_detected!("avx512vnni"),
        avx512_bf16: is_x86_feature_detected!("avx512bf16"),
        avx512_fp16: is_x86_feature_detected!("avx512fp16"),
        // Intel SDM volume 2, CPUID leaf 7.
        amx_bf16: amx(22),
        amx_tile: amx(24),
        amx_int8: amx(25),
        ..Isa::default()
    }
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Isa {
    Isa {
        neon: std::arch::is_aarch64_feature_detected!("neon"),
        dotprod: std::arch::is_aarch64_feature_detected!("dotprod"),
        i8mm: std::arch::is_aarch64_feature_detected!("i8mm"),
        ..Isa::default()
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Isa {
    Isa::default()
}
