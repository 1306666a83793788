//! The gated activations of feed-forward layers: `act(gate) * up`, SiLU or the tanh form of GELU.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;

/// Which activation the gate goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * sigmoid(x), as in SwiGLU.
    Silu,
    /// GELU by tanh, as in Gemma's GeGLU.
    GeluTanh,
}
