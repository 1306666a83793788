//! Steps and scan against their references, and any cut of a sequence into passes: the same bits in outputs and state.

use ops::{
    Dtype,
    mamba2::{self as reference, Inputs, Shape},
    time_steps,
};

use super::cpu::{Mamba2Shape, Scan, Steps, scan, steps};
use crate::{
    Isa, PackedMatrix, Pool, RuntimeProfile, StoredMatrix,
    cpu::{Outputs, State, Step, StepLimits, Workspace, execute},
    fixture::{Matrix, Table, assert_near, assert_same_bits, padded, same_everywhere},
    memory::{Aligned, Arena, Pages},
    program::{Extent, MatrixId, Node, Program, ProgramBuilder, Projection},
};

/// A sequence's inputs, and the state before it.
struct Sequence {
    shape: Shape,
    x: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    steps: Vec<f32>,
    decays: Vec<f32>,
    skip: Vec<f32>,
    state: Vec<f32>,
}

impl Sequence {
    fn of(shape: Shape) -> Self {
        let Shape {
            tokens,
            heads,
            groups,
            head_dim,
            state_dim,
        } = shape;
        Self {
            shape,
            x: ops::input::normal(1, tokens * heads * head_dim),
            b: ops::input::normal(2, tokens * groups * state_dim),
            c: ops::input::normal(3, tokens * groups * state_dim),
            steps: ops::input::uniform(4, tokens * heads, 0.01, 1.0),
            decays: ops::input::uniform(5, tokens * heads, 0.5, 1.0),
            skip: ops::input::normal(6, heads),
            state: ops::input::normal(7, heads * state_dim * head_dim),
        }
    }

    fn layer(&self) -> Mamba2Shape {
        Mamba2Shape {
            heads: self.shape.heads,
            groups: self.shape.groups,
            head_dim: self.shape.head_dim,
            state_dim: self.shape.state_dim,
        }
    }

    /// Rows of a token's slices, one behind the other.
    fn joined(&self, parts: &[&[f32]]) -> Vec<f32> {
        let tokens = self.shape.tokens;
        let row = |t: usize| {
            parts.iter().flat_map(move |part| {
                let width = part.len() / tokens;
                part[t * width..][..width].iter().copied()
            })
        };
        (0..tokens).flat_map(row).collect()
    }

    /// Outputs and then the state, in passes of up to `pass` tokens.
    fn run(&self, isa: Isa, pool: &Pool, pass: usize) -> Vec<f32> {
        let shape = self.layer();
        let mut state = Aligned::<f32>::zeroed(shape.state_len()).expect("memory");
        state.as_mut_slice().copy_from_slice(&self.state);
        let rows = self.joined(&[&self.x, &self.b, &self.c]);
        let scalars = self.joined(&[&self.steps, &self.decays]);
        let skip = padded(&self.skip);
        let mut all = Vec::new();
        for from in (0..self.shape.tokens).step_by(pass) {
            let tokens = pass.min(self.shape.tokens - from);
            let part =
                |x: &[f32], width: usize| Matrix::of(&x[from * width..][..tokens * width], width);
            let xbc = part(&rows, shape.channels());
            let steps = part(&scalars, 2 * shape.heads);
            let out = Matrix::empty(tokens, shape.values());
            pool.run(|team| {
                let call = Scan {
                    xbc: xbc.rows(),
                    steps: steps.rows(),
                    skip: &skip,
                    out: out.rows(),
                    state: state.as_mut_pointer(),
                    shape,
                    tokens,
                };
                // SAFETY: the views have a row per token, the state the shape's elements.
                unsafe { scan(isa, call, team) }
            });
            all.extend(out.values());
        }
        all.extend_from_slice(state.as_slice());
        all
    }

    fn check(&self, what: &str) {
        let inputs = Inputs {
            x: &self.x,
            b: &self.b,
            c: &self.c,
            steps: &self.steps,
            decays: &self.decays,
            skip: &self.skip,
        };
        let mut state: Vec<f64> = self.state.iter().copied().map(f64::from).collect();
        let want = reference::reference(&self.shape, &inputs, &mut state);
        let got = same_everywhere(what, |isa, pool| self.run(isa, pool, self.shape.tokens));
        let (y, kept) = got.split_at(want.len());
        assert_near(y, &want, reference::TOLERANCE, what);
        assert_near(kept, &state, reference::TOLERANCE, what);
    }
}

#[test]
fn the_table_is_right() {
    for case in reference::cases() {
        Sequence::of(case.shape).check(case.name);
    }
}

#[test]
fn every_width_and_group_is_right_and_cuts_do_not_matter() {
    for head_dim in [16, 32, 48, 64] {
        for groups in [1, 2, 6] {
            let sequence = Sequence::of(Shape {
                tokens: 130,
                heads: 6,
                groups,
                head_dim,
                state_dim: 21,
            });
            let what = format!("{head_dim} columns, {groups} groups");
            sequence.check(&what);
            let pool = Pool::new(2, 100, 100).expect("threads");
            let whole = sequence.run(Isa::detect(), &pool, 130);
            for pass in [1, 7, 64] {
                let got = sequence.run(Isa::detect(), &pool, pass);
                assert_same_bits(&got, &whole, &format!("{what}, passes of {pass}"));
            }
        }
    }
}

#[test]
fn steps_and_decays_are_right() {
    for case in time_steps::cases() {
        let time_steps::Shape { tokens, heads } = case.shape;
        let mut dt = ops::input::normal(1, tokens * heads);
        // Beyond softplus's line, and a decay that f32 still holds.
        dt[0] = 25.0;
        let rate = ops::input::uniform(2, heads, -2.0, -0.02);
        let bias = ops::input::normal(3, heads);
        let got = same_everywhere(case.name, |_, pool| {
            let (input, out) = (Matrix::of(&dt, heads), Matrix::empty(tokens, 2 * heads));
            pool.run(|team| {
                let call = Steps {
                    dt: input.rows(),
                    out: out.rows(),
                    rate: &rate,
                    bias: &bias,
                    heads,
                };
                // SAFETY: the views have a row per token.
                unsafe { steps(call, tokens, team) }
            });
            out.values()
        });
        let want = time_steps::reference(&case.shape, &dt, &rate, &bias);
        let halves = |half: usize| -> Vec<f32> {
            let rows = got.chunks_exact(2 * heads);
            rows.flat_map(|row| row[half * heads..][..heads].iter().copied())
                .collect()
        };
        assert_near(&halves(0), &want.steps, time_steps::TOLERANCE, "steps");
        assert_near(&halves(1), &want.decays, time_steps::TOLERANCE, "decays");
    }
}

const VOCABULARY: usize = 40;
const HIDDEN: usize = 64;

/// Embedding, projections, steps, scan, logits.
fn program() -> Program {
    let shape = Mamba2Shape {
        heads: 2,
        groups: 1,
        head_dim: 16,
        state_dim: 8,
    };
    let mut b = ProgramBuilder::new(Box::new(Table::of(Dtype::F32, VOCABULARY, HIDDEN)));
    let mut matrix = |seed, rows, cols| -> MatrixId {
        let stored = StoredMatrix {
            dtype: Dtype::F32,
            rows,
            cols,
            bytes: &ops::input::weights(seed, Dtype::F32, rows * cols),
        };
        let packed = PackedMatrix::pack(
            stored,
            rows,
            &|r| r,
            1,
            &mut Arena::new(Pages::Small),
            &mut |_| {},
        );
        b.matrix(packed.expect("valid weights"))
    };
    let to_xbc = matrix(2, shape.channels(), HIDDEN);
    let to_dt = matrix(3, shape.heads, HIDDEN);
    let head = matrix(4, VOCABULARY, shape.values());
    let [x, xbc, dt, steps, out] = [
        ("x", HIDDEN),
        ("xbc", shape.channels()),
        ("dt", shape.heads),
        ("steps", 2 * shape.heads),
        ("out", shape.values()),
    ]
    .map(|(name, width)| b.buffer(name, width, Extent::Tokens));
    let last = b.buffer("last", shape.values(), Extent::Outputs);
    let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
    let [rate, bias, skip] =
        [[-0.5, -0.1], [0.2, 0.4], [1.0, 0.5]].map(|values| b.vector(&values).expect("memory"));
    let state = b.mamba2_state(shape);
    let project = |matrix, out| Projection::new(matrix, out);
    let product = |input, projections| Node::MatMul { input, projections };
    let nodes = [
        Node::Embed {
            out: x,
            scale: 30.0,
        },
        product(x, vec![project(to_xbc, xbc), project(to_dt, dt)]),
        Node::TimeSteps {
            dt,
            out: steps,
            rate,
            bias,
        },
        Node::Mamba2 {
            xbc,
            steps,
            skip,
            out,
            state,
            shape,
        },
        Node::SelectOutputs {
            input: out,
            out: last,
        },
        product(last, vec![project(head, logits)]),
    ];
    for node in nodes {
        b.push("part", node).expect("shapes fit");
    }
    b.finish(logits).expect("rows per output")
}

#[test]
fn a_state_is_forgotten_as_a_whole() {
    let program = program();
    let profile = RuntimeProfile {
        threads: 1,
        ..RuntimeProfile::default()
    };
    let pool = Pool::new(1, 100, 100).expect("threads");
    let mut state = State::new(&program, &profile, 16).expect("memory");
    let size = StepLimits {
        tokens: 4,
        outputs: 4,
        sequences: 1,
        capacity: 16,
    };
    let mut workspace = Workspace::new(&program, &profile, size).expect("memory");
    let mut run = |state: &mut State| {
        let step = Step {
            tokens: &[7, 3, 11],
            outputs: Outputs::Last,
        };
        execute(&program, state, &mut workspace, step, &pool, &profile, None)
            .expect("a step that fits");
        workspace.logits(0).expect("logits").to_vec()
    };
    let first = run(&mut state);
    assert_ne!(run(&mut state), first, "the state is carried on");
    assert!(!state.truncate(5) && state.positions() == 6);
    assert!(state.truncate(6) && state.truncate(0));
    assert_same_bits(&run(&mut state), &first, "cut back to nothing");
    state.reset();
    assert_same_bits(&run(&mut state), &first, "after a reset");
}
