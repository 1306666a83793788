//! The backward pass: weights are made again from the log-sums, block by block of queries, and all five products follow from them.

use std::ops::Range;

use super::{
    AttentionShape, Head, QUERIES, forward::pack_panels, give_rows, lanes_that_see, over_keys,
};
use crate::{
    simd::{Kernel, LANES, Simd, dispatch_floats, math},
    training::{
        Into, Machine,
        product::{Exact, pack, tile, tile_onto},
        shared::{Pieces, Shared},
    },
};

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub struct AttentionKept<'a> {
    /// Queries, keys, values.
    pub operands: (&'a [f32], &'a [f32], &'a [f32]),
    /// The result.
    pub out: &'a [f32],
    /// What the forward pass kept.
    pub log_sums: &'a [f32],
}

/// Gradients of queries, keys and values, from that of the result.
///
/// # Panics
/// When a slice does not fit, or [`AttentionShape::scratch`] was not reserved.
pub fn attention_backward(
    machine: &Machine,
    shape: &AttentionShape,
    kept: &AttentionKept<'_>,
    d_out: &[f32],
    gradients: [(&mut [f32], Into); 3],
) {
    shape.check();
    let (q, k, v) = kept.operands;
    let [d_q, d_k, d_v] = gradients;
    for values in [q, kept.out, d_out, &*d_q.0] {
        assert_eq!(
            values.len(),
            shape.queries(),
            "queries, results and their gradients"
        );
    }
    for values in [k, v, &*d_k.0, &*d_v.0] {
        assert_eq!(
            values.len(),
            shape.keys(),
            "keys, values and their gradients"
        );
    }
    assert_eq!(kept.log_sums.len(), shape.log_sums(), "log-sums");
    let mut scratch = machine.scratch(shape.scratch(machine.threads()));
    let scratch = Shared::of(scratch.as_mut_slice());
    let read = [q, k, v, kept.out, d_out, kept.log_sums].map(Shared::read);
    let written = [d_q, d_k, d_v].map(|(values, into)| (Shared::of(values), into == Into::Add));
    machine.pool.run(|team| {
        team.deal(0, shape.sequences * shape.kv_heads, 1, |items| {
            for item in items {
                let backward = Backward {
                    shape,
                    read,
                    written,
                    scratch: scratch.at(team.index * shape.scratch_of_thread()),
                    sequence: item / shape.kv_heads,
                    kv_head: item % shape.kv_heads,
                };
                // SAFETY: the lengths were checked; heads are disjoint; the processor has the set.
                unsafe { dispatch_floats(machine.isa, backward) }
            }
        });
    });
}

struct Backward<'a> {
    shape: &'a AttentionShape,
    /// Queries, keys, values, results, their gradient, log-sums.
    read: [Shared; 6],
    /// Gradients of queries, keys and values; whether they are added to.
    written: [(Shared, bool); 3],
    scratch: *mut f32,
    sequence: usize,
    kv_head: usize,
}

impl Kernel for Backward<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `attention_backward`. Tiles have as many sums as there are registers for.
        unsafe {
            if S::MANY_REGISTERS {
                self.head::<S, 8, 2, 32>();
            } else {
                self.head::<S, 4, 1, 16>();
            }
        }
    }
}

/// A thread's working memory.
struct Buffers {
    /// K and V as left panels.
    panels: [*mut f32; 2],
    /// Gradients of K and V, (position, channel).
    sums: [*mut f32; 2],
    /// P and dS, (key, query).
    weights: *mut f32,
    slopes: *mut f32,
    /// Q and dO, (channel, query); dQ likewise.
    turned: [*mut f32; 2],
    result: *mut f32,
}

impl Buffers {
    fn of(shape: &AttentionShape, scratch: *mut f32) -> Self {
        let padded = shape.positions.next_multiple_of(LANES);
        let mut pieces = Pieces(scratch);
        let (rows, scores) = (padded * shape.head_dim, padded * QUERIES);
        let block = shape.head_dim * QUERIES;
        Self {
            panels: [pieces.take(rows + LANES), pieces.take(rows + LANES)],
            sums: [pieces.take(rows), pieces.take(rows)],
            weights: pieces.take(scores),
            slopes: pieces.take(scores),
            turned: [pieces.take(block + LANES), pieces.take(block + LANES)],
            result: pieces.take(block),
        }
    }
}

impl Backward<'_> {
    /// `Q` is `16 N`: queries of a block.
    #[inline(always)]
    unsafe fn head<S: Simd, const M: usize, const N: usize, const Q: usize>(&self) {
        const { assert!(Q == N * LANES && LANES.is_multiple_of(M)) }
        let shape = self.shape;
        let [q, k, v, out, d_out, _] = self.read;
        let [d_q, d_k, d_v] = self.written;
        let head = |values, head, heads| shape.head(values, self.sequence, head, heads);
        let of_keys = |values| head(values, self.kv_head, shape.kv_heads);
        let (k, v) = (of_keys(k), of_keys(v));
        let buffers = Buffers::of(shape, self.scratch);
        let group = shape.heads / shape.kv_heads;
        let len = shape.positions.next_multiple_of(LANES) * shape.head_dim;
        // SAFETY: pieces have room for what is stored; rows exist.
        unsafe {
            pack_panels::<S, M>(k, buffers.panels[0]);
            pack_panels::<S, M>(v, buffers.panels[1]);
            for sums in buffers.sums {
                sums.write_bytes(0, len);
            }
            for index in self.kv_head * group..(self.kv_head + 1) * group {
                let of_queries = |values| head(values, index, shape.heads);
                let (q, out, d_out) = (of_queries(q), of_queries(out), of_queries(d_out));
                for first in (0..shape.positions).step_by(Q) {
                    let queries = first..shape.positions.min(first + Q);
                    let keys = shape.seen(&queries);
                    pack::<S, Exact>(q.source(), first, Q, (0, shape.head_dim), buffers.turned[0]);
                    pack::<S, Exact>(
                        d_out.source(),
                        first,
                        Q,
                        (0, shape.head_dim),
                        buffers.turned[1],
                    );
                    let statistics = self.statistics::<S, N>(&queries, index, out, d_out);
                    self.scores::<S, M, N>(&buffers, &queries, &keys, statistics);
                    add_products::<S, M, Q>(
                        buffers.weights,
                        &keys,
                        d_out,
                        &queries,
                        buffers.sums[1],
                    );
                    add_products::<S, M, Q>(buffers.slopes, &keys, q, &queries, buffers.sums[0]);
                    over_keys::<S, M, N>(k, &keys, buffers.slopes, buffers.result);
                    let one = [S::splat(1.0); N];
                    give_rows::<S, N>(buffers.result, &queries, one, of_queries(d_q.0), d_q.1);
                }
            }
            for (sums, (values, add)) in buffers.sums.into_iter().zip([d_k, d_v]) {
                write_sums::<S>(sums, of_keys(values), add);
            }
        }
    }

    /// Of each query, the log-sum and D; where there is no query, a log-sum that makes its weights 0.
    #[inline(always)]
    unsafe fn statistics<S: Simd, const N: usize>(
        &self,
        queries: &Range<usize>,
        head: usize,
        out: Head,
        d_out: Head,
    ) -> [[S::F; N]; 2] {
        let mut lanes = [[1.0e30f32; QUERIES], [0.0f32; QUERIES]];
        // SAFETY: the queries exist.
        unsafe {
            let mut statistics = [[S::splat(0.0); N]; 2];
            for (lane, query) in queries.clone().enumerate() {
                let token = self.sequence * self.shape.positions + query;
                lanes[0][lane] = *self.read[5].at(token * self.shape.heads + head);
                let mut sum = S::splat(0.0);
                for channel in (0..self.shape.head_dim).step_by(LANES) {
                    let o = S::load(out.row(query).add(channel));
                    sum = S::fma(o, S::load(d_out.row(query).add(channel)), sum);
                }
                lanes[1][lane] = S::sum(sum);
            }
            for (statistic, lanes) in statistics.iter_mut().zip(&lanes) {
                for (n, vector) in statistic.iter_mut().enumerate() {
                    *vector = S::load(lanes.as_ptr().add(n * LANES));
                }
            }
            statistics
        }
    }

    /// P and dS of all keys that the queries see.
    #[inline(always)]
    unsafe fn scores<S: Simd, const M: usize, const N: usize>(
        &self,
        buffers: &Buffers,
        queries: &Range<usize>,
        keys: &Range<usize>,
        [log_sums, d]: [[S::F; N]; 2],
    ) {
        let shape = self.shape;
        let (depth, wide) = (shape.head_dim, N * LANES);
        // SAFETY: panels and blocks have room for what is read and stored.
        unsafe {
            let scale = S::splat(shape.scale);
            for panel in keys.start / M..keys.end.div_ceil(M) {
                let at = panel * M * depth;
                let scores = tile::<S, M, N, 1>(
                    depth,
                    buffers.panels[0].add(at),
                    M,
                    buffers.turned[0],
                    wide,
                );
                let slopes = tile::<S, M, N, 1>(
                    depth,
                    buffers.panels[1].add(at),
                    M,
                    buffers.turned[1],
                    wide,
                );
                for (m, (scores, slopes)) in scores.into_iter().zip(slopes).enumerate() {
                    let key = panel * M + m;
                    for n in 0..N {
                        let score = S::sub(S::mul(scores[n], scale), log_sums[n]);
                        let mut weight = math::exp::<S>(score);
                        let (from, to) =
                            lanes_that_see(key, queries.start + n * LANES, shape.window);
                        if from > 0 || to < LANES {
                            weight = S::keep(weight, S::splat(0.0), from, to);
                        }
                        let slope = S::mul(weight, S::sub(slopes[n], d[n]));
                        let at = (key * N + n) * LANES;
                        S::store(buffers.weights.add(at), weight);
                        S::store(buffers.slopes.add(at), S::mul(slope, scale));
                    }
                }
            }
        }
    }
}

/// `sums[key][c] += sum over queries of weights[key][query] rows[query][c]`.
#[inline(always)]
unsafe fn add_products<S: Simd, const M: usize, const Q: usize>(
    weights: *const f32,
    keys: &Range<usize>,
    rows: Head,
    queries: &Range<usize>,
    sums: *mut f32,
) {
    // SAFETY: as in `add_tile`; panels of keys are whole, with zeros for keys that no query sees.
    unsafe {
        for key in (keys.start / M * M..keys.end).step_by(M) {
            let mut channel = 0;
            while S::MANY_REGISTERS && channel + 2 * LANES <= rows.head_dim {
                add_tile::<S, M, 2, Q>(weights, key, rows, queries, channel, sums);
                channel += 2 * LANES;
            }
            while channel < rows.head_dim {
                add_tile::<S, M, 1, Q>(weights, key, rows, queries, channel, sums);
                channel += LANES;
            }
        }
    }
}

#[inline(always)]
unsafe fn add_tile<S: Simd, const M: usize, const V: usize, const Q: usize>(
    weights: *const f32,
    key: usize,
    rows: Head,
    queries: &Range<usize>,
    channel: usize,
    sums: *mut f32,
) {
    // SAFETY: there are weights of `M` keys and 16 `V` channels of each query. One chain over all queries: blocks of them have another
    // size on another instruction set.
    unsafe {
        let left = weights.add(key * Q);
        let right = rows.row(queries.start).add(channel);
        let to = sums.add(key * rows.head_dim + channel);
        let mut products = [[S::splat(0.0); V]; M];
        for (m, products) in products.iter_mut().enumerate() {
            for (n, product) in products.iter_mut().enumerate() {
                *product = S::load(to.add(m * rows.head_dim + n * LANES));
            }
        }
        let products =
            tile_onto::<S, M, V>(products, queries.len(), (left, 1, Q), (right, rows.step));
        for (m, products) in products.into_iter().enumerate() {
            for (n, product) in products.into_iter().enumerate() {
                S::store(to.add(m * rows.head_dim + n * LANES), product);
            }
        }
    }
}

#[inline(always)]
unsafe fn write_sums<S: Simd>(sums: *const f32, to: Head, add: bool) {
    for position in 0..to.positions {
        for channel in (0..to.head_dim).step_by(LANES) {
            // SAFETY: the rows exist.
            unsafe {
                let mut x = S::load(sums.add(position * to.head_dim + channel));
                let to = to.row(position).add(channel);
                if add {
                    x = S::add(S::load(to), x);
                }
                S::store(to, x);
            }
        }
    }
}
