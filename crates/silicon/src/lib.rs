//! The machine under the model: what it says it is, what its makers say it does, what it really does.
//!
//! - [`probe`]: identity (processor, cores that are ours, caches, instruction sets, memory).
//! - [`spec`]: figures *presented*, each with its source, or the reason why there is none.
//! - [`roofline`]: figures *measured* here: bandwidth, latency, arithmetic, fork-join.
//! - [`energy`]: joules from counters and power sensors, or the reason why they cannot be read.
//! - [`sensors`]: temperatures, clocks and throttling.
//!
//! Whatever cannot be found out is a [`Fact::Unknown`] with its reason: never 0, never a silent guess.
//! Everything read from the system is foreign text and is parsed as such: bounded, checked, and without panics.
//!
//! This crate knows no models.

pub mod energy;
pub mod fact;
mod nvidia;
pub mod probe;
pub mod roofline;
pub mod sensors;
pub mod spec;

pub use fact::Fact;
