//! Random choices from the engine's seed that nobody can continue who has seen some of them.
//!
//! The inputs that a candidate gets are drawn from the same seed as the choice of what is checked. A plain generator (SplitMix64, as
//! [`ops::input`] has it) can be run backwards from a few outputs; here each number is a hash of a secret and a counter, so that what
//! was sent says nothing about what will be asked.

use sha2::{Digest, Sha256};

/// A stream of numbers; its label is part of its secret.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    secret: [u8; 32],
    next: u64,
}

impl Random {
    /// The stream of this name.
    pub(crate) fn new(seed: u64, label: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sprag judge 1");
        hash.update(seed.to_le_bytes());
        hash.update(label.as_bytes());
        Self {
            secret: hash.finalize().into(),
            next: 0,
        }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(self.next.to_le_bytes());
        self.next = self.next.wrapping_add(1);
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// A number below `bound`, 0 where that is 0; the bias of at most bound / 2^64 is no advantage to anybody.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests;
