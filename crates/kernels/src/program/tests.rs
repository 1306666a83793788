//! What a builder refuses, where it places the rounding to 8 bits, and costs by hand.

use ops::{
    Cost, Dtype,
    gated_delta::{Decay, HeadMap},
};

use super::{
    BufferId, Extent, HeadSpec, KvSpec, MatrixId, Node, Program, ProgramBuilder, Projection,
    RopeSpec, StepShape, VectorId,
};
use ops::glu::Activation;

use crate::{DeltaShape, FloatProducts, KvType, Mamba2Shape, PackedMatrix, fixture::Table};

mod griffin;
mod heads;
mod rwkv7;

const VOCABULARY: usize = 40;

fn builder(width: usize) -> ProgramBuilder {
    ProgramBuilder::new(Box::new(Table::of(Dtype::F32, VOCABULARY, width)))
}

/// Building needs no weights, so the matrices are hollow.
fn matrix(b: &mut ProgramBuilder, dtype: Dtype, rows: usize, cols: usize) -> MatrixId {
    b.matrix(PackedMatrix::hollow(dtype, rows, cols).expect("whole blocks"))
}

fn ones(b: &mut ProgramBuilder, len: usize) -> VectorId {
    b.vector(&vec![1.0; len]).expect("memory")
}

fn product(matrix: MatrixId, input: BufferId, out: BufferId) -> Node {
    Node::MatMul {
        input,
        projections: vec![Projection::new(matrix, out)],
    }
}

fn norm(input: BufferId, out: BufferId, weight: VectorId, width: usize) -> Node {
    Node::RmsNorm {
        input,
        out,
        weight,
        eps: 1e-6,
        width,
        gate: None,
        add: false,
        quantise: false,
    }
}

fn heads(buffer: BufferId, count: usize) -> HeadSpec {
    HeadSpec {
        buffer,
        count,
        norm: None,
        scale: 1.0,
    }
}

/// The nodes' names, those that round marked by `+8`.
fn names(program: &Program) -> Vec<&'static str> {
    let name = |node: &Node| match node {
        Node::Embed { .. } => "embed",
        Node::RmsNorm { quantise: true, .. } => "norm+8",
        Node::RmsNorm { .. } => "norm",
        Node::Quantise { .. } => "quantise",
        Node::MatMul { projections, .. } if projections.iter().any(|p| p.quantise) => "product+8",
        Node::MatMul { .. } => "product",
        Node::TokenShift { outs, .. } if outs.iter().any(|o| o.quantise) => "shift+8",
        Node::TokenShift { .. } => "shift",
        Node::LayerNorm { quantise: true, .. } => "layer norm+8",
        Node::LayerNorm { .. } => "layer norm",
        Node::Wkv7Output { quantise: true, .. } => "wkv7 output+8",
        Node::Wkv7Output { .. } => "wkv7 output",
        Node::Glu { quantise: true, .. } => "glu+8",
        Node::Glu { .. } => "glu",
        Node::SelectOutputs { .. } => "select",
        _ => "other",
    };
    program.nodes().iter().map(|n| name(&n.node)).collect()
}

/// embed, norm, gate and up, glu, down into the residual, select, logits; weights of one format.
fn feed_forward(dtype: Dtype, norm_again: bool) -> Program {
    let mut b = builder(64);
    let [x, normed] = ["x", "normed"].map(|name| b.buffer(name, 64, Extent::Tokens));
    let [gate, up] = ["gate", "up"].map(|name| b.buffer(name, 96, Extent::Tokens));
    let last = b.buffer("last", 64, Extent::Outputs);
    let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
    let weight = ones(&mut b, 64);
    let [wide, narrow] = [(96, 64), (64, 96)].map(|(r, c)| matrix(&mut b, dtype, r, c));
    let head = matrix(&mut b, dtype, VOCABULARY, 64);
    let mut push = |node| b.push("part", node).expect("shapes fit");
    push(Node::Embed { out: x, scale: 1.0 });
    push(norm(x, normed, weight, 64));
    push(product(wide, normed, gate));
    push(product(wide, normed, up));
    push(Node::Glu {
        gate,
        up,
        out: gate,
        activation: Activation::Silu,
        quantise: false,
    });
    push(product(narrow, gate, normed));
    if norm_again {
        push(norm(normed, x, weight, 64));
    }
    push(Node::SelectOutputs {
        input: x,
        out: last,
    });
    push(product(head, last, logits));
    b.finish(logits).expect("rows per output")
}

#[test]
fn rounding_is_placed_once_where_a_product_needs_it() {
    let floats = names(&feed_forward(Dtype::F16, false));
    let want = [
        "embed", "norm", "product", "product", "glu", "product", "select", "product",
    ];
    assert_eq!(floats, want);
    let integers = names(&feed_forward(Dtype::Q8_0, false));
    let want = [
        "embed", "norm+8", "product", "product", "glu+8", "product", "select", "quantise",
        "product",
    ];
    assert_eq!(integers, want);
}

#[test]
fn only_buffers_that_integer_products_read_have_an_8_bit_form() {
    let program = feed_forward(Dtype::Q4_0, true);
    let quantised: Vec<_> = program.buffers.iter().filter(|b| b.quantised).collect();
    let names: Vec<_> = quantised.iter().map(|b| b.name).collect();
    assert_eq!(names, ["normed", "gate", "last"]);
    assert!(
        feed_forward(Dtype::F32, true)
            .buffers
            .iter()
            .all(|b| !b.quantised)
    );
}

/// A product (or a change in place) that writes a rounded buffer makes its 8-bit form stale.
#[test]
fn a_buffer_that_is_written_again_is_rounded_again() {
    let mut b = builder(64);
    let [x, normed, y] = ["x", "normed", "y"].map(|name| b.buffer(name, 64, Extent::Tokens));
    let logits = b.buffer("logits", 64, Extent::Outputs);
    let weight = ones(&mut b, 64);
    let square = matrix(&mut b, Dtype::Q8_0, 64, 64);
    let mut push = |node| b.push("part", node).expect("shapes fit");
    push(Node::Embed { out: x, scale: 1.0 });
    push(norm(x, normed, weight, 64));
    push(product(square, normed, y));
    push(product(square, normed, x));
    push(product(square, y, normed));
    push(product(square, normed, x));
    push(product(square, normed, y));
    push(Node::SelectOutputs {
        input: y,
        out: logits,
    });
    let program = b.finish(logits).expect("rows per output");
    let want = [
        "embed",
        "norm+8",
        "product+8",
        "product",
        "product+8",
        "product",
        "product",
        "select",
    ];
    assert_eq!(names(&program), want);
}

/// The problem that pushing `node` is refused with.
fn problem(b: &mut ProgramBuilder, node: Node) -> String {
    b.layer(Some(3));
    let error = b.push("part", node).expect_err("shapes that do not fit");
    let text = error.to_string();
    let problem = text
        .strip_prefix("layer 3, part: ")
        .expect("layer and part");
    problem.to_owned()
}

#[test]
fn widths_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let [x, y] = ["x", "y"].map(|name| b.buffer(name, 64, Extent::Tokens));
    let narrow = b.buffer("narrow", 48, Extent::Tokens);
    let (short, weight) = (ones(&mut b, 48), ones(&mut b, 64));
    let wide = matrix(&mut b, Dtype::F32, 96, 64);
    let embed = Node::Embed {
        out: narrow,
        scale: 1.0,
    };
    assert_eq!(
        problem(&mut b, embed),
        "expected 64 columns in `narrow`, got 48"
    );
    assert_eq!(
        problem(&mut b, norm(x, y, short, 64)),
        "expected 64 weights, got 48"
    );
    assert_eq!(
        problem(&mut b, norm(x, y, short, 48)),
        "64 columns are not whole norms of 48"
    );
    assert_eq!(
        problem(&mut b, norm(x, narrow, weight, 64)),
        "expected 64 columns in `narrow`, got 48"
    );
    assert_eq!(
        problem(&mut b, product(wide, x, y)),
        "expected 96 columns in `y`, got 64"
    );
    let square = matrix(&mut b, Dtype::F32, 64, 64);
    assert_eq!(
        problem(&mut b, product(square, x, x)),
        "its output is its own input"
    );
}

#[test]
fn rows_per_token_and_per_output_do_not_mix() {
    let mut b = builder(64);
    let x = b.buffer("x", 64, Extent::Tokens);
    let last = b.buffer("last", 64, Extent::Outputs);
    let weight = ones(&mut b, 64);
    let square = matrix(&mut b, Dtype::F32, 64, 64);
    let mixed = "its buffers mix a row per token with a row per output";
    let embed = Node::Embed {
        out: last,
        scale: 1.0,
    };
    for node in [embed, norm(x, last, weight, 64), product(square, x, last)] {
        assert_eq!(problem(&mut b, node), mixed);
    }
    let select = Node::SelectOutputs { input: x, out: x };
    assert_eq!(problem(&mut b, select), "not one row per output");
    let error = b.finish(x).err().expect("logits per token are refused");
    assert_eq!(error.to_string(), "logits: not one row per output");
}

#[test]
fn integer_products_need_whole_blocks() {
    let mut b = builder(48);
    let x = b.buffer("x", 48, Extent::Tokens);
    let last = b.buffer("last", 48, Extent::Outputs);
    b.push("embed", Node::Embed { out: x, scale: 1.0 })
        .expect("fits");
    b.push(
        "select",
        Node::SelectOutputs {
            input: x,
            out: last,
        },
    )
    .expect("fits");
    assert!(PackedMatrix::hollow(Dtype::Q8_0, 48, 48).is_none());
    assert!(b.finish(last).is_ok());
}

#[test]
fn heads_that_do_not_fit_their_cache_or_table_are_refused() {
    let mut b = builder(64);
    let q = b.buffer("q", 128, Extent::Tokens);
    let [k, v] = ["k", "v"].map(|name| b.buffer(name, 64, Extent::Tokens));
    let table = b.buffer("table", 16, Extent::Tokens);
    let spec = KvSpec {
        kv_heads: 2,
        head_dim: 32,
    };
    let cache = b.kv_cache(spec);
    let turn = |q_heads, head_dim, table| Node::Heads {
        q: heads(q, q_heads),
        k: heads(k, 2),
        v,
        head_dim,
        eps: 1e-6,
        table,
        cache,
    };
    let attend = |heads, head_dim, window| Node::Attention {
        q,
        out: q,
        gate: None,
        cache,
        heads,
        head_dim,
        window,
        quantise: false,
    };
    b.push("heads", turn(4, 32, Some((table, 16))))
        .expect("fits");
    b.push("attention", attend(4, 32, None)).expect("fits");
    for (node, want) in [
        (turn(3, 32, None), "expected 96 columns in `q`, got 128"),
        (turn(8, 16, None), "expected 32 columns in `k`, got 64"),
        (
            turn(4, 32, Some((table, 32))),
            "expected 32 columns in `table`, got 16",
        ),
        (
            turn(4, 32, Some((k, 64))),
            "more rotary dimensions than the head's 32",
        ),
        (
            attend(3, 32, None),
            "3 query heads are not whole groups for 2 key heads",
        ),
        (
            attend(0, 32, None),
            "0 query heads are not whole groups for 2 key heads",
        ),
        (attend(4, 32, Some(0)), "a sliding window of 0 keys"),
        (
            attend(4, 16, None),
            "the cache has other dimensions: KvSpec { kv_heads: 2, head_dim: 32 }",
        ),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }
    let odd = RopeSpec {
        dims: 15,
        theta: 1e4,
        scale: 1.0,
        factors: None,
    };
    assert_eq!(
        problem(
            &mut b,
            Node::RopeTable {
                out: table,
                rope: odd
            }
        ),
        "expected an even number of rotary dimensions, got 15"
    );
}

#[test]
fn delta_layers_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let shape = DeltaShape {
        key_heads: 2,
        value_heads: 4,
        key_dim: 16,
        value_dim: 32,
        head_map: HeadMap::Grouped,
        decay: Decay::PerHead,
    };
    let qkv = b.buffer("qkv", 2 * shape.keys() + shape.values(), Extent::Tokens);
    let out = b.buffer("out", shape.values(), Extent::Tokens);
    let [alpha, beta] = ["alpha", "beta"].map(|name| b.buffer(name, 4, Extent::Tokens));
    let state = b.delta_state(shape);
    let delta = |shape| Node::GatedDelta {
        qkv,
        alpha,
        beta,
        out,
        state,
        shape,
    };
    b.push("delta", delta(shape)).expect("fits");
    let tiled = DeltaShape {
        head_map: HeadMap::Tiled,
        ..shape
    };
    let ragged = DeltaShape {
        value_heads: 3,
        ..shape
    };
    let odd = DeltaShape {
        value_dim: 24,
        ..shape
    };
    for (shape, want) in [
        (tiled, "a state of other dimensions"),
        (ragged, "3 value heads are not whole groups for 2 key heads"),
        (
            odd,
            "expected value heads of a multiple of 16 columns, got 24",
        ),
    ] {
        assert_eq!(problem(&mut b, delta(shape)), want);
    }
    // Decays of channels are read as whole vectors.
    let narrow = DeltaShape {
        key_dim: 24,
        decay: Decay::PerChannel,
        ..shape
    };
    let want = "expected decays of a multiple of 16 key channels, got 24";
    assert_eq!(problem(&mut b, delta(narrow)), want);
    let conv = b.conv_state(64);
    let weight = ones(&mut b, 64);
    let node = Node::CausalConv {
        input: out,
        out,
        weight,
        bias: None,
        silu: true,
        state: conv,
    };
    assert_eq!(
        problem(&mut b, node),
        "expected 64 columns in `out`, got 128"
    );
    let narrow = b.buffer("narrow", 64, Extent::Tokens);
    let weight = ones(&mut b, 4 * 64);
    let [bias, short] = [64, 63].map(|len| ones(&mut b, len));
    let conv = |bias| Node::CausalConv {
        input: narrow,
        out: narrow,
        weight,
        bias: Some(bias),
        silu: true,
        state: conv,
    };
    b.push("conv", conv(bias)).expect("fits");
    assert_eq!(problem(&mut b, conv(short)), "expected 64 weights, got 63");
}

#[test]
fn groups_of_a_norm_share_their_weights_or_have_whole_vectors_of_them() {
    let mut b = builder(64);
    let [x, y] = [64, 96].map(|width| b.buffer("x", width, Extent::Tokens));
    let [all, wide] = [64, 96].map(|len| ones(&mut b, len));
    b.push("norm", norm(x, x, all, 32)).expect("fits");
    let ragged = norm(y, y, wide, 24);
    assert_eq!(problem(&mut b, ragged), "expected 24 weights, got 96");
    let last = b.buffer("last", 64, Extent::Outputs);
    let program = b.finish(last).expect("rows per output");
    let step = StepShape {
        tokens: 3,
        depth: 0,
        outputs: 0,
        kv_type: KvType::F16,
        float_products: FloatProducts::F32,
    };
    let cost = program.cost(&program.nodes()[0].node, step);
    assert_eq!(cost.read_bytes, 4 * (3 * 64 + 64));
}

#[test]
fn mamba2_layers_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let shape = Mamba2Shape {
        heads: 4,
        groups: 2,
        head_dim: 32,
        state_dim: 5,
    };
    let xbc = b.buffer("xbc", shape.channels(), Extent::Tokens);
    let out = b.buffer("out", shape.values(), Extent::Tokens);
    let dt = b.buffer("dt", 4, Extent::Tokens);
    let steps = b.buffer("steps", 8, Extent::Tokens);
    let state = b.mamba2_state(shape);
    let [skip, short] = [4, 3].map(|len| ones(&mut b, len));
    let scan = |shape, skip| Node::Mamba2 {
        xbc,
        steps,
        skip,
        out,
        state,
        shape,
    };
    b.push("scan", scan(shape, skip)).expect("fits");
    let other = |heads, groups, head_dim| Mamba2Shape {
        heads,
        groups,
        head_dim,
        ..shape
    };
    for (shape, skip, want) in [
        (shape, short, "expected 4 weights, got 3"),
        (
            other(4, 3, 32),
            skip,
            "4 heads are not whole groups for 3 groups",
        ),
        (
            other(4, 2, 24),
            skip,
            "expected heads of a multiple of 16 columns, got 24",
        ),
        (
            other(4, 4, 32),
            skip,
            "expected 168 columns in `xbc`, got 148",
        ),
    ] {
        assert_eq!(problem(&mut b, scan(shape, skip)), want);
    }
    let time = |out, rate| Node::TimeSteps {
        dt,
        out,
        rate,
        bias: skip,
    };
    b.push("steps", time(steps, skip)).expect("fits");
    assert_eq!(
        problem(&mut b, time(dt, skip)),
        "expected 8 columns in `dt`, got 4"
    );
    assert_eq!(
        problem(&mut b, time(steps, short)),
        "expected 4 weights, got 3"
    );
    let last = b.buffer("last", 64, Extent::Outputs);
    let program = b.finish(last).expect("rows per output");
    assert!(program.is_recurrent());
    assert_eq!(program.recurrent_bytes(), 4 * 4 * 5 * 32);
}

#[test]
fn a_step_costs_what_its_nodes_cost() {
    let program = feed_forward(Dtype::Q8_0, true);
    for (tokens, outputs) in [(1, 1), (64, 0), (64, 64)] {
        let step = StepShape {
            tokens,
            depth: 10,
            outputs,
            kv_type: KvType::F16,
            float_products: FloatProducts::F32,
        };
        let nodes = program.nodes().iter();
        let sum: Cost = nodes.map(|n| program.cost(&n.node, step)).sum();
        assert_eq!(sum, program.step_cost(step));
        let products = program.nodes().iter().rev();
        let head = products
            .map(|n| &n.node)
            .find(|n| matches!(n, Node::MatMul { .. }));
        let head = program.cost(head.expect("logits"), step);
        // Rows are padded to panels of 16; a Q8_0 block of 32 weights takes 34 bytes.
        let weights = (VOCABULARY.next_multiple_of(16) * 64 / 32 * 34) as u64;
        assert_eq!(head.int8_ops, (2 * outputs * VOCABULARY * 64) as u64);
        assert!(head.read_bytes >= if outputs > 0 { weights } else { 0 });
        assert_eq!(outputs == 0, head == Cost::default());
    }
}

#[test]
fn an_f32_cache_reads_twice_the_bytes_of_the_same_positions() {
    let mut b = builder(64);
    let q = b.buffer("q", 64, Extent::Tokens);
    let cache = b.kv_cache(KvSpec {
        kv_heads: 2,
        head_dim: 16,
    });
    for window in [None, Some(5), Some(1000)] {
        let node = Node::Attention {
            q,
            out: q,
            gate: None,
            cache,
            heads: 4,
            head_dim: 16,
            window,
            quantise: false,
        };
        b.push("attention", node).expect("fits");
    }
    let last = b.buffer("last", 64, Extent::Outputs);
    let program = b.finish(last).expect("rows per output");
    let (tokens, depth) = (3, 100);
    let read = |node: usize, kv_type| {
        let step = StepShape {
            tokens,
            depth,
            outputs: 0,
            kv_type,
            float_products: FloatProducts::F32,
        };
        program.cost(&program.nodes()[node].node, step).read_bytes
    };
    for (node, positions) in [(0, 103), (1, 7), (2, 103)] {
        let cached = 2 * positions * 2 * 16 * 2;
        let queries = (4 * tokens * 64) as u64;
        assert_eq!(read(node, KvType::F16), queries + cached);
        assert_eq!(read(node, KvType::F32), queries + 2 * cached);
    }
}
