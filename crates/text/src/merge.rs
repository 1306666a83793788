//! Merging neighbours until no pair may be merged: the loop that byte-pair encoding and SentencePiece share.
//!
//! Both tokenizers start from the smallest symbols of a word and repeatedly join the neighbouring pair of the best
//! priority, the leftmost one on a tie. They differ only in what a symbol is and in which pairs may be joined, so both
//! are arguments here.
//!
//! 1. Short words (nearly all): scan the array of pair priorities for its minimum, merge, repeat. Quadratic, but in a
//!    cache line or two.
//! 2. Long words (a megabyte of one letter is one word): a heap of candidate pairs over a doubly linked list. A candidate
//!    is stale, and dropped, when either of its symbols has changed since it was pushed. O(n log n).
//!
//! Invariant: both ways give the same symbols. A pair's priority depends on its two symbols alone, so a stale candidate
//! carries no information that a fresh one lacks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Words of up to this many symbols are merged by scanning; where the heap takes over is a matter of speed alone.
const SCAN_LIMIT: usize = 48;

/// A joined pair: its priority (lower is merged first) and the symbol it becomes.
pub(crate) type Joined<S> = Option<(u32, S)>;

/// Merges `symbols` in place until `join` refuses every neighbouring pair.
pub(crate) fn merge<S: Copy + Eq + Ord>(symbols: &mut Vec<S>, join: impl Fn(S, S) -> Joined<S>) {
    if symbols.len() <= SCAN_LIMIT {
        merge_by_scan(symbols, join);
    } else {
        merge_by_heap(symbols, join);
    }
}

fn merge_by_scan<S: Copy>(symbols: &mut Vec<S>, join: impl Fn(S, S) -> Joined<S>) {
    let mut pairs: [Joined<S>; SCAN_LIMIT] = [None; SCAN_LIMIT];
    let mut len = symbols.len();
    for at in 0..len.saturating_sub(1) {
        pairs[at] = join(symbols[at], symbols[at + 1]);
    }
    loop {
        let mut best: Option<(u32, usize, S)> = None;
        for (at, pair) in pairs[..len.saturating_sub(1)].iter().enumerate() {
            if let Some((priority, symbol)) = *pair
                && best.is_none_or(|(lowest, ..)| priority < lowest)
            {
                best = Some((priority, at, symbol));
            }
        }
        let Some((_, at, symbol)) = best else { break };
        symbols[at] = symbol;
        symbols.copy_within(at + 2..len, at + 1);
        pairs.copy_within(at + 1..len - 1, at);
        len -= 1;
        if at > 0 {
            pairs[at - 1] = join(symbols[at - 1], symbol);
        }
        if at + 1 < len {
            pairs[at] = join(symbol, symbols[at + 1]);
        }
    }
    symbols.truncate(len);
}

/// The end of the linked list.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link<S> {
    symbol: S,
    previous: u32,
    next: u32,
    alive: bool,
}

/// A candidate, ordered by priority and then by position. The remaining fields tell whether it is stale.
type Candidate<S> = Reverse<(u32, u32, u32, S, S, S)>;

fn merge_by_heap<S: Copy + Eq + Ord>(symbols: &mut Vec<S>, join: impl Fn(S, S) -> Joined<S>) {
    // Positions are 32-bit to keep candidates small; a word beyond 4 GiB is left to its smallest symbols.
    let Ok(count) = u32::try_from(symbols.len()) else {
        return;
    };
    let mut links: Vec<Link<S>> = (0..count)
        .zip(symbols.iter())
        .map(|(at, &symbol)| Link {
            symbol,
            previous: at.checked_sub(1).unwrap_or(NONE),
            next: if at + 1 < count { at + 1 } else { NONE },
            alive: true,
        })
        .collect();
    let candidate = |links: &[Link<S>], left: u32, right: u32| -> Option<Candidate<S>> {
        if left == NONE || right == NONE {
            return None;
        }
        let (first, second) = (links[left as usize].symbol, links[right as usize].symbol);
        join(first, second)
            .map(|(priority, joined)| Reverse((priority, left, right, first, second, joined)))
    };
    let mut heap: BinaryHeap<Candidate<S>> = (1..count)
        .filter_map(|at| candidate(&links, at - 1, at))
        .collect();
    while let Some(Reverse((_, left, right, first, second, joined))) = heap.pop() {
        let (l, r) = (links[left as usize], links[right as usize]);
        if !l.alive || !r.alive || l.next != right || l.symbol != first || r.symbol != second {
            continue;
        }
        links[left as usize].symbol = joined;
        links[left as usize].next = r.next;
        links[right as usize].alive = false;
        if r.next != NONE {
            links[r.next as usize].previous = left;
        }
        heap.extend(candidate(&links, l.previous, left));
        heap.extend(candidate(&links, left, r.next));
    }
    symbols.clear();
    symbols.extend(
        links
            .iter()
            .filter(|link| link.alive)
            .map(|link| link.symbol),
    );
}

#[cfg(test)]
mod tests;
