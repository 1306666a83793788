//! A feed-forward model, node by node against the references.

use ops::{
    Dtype, embed,
    glu::{self, Activation},
    matmul, rms_norm,
};

use super::{EPS, Outputs, Session, VOCABULARY, norm, packed, profile, project};
use crate::{
    Isa,
    fixture::{Table, assert_near, assert_same_bits, same_everywhere},
    program::{BufferId, Extent, MatrixId, Node, Program, ProgramBuilder, Projection},
};

const HIDDEN: usize = 256;
const INNER: usize = 512;

/// embed, norm, gate (with a bias, halved) and up, glu, down (scaled) into the residual, select, norm, logits.
pub(super) struct FeedForward {
    pub(super) program: Program,
    dtype: Dtype,
    table: Table,
    weights: [Vec<u8>; 4],
    norm: Vec<f32>,
    bias: Vec<f32>,
    ids: [BufferId; 7],
}

impl FeedForward {
    pub(super) fn new(dtype: Dtype) -> Self {
        let shapes = [
            (INNER, HIDDEN),
            (INNER, HIDDEN),
            (HIDDEN, INNER),
            (VOCABULARY, HIDDEN),
        ];
        let mut seed = 10;
        let weights = shapes.map(|(rows, cols)| {
            seed += 1;
            ops::input::weights(seed, dtype, rows * cols)
        });
        let vector = ops::input::normal(20, HIDDEN);
        let bias = ops::input::normal(21, INNER);
        let mut b = ProgramBuilder::new(Box::new(Table::of(dtype, VOCABULARY, HIDDEN)));
        let [x, normed] = ["x", "normed"].map(|n| b.buffer(n, HIDDEN, Extent::Tokens));
        let [gate, up, h] = ["gate", "up", "h"].map(|n| b.buffer(n, INNER, Extent::Tokens));
        let [last, last_normed] =
            ["last", "last_normed"].map(|n| b.buffer(n, HIDDEN, Extent::Outputs));
        let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
        let weight = b.vector(&vector).expect("memory");
        let gate_bias = b.vector(&bias).expect("memory");
        let mut which = weights.iter().zip(shapes);
        let [gates, ups, downs, head] = [(); 4].map(|()| {
            let (bytes, (rows, cols)) = which.next().expect("four matrices");
            b.matrix(packed(dtype, rows, cols, bytes))
        });
        let mut push = |node| b.push("part", node).expect("shapes fit");
        push(Node::Embed {
            out: x,
            scale: 16.0,
        });
        push(norm(x, normed, weight, HIDDEN));
        push(Node::MatMul {
            input: normed,
            projections: vec![
                Projection {
                    bias: Some(gate_bias),
                    scale: 0.5,
                    ..project(gates, gate, false)
                },
                project(ups, up, false),
            ],
        });
        push(Node::Glu {
            gate,
            up,
            out: h,
            activation: Activation::Silu,
            quantise: false,
        });
        push(Node::MatMul {
            input: h,
            projections: vec![Projection {
                scale: 0.22,
                ..project(downs, x, true)
            }],
        });
        push(Node::SelectOutputs {
            input: x,
            out: last,
        });
        push(norm(last, last_normed, weight, HIDDEN));
        push(Node::MatMul {
            input: last_normed,
            projections: vec![project(head, logits, false)],
        });
        Self {
            program: b.finish(logits).expect("rows per output"),
            dtype,
            table: Table::of(dtype, VOCABULARY, HIDDEN),
            weights,
            norm: vector,
            bias,
            ids: [x, normed, gate, up, h, last, last_normed],
        }
    }

    fn product(&self, which: usize, x: &[f32], inputs: usize, outputs: usize) -> Vec<f64> {
        let shape = matmul::Shape {
            tokens: x.len() / inputs,
            inputs,
            outputs,
            dtype: self.dtype,
        };
        let weights = &self.weights[which];
        let integer = self.program.matrix(MatrixId(which)).is_integer();
        let reference = if integer {
            matmul::reference_int8
        } else {
            matmul::reference
        };
        reference(&shape, weights, x).expect("valid weights")
    }

    fn normed(&self, x: &[f32]) -> Vec<f64> {
        let shape = rms_norm::Shape {
            rows: x.len() / HIDDEN,
            width: HIDDEN,
            eps: EPS,
        };
        rms_norm::reference(&shape, x, &self.norm)
    }

    /// Every buffer against the reference of its node over what the node read: rounding to 8 bits would blow a difference in
    /// the last bit up to a whole step, so references are not chained.
    fn check(&self, session: &Session, tokens: &[u32], outputs: usize) {
        let count = tokens.len();
        let [x, normed, gate, up, h, last, last_normed] = self.ids.map(|id| {
            let rows = self.program.buffer(id).extent.rows(count, outputs);
            session.held(&self.program, id, rows)
        });
        let what = format!("{} {count} tokens {outputs} outputs", self.dtype);
        let near = |got: &[f32], want: &[f64], tolerance, part: &str| {
            assert_near(got, want, tolerance, &format!("{what}: {part}"));
        };
        let shape = embed::Shape {
            tokens: count,
            rows: VOCABULARY,
            width: HIDDEN,
            dtype: self.dtype,
            scale: 16.0,
        };
        let embedded = embed::reference(&shape, &self.table.bytes, tokens).expect("valid");
        let before: Vec<f32> = embedded.iter().map(|&x| x as f32).collect();
        near(&normed, &self.normed(&before), rms_norm::TOLERANCE, "norm");
        let mut want = self.product(0, &normed, HIDDEN, INNER);
        for (y, bias) in want.iter_mut().zip(self.bias.iter().cycle()) {
            *y = 0.5 * (*y + f64::from(*bias));
        }
        near(&gate, &want, matmul::TOLERANCE, "gate");
        let want = self.product(1, &normed, HIDDEN, INNER);
        near(&up, &want, matmul::TOLERANCE, "up");
        let shape = glu::Shape {
            activation: Activation::Silu,
            tokens: count,
            width: INNER,
        };
        near(
            &h,
            &glu::reference(&shape, &gate, &up),
            glu::TOLERANCE,
            "glu",
        );
        let mut want = self.product(2, &h, INNER, HIDDEN);
        for (y, x) in want.iter_mut().zip(embedded) {
            *y = 0.22 * *y + x;
        }
        near(&x, &want, matmul::TOLERANCE, "residual");
        assert_same_bits(&last, &x[(count - outputs) * HIDDEN..], "selected rows");
        near(
            &last_normed,
            &self.normed(&last),
            rms_norm::TOLERANCE,
            "last norm",
        );
        let want = self.product(3, &last_normed, HIDDEN, VOCABULARY);
        near(&session.logits(), &want, matmul::TOLERANCE, "logits");
    }
}

#[test]
fn a_program_is_its_nodes_references_in_turn() {
    for dtype in Dtype::ALL {
        let model = FeedForward::new(dtype);
        let tokens: Vec<u32> = (0..17).map(|i| i * 7 % VOCABULARY as u32).collect();
        for (outputs, rows) in [(Outputs::All, 17), (Outputs::Last, 1), (Outputs::None, 0)] {
            same_everywhere(&format!("{dtype} {outputs:?}"), |isa, pool| {
                let mut session =
                    Session::new(&model.program, profile(isa, pool.threads()), 17, 17);
                session
                    .step(&model.program, pool, &tokens, outputs)
                    .expect("a step that fits");
                assert_eq!(session.logits().len(), rows * VOCABULARY);
                if rows > 0 && isa == Isa::detect() {
                    model.check(&session, &tokens, rows);
                }
                session.logits()
            });
        }
    }
}
