//! The kernel: register tiles of 4 query rows by 64 keys for scores, of 4 rows by 64 dimensions for values.
//!
//! A *row* is one query head of one token. Rows of a tile share a KV head; their running state lies in a scratch of the thread.

use super::cache::{KEY_BLOCK, KvCache};
use crate::{
    pool::Team,
    profile::{KvType, RuntimeProfile},
    rows::Rows,
    simd::{Kernel, LANES, Simd, dispatch, math, store_first},
};

/// Keys of a split. Fixes the order of reduction, so it is no field of the profile.
pub(crate) const SPLIT: usize = 512;
/// Query rows of a register tile.
const ROWS: usize = 4;
/// Vectors of a register tile: 64 keys, or 64 dimensions.
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
    pub cache: &'a KvCache,
    pub heads: usize,
    pub head_dim: usize,
    /// A key is seen while `query - key < window`.
    pub window: Option<usize>,
    /// Position of the first token.
    pub start: usize,
    pub tokens: usize,
}

impl Attention<'_> {
    fn group(&self) -> usize {
        self.heads / self.cache.kv_heads()
    }

    /// First key that the query at `position` sees.
    fn first_key(&self, position: usize) -> usize {
        self.window.map_or(0, |w| (position + 1).saturating_sub(w))
    }

    /// Splits that a single-token step touches.
    fn splits(&self) -> std::ops::Range<usize> {
        self.first_key(self.start) / SPLIT..self.start / SPLIT + 1
    }
}

/// Elements of a row's state: maximum, sum, padding to a vector, then the weighted values.
fn state_len(head_dim: usize) -> usize {
    LANES + head_dim.next_multiple_of(LANES * VECTORS)
}

/// f32 elements of scratch that one thread needs.
pub(crate) fn scratch_len(profile: &RuntimeProfile, group: usize, head_dim: usize) -> usize {
    let rows = tile_tokens(profile, group) * group;
    // Running state and one split's state per row, and the weights of a register tile.
    2 * rows.next_multiple_of(ROWS) * state_len(head_dim) + ROWS * KEY_BLOCK
}

/// f32 elements of the splits that a single-token step may spread over threads.
pub(crate) fn splits_len(heads: usize, head_dim: usize, capacity: usize) -> usize {
    capacity.div_ceil(SPLIT) * heads.next_multiple_of(ROWS) * state_len(head_dim)
}

fn tile_tokens(profile: &RuntimeProfile, group: usize) -> usize {
    (profile.attention_tile / group.max(1)).max(1)
}

/// This thread's share. `scratch` is its own, `splits` is shared. For a single token the team meets once inside.
///
/// # Safety
/// The views have `tokens` rows of `heads * head_dim` columns (padded); the cache holds every position up to
/// `start + tokens`; the scratches have the lengths that [`scratch_len`] and [`splits_len`] give; all threads call it.
pub(crate) unsafe fn attention(
    profile: &RuntimeProfile,
    call: Attention<'_>,
    scratch: *mut f32,
    splits: *mut f32,
    team: &Team<'_>,
) {
    let kv_heads = call.cache.kv_heads();
    // SAFETY: the caller's contract; items are disjoint rows.
    unsafe {
        if call.tokens == 1 && call.splits().len() > 1 {
            let share = team.share(kv_heads * call.splits().len());
            dispatch(
                profile.isa,
                Spread {
                    call,
                    scratch,
                    splits,
                    share,
                },
            );
            team.barrier();
            let share = team.share(call.heads);
            dispatch(
                profile.isa,
                Merge {
                    call,
                    splits,
                    share,
                },
            );
        } else {
            let tile = tile_tokens(profile, call.group());
            let tiles = call.tokens.div_ceil(tile);
            let share = strided(team, tiles * kv_heads);
            dispatch(
                profile.isa,
                Tiles {
                    call,
                    scratch,
                    tile,
                    share,
                },
            );
        }
    }
}

/// Every size-th item: later tiles see more keys, so contiguous shares would be unequal.
fn strided(team: &Team<'_>, items: usize) -> std::iter::StepBy<std::ops::Range<usize>> {
    (team.index.min(items)..items).step_by(team.size)
}

/// Query rows of one KV head for consecutive tokens.
#[derive(Clone, Copy)]
struct RowSet<'a> {
    call: Attention<'a>,
    kv_head: usize,
    first_token: usize,
    rows: usize,
}

impl RowSet<'_> {
    #[inline(always)]
    fn position(&self, row: usize) -> usize {
        self.call.start + self.first_token + row / self.call.group()
    }
    #[inline(always)]
    fn column(&self, row: usize) -> usize {
        (self.kv_head * self.call.group() + row % self.call.group()) * self.call.head_dim
    }
    /// # Safety
    /// `row` is below `rows`.
    #[inline(always)]
    unsafe fn query(&self, row: usize) -> *const f32 {
        let token = self.first_token + row / self.call.group();
        // SAFETY: the token exists.
        unsafe { self.call.q.row(token).add(self.column(row)) }
    }
}

struct Tiles<'a> {
    call: Attention<'a>,
    scratch: *mut f32,
    tile: usize,
    share: std::iter::StepBy<std::ops::Range<usize>>,
}

impl Kernel for Tiles<'_> {
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
                rows: tokens * call.group(),
            };
            let len = state_len(call.head_dim);
            let padded = set.rows.next_multiple_of(ROWS);
            let (first, last) = (set.position(0), set.position(set.rows - 1));
            // SAFETY: the scratch holds two states for every row, and the tile's weights.
            unsafe {
                let running = self.scratch;
                let partial = running.add(padded * len);
                let weights = partial.add(padded * len);
                let mut is_first = true;
                for split in call.first_key(first) / SPLIT..last / SPLIT + 1 {
                    let into = if is_first { running } else { partial };
                    one_split::<S>(&set, split, into, weights);
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

/// A single token: (KV head, split) pairs over the threads.
struct Spread<'a> {
    call: Attention<'a>,
    scratch: *mut f32,
    splits: *mut f32,
    share: std::ops::Range<usize>,
}

impl Kernel for Spread<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let call = self.call;
        let first = call.splits().start;
        let kv_heads = call.cache.kv_heads();
        let len = state_len(call.head_dim);
        let group = call.group();
        for item in self.share {
            let (split, kv_head) = (item / kv_heads, item % kv_heads);
            let set = RowSet {
                call,
                kv_head,
                first_token: 0,
                rows: group,
            };
            // SAFETY: the scratch holds the group's states and weights; `splits` has a slot for every row and split.
            unsafe {
                let own = self.scratch;
                let weights = own.add(group.next_multiple_of(ROWS) * len);
                one_split::<S>(&set, first + split, own, weights);
                let slot = self
                    .splits
                    .add((split * call.heads + kv_head * group) * len);
                slot.copy_from_nonoverlapping(own, group * len);
            }
        }
    }
}

struct Merge<'a> {
    call: Attention<'a>,
    splits: *mut f32,
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
                rows: group,
            };
            // SAFETY: every slot was written before the barrier; a head's slots are this thread's now.
            unsafe {
                let running = self.splits.add(head * len);
                for split in 1..call.splits().len() {
                    merge::<S>(
                        running,
                        self.splits.add((split * call.heads + head) * len),
                        call.head_dim,
                    );
                }
                finish::<S>(&set, head % group, running);
            }
        }
    }
}

/// Attention of all rows to the keys of one split, from nothing.
#[inline(always)]
unsafe fn one_split<S: Simd>(set: &RowSet<'_>, split: usize, states: *mut f32, weights: *mut f32) {
    let call = &set.call;
    let len = state_len(call.head_dim);
    let last = set.position(set.rows - 1);
    let from = (split * SPLIT).max(call.first_key(set.position(0)) / KEY_BLOCK * KEY_BLOCK);
    let to = ((split + 1) * SPLIT).min(last + 1);
    // SAFETY: `states` has room for the rows rounded up to whole register tiles.
    unsafe {
        for row in 0..set.rows {
            let state = states.add(row * len);
            *state = MASKED;
            *state.add(1) = 0.0;
            let mut d = LANES;
            while d < len {
                S::store(state.add(d), S::splat(0.0));
                d += LANES;
            }
        }
        let mut key = from;
        while key < to {
            let mut row = 0;
            while row < set.rows {
                let rows = ROWS.min(set.rows - row);
                match call.cache.kind() {
                    KvType::F16 => block::<S, Half>(set, row, rows, key, to, states, weights),
                    KvType::F32 => block::<S, Single>(set, row, rows, key, to, states, weights),
                }
                row += rows;
            }
            key += KEY_BLOCK;
        }
    }
}

/// How the cache's numbers are read.
trait Stored {
    const BYTES: usize;
    unsafe fn load<S: Simd>(p: *const u8) -> S::F;
}

struct Half;
struct Single;

impl Stored for Half {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: 16 numbers at `p`.
        unsafe { S::load_f16(p.cast()) }
    }
}

impl Stored for Single {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: 16 numbers at `p`.
        unsafe { S::load(p.cast()) }
    }
}

/// Up to 4 rows, one block of 64 keys from `key`; keys from `end` on do not exist.
#[inline(always)]
unsafe fn block<S: Simd, C: Stored>(
    set: &RowSet<'_>,
    first: usize,
    rows: usize,
    key: usize,
    end: usize,
    states: *mut f32,
    weights: *mut f32,
) {
    let call = &set.call;
    let len = state_len(call.head_dim);
    // SAFETY: the contract of `attention`: blocks of keys and values are within the cache's capacity.
    unsafe {
        let scores = scores::<S, C>(set, first, rows, key);
        let mut shrink = [S::splat(0.0); ROWS];
        for r in 0..rows {
            let state = states.add((first + r) * len);
            let position = set.position(first + r);
            let from = call.first_key(position).saturating_sub(key);
            let to = (position + 1).saturating_sub(key);
            let mut s = scores[r];
            let mut top = S::splat(MASKED);
            for (i, v) in s.iter_mut().enumerate() {
                let at = i * LANES;
                *v = S::keep(
                    *v,
                    S::splat(MASKED),
                    from.saturating_sub(at).min(LANES),
                    to.saturating_sub(at).min(LANES),
                );
                top = S::max(top, *v);
            }
            let old = *state;
            let new = S::largest(top).max(old);
            let m = S::splat(new);
            let mut sum = S::splat(0.0);
            for (i, v) in s.iter().enumerate() {
                let p = math::exp::<S>(S::sub(*v, m));
                S::store(weights.add(r * KEY_BLOCK + i * LANES), p);
                sum = S::add(sum, p);
            }
            let ratio = math::exp::<S>(S::splat(old - new));
            shrink[r] = ratio;
            *state = new;
            let mut lane = [0.0f32; LANES];
            S::store(lane.as_mut_ptr(), ratio);
            *state.add(1) = (*state.add(1)).mul_add(lane[0], S::sum(sum));
        }
        let keys = KEY_BLOCK.min(end - key);
        let mut d = 0;
        while d < call.head_dim {
            values::<S, C>(set, first, rows, key, keys, d, &shrink, states, weights);
            d += LANES * VECTORS;
        }
    }
}

/// q . k for 4 rows by 64 keys: a chain over the dimensions in order.
#[inline(always)]
unsafe fn scores<S: Simd, C: Stored>(
    set: &RowSet<'_>,
    first: usize,
    rows: usize,
    key: usize,
) -> [[S::F; VECTORS]; ROWS] {
    let call = &set.call;
    // SAFETY: as `block`; rows beyond `rows` repeat the last one.
    unsafe {
        let mut acc = [[S::splat(0.0); VECTORS]; ROWS];
        let mut q = [set.query(first); ROWS];
        for (r, q) in q.iter_mut().enumerate() {
            *q = set.query(first + r.min(rows - 1));
        }
        let base = call.cache.key_base(set.kv_head, key / LANES).cast_const();
        let stride = call.head_dim * LANES * C::BYTES;
        for d in 0..call.head_dim {
            let at = base.add(d * LANES * C::BYTES);
            let mut k = [C::load::<S>(at); VECTORS];
            for (i, k) in k.iter_mut().enumerate() {
                *k = C::load::<S>(at.add(i * stride));
            }
            for r in 0..ROWS {
                let x = S::splat(*q[r].add(d));
                for i in 0..VECTORS {
                    acc[r][i] = S::fma(x, k[i], acc[r][i]);
                }
            }
        }
        acc
    }
}

/// Adds the weighted values of `keys` keys to 64 dimensions from `d` of 4 rows.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "one register tile of the innermost loop; a struct would only rename them"
)]
#[expect(
    clippy::needless_range_loop,
    reason = "constant indices into several register tiles at once"
)]
unsafe fn values<S: Simd, C: Stored>(
    set: &RowSet<'_>,
    first: usize,
    rows: usize,
    key: usize,
    keys: usize,
    d: usize,
    shrink: &[S::F; ROWS],
    states: *mut f32,
    weights: *const f32,
) {
    let call = &set.call;
    let len = state_len(call.head_dim);
    // SAFETY: states are padded to 64 dimensions; a value row is read in whole vectors, the cache has a vector of slack.
    unsafe {
        let wide = (call.head_dim - d).div_ceil(LANES).min(VECTORS);
        let mut acc = [[S::splat(0.0); VECTORS]; ROWS];
        for r in 0..rows {
            for i in 0..VECTORS {
                acc[r][i] = S::mul(
                    S::load(states.add((first + r) * len + LANES + d + i * LANES)),
                    shrink[r],
                );
            }
        }
        let stride = call.head_dim * C::BYTES;
        let mut at = call
            .cache
            .value_base(set.kv_head, key)
            .cast_const()
            .add(d * C::BYTES);
        for j in 0..keys {
            let mut v = [S::splat(0.0); VECTORS];
            if wide == VECTORS {
                for (i, v) in v.iter_mut().enumerate() {
                    *v = C::load::<S>(at.add(i * LANES * C::BYTES));
                }
            } else {
                for (i, v) in v.iter_mut().take(wide).enumerate() {
                    *v = C::load::<S>(at.add(i * LANES * C::BYTES));
                }
            }
            for r in 0..ROWS {
                let p = S::splat(*weights.add(r * KEY_BLOCK + j));
                for i in 0..VECTORS {
                    acc[r][i] = S::fma(p, v[i], acc[r][i]);
                }
            }
            at = at.add(stride);
        }
        for r in 0..rows {
            for i in 0..VECTORS {
                S::store(
                    states.add((first + r) * len + LANES + d + i * LANES),
                    acc[r][i],
                );
            }
        }
    }
}

/// Merges a later split's state into the running one.
#[inline(always)]
unsafe fn merge<S: Simd>(running: *mut f32, part: *const f32, head_dim: usize) {
    // SAFETY: both are whole states.
    unsafe {
        let new = (*running).max(*part);
        let (a, b) = (
            math::exp::<S>(S::splat(*running - new)),
            math::exp::<S>(S::splat(*part - new)),
        );
        let mut lanes = [0.0f32; LANES];
        S::store(lanes.as_mut_ptr(), a);
        let old = lanes[0];
        S::store(lanes.as_mut_ptr(), b);
        *running.add(1) = (*running.add(1)).mul_add(old, *part.add(1) * lanes[0]);
        *running = new;
        let mut d = LANES;
        while d < state_len(head_dim) {
            let sum = S::fma(S::load(running.add(d)), a, S::mul(S::load(part.add(d)), b));
            S::store(running.add(d), sum);
            d += LANES;
        }
    }
}

/// Divides by the sum, applies the gate, writes the head.
#[inline(always)]
unsafe fn finish<S: Simd>(set: &RowSet<'_>, row: usize, state: *const f32) {
    let call = &set.call;
    let token = set.first_token + row / call.group();
    let column = set.column(row);
    // SAFETY: the output has the row and the columns; a partial last vector keeps what follows it.
    unsafe {
        let sum = S::splat(*state.add(1));
        let out = call.out.row(token).add(column);
        let mut d = 0;
        while d < call.head_dim {
            let mut y = S::div(S::load(state.add(LANES + d)), sum);
            if let Some(gate) = call.gate {
                y = S::mul(
                    y,
                    math::sigmoid::<S>(S::load(gate.row(token).add(column + d))),
                );
            }
            // What follows the head is another's, maybe another thread's.
            store_first::<S>(out.add(d), y, call.head_dim - d);
            d += LANES;
        }
    }
}
