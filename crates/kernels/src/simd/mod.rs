//! Sixteen f32 lanes, on whatever the processor offers.
//!
//! Every kernel is written once over [`Simd`] and compiled for each instruction set; [`dispatch`] picks one at run time.
//! All implementations have the same 16 lanes, the same fused multiply-add and the same reduction trees, so a kernel's
//! result has the same bits on AVX-512, on AVX2 and on the portable path: the instruction set changes the speed only.
//!
//! The pattern: a kernel is a small struct of arguments that implements [`Kernel`]; `Kernel::run::<S>` is
//! `#[inline(always)]` and ends up inside a function with the right `#[target_feature]`, where the intrinsics inline.
//! Closures do not inherit target features reliably, so kernels use plain loops.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

pub use isa::Isa;
pub(crate) use portable::Portable;

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
#[cfg(target_arch = "x86_64")]
pub(crate) use {
    avx2::{Avx2, AvxVnni},
    avx512::Avx512,
};

/// Lanes of every vector.
pub(crate) const LANES: usize = 16;

/// Element-wise arithmetic on a whole vector or a half: `LANES` f32 (`F`), as many i32 (`I`), four bytes for each (`B`).
///
/// Integer products use the processor's own width ([`Simd::Part`]), so that codes and sums stay in registers; everything else
/// uses 16 lanes. Nothing here moves data across lanes, so the width changes no result.
///
/// # Safety
/// Every method may execute instructions of the implementing set: callers run on a processor that has them
/// (guaranteed by [`dispatch`]). Pointer arguments must be valid for the stated number of elements; no alignment is needed.
pub(crate) trait Lanes: Copy {
    /// How many.
    const LANES: usize;
    /// Whether sums of integer products grow in 32 bits at once, however wide the codes.
    const WIDE_SUMS: bool = false;
    /// f32.
    type F: Copy;
    /// i32.
    type I: Copy;
    /// Four bytes for each lane.
    type B: Copy;

    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn store(p: *mut f32, x: Self::F);
    /// binary16 values, widened exactly.
    unsafe fn load_f16(p: *const u16) -> Self::F;
    /// The first of each pair of bfloat16 values, widened exactly.
    unsafe fn load_bf16_first(p: *const u16) -> Self::F;
    /// The second of each pair.
    unsafe fn load_bf16_second(p: *const u16) -> Self::F;
    /// Unsigned bytes as f32.
    unsafe fn load_u8(p: *const u8) -> Self::F;
    /// Signed bytes as f32.
    unsafe fn load_i8(p: *const i8) -> Self::F;

    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    unsafe fn splat_i32(x: i32) -> Self::I;
    unsafe fn add_i32(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn to_f32(a: Self::I) -> Self::F;
    unsafe fn load_bytes(p: *const u8) -> Self::B;
    unsafe fn and_byte(a: Self::B, mask: u8) -> Self::B;
    unsafe fn or_bytes(a: Self::B, b: Self::B) -> Self::B;
    /// Every 16-bit pair shifted right: bits cross from the odd byte into the even one, so mask afterwards.
    unsafe fn shr16<const N: u32>(a: Self::B) -> Self::B;
    /// Every 16-bit pair shifted left; mask afterwards.
    unsafe fn shl16<const N: u32>(a: Self::B) -> Self::B;

    /// Per lane: `start` plus the products of `4 N` unsigned codes of at most `most` (below 128) with the `4 N` signed bytes at
    /// `a`: four codes of each element of `codes` with four bytes. Bytes at `a` are within -127..=127.
    unsafe fn dot<const N: usize>(
        start: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
        most: u8,
    ) -> Self::I;
    /// As [`Lanes::dot`] for codes over the whole byte, less 128 each: `minus_128_sum` is -128 times the sum of the bytes
    /// at `a`, for processors that multiply the code itself.
    unsafe fn dot_less_128<const N: usize>(
        minus_128_sum: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
    ) -> Self::I;

    /// [`Lanes::dot`] from zero for one token and `M` parts of panels: 32 codes of each with the bytes at `a`.
    #[inline(always)]
    unsafe fn dot_parts<const M: usize, C: Pairs<Self>>(
        codes: &C,
        a: *const i8,
        most: u8,
    ) -> [Self::I; M] {
        // SAFETY: the caller's contract.
        unsafe {
            let mut sums = [Self::splat_i32(0); M];
            for (m, sum) in sums.iter_mut().enumerate() {
                let [first, fifth] = codes.pair(m, 0);
                let (mut low, mut high) = ([first; 4], [fifth; 4]);
                for g in 1..4 {
                    [low[g], high[g]] = codes.pair(m, g);
                }
                // Two chains: there are no other tokens' to hide the latency.
                let low = Self::dot(*sum, &low, a, most);
                *sum = Self::add_i32(low, Self::dot(*sum, &high, a.add(16), most));
            }
            sums
        }
    }
    /// [`Lanes::dot`] from zero for `M` parts of a panel and `T` tokens, whose bytes lie 32 apart from `a` on.
    #[inline(always)]
    unsafe fn dot_tile<const M: usize, const N: usize, const T: usize>(
        codes: &[[Self::B; N]; M],
        a: *const i8,
        most: u8,
    ) -> [[Self::I; M]; T] {
        // SAFETY: the caller's contract.
        unsafe {
            let mut sums = [[Self::splat_i32(0); M]; T];
            for (t, sums) in sums.iter_mut().enumerate() {
                for (sum, codes) in sums.iter_mut().zip(codes) {
                    *sum = Self::dot(*sum, codes, a.add(32 * t), most);
                }
            }
            sums
        }
    }
    /// What [`Lanes::dot_tile_less_128`] reads of a block's codes: made once for several tiles.
    #[inline(always)]
    unsafe fn for_less_128(codes: [Self::B; 8]) -> [[Self::B; 8]; 2] {
        [codes, codes]
    }
    /// [`Lanes::dot_tile`] for codes over the whole byte, less 128 each, from what [`Lanes::dot_less_128`] starts with.
    #[inline(always)]
    unsafe fn dot_tile_less_128<const M: usize, const T: usize>(
        start: [Self::I; T],
        codes: &[[[Self::B; 8]; 2]; M],
        a: *const i8,
    ) -> [[Self::I; M]; T] {
        let mut sums = start.map(|start| [start; M]);
        for (t, sums) in sums.iter_mut().enumerate() {
            for (sum, codes) in sums.iter_mut().zip(codes) {
                // SAFETY: the caller's contract.
                *sum = unsafe { Self::dot_less_128(*sum, &codes[0], a.add(32 * t)) };
            }
        }
        sums
    }

    /// Asks for the cache line at `p`.
    unsafe fn prefetch(p: *const u8);
}

/// Codes of parts of panels, unpacked where they are multiplied.
pub(crate) trait Pairs<P: Lanes> {
    /// Groups `g` and `g + 4` of part `m`.
    ///
    /// # Safety
    /// As [`Lanes`]; the part exists and `g` is below 4.
    unsafe fn pair(&self, m: usize, g: usize) -> [P::B; 2];
}

/// The vocabulary of the kernels: [`Lanes`] with 16 lanes, and what crosses lanes or few kernels need.
///
/// # Safety
/// As [`Lanes`].
pub(crate) trait Simd: Lanes {
    /// Whether AMX tiles go with it, where the processor has them.
    const TILES: bool = false;
    /// Whether there are registers for a tile of 12 tokens' sums, or 16 vectors of attention; else tiles are smaller.
    const MANY_REGISTERS: bool;
    /// The processor's own width.
    type Part: Lanes;

    /// Runs a part of a kernel in a function of its own, with the features of this set: the compiler takes minutes over one that has
    /// every tile in it.
    ///
    /// # Safety
    /// The kernel's own contract.
    unsafe fn call<K: Kernel>(kernel: K) -> K::Out;

    /// Rounds to nearest even.
    unsafe fn store_f16(p: *mut u16, x: Self::F);
    /// Rounds to the nearest bfloat16, ties away from zero, and returns what was stored; only sets with [`Simd::TILES`] need it.
    unsafe fn store_as_bf16(_p: *mut u16, x: Self::F) -> Self::F {
        debug_assert!(false, "no tiles that read bfloat16");
        x
    }

    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// Where either is NaN the result is `b`.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// Where either is NaN the result is `b`.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn abs(a: Self::F) -> Self::F;
    /// Rounded once.
    unsafe fn sqrt(a: Self::F) -> Self::F;
    /// To the nearest integer, ties to even.
    unsafe fn round(a: Self::F) -> Self::F;
    /// The lowest 8 bits of the mantissa as the exponent of a power of two, which is 1 where they are 127.
    unsafe fn to_exponent(a: Self::F) -> Self::F;
    /// Sum of the lanes as the tree ((8) (4) (2) (1)).
    unsafe fn sum(a: Self::F) -> f32;
    /// Largest lane.
    unsafe fn largest(a: Self::F) -> f32;
    /// Lanes `from..to` of `a`, the others of `b`.
    unsafe fn keep(a: Self::F, b: Self::F, from: usize, to: usize) -> Self::F;

    /// `y` where `x >= limit`, or `x` is NaN; else 0.
    unsafe fn zero_below(x: Self::F, limit: Self::F, y: Self::F) -> Self::F;

    /// Rounds to nearest even and keeps the low byte of each lane; for values within -128..=127.
    unsafe fn store_as_i8(p: *mut i8, a: Self::F);
    /// Rounds to nearest even, values beyond -32768..=32767 to the nearer end.
    unsafe fn store_as_i16(p: *mut i16, a: Self::F);

    /// `sum` plus, in each lane, the products of two pairs of signed 16-bit numbers, wrapping.
    unsafe fn add_pairs(sum: Self::I, a: Self::I, b: Self::I) -> Self::I;

    /// Lane `i` of row `j` becomes lane `j` of row `i`.
    #[inline(always)]
    unsafe fn transpose(rows: [Self::F; LANES]) -> [Self::F; LANES] {
        let mut lanes = [[0.0f32; LANES]; LANES];
        let mut turned = [[0.0f32; LANES]; LANES];
        let mut out = rows;
        // SAFETY: whole vectors of arrays of 16.
        unsafe {
            for (row, lanes) in rows.into_iter().zip(&mut lanes) {
                Self::store(lanes.as_mut_ptr(), row);
            }
            for (i, row) in lanes.iter().enumerate() {
                for (j, &x) in row.iter().enumerate() {
                    turned[j][i] = x;
                }
            }
            for (out, turned) in out.iter_mut().zip(&turned) {
                *out = Self::load(turned.as_ptr());
            }
        }
        out
    }

    unsafe fn store_bytes(p: *mut u8, a: Self::B);
    /// Every byte minus `x`, wrapping.
    unsafe fn sub_byte(a: Self::B, x: u8) -> Self::B;
    unsafe fn load_i32(p: *const i32) -> Self::I;
}

/// Stores the first `count` lanes (all, if there are no more) and touches nothing behind them.
///
/// # Safety
/// `p` is valid for the lanes stored.
#[inline(always)]
pub(crate) unsafe fn store_first<S: Simd>(p: *mut f32, x: S::F, count: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if count >= LANES {
            S::store(p, x);
        } else {
            let mut lanes = [0.0f32; LANES];
            S::store(lanes.as_mut_ptr(), x);
            p.copy_from_nonoverlapping(lanes.as_ptr(), count);
        }
    }
}

/// The first `count` lanes (all, if there are no more), zeros in the others.
///
/// # Safety
/// `p` is valid for 16 values.
#[inline(always)]
pub(crate) unsafe fn load_first<S: Simd>(p: *const f32, count: usize) -> S::F {
    // SAFETY: the caller's contract.
    unsafe {
        let x = S::load(p);
        if count >= LANES {
            x
        } else {
            S::keep(x, S::splat(0.0), 0, count)
        }
    }
}

/// A kernel with its arguments, ready to run on any instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Out;
    /// Runs on `S`.
    ///
    /// # Safety
    /// The processor has the instructions of `S`; what the arguments need is stated by the kernel.
    unsafe fn run<S: Simd>(self) -> Self::Out;

    // One function for each instruction set, which everything of the kernel is inlined into. They are methods and not functions of
    // this module so that the compiler puts each kernel's into the kernel's own module: together they were one unit of a million lines
    // of LLVM IR, which one processor compiled for five minutes while the others waited.
    //
    // Safety, of all: as `run`, and the processor has what the function enables.
    #[inline(never)]
    unsafe fn enter_portable(self) -> Self::Out
    where
        Self: Sized,
    {
        // SAFETY: the caller's contract.
        unsafe { self.run::<Portable>() }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline(never)]
    unsafe fn enter_avx2(self) -> Self::Out
    where
        Self: Sized,
    {
        // SAFETY: the caller's contract.
        unsafe { self.run::<Avx2>() }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    #[inline(never)]
    unsafe fn enter_avx_vnni(self) -> Self::Out
    where
        Self: Sized,
    {
        // SAFETY: the caller's contract.
        unsafe { self.run::<AvxVnni>() }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline(never)]
    unsafe fn enter_avx512f(self) -> Self::Out
    where
        Self: Sized,
    {
        // SAFETY: the caller's contract; the kernel calls nothing that needs VNNI.
        unsafe { self.run::<Avx512>() }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[inline(never)]
    unsafe fn enter_avx512(self) -> Self::Out
    where
        Self: Sized,
    {
        // SAFETY: the caller's contract.
        unsafe { self.run::<Avx512>() }
    }

    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon,dotprod")]
    #[inline(never)]
    unsafe fn enter_neon(self) -> Self::Out
    where
        Self: Sized,
    {
        // SAFETY: the caller's contract.
        unsafe { self.run::<Neon>() }
    }
}

/// Runs `kernel` on `isa`.
///
/// # Safety
/// The kernel's own contract, and the processor has `isa` (checked before a step runs).
#[inline]
pub(crate) unsafe fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Out {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the features that `enter_avx2` enables, by the caller's contract.
        Isa::Avx2 | Isa::AvxVnni | Isa::Avx512F => unsafe { kernel.enter_avx2() },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: likewise for `Isa::Avx512`.
        Isa::Avx512 => unsafe { kernel.enter_avx512() },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: likewise for `Isa::Neon`.
        Isa::Neon => unsafe { kernel.enter_neon() },
        // Also for the sets of other processors: detection never yields them.
        // SAFETY: the portable path needs nothing of the processor; the kernel's contract is passed on.
        _ => unsafe { kernel.enter_portable() },
    }
}

/// As [`dispatch`], for kernels of integer products: the only ones that AVX-VNNI has instructions for.
///
/// # Safety
/// As [`dispatch`].
#[inline]
pub(crate) unsafe fn dispatch_products<K: Kernel>(isa: Isa, kernel: K) -> K::Out {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the features that `enter_avx_vnni` enables, by the caller's contract.
        Isa::AvxVnni => unsafe { kernel.enter_avx_vnni() },
        // SAFETY: the caller's contract.
        _ => unsafe { dispatch(isa, kernel) },
    }
}

/// As [`dispatch`], for kernels without products of integers (nor [`Simd::call`]): they need no more of AVX-512 than its foundation.
///
/// # Safety
/// As [`dispatch`].
#[inline]
pub(crate) unsafe fn dispatch_floats<K: Kernel>(isa: Isa, kernel: K) -> K::Out {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the features that `enter_avx512f` enables, by the caller's contract.
        Isa::Avx512F | Isa::Avx512 => unsafe { kernel.enter_avx512f() },
        // SAFETY: the caller's contract.
        _ => unsafe { dispatch(isa, kernel) },
    }
}
