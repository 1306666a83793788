//! Against the reference on both cache types, and one result per query whatever it is computed with.

use half::f16;
use ops::attention::{self as reference, Shape};

use super::{
    cache::KvCache,
    cpu::{Attention, SPLIT, attention, scratch_len, splits_len},
};
use crate::{
    Isa, KvType, Pool, RuntimeProfile,
    fixture::{Matrix, assert_near, assert_same_bits, same_everywhere},
    memory::{Aligned, Arena, Pages},
    simd::Portable,
};

/// What a Q8_0 cache makes of up to 32 numbers: whole multiples of the largest magnitude over 127, that in binary16.
fn as_bytes(x: &[f32]) -> Vec<f32> {
    let scale = x.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0;
    let inverse = 1.0 / scale;
    let rounded = f16::from_f32(scale).to_f32();
    x.iter()
        .map(|x| (x * inverse).round_ties_even() * rounded)
        .collect()
}

/// Whole numbers of 16 bits against numbers that were not rounded: 2e-4 is what binary16 leaves of such inputs.
const WHOLE_TOLERANCE: f64 = 5e-4;

/// A sequence with its cache filled.
struct Sequence {
    shape: Shape,
    q: Vec<f32>,
    gate: Option<Vec<f32>>,
    /// As the cache holds them: rounded, if it rounds; for whole numbers of 16 bits as they were.
    k: Vec<f32>,
    v: Vec<f32>,
    cache: KvCache,
}

impl Sequence {
    fn of(shape: Shape, kind: KvType) -> Self {
        let (queries, cached) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        let positions = shape.depth + shape.tokens;
        let [k, v] = [2, 3].map(|seed| ops::input::normal(seed, positions * cached));
        let cache = KvCache::new(
            kind,
            shape.kv_heads,
            shape.head_dim,
            positions,
            &mut Arena::new(Pages::Huge),
        )
        .expect("memory");
        let stored = |x: Vec<f32>| match kind {
            KvType::F32 | KvType::I16 => x,
            KvType::F16 => x.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
            KvType::Q8_0 => x
                .chunks(shape.head_dim)
                .flat_map(|head| head.chunks(32))
                .flat_map(as_bytes)
                .collect(),
        };
        // The kernel takes queries that are scaled already.
        let q = ops::input::normal(1, shape.tokens * queries)
            .iter()
            .map(|q| q * shape.scale)
            .collect();
        let mut sequence = Self {
            shape,
            q,
            gate: shape
                .gated
                .then(|| ops::input::normal(4, shape.tokens * queries)),
            k,
            v,
            cache,
        };
        sequence.fill();
        let Self { k, v, .. } = sequence;
        Self {
            k: stored(k),
            v: stored(v),
            ..sequence
        }
    }

    /// Writes keys and values into the cache.
    fn fill(&mut self) {
        let Shape {
            kv_heads, head_dim, ..
        } = self.shape;
        let width = kv_heads * head_dim;
        let (keys, values) = (Matrix::of(&self.k, width), Matrix::of(&self.v, width));
        for position in 0..self.k.len() / width {
            for head in 0..kv_heads {
                // SAFETY: the position has a row, padded, and a slot.
                unsafe {
                    let key = keys.rows().row(position).add(head * head_dim);
                    let value = values.rows().row(position).add(head * head_dim);
                    self.cache.write::<Portable>(head, position, key, value);
                }
            }
        }
    }

    fn width(&self) -> usize {
        self.shape.heads * self.shape.head_dim
    }

    fn want(&self) -> Vec<f64> {
        let shape = Shape {
            scale: 1.0,
            ..self.shape
        };
        reference::reference(&shape, &self.q, &self.k, &self.v, self.gate.as_deref())
    }

    /// The results of the sequence's tokens `from..from + tokens`.
    fn run(&self, profile: &RuntimeProfile, pool: &Pool, from: usize, tokens: usize) -> Vec<f32> {
        let Shape {
            depth,
            heads,
            kv_heads,
            head_dim,
            window,
            ..
        } = self.shape;
        let width = self.width();
        let part = |x: &[f32]| Matrix::of(&x[from * width..][..tokens * width], width);
        let (q, gate) = (part(&self.q), self.gate.as_ref().map(|g| part(g)));
        let out = Matrix::empty(tokens, width);
        let len = scratch_len(profile, heads / kv_heads, head_dim);
        let zeroed = |len| Aligned::<f32>::zeroed(len).expect("memory");
        let scratch: Vec<_> = (0..pool.threads()).map(|_| zeroed(len)).collect();
        let splits = zeroed(splits_len(heads, head_dim, depth + from + tokens));
        pool.run(|team| {
            let call = Attention {
                q: q.rows(),
                out: out.rows(),
                gate: gate.as_ref().map(Matrix::rows),
                quantised: None,
                cache: &self.cache,
                heads,
                head_dim,
                window,
                start: depth + from,
                tokens,
                splits: splits.as_mut_pointer(),
            };
            let own = scratch[team.index].as_mut_pointer();
            // SAFETY: views, cache and scratches have the lengths asked for; every thread calls it.
            unsafe { attention(profile, std::iter::once(call), own, team) }
        });
        out.values()
    }

    /// On every instruction set and number of threads; `tile` is the profile's.
    fn check(&self, what: &str, tile: usize) {
        let got = same_everywhere(what, |isa, pool| {
            self.run(&profile(isa, tile), pool, 0, self.shape.tokens)
        });
        let tolerance = match self.cache.kind() {
            KvType::I16 => WHOLE_TOLERANCE,
            KvType::F16 | KvType::Q8_0 | KvType::F32 => reference::TOLERANCE,
        };
        assert_near(&got, &self.want(), tolerance, what);
    }
}

fn profile(isa: Isa, attention_tile: usize) -> RuntimeProfile {
    RuntimeProfile {
        isa,
        attention_tile,
        ..RuntimeProfile::default()
    }
}

fn shape(tokens: usize, depth: usize, head_dim: usize) -> Shape {
    Shape {
        tokens,
        depth,
        heads: 6,
        kv_heads: 2,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        window: None,
        softcap: None,
        gated: false,
    }
}

#[test]
fn the_table_is_right() {
    for case in reference::cases() {
        // No architecture that runs here bounds its scores.
        if case.shape.softcap.is_some() {
            continue;
        }
        for kind in KvType::ALL {
            Sequence::of(case.shape, kind).check(&format!("{}, {}", case.name, kind.name()), 16);
        }
    }
}

#[test]
fn odd_heads_and_depths_around_splits_are_right() {
    for head_dim in [16, 64, 80, 96, 128, 256] {
        for depth in [0, 63, 64, SPLIT - 1, SPLIT, 1500] {
            let kind = match depth {
                SPLIT => KvType::F32,
                64 => KvType::Q8_0,
                63 => KvType::F16,
                _ => KvType::I16,
            };
            let what = format!("{head_dim} at {depth}, {}", kind.name());
            Sequence::of(shape(3, depth, head_dim), kind).check(&what, 16);
        }
    }
}

/// Heads that are no whole vectors: a head's last vector reaches into the next head, which another thread writes.
#[test]
fn heads_of_odd_width_are_right() {
    for head_dim in [1, 10, 20, 36, 72] {
        for (tokens, depth) in [(1, 70), (1, 1100), (9, 600)] {
            let shape = Shape {
                gated: true,
                ..shape(tokens, depth, head_dim)
            };
            let what = format!("{head_dim}, {tokens} at {depth}");
            for kind in [KvType::I16, KvType::F16, KvType::Q8_0] {
                let what = format!("{what}, {}", kind.name());
                Sequence::of(shape, kind).check(&what, 16);
            }
        }
    }
}

/// A query has the same bits alone (where splits are spread over threads), in chunks, and in any tile.
fn has_one_result(shape: Shape, kind: KvType, isa: Isa) {
    let sequence = Sequence::of(shape, kind);
    let pools = [1, 3, 4].map(|threads| Pool::new(threads, 100, 100).expect("threads"));
    let (width, tokens) = (sequence.width(), shape.tokens);
    let whole = sequence.run(&profile(isa, 16), &pools[1], 0, tokens);
    for token in [0, 1, 2, tokens / 2, tokens - 2, tokens - 1] {
        for pool in &pools {
            let alone = sequence.run(&profile(isa, 16), pool, token, 1);
            let what = format!("{shape:?} {}: token {token} alone", isa.name());
            assert_same_bits(&alone, &whole[token * width..][..width], &what);
        }
    }
    for chunk in [7, 64] {
        for from in (0..tokens).step_by(chunk) {
            let count = chunk.min(tokens - from);
            let got = sequence.run(&profile(isa, 16), &pools[1], from, count);
            let what = format!("{shape:?} {}: chunk of {chunk} at {from}", isa.name());
            assert_same_bits(&got, &whole[from * width..][..count * width], &what);
        }
    }
    for tile in [1, 3, 4, 31, 64] {
        let got = sequence.run(&profile(isa, tile), &pools[0], 0, tokens);
        let what = format!("{shape:?} {}: tile of {tile}", isa.name());
        assert_same_bits(&got, &whole, &what);
    }
}

#[test]
fn a_query_has_the_same_bits_alone_in_chunks_and_in_tiles() {
    for depth in [0, 63, 511, 1500] {
        for window in [None, Some(5), Some(512), Some(600)] {
            let shape = Shape {
                window,
                gated: depth == 511,
                ..shape(200, depth, 64)
            };
            for kind in [KvType::I16, KvType::F16, KvType::Q8_0] {
                has_one_result(shape, kind, Isa::detect());
            }
        }
    }
    has_one_result(shape(200, 500, 256), KvType::F32, Isa::detect());
}

#[test]
fn every_instruction_set_keeps_that() {
    for isa in Isa::available() {
        for window in [None, Some(100)] {
            let shape = Shape {
                window,
                ..shape(34, 500, 80)
            };
            for kind in [KvType::I16, KvType::F16, KvType::Q8_0] {
                has_one_result(shape, kind, isa);
            }
        }
    }
}

/// What lies in the cache beyond a query's position is not seen, whatever it is.
#[test]
fn stale_positions_are_not_seen() {
    for kind in [KvType::I16, KvType::F16] {
        let full = Sequence::of(shape(40, 530, 64), kind);
        let fresh = Sequence::of(shape(4, 530, 64), kind);
        let nothing = Matrix::of(&[f32::NAN; 64], 64);
        for head in 0..2 {
            for position in 534..570 {
                // SAFETY: the position has a slot, a row is a head.
                unsafe {
                    let row = nothing.rows().row(0);
                    full.cache.write::<Portable>(head, position, row, row);
                }
            }
        }
        let pool = Pool::new(2, 100, 100).expect("threads");
        // The inputs are one sequence from a seed, so `full` has the same first tokens, and none of the others.
        let profile = profile(Isa::detect(), 16);
        for (from, tokens) in [(0, 4), (3, 1)] {
            let (got, want) = (
                full.run(&profile, &pool, from, tokens),
                fresh.run(&profile, &pool, from, tokens),
            );
            assert_same_bits(&got, &want, "stale positions");
        }
    }
}

/// Also where a few dimensions, or a few positions, are far larger than the others.
#[test]
fn whole_numbers_are_as_near_as_binary16() {
    for (head_dim, depth) in [(64, 1500), (128, 300), (256, 700)] {
        let shape = shape(5, depth, head_dim);
        for (every, factor) in [(1, 1.0), (17, 10.0), (head_dim * 2 * 100, 30.0)] {
            let scaled = |seed, count: usize| {
                let mut x = ops::input::normal(seed, count);
                x.iter_mut().step_by(every).for_each(|x| *x *= factor);
                x
            };
            let error = |kind| {
                let mut sequence = Sequence::of(shape, kind);
                let positions = shape.depth + shape.tokens;
                let width = shape.kv_heads * head_dim;
                sequence.k = scaled(2, positions * width);
                sequence.v = scaled(3, positions * width);
                sequence.fill();
                let got = sequence.run(
                    &profile(Isa::detect(), 16),
                    &Pool::new(2, 9, 9).expect("threads"),
                    0,
                    5,
                );
                ops::relative_error(&got, &sequence.want())
            };
            let (whole, half) = (error(KvType::I16), error(KvType::F16));
            assert!(
                whole <= 2.0 * half,
                "{head_dim} dims, {factor} at every {every}: {whole:e}, binary16 {half:e}"
            );
        }
    }
}

/// A number that is none must reach the scores, whatever the cache rounds to.
#[test]
fn numbers_that_are_none_are_not_rounded_away() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for kind in KvType::ALL {
            let mut arena = Arena::new(Pages::Huge);
            let cache = KvCache::new(kind, 1, 48, 1, &mut arena).expect("memory");
            let mut key = vec![1.0; 48];
            key[40] = bad;
            let rows = Matrix::of(&key, 48);
            let profile = profile(Isa::detect(), 16);
            let pool = Pool::new(1, 100, 100).expect("threads");
            let out = Matrix::empty(1, 48);
            let scratch = Aligned::<f32>::zeroed(scratch_len(&profile, 1, 48)).expect("memory");
            pool.run(|team| {
                // SAFETY: one row of 48, one position; no splits for a depth of 0.
                unsafe {
                    cache.write::<Portable>(0, 0, rows.rows().row(0), rows.rows().row(0));
                    let call = Attention {
                        q: rows.rows(),
                        out: out.rows(),
                        gate: None,
                        quantised: None,
                        cache: &cache,
                        heads: 1,
                        head_dim: 48,
                        window: None,
                        start: 0,
                        tokens: 1,
                        splits: std::ptr::null_mut(),
                    };
                    attention(
                        &profile,
                        std::iter::once(call),
                        scratch.as_mut_pointer(),
                        team,
                    );
                }
            });
            assert!(
                out.values().iter().any(|y| !y.is_finite()),
                "{bad} in {}",
                kind.name()
            );
        }
    }
}
