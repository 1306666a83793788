//! A program as the operations of one token on a GPU: which nodes become which operation, and where weights and buffers lie.
//!
//! Nothing here needs a GPU. What the kernels cannot do yet is refused by name.

mod lower;
mod products;
#[cfg(test)]
mod tests;

use kernels::program::{BufferId, KvSpec, Program, RopeSpec, VectorId};
use ops::dequantize::dequantize;

use crate::{CudaError, device::Properties, memory::Layout};

/// Rows of a panel of weights, as in `kernels/product.cuh`.
pub(crate) const PANEL: usize = 4;
/// Warps of a block.
pub(crate) const WARPS: usize = 16;
/// Threads of a block.
pub(crate) const THREADS: u32 = 32 * WARPS as u32;
/// Bytes of a place in a warp's ring.
const STAGE: usize = 2304;
/// Shared memory that the kernel has beside what it is given.
const FIXED_SHARED: usize = 17_408;
/// Products and attentions of a token.
const MOST_STREAMED: usize = 320;
/// Columns that a norm's input may have.
const MOST_NORMED: usize = 8192;
/// Rows of the residual stream that a block may own.
const MOST_OWN: usize = 256;
/// Width of an attention head; of what turns of it; of heads that share keys.
pub(crate) const HEAD: usize = 256;
/// Leading dimensions of a head that turn.
pub(crate) const TURNED: usize = 64;
/// Query heads that may share keys.
pub(crate) const GROUP: usize = 8;
/// Positions of a tile of the cache.
pub(crate) const TILE: usize = 32;
/// Width of a key and of a value of the delta rule.
pub(crate) const DELTA: usize = 128;

/// How weights lie in the GPU's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Blocks of 32 columns, as in the file.
    Q4_0,
    /// bf16; weights of other formats are rounded to it.
    Bf16,
}

impl Format {
    /// The kernel's number for it.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Q4_0 => 0,
            Self::Bf16 => 1,
        }
    }
    /// Columns of a chunk.
    pub(crate) const fn columns(self) -> usize {
        match self {
            Self::Q4_0 => 1024,
            Self::Bf16 => 256,
        }
    }
    /// Bytes of a chunk: a panel's rows.
    const fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => PANEL * 512 + 256,
            Self::Bf16 => PANEL * 512,
        }
    }
    /// Shared memory of an input row.
    const fn row_bytes(self, columns: usize) -> usize {
        match self {
            Self::Q4_0 => columns + columns / 4,
            Self::Bf16 => 4 * columns,
        }
    }
}

/// Where a matrix goes: its row r to row `first + stride * r` of a product's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Byte of the weights at which the product's begin.
    pub offset: usize,
    /// Their format.
    pub format: Format,
    /// Chunks of a panel.
    pub chunks: usize,
    /// Row of the matrix's first row.
    pub first: usize,
    /// Rows between two of the matrix.
    pub stride: usize,
}

/// What a product reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Input {
    /// The stream, normalised.
    Norm { weight: VectorId, eps: f32 },
    /// A buffer of bf16.
    Plain(BufferId),
}

/// What becomes of a product's rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// Each segment's rows into a buffer.
    Store(Vec<(BufferId, usize)>),
    /// Onto the stream.
    Add,
    /// Rows of a gate and of what it multiplies, in turns, to half as many.
    Glu(BufferId),
    /// The logits.
    Logits,
}

/// An operation of a token, the mark of what it reads, and its own: operations of one node have the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub operation: Operation,
    pub needs: u32,
    pub mark: u32,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    Embed,
    Product(ProductStep),
    Delta(DeltaStep),
    Attend(AttendStep),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProductStep {
    pub offset: usize,
    pub format: Format,
    pub input: Input,
    pub output: Output,
    pub panels: usize,
    pub chunks: usize,
    pub width: usize,
    pub by_panel: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeltaStep {
    pub qkv: BufferId,
    pub a: BufferId,
    pub b: BufferId,
    pub z: BufferId,
    pub out: BufferId,
    pub taps: VectorId,
    pub decay_rate: VectorId,
    pub dt_bias: VectorId,
    pub weight: VectorId,
    /// Its state, among those of the sequence.
    pub state: usize,
    pub key_heads: usize,
    pub value_heads: usize,
    pub grouped: bool,
    pub eps: f32,
    pub norm_eps: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AttendStep {
    pub q: BufferId,
    pub gate: BufferId,
    pub k: BufferId,
    pub v: BufferId,
    pub out: BufferId,
    pub q_norm: VectorId,
    pub k_norm: VectorId,
    /// Its cache, among those of the sequence.
    pub cache: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub eps: f32,
    pub scale: f32,
}

/// A layer's recurrent state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateSpec {
    pub channels: usize,
    pub value_heads: usize,
}

/// A program for one kind of GPU.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) steps: Vec<Step>,
    /// Marks of a token, all below this.
    pub(crate) marks: u32,
    /// By matrix.
    pub(crate) places: Vec<Option<Place>>,
    /// Byte at which a vector begins, by vector.
    pub(crate) vectors: Vec<usize>,
    pub(crate) vector_bytes: usize,
    /// Byte at which a buffer begins, by buffer.
    pub(crate) buffers: Vec<Option<usize>>,
    /// Columns of those, the stream's aside.
    pub(crate) widths: Vec<Option<usize>>,
    pub(crate) activation_bytes: usize,
    pub(crate) weight_bytes: usize,
    pub(crate) states: Vec<StateSpec>,
    pub(crate) caches: Vec<KvSpec>,
    pub(crate) rope: RopeSpec,
    /// Byte of the activations at which the position's cosines and sines are; the stream is the first.
    pub(crate) turn: usize,
    /// And the logits.
    pub(crate) logits: usize,
    pub(crate) embed_scale: f32,
    /// Columns of the stream.
    pub(crate) width: usize,
    pub(crate) vocabulary: usize,
    /// Places of a warp's ring.
    pub(crate) depth: u32,
    /// Shared memory of a block, beside what the kernel has itself.
    pub(crate) shared: u32,
    pub(crate) multiprocessors: usize,
}

impl Plan {
    /// The operations of a token of `program`, whose weights need not be there.
    ///
    /// # Errors
    /// It has a part that the kernels cannot run, which the error names.
    pub fn of(program: &Program, gpu: &Properties) -> Result<Self, CudaError> {
        lower::lower(program, gpu)
    }

    /// Bytes of the weights.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        (self.weight_bytes + self.vector_bytes) as u64
    }

    /// Bytes of a sequence of up to `context` tokens: caches and states.
    #[must_use]
    pub fn sequence_bytes(&self, context: usize) -> u64 {
        let (mut caches, mut states) = (Layout::default(), Layout::default());
        for cache in &self.caches {
            caches.add(cache_bytes(cache.kv_heads, capacity(context)));
        }
        for state in &self.states {
            states.add(state.state_bytes());
            states.add(state.recent_bytes());
        }
        (caches.bytes + states.bytes) as u64
    }

    /// A token's embedding, as the stream begins with it.
    pub(crate) fn embed(&self, program: &Program, token: u32, row: &mut [f32]) {
        let table = program.embedding();
        // The program checked the table's rows.
        let read = dequantize(table.dtype(), table.row(token as usize), row);
        debug_assert!(read.is_ok());
        if self.embed_scale != 1.0 {
            row.iter_mut().for_each(|x| *x *= self.embed_scale);
        }
    }

    /// Angles between a position and the next, of each pair of dimensions that turn; in f64, as on the processor.
    pub(crate) fn turn_rates(&self, factors: Option<&[f32]>) -> [f64; TURNED / 2] {
        std::array::from_fn(|i| {
            let exponent = -2.0 * i as f64 / TURNED as f64;
            let factor = factors.map_or(1.0, |f| f64::from(f[i]));
            self.rope.scale * self.rope.theta.powf(exponent) / factor
        })
    }

    /// Cosines, then sines, of a position.
    pub(crate) fn fill_turns(&self, position: usize, factors: Option<&[f32]>, turns: &mut [f32]) {
        for (i, rate) in self.turn_rates(factors).into_iter().enumerate() {
            let (sin, cos) = (position as f64 * rate).sin_cos();
            (turns[i], turns[TURNED / 2 + i]) = (cos as f32, sin as f32);
        }
    }

    /// Blocks among which the keys of a head are shared out.
    pub(crate) fn splits(&self, kv_heads: usize) -> usize {
        (self.multiprocessors / kv_heads.max(1)).max(1)
    }
}

/// Positions that a cache for `context` of them has: whole tiles.
pub(crate) const fn capacity(context: usize) -> usize {
    context.next_multiple_of(TILE)
}

/// Keys and values in f16.
pub(crate) const fn cache_bytes(kv_heads: usize, capacity: usize) -> usize {
    kv_heads * capacity * 2 * HEAD * 2
}

impl StateSpec {
    pub(crate) const fn state_bytes(self) -> usize {
        4 * self.value_heads * DELTA * DELTA
    }
    /// The last four inputs of the convolution.
    pub(crate) const fn recent_bytes(self) -> usize {
        4 * 4 * self.channels
    }
}

/// Parts of heads' sums that blocks leave for each other, and their weights.
pub(crate) const fn parts_bytes(kv_heads: usize, splits: usize) -> usize {
    4 * kv_heads * splits * GROUP * (HEAD + 2)
}
