//! The parts that architectures are made of, each written once.
//!
//! A block adds nodes for one layer to the loader's program. Residual stream: buffer `x`; a block reads its normalised form
//! and adds its result to `x`.

mod attention;
mod channel_mix;
mod delta_net;
mod feed_forward;
mod kimi_delta;
mod latent_attention;
mod mamba2;
mod rg_lru;
mod stream;
mod time_mix;

pub(crate) use attention::{Attention, QueryRows, Rotation};
pub(crate) use channel_mix::ChannelMix;
pub(crate) use delta_net::{DeltaNet, GateRows};
pub(crate) use feed_forward::FeedForward;
pub(crate) use kimi_delta::KimiDelta;
pub(crate) use latent_attention::{LatentAttention, LatentShape};
pub(crate) use mamba2::Mamba2;
pub(crate) use rg_lru::{LruShape, RgLru};
pub(crate) use stream::Stream;
pub(crate) use time_mix::{Ranks, TimeMix};
