//! Matrix peaks of x86: AMX tiles, by inline assembly, since the intrinsics are not stable.
//!
//! Eight tiles of 16 rows by 64 bytes. A product adds A (16 x 64 int8, or 16 x 32 bf16) times B into 16 x 16 32-bit results, one every
//! 16 cycles with a latency of 52: four accumulators fill the unit, and four tiles are left for the operands.
//!
//! Linux hands out the tile registers on request only: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, once per process and
//! before the first tile instruction. Source: Intel SDM volume 1, chapter 18; Linux `Documentation/arch/x86/xstate.rst`.

use std::arch::asm;
use std::sync::OnceLock;

use super::{Kernel, Precision, Unit};
use crate::probe::Isa;

const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
const XFEATURE_XTILEDATA: libc::c_long = 18;
/// Products in one iteration of the loops below.
const PRODUCTS: usize = 8;

/// Whether the kernel lets this process use the tiles; asked for once.
///
/// # Errors
/// A sentence that says why not.
pub fn request_permission() -> Result<(), &'static str> {
    static ANSWER: OnceLock<Result<(), &'static str>> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        if !Isa::detect().amx_tile {
            return Err("this processor has no AMX tiles");
        }
        // SAFETY: arch_prctl with these arguments reads no memory of ours; it only widens the register state that is saved.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_arch_prctl,
                ARCH_REQ_XCOMP_PERM,
                XFEATURE_XTILEDATA,
            )
        };
        if answer == 0 {
            Ok(())
        } else {
            Err("the kernel does not permit AMX tiles to this process")
        }
    })
}

pub(super) fn kernels() -> Vec<Kernel> {
    let isa = Isa::detect();
    if request_permission().is_err() {
        return Vec::new();
    }
    let mut kernels = Vec::new();
    if isa.amx_int8 {
        kernels.push(Kernel {
            precision: Precision::Int8,
            unit: Unit::Matrix,
            instruction: "tdpbusd tmm",
            ops_per_iteration: (PRODUCTS * 16 * 16 * 64 * 2) as f64,
            // SAFETY: amx_tile and amx_int8 were detected and the permission was granted above.
            run: |iterations| unsafe { int8_tiles(iterations) },
        });
    }
    if isa.amx_bf16 {
        kernels.push(Kernel {
            precision: Precision::Bf16,
            unit: Unit::Matrix,
            instruction: "tdpbf16ps tmm",
            ops_per_iteration: (PRODUCTS * 16 * 16 * 32 * 2) as f64,
            // SAFETY: amx_tile and amx_bf16 were detected and the permission was granted above.
            run: |iterations| unsafe { bf16_tiles(iterations) },
        });
    }
    kernels
}

/// The 64 bytes that LDTILECFG reads.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl TileConfig {
    /// All eight tiles of 16 rows by 64 bytes.
    const FULL: Self = {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < 8 {
            row_bytes[tile] = 64;
            rows[tile] = 16;
            tile += 1;
        }
        Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes,
            rows,
        }
    };
}

/// Operands of one tile: small numbers, valid both as int8 and as bf16 (0x0101 is a tiny positive bf16).
#[repr(C, align(64))]
struct TileData([u8; 1024]);

/// One loop of eight products of tmm4..7 into tmm0..3; the instruction is the only difference between the number types.
macro_rules! tile_loop {
    ($iterations:expr, $product:literal) => {{
        let (config, operands) = (TileConfig::FULL, TileData([1; 1024]));
        // SAFETY: the caller guarantees AMX; the configuration is 64 bytes and the operands 16 rows of 64 bytes, both alive here;
        // every tile register is declared as overwritten, the counter is at least 1, and the tiles are released at the end.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "tileloadd tmm4, [{operands} + {stride}*1]",
                "tileloadd tmm5, [{operands} + {stride}*1]",
                "tileloadd tmm6, [{operands} + {stride}*1]",
                "tileloadd tmm7, [{operands} + {stride}*1]",
                "2:",
                concat!($product, " tmm0, tmm4, tmm6"),
                concat!($product, " tmm1, tmm4, tmm7"),
                concat!($product, " tmm2, tmm5, tmm6"),
                concat!($product, " tmm3, tmm5, tmm7"),
                concat!($product, " tmm0, tmm4, tmm6"),
                concat!($product, " tmm1, tmm4, tmm7"),
                concat!($product, " tmm2, tmm5, tmm6"),
                concat!($product, " tmm3, tmm5, tmm7"),
                "dec {count}",
                "jnz 2b",
                "tilerelease",
                config = in(reg) &raw const config,
                operands = in(reg) &raw const operands,
                stride = in(reg) 64usize,
                count = inout(reg) $iterations.max(1) => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly),
            );
        }
    }};
}

/// # Safety
/// AMX tiles and int8 products must be present and permitted.
unsafe fn int8_tiles(iterations: u64) {
    tile_loop!(iterations, "tdpbusd");
}

/// # Safety
/// AMX tiles and bf16 products must be present and permitted.
unsafe fn bf16_tiles(iterations: u64) {
    tile_loop!(iterations, "tdpbf16ps");
}
