//! What is refused of RWKV-7's nodes, what they keep, and who rounds.

use ops::{Dtype, pointwise::Function};

use super::{VOCABULARY, builder, matrix, names, ones, problem, product};
use crate::{
    Wkv7Shape,
    program::{
        BufferId, Extent, Node, Program, ProgramBuilder, Projection, ShiftOut, ValueResidual,
        VectorId,
    },
};

const SHAPE: Wkv7Shape = Wkv7Shape {
    heads: 2,
    head_dim: 32,
};

fn layer_norm(input: BufferId, out: BufferId, weight: VectorId, bias: VectorId) -> Node {
    Node::LayerNorm {
        input,
        out,
        weight,
        bias,
        eps: 1e-5,
        quantise: false,
    }
}

fn shifted(outs: &[BufferId]) -> Vec<ShiftOut> {
    let one = |&out: &BufferId| ShiftOut {
        out,
        quantise: false,
    };
    outs.iter().map(one).collect()
}

fn tokens<const N: usize>(b: &mut ProgramBuilder, names: [&'static str; N]) -> [BufferId; N] {
    names.map(|name| b.buffer(name, 64, Extent::Tokens))
}

const ALIASED: &str = "two of its buffers are one";

#[test]
fn norms_and_shifts_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let [x, y, z] = tokens(&mut b, ["x", "y", "z"]);
    let narrow = b.buffer("narrow", 48, Extent::Tokens);
    let last = b.buffer("last", 64, Extent::Outputs);
    let [weight, short, two] = [64, 48, 128].map(|len| ones(&mut b, len));
    b.push("norm", layer_norm(x, x, weight, weight))
        .expect("in place");
    b.push("norm", layer_norm(last, last, weight, weight))
        .expect("of outputs");
    let mixed = "its buffers mix a row per token with a row per output";
    for (node, want) in [
        (
            layer_norm(x, y, short, weight),
            "expected 64 weights, got 48",
        ),
        (
            layer_norm(x, y, weight, short),
            "expected 64 weights, got 48",
        ),
        (
            layer_norm(x, narrow, weight, weight),
            "expected 64 columns in `narrow`, got 48",
        ),
        (layer_norm(x, last, weight, weight), mixed),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }
    let state = b.shift_state(64);
    let shift = |input, outs: &[BufferId], mu| Node::TokenShift {
        input,
        outs: shifted(outs),
        mu,
        state,
    };
    b.push("shift", shift(x, &[y, z], two)).expect("fits");
    let seven = tokens(&mut b, ["a", "b", "c", "d", "e", "f", "g"]);
    for (node, want) in [
        (shift(x, &[y], two), "expected 64 weights, got 128"),
        (shift(x, &[], two), "expected 1 to 6 mixtures, got 0"),
        (shift(x, &seven, two), "expected 1 to 6 mixtures, got 7"),
        (shift(x, &[x], weight), ALIASED),
        (shift(x, &[y, y], two), ALIASED),
        (
            shift(x, &[narrow], weight),
            "expected 64 columns in `narrow`, got 48",
        ),
        (
            shift(narrow, &[y], weight),
            "expected 64 columns in `narrow`, got 48",
        ),
        (shift(x, &[last], weight), mixed),
        (shift(last, &[y], weight), mixed),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let mut b = builder(64);
    let [r, w, k, v, a, y] = tokens(&mut b, ["r", "w", "k", "v", "a", "y"]);
    let [first, mix, gate, removal] = tokens(&mut b, ["first", "mix", "gate", "removal"]);
    let narrow = b.buffer("narrow", 48, Extent::Tokens);
    let last = b.buffer("last", 64, Extent::Outputs);
    let [weight, short] = [64, 48].map(|len| ones(&mut b, len));
    let state = b.wkv7_state(SHAPE);
    let other = Wkv7Shape {
        heads: 4,
        head_dim: 16,
    };
    let odd = Wkv7Shape {
        heads: 2,
        head_dim: 24,
    };
    let none = Wkv7Shape {
        heads: 0,
        head_dim: 0,
    };
    let whole = |of: &str| format!("expected heads of a multiple of 16 columns, got {of}");
    let mixed = "its buffers mix a row per token with a row per output";

    let gates = |value, residual, k_k, shape| Node::Wkv7Gates {
        decay: w,
        rate: a,
        key: k,
        value,
        removal,
        residual,
        k_k,
        k_a: weight,
        shape,
    };
    let towards = |first, mix| Some(ValueResidual { first, mix });
    b.push("gates", gates(v, None, weight, SHAPE))
        .expect("fits");
    b.push("gates", gates(v, towards(first, mix), weight, SHAPE))
        .expect("fits");
    for (node, want) in [
        (gates(v, None, short, SHAPE), "expected 64 weights, got 48"),
        (
            gates(narrow, None, weight, SHAPE),
            "expected 64 columns in `narrow`, got 48",
        ),
        (gates(k, None, weight, SHAPE), ALIASED),
        (gates(v, towards(v, mix), weight, SHAPE), ALIASED),
        (
            gates(v, towards(first, first), weight, SHAPE),
            "a value that moves to its own share",
        ),
        (gates(v, towards(first, last), weight, SHAPE), mixed),
        (gates(v, None, weight, odd), &whole("2 of 24")),
        (gates(v, None, weight, none), &whole("0 of 0")),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }

    let scan = |value, out, shape| Node::Wkv7 {
        receptance: r,
        decay: w,
        key: k,
        value,
        removal,
        erasure: a,
        out,
        state,
        shape,
    };
    b.push("scan", scan(v, y, SHAPE)).expect("fits");
    for (node, want) in [
        (scan(v, r, SHAPE), ALIASED),
        (scan(v, v, SHAPE), ALIASED),
        (scan(v, last, SHAPE), mixed),
        (
            scan(narrow, y, SHAPE),
            "expected 64 columns in `narrow`, got 48",
        ),
        (scan(v, y, other), "a state of other dimensions"),
        (scan(v, y, odd), &whole("2 of 24")),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }

    let output = |gate, r_k, shape| Node::Wkv7Output {
        y,
        receptance: r,
        key: k,
        value: v,
        gate,
        weight,
        bias: weight,
        r_k,
        eps: 64e-5,
        shape,
        quantise: false,
    };
    b.push("output", output(gate, weight, SHAPE)).expect("fits");
    for (node, want) in [
        (output(gate, short, SHAPE), "expected 64 weights, got 48"),
        (output(y, weight, SHAPE), ALIASED),
        (
            output(narrow, weight, SHAPE),
            "expected 64 columns in `narrow`, got 48",
        ),
        (output(last, weight, SHAPE), mixed),
        (output(gate, weight, odd), &whole("2 of 24")),
    ] {
        assert_eq!(problem(&mut b, node), want);
    }

    let square = matrix(&mut b, Dtype::F32, 64, 64);
    let added = Node::MatMul {
        input: r,
        projections: vec![Projection {
            add: true,
            function: Some(Function::Tanh),
            ..Projection::new(square, y)
        }],
    };
    assert_eq!(
        problem(&mut b, added),
        "a function of what is added to a buffer"
    );

    let program = b.finish(last).expect("rows per output");
    assert!(program.is_recurrent());
    assert_eq!(program.recurrent_bytes(), 4 * 2 * 32 * 32);
}

/// embed, norm, shift, two products (one of a mixture that no integer product reads), output, product into the stream, logits.
fn rounding(dtype: Dtype) -> Program {
    let mut b = builder(64);
    let [x, normed, m, n, y, z] = tokens(&mut b, ["x", "normed", "m", "n", "y", "z"]);
    let last = b.buffer("last", 64, Extent::Outputs);
    let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
    let (weight, mu) = (ones(&mut b, 64), ones(&mut b, 128));
    let state = b.shift_state(64);
    let square = matrix(&mut b, dtype, 64, 64);
    let float = matrix(&mut b, Dtype::F16, 64, 64);
    let head = matrix(&mut b, dtype, VOCABULARY, 64);
    let squared = Projection {
        function: Some(Function::SquaredRelu),
        ..Projection::new(square, y)
    };
    let nodes = [
        Node::Embed { out: x, scale: 1.0 },
        layer_norm(x, normed, weight, weight),
        Node::TokenShift {
            input: normed,
            outs: shifted(&[m, n]),
            mu,
            state,
        },
        Node::MatMul {
            input: m,
            projections: vec![squared],
        },
        product(float, n, z),
        product(square, y, normed),
        Node::Wkv7Output {
            y: z,
            receptance: m,
            key: n,
            value: y,
            gate: normed,
            weight,
            bias: weight,
            r_k: weight,
            eps: 64e-5,
            shape: SHAPE,
            quantise: false,
        },
        product(square, z, x),
        Node::SelectOutputs {
            input: x,
            out: last,
        },
        layer_norm(last, last, weight, weight),
        product(head, last, logits),
    ];
    for node in nodes {
        b.push("part", node).expect("shapes fit");
    }
    b.finish(logits).expect("rows per output")
}

#[test]
fn who_writes_rounds() {
    let floats = names(&rounding(Dtype::F16));
    let want = [
        "embed",
        "layer norm",
        "shift",
        "product",
        "product",
        "product",
        "wkv7 output",
        "product",
        "select",
        "layer norm",
        "product",
    ];
    assert_eq!(floats, want);
    let program = rounding(Dtype::Q8_0);
    let want = [
        "embed",
        "layer norm",
        "shift+8",
        "product+8",
        "product",
        "product",
        "wkv7 output+8",
        "product",
        "select",
        "layer norm+8",
        "product",
    ];
    assert_eq!(names(&program), want);
    // Only the mixture that an integer product reads.
    let rounded: Vec<bool> = program
        .nodes()
        .iter()
        .find_map(|n| match &n.node {
            Node::TokenShift { outs, .. } => Some(outs.iter().map(|o| o.quantise).collect()),
            _ => None,
        })
        .expect("a shift");
    assert_eq!(rounded, [true, false]);
}
