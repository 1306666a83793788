//! One function over every value (tanh, sigmoid, squared ReLU): what products do to their outputs when the next product reads them
//! as they are, with the rounding to 8 bits that it may want.
//!
//! It runs over what the thread has just written, so that no barrier and no pass over cold memory comes with it.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
