//! Which instruction set runs the kernels, found at run time.

/// An instruction set. That the processor has it is checked before a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust; needs nothing.
    Portable,
    /// NEON with the dot products of ARMv8.2.
    Neon,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// The same with AVX-VNNI.
    AvxVnni,
    /// AVX-512 F, BW, VL and DQ without VNNI: for training, which has no products of integers. Elsewhere it is as AVX2.
    Avx512F,
    /// AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
}

impl Isa {
    /// Of each kind of processor the slowest first; [`Isa::Avx512F`] runs no model.
    const ALL: [Self; 5] = [
        Self::Portable,
        Self::Neon,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
    ];

    /// The best set of this processor.
    #[must_use]
    pub fn detect() -> Self {
        let best = Self::ALL.into_iter().rev().find(|isa| isa.is_available());
        best.unwrap_or(Self::Portable)
    }

    /// The best set of this processor for training.
    #[must_use]
    pub fn detect_for_training() -> Self {
        let best = Self::detect();
        if best != Self::Avx512 && Self::Avx512F.is_available() {
            return Self::Avx512F;
        }
        best
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma") && has!("f16c");
            let avx512f =
                avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq");
            match self {
                Self::Portable => true,
                Self::Neon => false,
                Self::Avx2 => avx2,
                Self::AvxVnni => avx2 && has!("avxvnni"),
                Self::Avx512F => avx512f,
                Self::Avx512 => avx512f && has!("avx512vnni"),
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected as has;
            match self {
                Self::Portable => true,
                Self::Neon => has!("neon") && has!("dotprod"),
                _ => false,
            }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            self == Self::Portable
        }
    }

    /// Every set that this processor has, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|isa| isa.is_available()).collect()
    }

    /// Every set that training may run on, slowest first.
    #[must_use]
    pub fn available_for_training() -> Vec<Self> {
        let all = Self::ALL.into_iter().chain([Self::Avx512F]);
        all.filter(|isa| isa.is_available()).collect()
    }

    /// The set of this name (`portable`, `neon`, `avx2`, `avx-vnni`, `avx512`), where the processor has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|isa| isa.name() == name)
    }

    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512F => "avx512f",
            Self::Avx512 => "avx512",
        }
    }
}
