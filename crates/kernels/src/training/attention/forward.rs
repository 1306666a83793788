//! The forward pass: scores, softmax and weighted values of a block of queries after the other.

use super::{AttentionShape, Head, QUERIES, give_rows, lanes_that_see, over_keys};
use crate::{
    simd::{Kernel, LANES, Simd, dispatch_floats, math, store_first},
    training::{
        Machine,
        product::{Exact, pack, tile},
        shared::{Pieces, Shared},
    },
};

/// Attention's result, and the logarithm of each query's sum.
///
/// # Panics
/// When a slice does not fit, or [`AttentionShape::scratch`] was not reserved.
pub fn attention(
    machine: &Machine,
    shape: &AttentionShape,
    (q, k, v): (&[f32], &[f32], &[f32]),
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    shape.check();
    assert_eq!(
        (q.len(), out.len()),
        (shape.queries(), shape.queries()),
        "queries and result"
    );
    assert_eq!(
        (k.len(), v.len()),
        (shape.keys(), shape.keys()),
        "keys and values"
    );
    assert_eq!(log_sums.len(), shape.log_sums(), "log-sums");
    let mut scratch = machine.scratch(shape.scratch(machine.threads()));
    let scratch = Shared::of(scratch.as_mut_slice());
    let operands = [q, k, v].map(Shared::read);
    let (out, log_sums) = (Shared::of(out), Shared::of(log_sums));
    machine.pool.run(|team| {
        team.deal(0, shape.sequences * shape.kv_heads, 1, |items| {
            for item in items {
                let forward = Forward {
                    shape,
                    operands,
                    out,
                    log_sums,
                    scratch: scratch.at(team.index * shape.scratch_of_thread()),
                    sequence: item / shape.kv_heads,
                    kv_head: item % shape.kv_heads,
                };
                // SAFETY: the lengths were checked; heads are disjoint; the processor has the set.
                unsafe { dispatch_floats(machine.isa, forward) }
            }
        });
    });
}

struct Forward<'a> {
    shape: &'a AttentionShape,
    operands: [Shared; 3],
    out: Shared,
    log_sums: Shared,
    scratch: *mut f32,
    sequence: usize,
    kv_head: usize,
}

impl Kernel for Forward<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `attention`. Tiles have as many sums as there are registers for.
        unsafe {
            if S::MANY_REGISTERS {
                self.head::<S, 8, 2>();
            } else {
                self.head::<S, 4, 1>();
            }
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    unsafe fn head<S: Simd, const M: usize, const N: usize>(&self) {
        let shape = self.shape;
        let [q, k, v] = self.operands;
        let head = |values, head, heads| shape.head(values, self.sequence, head, heads);
        let (k, v) = (
            head(k, self.kv_head, shape.kv_heads),
            head(v, self.kv_head, shape.kv_heads),
        );
        let padded = shape.positions.next_multiple_of(LANES);
        let mut pieces = Pieces(self.scratch);
        let panels = pieces.take(padded * shape.head_dim + LANES);
        let scores = pieces.take(padded * QUERIES);
        let turned = pieces.take(shape.head_dim * QUERIES + LANES);
        let result = pieces.take(shape.head_dim * QUERIES);
        let group = shape.heads / shape.kv_heads;
        // SAFETY: pieces have room for what is stored; rows exist.
        unsafe {
            pack_panels::<S, M>(k, panels);
            for head_index in self.kv_head * group..(self.kv_head + 1) * group {
                let (q, out) = (
                    head(q, head_index, shape.heads),
                    head(self.out, head_index, shape.heads),
                );
                for first in (0..shape.positions).step_by(N * LANES) {
                    let queries = first..shape.positions.min(first + N * LANES);
                    let keys = shape.seen(&queries);
                    pack::<S, Exact>(q.source(), first, N * LANES, (0, shape.head_dim), turned);
                    for panel in keys.start / M..keys.end.div_ceil(M) {
                        let left = panels.add(panel * M * shape.head_dim);
                        let sums = tile::<S, M, N, 1>(shape.head_dim, left, M, turned, N * LANES);
                        for (m, sums) in sums.into_iter().enumerate() {
                            for (n, sum) in sums.into_iter().enumerate() {
                                S::store(scores.add(((panel * M + m) * N + n) * LANES), sum);
                            }
                        }
                    }
                    let mut factors = [S::splat(0.0); N];
                    for (n, factor) in factors.iter_mut().enumerate() {
                        let column = scores.add(n * LANES);
                        let query = first + n * LANES;
                        let (log_sum, inverse) = softmax::<S, N>(shape, column, query, &keys);
                        *factor = inverse;
                        self.keep::<S>(log_sum, query, queries.end, head_index);
                    }
                    over_keys::<S, M, N>(v, &keys, scores, result);
                    give_rows::<S, N>(result, &queries, factors, out, false);
                }
            }
        }
    }

    /// Writes the log-sums of queries that exist.
    #[inline(always)]
    unsafe fn keep<S: Simd>(&self, log_sums: [f32; LANES], query: usize, end: usize, head: usize) {
        for (lane, log_sum) in log_sums.into_iter().enumerate() {
            if query + lane < end {
                let token = self.sequence * self.shape.positions + query + lane;
                // SAFETY: the token exists, and its head is this thread's.
                unsafe { *self.log_sums.at(token * self.shape.heads + head) = log_sum };
            }
        }
    }
}

/// All rows of a head as left panels of `M` rows.
///
/// # Safety
/// There is room for them, rounded up to 16 rows; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn pack_panels<S: Simd, const M: usize>(rows: Head, panels: *mut f32) {
    for first in (0..rows.positions).step_by(M) {
        // SAFETY: the caller's contract; what packing leaves behind a panel is overwritten by the next.
        unsafe {
            let panel = panels.add(first * rows.head_dim);
            pack::<S, Exact>(rows.source(), first, M, (0, rows.head_dim), panel);
        }
    }
}

/// Scores of one vector of queries become weights, not yet divided by their sum: the logarithm of that, and its inverse.
#[inline(always)]
unsafe fn softmax<S: Simd, const N: usize>(
    shape: &AttentionShape,
    scores: *mut f32,
    query: usize,
    keys: &std::ops::Range<usize>,
) -> ([f32; LANES], S::F) {
    const MASKED: f32 = -1.0e30;
    // SAFETY: there is a vector for each key.
    unsafe {
        let scale = S::splat(shape.scale);
        let mut most = S::splat(MASKED);
        for key in keys.clone() {
            let at = scores.add(key * N * LANES);
            let mut score = S::mul(S::load(at), scale);
            let (from, to) = lanes_that_see(key, query, shape.window);
            if from > 0 || to < LANES {
                score = S::keep(score, S::splat(MASKED), from, to);
            }
            S::store(at, score);
            most = S::max(most, score);
        }
        let mut sum = S::splat(0.0);
        for key in keys.clone() {
            let at = scores.add(key * N * LANES);
            let weight = math::exp::<S>(S::sub(S::load(at), most));
            S::store(at, weight);
            sum = S::add(sum, weight);
        }
        let (mut sums, mut mosts) = ([0.0f32; LANES], [0.0f32; LANES]);
        store_first::<S>(sums.as_mut_ptr(), sum, LANES);
        store_first::<S>(mosts.as_mut_ptr(), most, LANES);
        for (sum, most) in sums.iter_mut().zip(mosts) {
            *sum = most + sum.ln();
        }
        (sums, S::div(S::splat(1.0), sum))
    }
}
