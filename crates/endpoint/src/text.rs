//! Natural text that no two prompts begin with alike, in about the wanted number of tokens.
//!
//! How many tokens a text takes is the server's to say: two prompts of different length tell what the template adds and what a character takes.

/// Public-domain speeches (`data/perplexity.md`).
const TEXT: &str = include_str!("../../../data/perplexity.txt");

/// What the model is asked to do with a passage: an answer as long as it may be.
pub(crate) const QUESTION: &str =
    "\n\nContinue this text in the same manner, in many sentences. Do not stop early.";
/// The next turn of a conversation.
pub(crate) const NEXT: &str = "Now say the same again in other words, and then go on.";

/// Passage number `number` in about `characters`: it begins with words of its own, and goes on somewhere in the text.
pub(crate) fn passage(number: u64, characters: usize) -> String {
    let scattered = scatter(number);
    let mut passage = format!("Record {number} of the {}th box. ", scattered % 9973);
    let from = (scattered >> 16) as usize % TEXT.len();
    let from = TEXT.as_bytes()[from..]
        .windows(2)
        .position(|pair| pair == b". ")
        // A full stop is one byte, so what follows the space begins a character.
        .map_or(0, |at| from + at + 2);
    let mut rest = &TEXT[from..];
    while passage.len() < characters {
        let end = rest.floor_char_boundary(characters - passage.len());
        passage.push_str(&rest[..end]);
        if end < rest.len() {
            break;
        }
        rest = TEXT;
    }
    passage
}

/// The last step of splitmix64: neighbouring numbers land far apart.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Tokens of a prompt as a line over its characters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    /// The template's, and the question's.
    pub fixed: f64,
    pub per_character: f64,
}

impl Scale {
    /// English in most vocabularies, where the server does not count.
    pub const ASSUMED: Self = Self {
        fixed: 25.0,
        per_character: 1.0 / 4.3,
    };

    /// Through two prompts of (characters, tokens); `None` if they cannot be true.
    pub fn through(short: (usize, u64), long: (usize, u64)) -> Option<Self> {
        let characters = long.0.checked_sub(short.0).filter(|&n| n > 0)? as f64;
        let per_character = (long.1 as f64 - short.1 as f64) / characters;
        // From a token for each 20 characters to four tokens a character: any alphabet, any vocabulary.
        (0.05..=4.0).contains(&per_character).then(|| Self {
            fixed: (short.1 as f64 - per_character * short.0 as f64).max(0.0),
            per_character,
        })
    }

    /// Tokens before the passage: all that is fixed but the question. What a template adds behind it is a few tokens, and is taken for them.
    pub fn head(&self) -> f64 {
        (self.fixed - QUESTION.len() as f64 * self.per_character).max(0.0)
    }

    /// Characters of a passage's beginning that make a prompt's first `tokens` with what stands before it.
    pub fn beginning(&self, tokens: usize) -> usize {
        let wanted = (tokens as f64 - self.head()).max(16.0) / self.per_character;
        wanted as usize
    }

    /// Characters of a passage in a prompt of `tokens`.
    pub fn characters(&self, tokens: usize) -> usize {
        let wanted = (tokens as f64 - self.fixed).max(16.0) / self.per_character;
        wanted as usize
    }
}

#[cfg(test)]
mod tests;
