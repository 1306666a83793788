//! The instructions. Rust's AMX intrinsics are not stable, so they are written as `asm!`. Source: Intel SDM, AMX; Linux
//! `arch_prctl(ARCH_REQ_XCOMP_PERM)`.

/// What tiles can multiply.
#[derive(Clone, Copy, Default)]
pub(super) struct Kinds {
    pub int8: bool,
    pub bf16: bool,
}

/// Rows and bytes of a row of up to 8 tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
pub(super) struct Shapes([u8; 64]);

impl Shapes {
    pub(super) const fn of(shapes: &[(u8, u8)]) -> Self {
        let mut c = [0u8; 64];
        c[0] = 1; // palette
        let mut i = 0;
        while i < shapes.len() {
            c[48 + i] = shapes[i].0;
            c[16 + 2 * i] = shapes[i].1;
            i += 1;
        }
        Self(c)
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod linux {
    use std::{
        arch::{asm, x86_64::__cpuid_count},
        sync::OnceLock,
    };

    use super::{Kinds, Shapes};

    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;

    pub(in super::super) fn kinds() -> Kinds {
        static KINDS: OnceLock<Kinds> = OnceLock::new();
        *KINDS.get_or_init(|| {
            let features = __cpuid_count(7, 0).edx;
            if features & AMX_TILE == 0 || !request() {
                return Kinds::default();
            }
            Kinds {
                int8: features & AMX_INT8 != 0,
                bf16: features & AMX_BF16 != 0,
            }
        })
    }

    fn request() -> bool {
        let answer: i64;
        // SAFETY: a system call that reads no memory of ours; rcx and r11 are declared as overwritten.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") SYS_ARCH_PRCTL => answer,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack)
            );
        }
        answer == 0
    }

    /// # Safety
    /// [`kinds`] named the kind that is used. [`release`] follows on this thread.
    #[inline(always)]
    pub(in super::super) unsafe fn configure(shapes: &'static Shapes) {
        // SAFETY: the configuration is 64 valid bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) std::ptr::from_ref(shapes), options(nostack, readonly));
        }
    }

    /// # Safety
    /// As `configure`.
    #[inline(always)]
    pub(in super::super) unsafe fn release() {
        // SAFETY: no tile is in use after it.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }

    /// sums (16 x 16) = A (16 rows of 32 bytes, `stride` apart) times B (8 rows of 64 bytes).
    ///
    /// # Safety
    /// Configured; the operands have those sizes. The compiler keeps nothing in tiles, so none is declared.
    #[inline(always)]
    pub(in super::super) unsafe fn product_32(
        a: *const i8,
        stride: usize,
        b: *const u8,
        sums: *mut i32,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tileloadd tmm1, [{a} + {stride}*1]",
                "tileloadd tmm2, [{b} + {line}*1]",
                "tdpbssd tmm0, tmm1, tmm2",
                "tilestored [{sums} + {line}*1], tmm0",
                a = in(reg) a, b = in(reg) b, sums = in(reg) sums, stride = in(reg) stride, line = in(reg) 64usize,
                options(nostack)
            );
        }
    }

    /// As [`product_32`] for 16 columns: A rows of 16 bytes, B of 4 rows.
    ///
    /// # Safety
    /// As [`product_32`].
    #[inline(always)]
    pub(in super::super) unsafe fn product_16(
        a: *const i8,
        stride: usize,
        b: *const u8,
        sums: *mut i32,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            asm!(
                "tilezero tmm3",
                "tileloadd tmm4, [{a} + {stride}*1]",
                "tileloadd tmm5, [{b} + {line}*1]",
                "tdpbssd tmm3, tmm4, tmm5",
                "tilestored [{sums} + {line}*1], tmm3",
                a = in(reg) a, b = in(reg) b, sums = in(reg) sums, stride = in(reg) stride, line = in(reg) 64usize,
                options(nostack)
            );
        }
    }

    /// Tiles 0 to 3 are zero.
    ///
    /// # Safety
    /// Configured, all tiles 16 rows of 64 bytes.
    #[inline(always)]
    pub(in super::super) unsafe fn zero_4() {
        // SAFETY: the caller's contract.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
        }
    }

    /// Adds to tiles 0 and 1 the products of `a[0]` with both B, to tiles 2 and 3 those of `a[1]`: of A's two parts, each 16 rows of
    /// 32 bfloat16 (1 KiB), one behind the other, the first part first. B: for each two columns 16 pairs of bfloat16 (1 KiB).
    ///
    /// # Safety
    /// Configured, all tiles 16 rows of 64 bytes; the operands have those sizes.
    #[inline(always)]
    pub(in super::super) unsafe fn add_bf16_2_by_2(a: [*const u8; 2], b: [*const u8; 2]) {
        // SAFETY: the caller's contract.
        unsafe {
            asm!(
                "tileloadd tmm4, [{b0} + {line}*1]",
                "tileloadd tmm5, [{b1} + {line}*1]",
                "tileloadd tmm6, [{a0} + {line}*1]",
                "tdpbf16ps tmm0, tmm6, tmm4",
                "tdpbf16ps tmm1, tmm6, tmm5",
                "tileloadd tmm7, [{a1} + {line}*1]",
                "tdpbf16ps tmm2, tmm7, tmm4",
                "tdpbf16ps tmm3, tmm7, tmm5",
                "tileloadd tmm6, [{a0} + {line}*1 + 1024]",
                "tdpbf16ps tmm0, tmm6, tmm4",
                "tdpbf16ps tmm1, tmm6, tmm5",
                "tileloadd tmm7, [{a1} + {line}*1 + 1024]",
                "tdpbf16ps tmm2, tmm7, tmm4",
                "tdpbf16ps tmm3, tmm7, tmm5",
                a0 = in(reg) a[0], a1 = in(reg) a[1], b0 = in(reg) b[0], b1 = in(reg) b[1], line = in(reg) 64usize,
                options(nostack, readonly)
            );
        }
    }

    /// Tiles 0 to 3, one behind the other.
    ///
    /// # Safety
    /// Configured, all tiles 16 rows of 64 bytes; `sums` has 1024 elements.
    #[inline(always)]
    pub(in super::super) unsafe fn store_4(sums: *mut f32) {
        // SAFETY: the caller's contract.
        unsafe {
            asm!(
                "tilestored [{sums} + {line}*1], tmm0",
                "tilestored [{sums} + {line}*1 + 1024], tmm1",
                "tilestored [{sums} + {line}*1 + 2048], tmm2",
                "tilestored [{sums} + {line}*1 + 3072], tmm3",
                sums = in(reg) sums, line = in(reg) 64usize,
                options(nostack)
            );
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) use linux::*;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod other {
    //! There are no tiles: [`kinds`] names none, and nothing else is reached.
    use super::{Kinds, Shapes};

    pub(in super::super) fn kinds() -> Kinds {
        Kinds::default()
    }
    pub(in super::super) unsafe fn configure(_shapes: &'static Shapes) {}
    pub(in super::super) unsafe fn release() {}
    pub(in super::super) unsafe fn product_32(_: *const i8, _: usize, _: *const u8, _: *mut i32) {}
    pub(in super::super) unsafe fn product_16(_: *const i8, _: usize, _: *const u8, _: *mut i32) {}
    pub(in super::super) unsafe fn zero_4() {}
    pub(in super::super) unsafe fn add_bf16_2_by_2(_: [*const u8; 2], _: [*const u8; 2]) {}
    pub(in super::super) unsafe fn store_4(_: *mut f32) {}
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(super) use other::*;
