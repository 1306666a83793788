//! Finding special tokens in text before anything else looks at it.
//!
//! Control tokens (`<|im_start|>`) and user-defined ones (runs of spaces, HTML tags) are cut out of the text first, and only
//! the text between them reaches the merges. The rule is llama.cpp's: the longest special token is cut out everywhere, left
//! to right, then the next longest in what remains, and so on; among equals the lower id goes first.
//!
//! Taken literally that scans the text once per special token (Gemma has thousands). Here:
//!
//! 1. A trie of all special tokens gives, per position, the longest that starts there. A two-byte filter makes ordinary
//!    positions cost one look-up.
//! 2. These candidates go into a heap ordered by (length descending, id, position).
//! 3. The best candidate is taken if its place is still free. If not, the position's next shorter token that fits is pushed.
//!
//! Each position is pushed once per special token that starts there at most, so that a megabyte of spaces takes n log n.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Whether text may spell control tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// Control tokens in the text become those tokens: for text that a template or the program wrote.
    Parse,
    /// Control tokens in the text are ordinary characters: for text from users and files, which must not be able to end
    /// a turn or open a new role. User-defined tokens are still honoured: they are text.
    Plain,
    /// As [`Specials::Parse`], for a template's output whose foreign parts went through [`crate::Tokenizer::defuse`]: their
    /// guards are removed once the template's own control tokens are found.
    ParseDefused,
}

/// A piece of partitioned text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    /// Text for the merges; never empty.
    Text(&'t str),
    /// A special token.
    Token(u32),
}

#[derive(Clone, Copy, Debug)]
struct Terminal {
    id: u32,
    is_control: bool,
}

/// All special tokens of a vocabulary, ready to be searched for.
#[derive(Debug, Default)]
pub(crate) struct SpecialTrie {
    edges: HashMap<(u32, u8), u32, RandomState>,
    terminals: Vec<Option<Terminal>>,
    /// One bit per pair of bytes that begins a special token; a one-byte token sets all pairs of its byte.
    starts: Vec<u64>,
}

const PAIRS: usize = 1 << 16;

impl SpecialTrie {
    /// Builds the trie of `(id, text, is_control)`. Texts are unique and not empty.
    pub(crate) fn new<'a>(tokens: impl Iterator<Item = (u32, &'a str, bool)>) -> Self {
        let mut trie = Self {
            edges: HashMap::default(),
            terminals: vec![None],
            starts: vec![0; PAIRS / 64],
        };
        for (id, text, is_control) in tokens {
            let bytes = text.as_bytes();
            let mut node = 0_u32;
            for &byte in bytes {
                let fresh = trie.terminals.len() as u32;
                node = *trie.edges.entry((node, byte)).or_insert(fresh);
                if node == fresh {
                    trie.terminals.push(None);
                }
            }
            trie.terminals[node as usize] = Some(Terminal { id, is_control });
            match *bytes {
                [] => {}
                [first] => (0..=255).for_each(|second| trie.allow(first, second)),
                [first, second, ..] => trie.allow(first, second),
            }
        }
        trie
    }

    fn allow(&mut self, first: u8, second: u8) {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.starts[pair / 64] |= 1 << (pair % 64);
    }

    fn may_start(&self, first: u8, second: u8) -> bool {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.starts[pair / 64] >> (pair % 64) & 1 == 1
    }

    /// The tokens that `text` begins with, shortest first, as (length, token).
    fn prefixes(&self, text: &[u8]) -> impl Iterator<Item = (usize, Terminal)> {
        let mut node = 0;
        let path = text.iter().map_while(move |&byte| {
            node = *self.edges.get(&(node, byte))?;
            Some(node)
        });
        (1..)
            .zip(path)
            .filter_map(|(length, node)| self.terminals[node as usize].map(|found| (length, found)))
    }

    /// The longest token that `text` begins with, as (length, id).
    fn longest(&self, text: &[u8], specials: Specials) -> Option<(usize, u32)> {
        let allowed = self
            .prefixes(text)
            .filter(|(_, found)| specials != Specials::Plain || !found.is_control);
        allowed.last().map(|(length, found)| (length, found.id))
    }

    /// Every place where the spelling of some control token starts, overlapping ones too.
    pub(crate) fn control_starts(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        (0..text.len()).filter(move |&start| {
            let second = text.get(start + 1).copied().unwrap_or(0);
            self.may_start(text[start], second)
                && self
                    .prefixes(&text[start..])
                    .any(|(_, found)| found.is_control)
        })
    }

    /// Cuts `text` at its special tokens and calls `each` with the pieces in order.
    pub(crate) fn partition<'t>(
        &self,
        text: &'t str,
        specials: Specials,
        each: &mut impl FnMut(Fragment<'t>),
    ) {
        let mut at = 0;
        for (start, length, id) in self.occurrences(text.as_bytes(), specials) {
            if at < start {
                each(Fragment::Text(&text[at..start]));
            }
            each(Fragment::Token(id));
            at = start + length;
        }
        if at < text.len() {
            each(Fragment::Text(&text[at..]));
        }
    }

    /// The places of special tokens: (start, length, id), in order and disjoint.
    pub(crate) fn occurrences(&self, text: &[u8], specials: Specials) -> Vec<(usize, usize, u32)> {
        // (length, Reverse(id), Reverse(start)): the maximum is the longest, then the lowest id, then the leftmost.
        let mut heap: BinaryHeap<(usize, Reverse<u32>, Reverse<usize>)> = BinaryHeap::new();
        for start in 0..text.len() {
            let second = text.get(start + 1).copied().unwrap_or(0);
            if self.may_start(text[start], second)
                && let Some((length, id)) = self.longest(&text[start..], specials)
            {
                heap.push((length, Reverse(id), Reverse(start)));
            }
        }
        let mut taken = Taken::default();
        let mut chosen = Vec::new();
        while let Some((length, Reverse(id), Reverse(start))) = heap.pop() {
            let free = taken.free_from(start);
            if free >= length {
                taken.take(start, length);
                chosen.push((start, length, id));
            } else if let Some((length, id)) = self.longest(&text[start..start + free], specials) {
                heap.push((length, Reverse(id), Reverse(start)));
            }
        }
        chosen.sort_unstable();
        chosen
    }
}

/// Disjoint intervals of the text that are spoken for.
#[derive(Default)]
struct Taken {
    /// start -> end
    intervals: std::collections::BTreeMap<usize, usize>,
}

impl Taken {
    /// How many bytes from `start` on are free; `usize::MAX` if all are.
    fn free_from(&self, start: usize) -> usize {
        if self
            .intervals
            .range(..=start)
            .next_back()
            .is_some_and(|(_, &end)| end > start)
        {
            return 0;
        }
        self.intervals
            .range(start..)
            .next()
            .map_or(usize::MAX, |(&next, _)| next - start)
    }

    fn take(&mut self, start: usize, length: usize) {
        self.intervals.insert(start, start + length);
    }
}

#[cfg(test)]
mod tests;
