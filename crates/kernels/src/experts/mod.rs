//! Mixtures of experts: which experts a token goes to, the products grouped by expert, and their outputs brought together.
//!
//! A *slot* is one expert of one token: slot `token * chosen + j`. [`cpu::route`] chooses, and orders the slots by expert (the
//! [`plan::Plan`]), so that [`crate::matmul::cpu::by_expert`] streams the weights of each expert that has slots once, for all of
//! them, and of no other. Buffers of slots have a row each. [`cpu::mix`] adds a token's slots to the stream in their order, so
//! the sum does not depend on what other tokens are there.

pub(crate) mod cpu;
pub(crate) mod plan;
#[cfg(test)]
mod tests;
