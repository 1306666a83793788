//! A recurrent block of Griffin's as one model uses it: a convolution into rows of heads, products of each head with matrices of its own
//! for both gates, the RG-LRU, a gate, and logits with a soft cap.

use ops::{
    Dtype,
    glu::{self, Activation},
    matmul,
    pointwise::Function,
    rg_lru, softcap,
};

use super::{Outputs, Pool, Session, VOCABULARY, heads::products, packed, profile, project};
use crate::{
    Isa,
    fixture::{Table, assert_near, assert_same_bits, same_everywhere},
    program::{BufferId, Extent, MatrixId, Node, Program, ProgramBuilder, Projection},
};

const HIDDEN: usize = 64;
const HEADS: usize = 3;
/// Channels of a head.
const BLOCK: usize = 32;
const CHANNELS: usize = HEADS * BLOCK;
const CAP: f32 = 3.0;

pub(super) struct Griffin {
    pub(super) program: Program,
    dtype: Dtype,
    weights: Vec<Vec<u8>>,
    /// Biases of both gates, and the rate.
    constants: [Vec<f32>; 3],
    /// Convolved channels, both gates, what the recurrence gives, the gating branch, what is gated, the last rows.
    ids: [BufferId; 7],
}

pub(super) fn griffin(dtype: Dtype) -> Griffin {
    let mut b = ProgramBuilder::new(Box::new(Table::of(dtype, VOCABULARY, HIDDEN)));
    let x = b.buffer("x", HIDDEN, Extent::Tokens);
    let convolved = b.buffer("convolved", BLOCK, Extent::Slots(HEADS));
    let wide = ["mixed", "input", "recurrence", "read", "y", "gated"];
    let [mixed, input, recurrence, read, y, gated] =
        wide.map(|name| b.buffer(name, CHANNELS, Extent::Tokens));
    let last = b.buffer("last", CHANNELS, Extent::Outputs);
    let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
    let mut weights = Vec::new();
    let mut matrix = |b: &mut ProgramBuilder, rows, cols| -> MatrixId {
        let seed = 50 + weights.len() as u64;
        weights.push(ops::input::weights(seed, dtype, rows * cols));
        b.matrix(packed(dtype, rows, cols, &weights[weights.len() - 1]))
    };
    let [to_mixed, to_y] = [CHANNELS; 2].map(|rows| matrix(&mut b, rows, HIDDEN));
    let gates = [CHANNELS; 2].map(|rows| matrix(&mut b, rows, BLOCK));
    let head = matrix(&mut b, VOCABULARY, CHANNELS);
    let rate = ops::input::uniform(22, CHANNELS, -1.0, -0.001);
    let biases = [20, 21].map(|seed| ops::input::normal(seed, CHANNELS));
    let [first, second] = biases;
    let constants = [first, second, rate];
    let [input_bias, recurrence_bias, rate] =
        constants.each_ref().map(|c| b.vector(c).expect("memory"));
    let taps = ops::input::normal(23, 4 * CHANNELS);
    let conv = Node::CausalConv {
        input: mixed,
        out: convolved,
        weight: b.vector(&taps).expect("memory"),
        bias: Some(input_bias),
        silu: false,
        state: b.conv_state(CHANNELS),
    };
    let state = b.rg_lru_state(CHANNELS);
    let product = |input, projections| Node::MatMul { input, projections };
    let by_head = |matrix, out| Node::HeadMatMul {
        input: convolved,
        rest: None,
        out,
        heads: HEADS,
        matrix,
    };
    let nodes = [
        Node::Embed { out: x, scale: 8.0 },
        product(
            x,
            vec![project(to_mixed, mixed, false), project(to_y, y, false)],
        ),
        conv,
        by_head(gates[0], input),
        by_head(gates[1], recurrence),
        Node::RgLru {
            x: convolved,
            input,
            recurrence,
            input_bias,
            recurrence_bias,
            rate,
            out: read,
            state,
        },
        Node::Glu {
            gate: y,
            up: read,
            out: gated,
            activation: Activation::GeluTanh,
            quantise: false,
        },
        Node::SelectOutputs {
            input: gated,
            out: last,
        },
        product(
            last,
            vec![Projection {
                function: Some(Function::SoftCap(CAP)),
                ..project(head, logits, false)
            }],
        ),
    ];
    for node in nodes {
        b.push("part", node).expect("shapes fit");
    }
    Griffin {
        program: b.finish(logits).expect("rows per output"),
        dtype,
        weights,
        constants,
        ids: [convolved, input, recurrence, read, y, gated, last],
    }
}

impl Griffin {
    /// Products of rows with matrix `which`, whose `parts` parts take turns.
    fn product(
        &self,
        which: usize,
        parts: usize,
        x: &[f32],
        (cols, rows): (usize, usize),
    ) -> Vec<f64> {
        let weights = (self.dtype, &self.weights[which][..]);
        products(&self.program, which, weights, parts, x, (cols, cols, rows))
    }

    /// Each node against its reference over what it read; `state` as it was before, and is after.
    fn check(&self, session: &Session, tokens: usize, begins: bool, state: &mut [f64]) {
        let [x, input, recurrence, read, y, gated, last] = self.ids.map(|id| {
            let rows = self.program.buffer(id).extent.rows(tokens, tokens);
            session.held(&self.program, id, rows)
        });
        let what = format!("{} {tokens} tokens", self.dtype);
        for (which, got) in [(2, &input), (3, &recurrence)] {
            let want = self.product(which, HEADS, &x, (BLOCK, BLOCK));
            assert_near(got, &want, matmul::TOLERANCE, &what);
        }
        let [input_bias, recurrence_bias, rate] = self.constants.each_ref().map(|c| &c[..]);
        let inputs = rg_lru::Inputs {
            x: &x,
            input: &input,
            recurrence: &recurrence,
            input_bias,
            recurrence_bias,
            rate,
        };
        let shape = rg_lru::Shape {
            tokens,
            channels: CHANNELS,
            begins,
        };
        let want = rg_lru::reference(&shape, &inputs, state);
        assert_near(&read, &want, 2.0 * rg_lru::TOLERANCE, &what);
        let shape = glu::Shape {
            activation: Activation::GeluTanh,
            tokens,
            width: CHANNELS,
        };
        let want = glu::reference(&shape, &y, &read);
        assert_near(&gated, &want, glu::TOLERANCE, &what);
        let cap = |x: f64| softcap::softcap(x, f64::from(CAP));
        let products = self.product(4, 1, &last, (CHANNELS, VOCABULARY));
        let want: Vec<f64> = products.into_iter().map(cap).collect();
        assert_near(&session.logits(), &want, matmul::TOLERANCE, &what);
    }
}

fn run(model: &Griffin, (isa, pool): (Isa, &Pool), tokens: &[u32], chunk: usize) -> Vec<f32> {
    let program = &model.program;
    let mut session = Session::new(program, profile(isa, pool.threads()), chunk, tokens.len());
    let (mut all, mut state) = (Vec::new(), vec![0.0; CHANNELS]);
    for tokens in tokens.chunks(chunk) {
        let begins = session.state.positions() == 0;
        session
            .step(program, pool, tokens, Outputs::All)
            .expect("a step that fits");
        all.extend(session.logits());
        if isa == Isa::detect() {
            model.check(&session, tokens.len(), begins, &mut state);
        }
    }
    all
}

#[test]
fn the_block_is_its_references_in_turn_and_cuts_do_not_matter() {
    let tokens: Vec<u32> = (0..21).map(|i| i * 7 % VOCABULARY as u32).collect();
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::Q8_0, Dtype::Q4_0] {
        let model = griffin(dtype);
        let whole = same_everywhere(&format!("{dtype}"), |isa, pool| {
            run(&model, (isa, pool), &tokens, 21)
        });
        for chunk in [1, 2, 8] {
            same_everywhere(&format!("{dtype} by {chunk}"), |isa, pool| {
                let got = run(&model, (isa, pool), &tokens, chunk);
                assert_same_bits(&got, &whole, &format!("{dtype} in steps of {chunk}"));
                got
            });
        }
    }
}

#[test]
fn a_state_is_forgotten_as_a_whole() {
    let model = griffin(Dtype::F32);
    let pool = Pool::new(1, 100, 100).expect("threads");
    let mut session = Session::new(&model.program, profile(Isa::detect(), 1), 3, 16);
    let run = |session: &mut Session| {
        session
            .step(&model.program, &pool, &[7, 3, 11], Outputs::All)
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
