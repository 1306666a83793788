//! The runtime profile: every choice about how to run that does not change what is computed.
//!
//! It is passed in, never a constant in the code: the ratchet tunes it for a machine, and a judge compares two of them.
//! All fields but `kv_type` and `float_products` leave every output bit as it is: those two are precisions.

mod role;
mod threads;

pub use role::{Role, RoleChoices};
pub use threads::{BarrierStyle, Pinning};

use crate::{Isa, memory::Pages, simd::LANES};

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 16-bit whole numbers with an f32 scale for each head: nearer than binary16, and multiplied twice as many at a time; the default.
    #[default]
    I16,
    /// binary16.
    F16,
    /// Bytes with a binary16 scale for every 32 dimensions of a head: about half of the others', for long contexts.
    Q8_0,
    /// binary32: for comparisons with f32 references.
    F32,
}

impl KvType {
    /// All, the default first.
    pub const ALL: [Self; 4] = [Self::I16, Self::F16, Self::Q8_0, Self::F32];

    /// Bytes of the key, or of the value, of one head at one position. Its dimensions are padded to whole vectors.
    #[must_use]
    pub const fn head_bytes(self, head_dim: usize) -> usize {
        let padded = head_dim.next_multiple_of(LANES);
        match self {
            Self::I16 => 2 * padded + size_of::<f32>(),
            Self::F16 => 2 * padded,
            Self::Q8_0 => padded + 2 * padded.div_ceil(SCALED),
            Self::F32 => 4 * padded,
        }
    }

    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::I16 => "i16",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::F32 => "f32",
        }
    }
}

/// Dimensions that share a scale in [`KvType::Q8_0`].
pub(crate) const SCALED: usize = 32;

/// How a product over many tokens is computed. All variants give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatMulVariant {
    /// Lanes over 16 output rows, a register tile of tokens.
    Lanes,
    /// Integer products on AMX tiles where the processor has them, else as `Lanes`.
    Amx,
}

impl MatMulVariant {
    /// All.
    pub const ALL: [Self; 2] = [Self::Lanes, Self::Amx];

    /// Those between which this processor makes a difference.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|variant| *variant == Self::Lanes || crate::matmul::has_int8_tiles())
            .collect()
    }

    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lanes => "lanes",
            Self::Amx => "amx",
        }
    }
}

/// What products with BF16 weights multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FloatProducts {
    /// Inputs as they are, in f32: the same bits on every processor.
    #[default]
    F32,
    /// On processors with AMX tiles of bfloat16 each input as the sum of two of those, which keep 17 bits of its significand; elsewhere
    /// as `F32`.
    SplitBf16,
}

impl FloatProducts {
    /// All, the default first.
    pub const ALL: [Self; 2] = [Self::F32, Self::SplitBf16];

    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::SplitBf16 => "split-bf16",
        }
    }
}

/// The choices. `Default` is right for an unknown machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeProfile {
    /// Threads of the pool.
    pub threads: usize,
    /// Which processor each of them is bound to.
    pub pinning: Pinning,
    /// Instruction set of the kernels.
    pub isa: Isa,
    /// Tokens per pass of a prefill; a multiple of 64 keeps results independent of it.
    pub prefill_chunk: usize,
    /// Tokens that share a pass over a weight panel's registers: 4, 8 or 12. Sets with 16 registers keep sums in L1 instead and
    /// do not read it.
    pub matmul_tile: usize,
    /// How products over several tokens are computed (AMX from 16 on).
    pub matmul_variant: MatMulVariant,
    /// What products with BF16 weights multiply.
    pub float_products: FloatProducts,
    /// Streams of weights that a thread reads side by side in a one-token product: 1, 2 or 4.
    pub matvec_streams: usize,
    /// Bytes ahead that each stream of a one-token product prefetches; 0 for none, and then products of several tokens do not ask for
    /// their next panel either.
    pub prefetch_bytes: usize,
    /// Query rows (tokens x heads of a group) that share a pass over keys and values.
    pub attention_tile: usize,
    /// What products of one role do otherwise; a role's place is `role as usize`.
    pub roles: [RoleChoices; Role::ALL.len()],
    /// Precision of the KV cache.
    pub kv_type: KvType,
    /// Pages of weights, keys and values.
    pub pages: Pages,
    /// How often an idle worker looks for work before it parks.
    pub idle_spins: u32,
    /// What a thread does at a barrier until the others are there.
    pub barrier: BarrierStyle,
    /// How often a thread at a barrier looks for the others before it yields the processor or sleeps.
    pub barrier_spins: u32,
}

impl Default for RuntimeProfile {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            pinning: Pinning::default(),
            isa: Isa::detect(),
            prefill_chunk: 256,
            matmul_tile: 12,
            matmul_variant: MatMulVariant::Amx,
            float_products: FloatProducts::default(),
            matvec_streams: 2,
            prefetch_bytes: 1024,
            attention_tile: 24,
            roles: [RoleChoices::default(); Role::ALL.len()],
            kv_type: KvType::default(),
            pages: Pages::Huge,
            idle_spins: 50_000,
            barrier: BarrierStyle::default(),
            barrier_spins: 2_000,
        }
    }
}

impl RuntimeProfile {
    /// How products with BF16 weights are computed on this processor.
    #[must_use]
    pub fn float_products_here(&self) -> FloatProducts {
        if self.isa == Isa::Avx512 && crate::matmul::has_bf16_tiles() {
            self.float_products
        } else {
            FloatProducts::F32
        }
    }
}
