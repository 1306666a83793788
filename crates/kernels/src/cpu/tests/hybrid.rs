//! A model of gated attention and DeltaNet: the same bits from every choice and cut.

use ops::{
    Dtype,
    gated_delta::{Decay, HeadMap},
    gated_rms_norm::Gate,
};

use super::{EPS, Outputs, Pool, Session, VOCABULARY, norm, packed, profile, project};
use crate::{
    DeltaShape, Isa, MatMulVariant, RuntimeProfile,
    fixture::{Table, assert_same_bits, same_everywhere},
    program::{Extent, HeadSpec, KvSpec, Node, Program, ProgramBuilder, RopeSpec},
};

/// A layer of gated attention with normed and turned heads, one of DeltaNet with its convolution and gated norm.
pub(super) fn hybrid(dtype: Dtype) -> Program {
    let mut b = ProgramBuilder::new(Box::new(Table::of(dtype, VOCABULARY, 64)));
    let shape = DeltaShape {
        key_heads: 2,
        value_heads: 4,
        key_dim: 16,
        value_dim: 32,
        head_map: HeadMap::Tiled,
        decay: Decay::PerHead,
    };
    let channels = 2 * shape.keys() + shape.values();
    let tokens = |b: &mut ProgramBuilder, name, width| b.buffer(name, width, Extent::Tokens);
    let [x, normed, k, v] = ["x", "normed", "k", "v"].map(|n| tokens(&mut b, n, 64));
    let [q, gate, out] = ["q", "gate", "out"].map(|n| tokens(&mut b, n, 128));
    let [mixed, qkv] = ["mixed", "qkv"].map(|n| tokens(&mut b, n, channels));
    let [z, read] = ["z", "read"].map(|n| tokens(&mut b, n, shape.values()));
    let [alpha, beta] = ["alpha", "beta"].map(|n| tokens(&mut b, n, 4));
    let table = tokens(&mut b, "table", 16);
    let last = b.buffer("last", 64, Extent::Outputs);
    let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
    let mut seed = 30;
    let mut matrix = |b: &mut ProgramBuilder, rows, cols| {
        seed += 1;
        let bytes = ops::input::weights(seed, dtype, rows * cols);
        b.matrix(packed(dtype, rows, cols, &bytes))
    };
    let [to_q, to_gate] = [(); 2].map(|()| matrix(&mut b, 128, 64));
    let [to_k, to_v] = [(); 2].map(|()| matrix(&mut b, 64, 64));
    let [from_attention, from_delta] = [(); 2].map(|()| matrix(&mut b, 64, 128));
    let (to_mixed, to_z) = (matrix(&mut b, channels, 64), matrix(&mut b, 128, 64));
    let [to_a, to_b] = [(); 2].map(|()| matrix(&mut b, 4, 64));
    let head = matrix(&mut b, VOCABULARY, 64);
    let mut vector_of = |seed, len, low, high| {
        let values = ops::input::uniform(seed, len, low, high);
        b.vector(&values).expect("memory")
    };
    let mut vector = |seed, len| vector_of(seed, len, 0.5, 1.5);
    let (weight, per_head, taps) = (vector(1, 64), vector(2, 32), vector(3, 4 * channels));
    let dt_bias = vector(5, 4);
    let decay_rate = vector_of(4, 4, -2.0, -0.1);
    let cache = b.kv_cache(KvSpec {
        kv_heads: 2,
        head_dim: 32,
    });
    let (state, conv) = (b.delta_state(shape), b.conv_state(channels));
    let heads = |buffer, count, scale| HeadSpec {
        buffer,
        count,
        norm: Some(per_head),
        scale,
    };
    let rope = RopeSpec {
        dims: 16,
        theta: 1e4,
        scale: 1.0,
        factors: None,
    };
    let product = |input, projections| Node::MatMul { input, projections };
    let nodes = vec![
        Node::Embed { out: x, scale: 8.0 },
        Node::RopeTable { out: table, rope },
        norm(x, normed, weight, 64),
        product(
            normed,
            vec![
                project(to_q, q, false),
                project(to_k, k, false),
                project(to_v, v, false),
                project(to_gate, gate, false),
            ],
        ),
        Node::Heads {
            q: heads(q, 4, 0.18),
            k: heads(k, 2, 1.0),
            v,
            head_dim: 32,
            eps: EPS,
            table: Some((table, 16)),
            cache,
        },
        Node::Attention {
            q,
            out,
            gate: Some(gate),
            cache,
            heads: 4,
            head_dim: 32,
            window: None,
            quantise: false,
        },
        product(out, vec![project(from_attention, x, true)]),
        norm(x, normed, weight, 64),
        product(
            normed,
            vec![
                project(to_mixed, mixed, false),
                project(to_z, z, false),
                project(to_a, alpha, false),
                project(to_b, beta, false),
            ],
        ),
        Node::CausalConv {
            input: mixed,
            out: qkv,
            weight: taps,
            bias: None,
            silu: true,
            state: conv,
        },
        Node::DeltaPrepare {
            qkv,
            a: alpha,
            b: beta,
            decay_rate,
            dt_bias,
            eps: EPS,
            shape,
        },
        Node::GatedDelta {
            qkv,
            alpha,
            beta,
            out: read,
            state,
            shape,
        },
        Node::RmsNorm {
            input: read,
            out: read,
            weight: per_head,
            eps: EPS,
            width: 32,
            gate: Some((z, Gate::Silu)),
            add: false,
            quantise: false,
        },
        product(read, vec![project(from_delta, x, true)]),
        Node::SelectOutputs {
            input: x,
            out: last,
        },
        product(last, vec![project(head, logits, false)]),
    ];
    // Products of every role among them.
    let parts = ["attn_qkv", "ffn_up", "ffn_down"].into_iter().cycle();
    for (node, part) in nodes.into_iter().zip(parts) {
        b.push(part, node).expect("shapes fit");
    }
    b.finish(logits).expect("rows per output")
}

/// Logits of all of `tokens`, in a first pass and then in passes of up to `pass`.
pub(super) fn in_passes(
    program: &Program,
    profile: &RuntimeProfile,
    pool: &Pool,
    tokens: &[u32],
    (first, pass): (usize, usize),
) -> Vec<f32> {
    let most = first.max(pass);
    let mut session = Session::new(program, profile.clone(), most, tokens.len());
    let mut all = Vec::new();
    let (head, tail) = tokens.split_at(first);
    for part in std::iter::once(head).chain(tail.chunks(pass)) {
        session
            .step(program, pool, part, Outputs::All)
            .expect("a step that fits");
        all.extend(session.logits());
    }
    assert_eq!(session.state.positions(), tokens.len());
    all
}

#[test]
fn no_choice_and_no_cut_changes_a_bit() {
    // More than one split of keys, so that single tokens spread them over threads.
    let tokens: Vec<u32> = (0..530).map(|i| (i * i + 3) % VOCABULARY as u32).collect();
    for dtype in [Dtype::F32, Dtype::Q4_0] {
        let program = hybrid(dtype);
        let whole = same_everywhere(&format!("{dtype}"), |isa, pool| {
            let profile = profile(isa, pool.threads());
            in_passes(&program, &profile, pool, &tokens, (530, 1))
        });
        assert!(whole.iter().all(|x| x.is_finite()));
        // Short passes meet at many barriers, which costs where threads outnumber cores: 3 threads get few of them.
        let base = profile(Isa::detect(), 3);
        let [one, three] = [1, 3].map(|threads| Pool::new(threads, 100, 100).expect("threads"));
        for (pool, cuts) in [
            (&one, (7, 7)),
            (&one, (1, 64)),
            (&three, (64, 256)),
            (&three, (522, 1)),
        ] {
            let got = in_passes(&program, &base, pool, &tokens, cuts);
            assert_same_bits(&got, &whole, &format!("{dtype}, passes of {cuts:?}"));
        }
        for (matmul_tile, matmul_variant, attention_tile, prefetch_bytes) in [
            (4, MatMulVariant::Lanes, 1, 0),
            (8, MatMulVariant::Amx, 5, 64),
            (12, MatMulVariant::Lanes, 64, 4096),
        ] {
            let other = RuntimeProfile {
                matmul_tile,
                matmul_variant,
                attention_tile,
                prefetch_bytes,
                ..base.clone()
            };
            let got = in_passes(&program, &other, &three, &tokens, (64, 466));
            assert_same_bits(&got, &whole, &format!("{dtype}, {other:?}"));
        }
    }
}
