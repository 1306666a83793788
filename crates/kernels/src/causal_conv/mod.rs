//! Depthwise causal convolution of 4 taps with an optional bias and optional SiLU, and the three inputs that it carries from step to step.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
