//! The RG-LRU's node and the convolution before it: what a builder refuses, the state's bytes, and where heads are rounded.

use ops::Dtype;

use super::{Extent, Node, builder, matrix, names, ones, problem, product};

#[test]
fn blocks_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let x = b.buffer("x", 32, Extent::Slots(3));
    let ragged = b.buffer("ragged", 24, Extent::Slots(4));
    let [mixed, input, recurrence, out] =
        ["mixed", "input", "recurrence", "out"].map(|name| b.buffer(name, 96, Extent::Tokens));
    let narrow = b.buffer("narrow", 64, Extent::Tokens);
    let [weights, taps] = [96, 4 * 96].map(|len| ones(&mut b, len));
    let short = ones(&mut b, 95);
    let (state, conv_state) = (b.rg_lru_state(96), b.conv_state(96));
    let lru = |x, input, rate| Node::RgLru {
        x,
        input,
        recurrence,
        input_bias: weights,
        recurrence_bias: weights,
        rate,
        out,
        state,
    };
    let conv = |out| Node::CausalConv {
        input: mixed,
        out,
        weight: taps,
        bias: None,
        silu: false,
        state: conv_state,
    };
    for node in [
        conv(x),
        conv(out),
        lru(x, input, weights),
        lru(mixed, input, weights),
    ] {
        b.push("part", node).expect("fits");
    }
    let mixes = "its buffers mix a row per token with a row per output";
    for (node, want) in [
        (conv(ragged), mixes),
        (conv(narrow), "expected 96 columns in `narrow`, got 64"),
        (lru(ragged, input, weights), mixes),
        (lru(x, x, weights), mixes),
        (
            lru(narrow, input, weights),
            "expected 96 columns in `narrow`, got 64",
        ),
        (
            lru(x, narrow, weights),
            "expected 96 columns in `narrow`, got 64",
        ),
        (lru(x, input, short), "expected 96 weights, got 95"),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }
    let last = b.buffer("last", 64, Extent::Outputs);
    let program = b.finish(last).expect("rows per output");
    assert!(program.is_recurrent());
    assert_eq!(program.recurrent_bytes(), 4 * (96 + 3 * 96));
}

/// Both gates read the same heads, which are rounded once.
#[test]
fn convolved_heads_are_rounded_once() {
    let mut b = builder(96);
    let x = b.buffer("x", 96, Extent::Tokens);
    let heads = b.buffer("heads", 32, Extent::Slots(3));
    let [input, recurrence] = ["input", "recurrence"].map(|n| b.buffer(n, 96, Extent::Tokens));
    let last = b.buffer("last", 96, Extent::Outputs);
    let logits = b.buffer("logits", 40, Extent::Outputs);
    let gates = [96, 96].map(|rows| matrix(&mut b, Dtype::Q8_0, rows, 32));
    let head = matrix(&mut b, Dtype::F32, 40, 96);
    let conv = Node::CausalConv {
        input: x,
        out: heads,
        weight: ones(&mut b, 4 * 96),
        bias: None,
        silu: false,
        state: b.conv_state(96),
    };
    let by_head = |matrix, out| Node::HeadMatMul {
        input: heads,
        rest: None,
        out,
        heads: 3,
        matrix,
    };
    let select = Node::SelectOutputs {
        input: recurrence,
        out: last,
    };
    for node in [
        Node::Embed { out: x, scale: 1.0 },
        conv,
        by_head(gates[0], input),
        by_head(gates[1], recurrence),
        select,
        product(head, last, logits),
    ] {
        b.push("part", node).expect("shapes fit");
    }
    let program = b.finish(logits).expect("rows per output");
    let want = [
        "embed", "other", "quantise", "other", "other", "select", "product",
    ];
    assert_eq!(names(&program), want);
}
