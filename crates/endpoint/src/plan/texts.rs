//! The texts of a plan, made before they are sent, so that two servers get the same ones.

use crate::text::{QUESTION, Scale, passage};

/// Passages, each of which begins as no other.
pub(super) struct Texts {
    next: u64,
}

/// The texts of one visit to a depth.
pub(super) struct Step {
    /// Its number in the whole plan: what both servers did in the same one are neighbours in time.
    pub block: usize,
    pub round: usize,
    pub depth: usize,
    /// Hardly a passage at all.
    pub few: String,
    /// Of the passage in it.
    pub few_bytes: usize,
    /// A new prompt.
    pub new: String,
    /// A new end behind its first `depth` tokens, where there are any.
    pub prefixed: Option<String>,
    /// Bytes of the passage that both begin with.
    pub seen_bytes: usize,
}

impl Texts {
    pub fn from(seed: u64) -> Self {
        Self { next: seed }
    }

    fn bare(&mut self, characters: usize) -> String {
        self.next = self.next.wrapping_add(1);
        passage(self.next, characters)
    }

    /// A passage, and what is to be done with it.
    pub fn passage(&mut self, characters: usize) -> Passage {
        let text = self.bare(characters);
        Passage {
            bytes: text.len(),
            prompt: text + QUESTION,
        }
    }

    pub fn step(
        &mut self,
        block: usize,
        round: usize,
        depth: usize,
        prefill: usize,
        scale: Scale,
    ) -> Step {
        let few = self.passage(0);
        let text = self.bare(scale.characters(depth + prefill));
        let seen_bytes = text.floor_char_boundary(scale.beginning(depth));
        let prefixed = (depth > 0).then(|| {
            let end = self.bare(text.len() - seen_bytes);
            format!("{}{end}{QUESTION}", &text[..seen_bytes])
        });
        Step {
            block,
            round,
            depth,
            few: few.prompt,
            few_bytes: few.bytes,
            new: text + QUESTION,
            prefixed,
            seen_bytes,
        }
    }

    /// Prompts of each client, in its order.
    pub fn crowd(&mut self, clients: usize, each: usize, characters: usize) -> Vec<Vec<String>> {
        let mut one = || self.passage(characters).prompt;
        (0..clients)
            .map(|_| (0..each).map(|_| one()).collect())
            .collect()
    }
}

/// A prompt whose length is known.
pub(super) struct Passage {
    /// Of the passage in it.
    pub bytes: usize,
    pub prompt: String,
}
