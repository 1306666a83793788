//! The gated activations of feed-forward layers: `act(gate) * up`, SiLU or the tanh form of GELU.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
