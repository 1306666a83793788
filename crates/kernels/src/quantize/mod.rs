//! Activations to 8 bits for the integer products; see `ops::activation` for the rule and its special cases.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
