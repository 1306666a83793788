//! The fast versions of the operations that `ops` defines, the spin pool they run on, and the profile that tunes them.
//!
//! A reader's order: [`profile`] (every choice that a tuner may change), [`pool`] (one fork-join per step, barriers inside),
//! `simd` (16 lanes, each kernel written once), [`packed`] (how weights lie in memory), then one folder per operation,
//! and [`program`] with [`cpu`] that walks it.

mod attention;
mod causal_conv;
pub mod cpu;
mod embed;
mod experts;
#[cfg(feature = "planted-faults")]
pub mod faults;
#[cfg(test)]
mod fixture;
mod gated_delta;
mod glu;
mod layer_norm;
mod log_sum_exp;
mod mamba2;
mod matmul;
pub mod memory;
pub mod packed;
mod pointwise;
pub mod pool;
pub mod profile;
pub mod program;
mod quantize;
mod rg_lru;
mod rms_norm;
mod rope;
mod rows;
mod simd;
mod token_shift;
pub mod training;
mod turns;
mod wkv7;

pub use attention::cache::KvCache;
pub use embed::StoredRows;
pub use gated_delta::cpu::DeltaShape;
pub use log_sum_exp::log_sum_exp;
pub use mamba2::cpu::Mamba2Shape;
pub use packed::{PACKING, PackError, PackedMatrix, StoredMatrix};
pub use pool::Pool;
pub use profile::{
    BarrierStyle, FloatProducts, KvType, MatMulVariant, Pinning, Role, RoleChoices, RuntimeProfile,
};
pub use simd::Isa;
pub use turns::in_turns;
pub use wkv7::cpu::Wkv7Shape;
