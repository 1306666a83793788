//! Products that write a part of a row or a head of it, and scored routes: what a builder refuses, rounding, and costs by hand.

use ops::{
    Cost, Dtype,
    route::{Groups, Scoring},
};

use super::{
    BufferId, Extent, Node, ProgramBuilder, Projection, StepShape, builder, matrix, names, norm,
    ones, problem, product,
};
use crate::{FloatProducts, KvType};

#[test]
fn parts_of_rows_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let input = b.buffer("input", 64, Extent::Tokens);
    let row = b.buffer("row", 96, Extent::Tokens);
    let slots = b.buffer("slots", 32, Extent::Slots(3));
    let odd = b.buffer("odd", 24, Extent::Slots(4));
    let [half, ragged] = [48, 40].map(|rows| matrix(&mut b, Dtype::F32, rows, 64));
    let whole = matrix(&mut b, Dtype::F32, 96, 64);
    let part = |matrix, out, column| Node::MatMul {
        input,
        projections: vec![Projection {
            column,
            ..Projection::new(matrix, out)
        }],
    };
    for node in [
        part(half, row, Some(0)),
        part(half, row, Some(48)),
        part(whole, row, None),
        part(whole, slots, None),
    ] {
        b.push("part", node).expect("fits");
    }
    for (node, want) in [
        (
            part(half, row, None),
            "expected 48 columns in `row`, got 96",
        ),
        (
            part(half, row, Some(64)),
            "expected panels of 16 columns within the 96 of `row`, got 48 from 64 on",
        ),
        (
            part(half, row, Some(8)),
            "expected panels of 16 columns within the 96 of `row`, got 48 from 8 on",
        ),
        (
            part(ragged, row, Some(0)),
            "expected panels of 16 columns within the 96 of `row`, got 40 from 0 on",
        ),
        (
            part(half, row, Some(usize::MAX - 15)),
            "expected panels of 16 columns within the 96 of `row`, got 48 from 18446744073709551600 on",
        ),
        (
            part(half, slots, None),
            "expected 48 columns in `slots`, got 96",
        ),
        (
            part(whole, odd, None),
            "its buffers mix a row per token with a row per output",
        ),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }
}

#[test]
fn a_norm_of_leading_columns_is_in_place() {
    let mut b = builder(64);
    let [row, other] = ["row", "other"].map(|name| b.buffer(name, 96, Extent::Tokens));
    let [most, less] = [64, 40].map(|len| ones(&mut b, len));
    b.push("norm", norm(row, row, most, 64)).expect("fits");
    let want = "96 columns are not whole norms of 64";
    assert_eq!(problem(&mut b, norm(row, other, most, 64)), want);
    let want = "96 columns are not whole norms of 40";
    assert_eq!(problem(&mut b, norm(row, row, less, 40)), want);
}

/// embed, keys and the rest of heads, their products, select, logits.
fn by_head(b: &mut ProgramBuilder, dtype: Dtype) -> BufferId {
    let x = b.buffer("x", 64, Extent::Tokens);
    let keys = b.buffer("keys", 32, Extent::Slots(2));
    let rest = b.buffer("rest", 16, Extent::Slots(2));
    let out = b.buffer("out", 160, Extent::Tokens);
    let last = b.buffer("last", 160, Extent::Outputs);
    let logits = b.buffer("logits", 40, Extent::Outputs);
    let [wide, narrow] = [64, 32].map(|rows| matrix(b, dtype, rows, 64));
    let heads = matrix(b, dtype, 128, 32);
    let head = matrix(b, dtype, 40, 160);
    let mut push = |node| b.push("part", node).expect("shapes fit");
    push(Node::Embed { out: x, scale: 1.0 });
    push(product(wide, x, keys));
    push(product(narrow, x, rest));
    push(Node::HeadMatMul {
        input: keys,
        rest: Some(rest),
        out,
        heads: 2,
        matrix: heads,
    });
    push(Node::SelectOutputs {
        input: out,
        out: last,
    });
    push(product(head, last, logits));
    logits
}

/// The 8-bit form of a head is a row of its own: what writes several as one cannot round them.
#[test]
fn heads_are_rounded_by_a_node_of_their_own() {
    let mut b = builder(64);
    let logits = by_head(&mut b, Dtype::Q8_0);
    let program = b.finish(logits).expect("rows per output");
    let want = [
        "embed", "quantise", "product", "product", "quantise", "other", "select", "quantise",
        "product",
    ];
    assert_eq!(names(&program), want);
}

#[test]
fn products_of_heads_cost_each_matrix_once() {
    let mut b = builder(64);
    let logits = by_head(&mut b, Dtype::F32);
    let program = b.finish(logits).expect("rows per output");
    let step = StepShape {
        tokens: 3,
        depth: 0,
        outputs: 0,
        kv_type: KvType::F32,
        float_products: FloatProducts::F32,
    };
    let node = &program.nodes()[3].node;
    let want = Cost {
        read_bytes: 4 * 128 * 32 + 3 * 2 * 4 * 32 + 3 * 2 * 4 * 16,
        written_bytes: 3 * 4 * 160,
        f32_flops: 2 * 3 * 128 * 32,
        ..Cost::default()
    };
    assert_eq!(program.cost(node, step), want);
    assert_eq!(
        program.cost(node, StepShape { tokens: 0, ..step }),
        Cost::default()
    );
}

#[test]
fn heads_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let input = b.buffer("input", 32, Extent::Slots(2));
    let rest = b.buffer("rest", 24, Extent::Slots(2));
    let out = b.buffer("out", 128, Extent::Tokens);
    let fits = matrix(&mut b, Dtype::F32, 128, 32);
    let [wide, ragged] = [(128, 48), (72, 32)].map(|(r, c)| matrix(&mut b, Dtype::F32, r, c));
    let node = |matrix, rest, heads| Node::HeadMatMul {
        input,
        rest,
        out,
        heads,
        matrix,
    };
    b.push("heads", node(fits, None, 2)).expect("fits");
    for (node, want) in [
        (
            node(fits, None, 4),
            "its buffers mix a row per token with a row per output",
        ),
        (
            node(wide, None, 2),
            "expected at least 48 columns in a head, got 32",
        ),
        (
            node(ragged, None, 2),
            "expected 2 heads of a multiple of 16 outputs each, got 72 outputs in all",
        ),
        (
            node(fits, Some(rest), 2),
            "expected a multiple of 16 columns behind a head, got 24",
        ),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }
}

#[test]
fn routes_that_cannot_be_scored_are_refused() {
    let mut b = builder(64);
    let logits = b.buffer("router", 12, Extent::Tokens);
    let out = b.buffer("routes", 8, Extent::Tokens);
    let [bias, short] = [12, 11].map(|len| ones(&mut b, len));
    let scored = |count, used| Scoring::Sigmoid {
        groups: Groups { count, used },
        renormalise: true,
        scale: 1.0,
    };
    let node = |scoring, bias| Node::Route {
        logits,
        out,
        chosen: 4,
        scoring,
        bias,
    };
    b.push("route", node(scored(1, 1), Some(bias)))
        .expect("fits");
    b.push("route", node(scored(3, 1), None)).expect("fits");
    let groups =
        "expected groups of two experts or more, at most 64, with 4 experts in the used ones; got";
    for (node, want) in [
        (
            node(scored(1, 1), Some(short)),
            "expected 12 weights, got 11".to_owned(),
        ),
        (
            node(Scoring::Softmax, Some(bias)),
            "a bias of experts that are weighed by their softmax".to_owned(),
        ),
        (
            node(scored(5, 1), None),
            format!("{groups} 1 of 5 groups of 12 experts"),
        ),
        (
            node(scored(4, 1), None),
            format!("{groups} 1 of 4 groups of 12 experts"),
        ),
        (
            node(scored(12, 12), None),
            format!("{groups} 12 of 12 groups of 12 experts"),
        ),
        (
            node(scored(0, 0), None),
            format!("{groups} 0 of 0 groups of 12 experts"),
        ),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }
}
