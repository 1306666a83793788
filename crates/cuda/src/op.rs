//! A token's operations as the kernel reads them: the structures of `kernels/*.cuh`, field by field.

use cudarc::driver::DeviceRepr;

/// An address in the GPU's memory.
pub(crate) type At = u64;

/// Bytes of an operation; the kernel is compiled with this number and checks it.
pub const OP_BYTES: usize = size_of::<Op>();

pub(crate) const EMBED: u32 = 0;
pub(crate) const PRODUCT: u32 = 1;
pub(crate) const DELTA: u32 = 2;
pub(crate) const ATTEND: u32 = 3;

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Embed {
    pub x: At,
    pub turn: At,
    pub width: u32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Segment {
    pub out: At,
    pub panels: u32,
    pub rows: u32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Product {
    pub weights: At,
    pub x: At,
    pub weight: At,
    pub segments: [Segment; 4],
    pub panels: u32,
    pub cols: u32,
    pub width: u32,
    pub by_panel: u32,
    pub eps: f32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Delta {
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
    pub out: At,
    pub key_heads: u32,
    pub value_heads: u32,
    pub grouped: u32,
    pub eps: f32,
    pub norm_eps: f32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Attend {
    pub q: At,
    pub gate: At,
    pub k: At,
    pub v: At,
    pub qn: At,
    pub kn: At,
    pub turn: At,
    pub cache: At,
    pub out: At,
    pub parts: At,
    pub finished: At,
    pub heads: u32,
    pub kv_heads: u32,
    pub capacity: u32,
    pub splits: u32,
    pub eps: f32,
    pub scale: f32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Body {
    pub embed: Embed,
    pub product: Product,
    pub delta: Delta,
    pub attend: Attend,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Op {
    pub kind: u32,
    pub format: u32,
    pub input: u32,
    pub output: u32,
    /// The mark of what it reads, above the token's base.
    pub needs: u32,
    /// And its own.
    pub mark: u32,
    pub body: Body,
}

/// What `pack_q4_0` and `pack_bf16` are told.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Packing {
    pub to: At,
    pub from: At,
    pub bad: At,
    pub rows: u32,
    pub cols: u32,
    pub chunks: u32,
    pub first: u32,
    pub stride: u32,
}

// SAFETY: plain numbers, laid out as in C.
unsafe impl DeviceRepr for Packing {}

impl Op {
    /// An operation whose body the kernel finds by its kind.
    pub(crate) fn new(kind: u32, body: Body) -> Self {
        Self {
            kind,
            format: 0,
            input: 0,
            output: 0,
            needs: 0,
            mark: 0,
            body,
        }
    }
}

const _: () = {
    // As the kernel's compiler lays them out.
    assert!(size_of::<Product>() == 112);
    assert!(size_of::<Delta>() == 112);
    assert!(size_of::<Attend>() == 112);
    assert!(size_of::<Op>() == 136);
};
