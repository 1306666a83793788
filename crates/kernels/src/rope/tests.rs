//! Turned heads against the reference, norms and scales with them, and what ends up in the cache.

use ops::rope::{self as reference, Pairing, Shape};

use super::cpu::{Angles, Heads, Turn, fill_table, turn};
use crate::{
    Isa, KvCache, KvType, Pool,
    fixture::{Matrix, assert_near, assert_same_bits, padded, same_everywhere},
    memory::{Arena, Pages},
};

const EPS: f32 = 1e-6;

/// Queries of `shape`, keys and values of `kv_heads` heads, from `start` on.
struct Case {
    shape: Shape,
    kv_heads: usize,
    start: usize,
    factors: Option<Vec<f32>>,
    norm: Option<Vec<f32>>,
    scale: f32,
}

struct Turned {
    q: Vec<f32>,
    k: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Case {
    fn plain(shape: Shape) -> Self {
        Self {
            shape,
            kv_heads: shape.heads.div_ceil(2),
            start: 0,
            factors: None,
            norm: None,
            scale: 1.0,
        }
    }

    fn inputs(&self) -> [Vec<f32>; 3] {
        let Shape {
            tokens,
            heads,
            head_dim,
            ..
        } = self.shape;
        [(1, heads), (2, self.kv_heads), (3, self.kv_heads)]
            .map(|(seed, heads)| ops::input::normal(seed, tokens * heads * head_dim))
    }

    fn run(&self, isa: Isa, pool: &Pool, kind: KvType) -> Turned {
        let Shape {
            tokens,
            heads,
            head_dim,
            rotary_dims,
            ..
        } = self.shape;
        let [q, k, v] = self.inputs();
        let q = Matrix::of(&q, heads * head_dim);
        let k = Matrix::of(&k, self.kv_heads * head_dim);
        let v = Matrix::of(&v, self.kv_heads * head_dim);
        let norm = self.norm.as_ref().map(|w| padded(w));
        let cache = KvCache::new(
            kind,
            self.kv_heads,
            head_dim,
            self.start + tokens,
            &mut Arena::new(Pages::Small),
        )
        .expect("memory");
        let table = Matrix::empty(tokens, rotary_dims.max(1));
        let positions: Vec<usize> = (self.start..self.start + tokens).collect();
        let heads_of = |rows: &Matrix, count, scale| Heads {
            rows: rows.rows(),
            count,
            norm: norm.as_deref(),
            scale,
        };
        pool.run(|team| {
            let angles = Angles {
                dims: rotary_dims,
                theta: f64::from(self.shape.theta),
                scale: f64::from(self.shape.position_scale),
                factors: self.factors.as_deref(),
            };
            // SAFETY: the table and the views have a row per token, the cache room for all positions.
            unsafe {
                fill_table(table.rows(), angles, &positions, team);
                team.barrier();
                let call = Turn {
                    q: heads_of(&q, heads, self.scale),
                    k: heads_of(&k, self.kv_heads, 1.0),
                    v: v.rows(),
                    head_dim,
                    eps: EPS,
                    table: (rotary_dims > 0).then(|| (table.rows(), rotary_dims)),
                    cache: &cache,
                    start: self.start,
                };
                turn(isa, call, tokens, team);
            }
        });
        let (keys, values) = self.cached(&cache);
        Turned {
            q: q.values(),
            k: k.values(),
            keys,
            values,
        }
    }

    /// Keys and values as `(tokens, kv_heads, head_dim)`, by the layout that the cache documents.
    fn cached(&self, cache: &KvCache) -> (Vec<f32>, Vec<f32>) {
        let dims = self.shape.head_dim;
        // SAFETY: the position was written, and both blocks are aligned to whole numbers.
        let number = |block: *mut u8, element: usize| unsafe {
            match cache.kind() {
                KvType::F32 => *block.cast::<f32>().add(element),
                KvType::F16 => half::f16::from_bits(*block.cast::<u16>().add(element)).to_f32(),
                KvType::I16 | KvType::Q8_0 => unreachable!("attention's tests read those"),
            }
        };
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for position in self.start..self.start + self.shape.tokens {
            let (block, lane) = (position / 16, position % 16);
            for head in 0..self.kv_heads {
                for d in 0..dims {
                    keys.push(number(cache.key_block(head, block), d * 16 + lane));
                    let element = d / 16 * 256 + lane * 16 + d % 16;
                    values.push(number(cache.value_block(head, block), element));
                }
            }
        }
        (keys, values)
    }

    /// What `x` (rows of `heads` heads) should become.
    fn want(&self, x: &[f32], heads: usize, scale: f32) -> Vec<f64> {
        let shape = Shape {
            heads,
            ..self.shape
        };
        let normed: Vec<f32> = match &self.norm {
            None => x.to_vec(),
            Some(weight) => {
                let norm = ops::rms_norm::Shape {
                    rows: shape.tokens * heads,
                    width: shape.head_dim,
                    eps: EPS,
                };
                let y = ops::rms_norm::reference(&norm, x, weight);
                y.iter().map(|&y| y as f32).collect()
            }
        };
        let positions: Vec<u32> = (self.start..self.start + shape.tokens)
            .map(|p| p as u32)
            .collect();
        reference::reference(&shape, &normed, &positions, self.factors.as_deref())
            .iter()
            .map(|y| y * f64::from(scale))
            .collect()
    }

    fn check(&self, what: &str, tolerance: f64) {
        let [q, k, v] = self.inputs();
        let all = same_everywhere(what, |isa, pool| {
            let exact = self.run(isa, pool, KvType::F32);
            assert_same_bits(&exact.keys, &exact.k, "keys in the f32 cache");
            assert_same_bits(&exact.values, &v, "values in the f32 cache");
            let rounded = self.run(isa, pool, KvType::F16);
            let half = |x: &[f32]| -> Vec<f32> {
                x.iter().map(|&x| half::f16::from_f32(x).to_f32()).collect()
            };
            assert_same_bits(&rounded.keys, &half(&exact.k), "keys in the f16 cache");
            assert_same_bits(&rounded.values, &half(&v), "values in the f16 cache");
            [exact.q, exact.k].concat()
        });
        let (got_q, got_k) = all.split_at(q.len());
        assert_near(
            got_q,
            &self.want(&q, self.shape.heads, self.scale),
            tolerance,
            what,
        );
        assert_near(got_k, &self.want(&k, self.kv_heads, 1.0), tolerance, what);
    }
}

#[test]
fn the_table_of_half_split_cases_is_right() {
    for case in reference::cases() {
        if case.shape.pairing == Pairing::Half {
            Case::plain(case.shape).check(case.name, reference::TOLERANCE);
        }
    }
}

/// Odd dimensions, so that a head's last vector reaches into the next head, which another thread turns.
fn odd(head_dim: usize, rotary_dims: usize) -> Case {
    Case::plain(Shape {
        tokens: 19,
        heads: 5,
        head_dim,
        rotary_dims,
        pairing: Pairing::Half,
        theta: 1e6,
        position_scale: 1.0,
    })
}

#[test]
fn norms_scales_factors_and_far_positions_join() {
    for (head_dim, rotary_dims) in [(64, 64), (128, 32), (80, 20), (20, 20), (10, 6), (36, 0)] {
        let factors = ops::input::uniform(5, rotary_dims / 2, 1.0, 8.0);
        for start in [0, 61, 100_000] {
            let case = Case {
                start,
                factors: (rotary_dims > 0).then(|| factors.clone()),
                norm: Some(ops::input::normal(4, head_dim)),
                scale: 0.125,
                ..odd(head_dim, rotary_dims)
            };
            // The norm's own error comes on top.
            let tolerance = reference::TOLERANCE + ops::rms_norm::TOLERANCE;
            case.check(&format!("{head_dim} {rotary_dims} at {start}"), tolerance);
        }
    }
}

#[test]
fn a_token_alone_has_the_bits_it_has_among_others() {
    let pool = Pool::new(2, 100, 100).expect("threads");
    let case = odd(64, 32);
    let together = case.run(Isa::detect(), &pool, KvType::F16);
    let width = case.shape.heads * case.shape.head_dim;
    // The inputs are one sequence from a seed, so a shorter call has the first tokens.
    for tokens in [1, 4, 18] {
        let shape = Shape {
            tokens,
            ..case.shape
        };
        let fewer = Case::plain(shape).run(Isa::detect(), &pool, KvType::F16);
        assert_same_bits(&fewer.q, &together.q[..tokens * width], "queries");
        assert_same_bits(&fewer.keys, &together.keys[..fewer.keys.len()], "keys");
    }
}
