//! The kernel's schedule: which thread attends with which rows to which keys. The arithmetic is in [`tile`].
//!
//! A *row* is one query head of one token. Rows of a tile share a KV head; their running state lies in a scratch of the thread.

mod tile;

use std::marker::PhantomData;

use self::tile::{
    Kind, Room, finish,
    float::{Byte, Early, Floats, Half, Single},
    merge, one_split,
    whole::{Whole, query_len},
};
use super::cache::{KEY_BLOCK, KvCache};
use crate::{
    pool::Team,
    profile::{KvType, RuntimeProfile},
    rows::{QuantRows, Rows},
    simd::{Kernel, LANES, Simd, dispatch, dispatch_products},
};

/// Keys of a split. Fixes the order of reduction, so it is no field of the profile.
pub(crate) const SPLIT: usize = 512;
/// Rows are padded to a multiple of this: whole register tiles of any shape.
const ROWS: usize = 12;
/// Vectors of a block of keys, and of what a row's values are padded to.
const VECTORS: usize = KEY_BLOCK / LANES;
/// Hides a key; its exponential is exactly 0 once any visible key was seen.
const MASKED: f32 = -1.0e30;

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub q: Rows,
    pub out: Rows,
    /// The output is multiplied by the sigmoid of these rows.
    pub gate: Option<Rows>,
    /// The output rounded to 8 bits; heads are whole blocks then.
    pub quantised: Option<QuantRows>,
    pub cache: &'a KvCache,
    pub heads: usize,
    pub head_dim: usize,
    /// A key is seen while `query - key < window`.
    pub window: Option<usize>,
    /// Position of the first token.
    pub start: usize,
    pub tokens: usize,
    /// Room for the splits of one token.
    pub splits: *mut f32,
}

// SAFETY: threads write disjoint splits and rows.
unsafe impl Sync for Attention<'_> {}

impl Attention<'_> {
    fn group(&self) -> usize {
        self.heads / self.cache.kv_heads()
    }

    /// First key that the query at `position` sees.
    fn first_key(&self, position: usize) -> usize {
        self.window.map_or(0, |w| (position + 1).saturating_sub(w))
    }

    /// Splits that a single token touches.
    fn split_range(&self) -> std::ops::Range<usize> {
        self.first_key(self.start) / SPLIT..self.start / SPLIT + 1
    }

    /// Whether splits are spread over the threads, to be merged.
    fn is_split(&self) -> bool {
        self.tokens == 1 && self.split_range().len() > 1
    }
}

/// Elements of a row's state: maximum, sum, padding to a vector, then the weighted values.
fn state_len(head_dim: usize) -> usize {
    LANES + head_dim.next_multiple_of(LANES * VECTORS)
}

/// f32 elements of scratch that one thread needs.
pub(crate) fn scratch_len(profile: &RuntimeProfile, group: usize, head_dim: usize) -> usize {
    let rows = tile_tokens(profile, group) * group;
    // For each row its running state, that of one split and the query as the cache's kind multiplies it; and the weights of a register
    // tile as they are and as it does.
    let row = 2 * state_len(head_dim) + query_len(head_dim);
    rows.next_multiple_of(ROWS) * row + 2 * ROWS * KEY_BLOCK
}

/// f32 elements of the splits that a single-token step may spread over threads.
pub(crate) fn splits_len(heads: usize, head_dim: usize, capacity: usize) -> usize {
    capacity.div_ceil(SPLIT) * heads.next_multiple_of(ROWS) * state_len(head_dim)
}

fn tile_tokens(profile: &RuntimeProfile, group: usize) -> usize {
    (profile.attention_tile / group.max(1)).max(1)
}

/// This thread's share of the calls, one for each sequence of a step. `scratch` is the thread's own. The team meets once inside
/// where a single token sees more than one split.
///
/// # Safety
/// The views have `tokens` rows of `heads * head_dim` columns (padded); the cache holds every position up to
/// `start + tokens`; the scratches have the lengths that [`scratch_len`] and [`splits_len`] give, and no two calls share their
/// splits; all threads call it with the same calls.
pub(crate) unsafe fn attention<'a>(
    profile: &RuntimeProfile,
    calls: impl Iterator<Item = Attention<'a>> + Clone,
    scratch: *mut f32,
    team: &Team<'_>,
) {
    let isa = profile.isa;
    let pairs = |call: &Attention<'_>| call.cache.kv_heads() * call.split_range().len();
    let singles = calls.clone().filter(|call| call.tokens == 1);
    let cut = is_cut(singles.map(|call| pairs(&call)).sum(), team.size);
    // Every size-th item, counted through all calls: later tiles see more keys, so contiguous shares would be unequal.
    let mut first = 0;
    for call in calls.clone() {
        let (items, whole, pieces, tile) = if call.tokens == 1 {
            let pairs = pairs(&call);
            let whole = if cut {
                pairs - pairs % team.size
            } else {
                pairs
            };
            let pieces = pieces(pairs - whole, call.group(), team.size);
            (whole + (pairs - whole) * pieces, whole, pieces, 1)
        } else {
            let tile = tile_tokens(profile, call.group());
            let items = call.tokens.div_ceil(tile) * call.cache.kv_heads();
            (items, 0, 1, tile)
        };
        let from = (team.index + team.size - first % team.size) % team.size;
        let share = (from.min(items)..items).step_by(team.size);
        first += items;
        // SAFETY: the caller's contract; items are disjoint rows, or disjoint splits of them.
        unsafe {
            // One function for each kind: the compiler takes minutes over one with all of them in it.
            macro_rules! run {
                ($dispatch:ident, $kind:ty, $early:ty) => {{
                    if call.tokens == 1 {
                        $dispatch(
                            isa,
                            Spread {
                                call,
                                scratch,
                                whole,
                                pieces,
                                share,
                                kind: PhantomData::<$early>,
                            },
                        );
                    } else {
                        $dispatch(
                            isa,
                            Tiles {
                                call,
                                scratch,
                                tile,
                                share,
                                kind: PhantomData::<$kind>,
                            },
                        );
                    }
                }};
            }
            match call.cache.kind() {
                KvType::I16 => run!(dispatch_products, Whole<false>, Whole<true>),
                KvType::F16 => run!(dispatch, Floats<Half>, Floats<Early<Half>>),
                KvType::Q8_0 => run!(dispatch, Floats<Byte>, Floats<Early<Byte>>),
                KvType::F32 => run!(dispatch, Floats<Single>, Floats<Early<Single>>),
            }
        }
    }
    if !calls.clone().any(|call| call.is_split()) {
        return;
    }
    team.barrier();
    for call in calls.filter(Attention::is_split) {
        let share = team.share(call.heads);
        // SAFETY: as above; a head's splits were written before the barrier.
        unsafe { dispatch(isa, Merge { call, share }) };
    }
}

/// Into how many pieces the rows of each of the last `pairs` are cut, so that `threads` have as many of them each, if there are rows
/// enough. A piece reads the pair's keys and values anew, so no more than it takes.
fn pieces(pairs: usize, group: usize, threads: usize) -> usize {
    (1..group)
        .find(|pieces| (pairs * pieces).is_multiple_of(threads))
        .unwrap_or(group)
}

/// Whether the rows of the last (KV head, split) pairs, which are no whole round of the threads, are cut into pieces, given how
/// many pairs there are: where they are so few that threads would have nothing to do.
fn is_cut(pairs: usize, threads: usize) -> bool {
    pairs < 2 * threads && !pairs.is_multiple_of(threads)
}

/// Query rows of one KV head for consecutive tokens.
#[derive(Clone, Copy)]
struct RowSet<'a> {
    call: Attention<'a>,
    kv_head: usize,
    first_token: usize,
    /// First query head of the group that takes part.
    first_head: usize,
    rows: usize,
}

impl RowSet<'_> {
    #[inline(always)]
    fn token(&self, row: usize) -> usize {
        self.first_token + (self.first_head + row) / self.call.group()
    }
    #[inline(always)]
    fn position(&self, row: usize) -> usize {
        self.call.start + self.token(row)
    }
    #[inline(always)]
    fn column(&self, row: usize) -> usize {
        let group = self.call.group();
        (self.kv_head * group + (self.first_head + row) % group) * self.call.head_dim
    }
    /// # Safety
    /// `row` is below `rows`.
    #[inline(always)]
    unsafe fn query(&self, row: usize) -> *const f32 {
        // SAFETY: the token exists.
        unsafe { self.call.q.row(self.token(row)).add(self.column(row)) }
    }
}

struct Tiles<'a, K> {
    call: Attention<'a>,
    scratch: *mut f32,
    tile: usize,
    share: std::iter::StepBy<std::ops::Range<usize>>,
    kind: PhantomData<K>,
}

impl<K: Kind> Kernel for Tiles<'_, K> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let call = self.call;
        let kv_heads = call.cache.kv_heads();
        for item in self.share {
            let first_token = item / kv_heads * self.tile;
            let tokens = self.tile.min(call.tokens - first_token);
            let set = RowSet {
                call,
                kv_head: item % kv_heads,
                first_token,
                first_head: 0,
                rows: tokens * call.group(),
            };
            let len = state_len(call.head_dim);
            let padded = set.rows.next_multiple_of(ROWS);
            let (first, last) = (set.position(0), set.position(set.rows - 1));
            // SAFETY: the scratch holds two states and a query for every row, and the tile's weights.
            unsafe {
                let running = self.scratch;
                let partial = running.add(padded * len);
                let weights = partial.add(padded * len);
                let room = Room::at(weights);
                K::prepare::<S>(&set, room);
                let mut is_first = true;
                for split in call.first_key(first) / SPLIT..last / SPLIT + 1 {
                    let into = if is_first { running } else { partial };
                    one_split::<S, K>(&set, split, into, room);
                    if !is_first {
                        for row in 0..set.rows {
                            merge::<S>(
                                running.add(row * len),
                                partial.add(row * len),
                                call.head_dim,
                            );
                        }
                    }
                    is_first = false;
                }
                for row in 0..set.rows {
                    finish::<S>(&set, row, running.add(row * len));
                }
            }
        }
    }
}

/// A single token: (split, KV head) pairs over the threads, and pieces of the last pairs' rows.
struct Spread<'a, K> {
    call: Attention<'a>,
    scratch: *mut f32,
    /// Pairs that are one item; those behind them are `pieces` each.
    whole: usize,
    pieces: usize,
    share: std::iter::StepBy<std::ops::Range<usize>>,
    kind: PhantomData<K>,
}

impl<K: Kind> Kernel for Spread<'_, K> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let call = self.call;
        let first = call.split_range().start;
        let kv_heads = call.cache.kv_heads();
        let len = state_len(call.head_dim);
        let group = call.group();
        for item in self.share {
            let (pair, first_head, rows) = match item.checked_sub(self.whole) {
                None => (item, 0, group),
                Some(piece) => {
                    let from = |piece| group * piece / self.pieces;
                    let (pair, piece) = (piece / self.pieces, piece % self.pieces);
                    let rows = from(piece + 1) - from(piece);
                    (self.whole + pair, from(piece), rows)
                }
            };
            let (split, kv_head) = (pair / kv_heads, pair % kv_heads);
            let set = RowSet {
                call,
                kv_head,
                first_token: 0,
                first_head,
                rows,
            };
            // SAFETY: the scratch holds the group's states, queries and weights; `splits` has a slot for every row and split.
            unsafe {
                let own = self.scratch;
                let weights = own.add(group.next_multiple_of(ROWS) * len);
                let room = Room::at(weights);
                K::prepare::<S>(&set, room);
                one_split::<S, K>(&set, first + split, own, room);
                if call.is_split() {
                    let head = kv_head * group + set.first_head;
                    let slot = call.splits.add((split * call.heads + head) * len);
                    slot.copy_from_nonoverlapping(own, rows * len);
                } else {
                    for row in 0..rows {
                        finish::<S>(&set, row, own.add(row * len));
                    }
                }
            }
        }
    }
}

/// A single token's splits, in order: some of its query heads.
struct Merge<'a> {
    call: Attention<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for Merge<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let call = self.call;
        let len = state_len(call.head_dim);
        let group = call.group();
        for head in self.share {
            let set = RowSet {
                call,
                kv_head: head / group,
                first_token: 0,
                first_head: head % group,
                rows: 1,
            };
            // SAFETY: every slot was written before the barrier; a head's slots are this thread's now.
            unsafe {
                let running = call.splits.add(head * len);
                for split in 1..call.split_range().len() {
                    merge::<S>(
                        running,
                        call.splits.add((split * call.heads + head) * len),
                        call.head_dim,
                    );
                }
                finish::<S>(&set, 0, running);
            }
        }
    }
}
