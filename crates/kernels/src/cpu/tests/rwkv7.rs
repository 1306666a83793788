//! A whole RWKV-7, two layers of it: the same bits from every choice and cut, and a state that is forgotten as a whole.

use ops::{Dtype, pointwise::Function};

use super::{Outputs, Pool, Session, VOCABULARY, packed, profile, project};
use crate::{
    Wkv7Shape,
    fixture::{Table, assert_same_bits, same_everywhere},
    program::{
        BufferId, Extent, MatrixId, Node, Program, ProgramBuilder, Projection, ShiftOut,
        ValueResidual, VectorId,
    },
};

const SHAPE: Wkv7Shape = Wkv7Shape {
    heads: 2,
    head_dim: 64,
};
const HIDDEN: usize = 128;
const INNER: usize = 160;
const RANK: usize = 32;

/// A builder with weights from a running seed.
struct Draft {
    b: ProgramBuilder,
    /// Of the large matrices.
    dtype: Dtype,
    /// Of the low-rank ones.
    low_rank: Dtype,
    seed: u64,
}

impl Draft {
    fn buffer(&mut self, name: &'static str, width: usize) -> BufferId {
        self.b.buffer(name, width, Extent::Tokens)
    }

    fn matrix(&mut self, dtype: Dtype, rows: usize, cols: usize) -> MatrixId {
        self.seed += 1;
        let bytes = ops::input::weights(self.seed, dtype, rows * cols);
        self.b.matrix(packed(dtype, rows, cols, &bytes))
    }

    fn square(&mut self) -> MatrixId {
        self.matrix(self.dtype, HIDDEN, HIDDEN)
    }

    fn vector(&mut self, len: usize, low: f32, high: f32) -> VectorId {
        self.seed += 1;
        let values = ops::input::uniform(self.seed, len, low, high);
        self.b.vector(&values).expect("memory")
    }

    fn push(&mut self, node: Node) {
        self.b.push("part", node).expect("shapes fit");
    }

    fn product(&mut self, input: BufferId, projections: Vec<Projection>) {
        self.push(Node::MatMul { input, projections });
    }

    fn norm(&mut self, input: BufferId, out: BufferId) {
        let weight = self.vector(HIDDEN, 0.5, 1.5);
        let bias = self.vector(HIDDEN, -0.2, 0.2);
        self.push(Node::LayerNorm {
            input,
            out,
            weight,
            bias,
            eps: 1e-5,
            quantise: false,
        });
    }

    fn shift(&mut self, input: BufferId, outs: &[BufferId]) {
        let mu = self.vector(outs.len() * HIDDEN, -0.1, 1.1);
        let state = self.b.shift_state(HIDDEN);
        let outs = outs.iter().map(|&out| ShiftOut {
            out,
            quantise: false,
        });
        let outs = outs.collect();
        self.push(Node::TokenShift {
            input,
            outs,
            mu,
            state,
        });
    }

    /// `out = W2 function(W1 input) + bias`, through a buffer of its own.
    fn low_rank(
        &mut self,
        input: BufferId,
        inner: &'static str,
        out: BufferId,
        function: Option<Function>,
    ) {
        let inner = self.buffer(inner, RANK);
        let down = self.matrix(self.low_rank, RANK, HIDDEN);
        let up = self.matrix(self.low_rank, HIDDEN, RANK);
        let bias = Some(self.vector(HIDDEN, -1.0, 1.0));
        let first = Projection {
            function,
            ..project(down, inner, false)
        };
        self.product(input, vec![first]);
        let second = Projection {
            bias,
            ..project(up, out, false)
        };
        self.product(inner, vec![second]);
    }

    fn time_mix(&mut self, layer: usize, x: BufferId, normed: BufferId) {
        let [r, w, k, v, a, g] = ["r", "w", "k", "v", "a", "g"].map(|n| self.buffer(n, HIDDEN));
        let [receptance, decay, key, rate] =
            ["receptance", "decay", "key", "rate"].map(|n| self.buffer(n, HIDDEN));
        let [first, later, mix, gate, removal, y] =
            ["first", "later", "mix", "gate", "removal", "y"].map(|n| self.buffer(n, HIDDEN));
        let value = if layer == 0 { first } else { later };
        self.norm(x, normed);
        self.shift(normed, &[r, w, k, v, a, g]);
        for (input, out) in [(r, receptance), (v, value), (k, key)] {
            let matrix = self.square();
            self.product(input, vec![project(matrix, out, false)]);
        }
        self.low_rank(w, "w1", decay, Some(Function::Tanh));
        self.low_rank(a, "a1", rate, None);
        self.low_rank(g, "g1", gate, Some(Function::Sigmoid));
        let residual = (layer > 0).then(|| {
            self.low_rank(v, "v1", mix, None);
            ValueResidual { first, mix }
        });
        let [k_k, k_a, weight, bias, r_k] = [(); 5].map(|()| self.vector(HIDDEN, 0.2, 1.2));
        self.push(Node::Wkv7Gates {
            decay,
            rate,
            key,
            value,
            removal,
            residual,
            k_k,
            k_a,
            shape: SHAPE,
        });
        let state = self.b.wkv7_state(SHAPE);
        self.push(Node::Wkv7 {
            receptance,
            decay,
            key,
            value,
            removal,
            erasure: rate,
            out: y,
            state,
            shape: SHAPE,
        });
        self.push(Node::Wkv7Output {
            y,
            receptance,
            key,
            value,
            gate,
            weight,
            bias,
            r_k,
            eps: 64e-5,
            shape: SHAPE,
            quantise: false,
        });
        let matrix = self.square();
        self.product(y, vec![project(matrix, x, true)]);
    }

    fn channel_mix(&mut self, x: BufferId, normed: BufferId) {
        let (mixed, inner) = (self.buffer("mixed", HIDDEN), self.buffer("inner", INNER));
        self.norm(x, normed);
        self.shift(normed, &[mixed]);
        let (up, down) = (
            self.matrix(self.dtype, INNER, HIDDEN),
            self.matrix(self.dtype, HIDDEN, INNER),
        );
        let first = Projection {
            function: Some(Function::SquaredRelu),
            ..project(up, inner, false)
        };
        self.product(mixed, vec![first]);
        self.product(inner, vec![project(down, x, true)]);
    }
}

pub(super) fn rwkv7(dtype: Dtype, low_rank: Dtype) -> Program {
    let mut draft = Draft {
        b: ProgramBuilder::new(Box::new(Table::of(dtype, VOCABULARY, HIDDEN))),
        dtype,
        low_rank,
        seed: 100,
    };
    let (x, normed) = (draft.buffer("x", HIDDEN), draft.buffer("normed", HIDDEN));
    let last = draft.b.buffer("last", HIDDEN, Extent::Outputs);
    let logits = draft.b.buffer("logits", VOCABULARY, Extent::Outputs);
    draft.push(Node::Embed { out: x, scale: 1.0 });
    draft.norm(x, x);
    for layer in 0..2 {
        draft.time_mix(layer, x, normed);
        draft.channel_mix(x, normed);
    }
    draft.push(Node::SelectOutputs {
        input: x,
        out: last,
    });
    draft.norm(last, last);
    let head = draft.matrix(dtype, VOCABULARY, HIDDEN);
    draft.product(last, vec![project(head, logits, false)]);
    draft.b.finish(logits).expect("rows per output")
}

/// Products that need an 8-bit input find it: no node rounds for them alone.
#[test]
fn nothing_is_rounded_apart() {
    let program = rwkv7(Dtype::Q4_0, Dtype::Q8_0);
    let apart = |node: &Node| matches!(node, Node::Quantise { .. });
    assert!(!program.nodes().iter().any(|n| apart(&n.node)));
}

#[test]
fn threads_sets_and_cuts_change_no_bit() {
    let tokens: Vec<u32> = (0..90).map(|i| i * 7 % VOCABULARY as u32).collect();
    for (dtype, low_rank) in [
        (Dtype::F32, Dtype::F32),
        (Dtype::Q4_0, Dtype::F16),
        (Dtype::Q5_1, Dtype::Q8_0),
    ] {
        let program = rwkv7(dtype, low_rank);
        let what = format!("{dtype} and {low_rank}");
        let run = |isa, pool: &Pool, pass: usize| {
            let settings = profile(isa, pool.threads());
            let mut session = Session::new(&program, settings, 90, 90);
            let mut all = Vec::new();
            for tokens in tokens.chunks(pass) {
                session
                    .step(&program, pool, tokens, Outputs::All)
                    .expect("a step that fits");
                all.extend(session.logits());
            }
            all
        };
        let whole = same_everywhere(&what, |isa, pool| run(isa, pool, 90));
        assert!(whole.iter().all(|x| x.is_finite()), "{what}");
        for pass in [1, 7, 64] {
            let what = format!("{what}, steps of {pass}");
            let got = same_everywhere(&what, |isa, pool| run(isa, pool, pass));
            assert_same_bits(&got, &whole, &what);
        }
    }
}

#[test]
fn a_state_is_forgotten_as_a_whole() {
    let program = rwkv7(Dtype::F32, Dtype::F32);
    assert!(program.is_recurrent());
    let state = 2 * (2 * HIDDEN + SHAPE.state_len());
    assert_eq!(program.recurrent_bytes(), 4 * state);
    let pool = Pool::new(1, 100, 100).expect("threads");
    let mut session = Session::new(&program, profile(crate::Isa::detect(), 1), 4, 16);
    let run = |session: &mut Session| {
        session
            .step(&program, &pool, &[7, 3, 11], Outputs::Last)
            .expect("a step that fits");
        session.logits()
    };
    let first = run(&mut session);
    assert_ne!(run(&mut session), first, "the state is carried on");
    assert!(!session.state.truncate(5) && session.state.positions() == 6);
    assert!(session.state.truncate(6) && session.state.truncate(0));
    assert_same_bits(&run(&mut session), &first, "cut back to nothing");
    session.state.reset();
    assert_same_bits(&run(&mut session), &first, "after a reset");
}
