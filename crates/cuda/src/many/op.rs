//! What the kernels of many tokens are told: the structures of `kernels/many/*.cuh`, field by field, and the shared memory that they ask for.

use cudarc::driver::DeviceRepr;

use crate::op::At;

/// Tokens of a chunk of the delta rule.
pub(super) const CHUNK: usize = 64;
/// Bytes of what a chunk of a head leaves for the scan.
pub(super) const CHUNK_BYTES: usize = SCANNED + 128 * COLUMN_BYTES + 128;
/// And of what the scan has in shared memory of it.
pub(super) const SCANNED: usize = 2 * CHUNK * (2 * (128 + 8) + CHUNK + 8) + 128 * COLUMN_BYTES;
/// Of a column of keys or values.
const COLUMN_BYTES: usize = 2 * (CHUNK + 8);
/// Shared memory of `matmul`: four places of 64 columns of 128 tokens and 256 rows.
pub(super) const MATMUL_SHARED: usize = 4 * 2 * 64 * (128 + 256);
/// Of `delta_chunks`.
pub(super) const CHUNKS_SHARED: usize =
    SCANNED + 128 * COLUMN_BYTES + 2 * CHUNK * (CHUNK + 8) + 3 * 4 * CHUNK;
/// Of `attend_many`: 128 queries, two places of 64 keys and values.
pub(super) const ATTEND_SHARED: usize = 2 * 256 * (128 + 2 * 2 * 64);

/// Of `delta_scan`, whose blocks have `columns` columns of values each.
pub(super) const fn scan_shared(columns: usize) -> usize {
    2 * (SCANNED + columns * COLUMN_BYTES) + 2 * (128 + CHUNK) * (columns + 8)
}

/// Of products of few tokens: eleven places of 64 columns of 128 rows and 32 tokens.
pub(super) const FEW_SHARED: usize = 11 * 2 * 64 * (128 + 32);
/// Sequences of a step, at most.
pub(crate) const MOST_SEQUENCES: usize = 64;

/// Cuts of a product's columns, at most.
pub(super) const MOST_SPLITS: usize = 8;

/// The compiler's definitions, which the kernels check against their own.
pub(crate) const DEFINITIONS: [(&str, usize); 20] = [
    ("MATMUL_BYTES", size_of::<Matmul>()),
    ("DELTA_BYTES", size_of::<Delta>()),
    ("ATTEND_BYTES", size_of::<Attend>()),
    ("CHUNK_BYTES", CHUNK_BYTES),
    ("SCANNED", SCANNED),
    ("MATMUL_SHARED", MATMUL_SHARED),
    ("CHUNKS_SHARED", CHUNKS_SHARED),
    ("ATTEND_SHARED", ATTEND_SHARED),
    ("FEW_SHARED", FEW_SHARED),
    ("NORMED_BYTES", size_of::<Normed>()),
    ("TURNS_BYTES", size_of::<Turns>()),
    ("EXPAND_BYTES", size_of::<Expand>()),
    ("FEW_BYTES", size_of::<Few>()),
    ("ADD_BYTES", size_of::<AddNormed>()),
    ("GLU_BYTES", size_of::<FewGlu>()),
    ("MANY", super::MANY),
    ("MOST_SPLITS", MOST_SPLITS),
    ("MEMBERS_BYTES", size_of::<Members>()),
    ("DELTA_EACH_BYTES", size_of::<DeltaEach>()),
    ("ATTEND_EACH_BYTES", size_of::<AttendEach>()),
];

/// A description of an array, made by the driver.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct TensorMap(pub [u64; 16]);

/// `Result`.
pub(super) const STORE: u32 = 0;
pub(super) const ADD: u32 = 1;
pub(super) const GLU: u32 = 2;

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Rows {
    pub out: At,
    pub first: u32,
    pub rows: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Matmul {
    pub parts: [Rows; 4],
    pub tokens: u32,
    pub rows: u32,
    pub steps: u32,
    pub result: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Normed {
    pub x: At,
    pub weight: At,
    pub out: At,
    pub width: u32,
    pub eps: f32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Turns {
    pub rates: [f64; 32],
    pub out: At,
    pub tokens: u32,
    pub position: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Expand {
    pub from: At,
    pub to: At,
    pub eights: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Delta {
    pub qkv: At,
    pub a: At,
    pub b: At,
    pub z: At,
    pub taps: At,
    pub recent: At,
    pub decay_rate: At,
    pub dt_bias: At,
    pub weight: At,
    pub state: At,
    pub chunks: At,
    pub o: At,
    pub out: At,
    pub tokens: u32,
    pub position: u32,
    pub key_heads: u32,
    pub value_heads: u32,
    pub grouped: u32,
    pub eps: f32,
    pub norm_eps: f32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Attend {
    pub q: At,
    pub gate: At,
    pub k: At,
    pub v: At,
    pub qn: At,
    pub kn: At,
    pub turns: At,
    pub cache: At,
    pub queries: At,
    pub out: At,
    pub tokens: u32,
    pub position: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub capacity: u32,
    pub eps: f32,
    pub scale: f32,
}

/// Parts of a product's results, to be summed.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Given {
    pub at: At,
    pub rows: u32,
    pub splits: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Few {
    pub out: At,
    pub tiles: u32,
    pub splits: u32,
    pub steps: u32,
    pub rows: u32,
    pub tokens: u32,
    pub is_made: u32,
}

impl Few {
    /// What it leaves.
    pub(super) fn given(&self) -> Given {
        Given {
            at: self.out,
            rows: self.rows,
            splits: self.splits,
        }
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct AddNormed {
    pub given: Given,
    pub x: At,
    pub weight: At,
    pub out: At,
    pub width: u32,
    pub eps: f32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct FewGlu {
    pub given: Given,
    pub out: At,
    pub width: u32,
}

/// Where each sequence's caches and states begin, and where it is.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Members {
    pub caches: [At; MOST_SEQUENCES],
    pub states: [At; MOST_SEQUENCES],
    pub positions: [u32; MOST_SEQUENCES],
}

impl Default for Members {
    fn default() -> Self {
        Self {
            caches: [0; MOST_SEQUENCES],
            states: [0; MOST_SEQUENCES],
            positions: [0; MOST_SEQUENCES],
        }
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct DeltaEach {
    pub qkv: Given,
    pub a: Given,
    pub b: Given,
    pub z: Given,
    pub taps: At,
    pub decay_rate: At,
    pub dt_bias: At,
    pub weight: At,
    pub members: At,
    pub state: u64,
    pub recent: u64,
    pub out: At,
    pub key_heads: u32,
    pub value_heads: u32,
    pub grouped: u32,
    pub eps: f32,
    pub norm_eps: f32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct AttendEach {
    pub q: Given,
    pub gate: Given,
    pub k: Given,
    pub v: Given,
    pub qn: At,
    pub kn: At,
    pub turns: At,
    pub members: At,
    pub cache: u64,
    pub out: At,
    pub heads: u32,
    pub kv_heads: u32,
    pub capacity: u32,
    pub eps: f32,
    pub scale: f32,
}

// SAFETY: plain numbers, laid out as in C.
unsafe impl DeviceRepr for Few {}
// SAFETY: as above.
unsafe impl DeviceRepr for AddNormed {}
// SAFETY: as above.
unsafe impl DeviceRepr for FewGlu {}
// SAFETY: as above.
unsafe impl DeviceRepr for DeltaEach {}
// SAFETY: as above.
unsafe impl DeviceRepr for AttendEach {}
// SAFETY: as above.
unsafe impl DeviceRepr for TensorMap {}
// SAFETY: as above.
unsafe impl DeviceRepr for Matmul {}
// SAFETY: as above.
unsafe impl DeviceRepr for Normed {}
// SAFETY: as above.
unsafe impl DeviceRepr for Turns {}
// SAFETY: as above.
unsafe impl DeviceRepr for Expand {}
// SAFETY: as above.
unsafe impl DeviceRepr for Delta {}
// SAFETY: as above.
unsafe impl DeviceRepr for Attend {}
