//! Whole programs: node by node against the references, the same bits from every choice and cut, and steps that are refused.

use ops::{
    Dtype, embed,
    gated_delta::{Decay, HeadMap},
    gated_rms_norm::Gate,
    glu::{self, Activation},
    matmul, rms_norm,
};

mod batch;
mod choices;
mod griffin;
mod heads;
mod rwkv7;

use super::{
    ExecuteError, Member, Outputs, State, Step, StepLimits, Trace, Workspace, execute,
    execute_nodes,
};
use crate::{
    DeltaShape, Isa, MatMulVariant, PackedMatrix, Pool, RuntimeProfile, StoredMatrix,
    fixture::{Table, assert_near, assert_same_bits, same_everywhere},
    memory::{Arena, Pages},
    program::{
        BufferId, Extent, HeadSpec, KvSpec, MatrixId, Node, Program, ProgramBuilder, Projection,
        RopeSpec,
    },
};

const EPS: f32 = 1e-6;
const VOCABULARY: usize = 40;

fn profile(isa: Isa, threads: usize) -> RuntimeProfile {
    RuntimeProfile {
        isa,
        threads,
        ..RuntimeProfile::default()
    }
}

fn packed(dtype: Dtype, rows: usize, cols: usize, bytes: &[u8]) -> PackedMatrix {
    let stored = StoredMatrix {
        dtype,
        rows,
        cols,
        bytes,
    };
    PackedMatrix::pack(
        stored,
        rows,
        &|r| r,
        1,
        &mut Arena::new(Pages::Huge),
        &mut |_| {},
    )
    .expect("valid weights")
}

fn project(matrix: MatrixId, out: BufferId, add: bool) -> Projection {
    Projection {
        add,
        ..Projection::new(matrix, out)
    }
}

fn norm(input: BufferId, out: BufferId, weight: crate::program::VectorId, width: usize) -> Node {
    Node::RmsNorm {
        input,
        out,
        weight,
        eps: EPS,
        width,
        gate: None,
        add: false,
        quantise: false,
    }
}

fn workspace(
    program: &Program,
    profile: &RuntimeProfile,
    tokens: usize,
    sequences: usize,
    capacity: usize,
) -> Workspace {
    let size = StepLimits {
        tokens,
        outputs: tokens,
        sequences,
        capacity,
    };
    Workspace::new(program, profile, size).expect("memory")
}

/// A program with a state, a workspace and a pool for up to `tokens` tokens.
struct Session {
    state: State,
    workspace: Workspace,
    profile: RuntimeProfile,
}

impl Session {
    fn new(program: &Program, profile: RuntimeProfile, tokens: usize, capacity: usize) -> Self {
        Self {
            state: State::new(program, &profile, capacity).expect("memory"),
            workspace: workspace(program, &profile, tokens, 1, capacity),
            profile,
        }
    }

    fn step(
        &mut self,
        program: &Program,
        pool: &Pool,
        tokens: &[u32],
        outputs: Outputs,
    ) -> Result<(), ExecuteError> {
        let step = Step { tokens, outputs };
        let (state, workspace) = (&mut self.state, &mut self.workspace);
        execute(program, state, workspace, step, pool, &self.profile, None)
    }

    /// All rows of logits of the last step.
    fn logits(&self) -> Vec<f32> {
        let rows = (0..).map_while(|i| self.workspace.logits(i));
        rows.flatten().copied().collect()
    }

    /// What a buffer holds after a step, `rows` rows.
    fn held(&self, program: &Program, id: BufferId, rows: usize) -> Vec<f32> {
        let width = program.buffer(id).width;
        let view = self.workspace.rows(id);
        // SAFETY: the workspace was made for at least `rows` rows, and no step runs.
        let row = |i| unsafe { std::slice::from_raw_parts(view.row(i), width) };
        (0..rows).flat_map(|i| row(i).iter().copied()).collect()
    }
}

const HIDDEN: usize = 256;
const INNER: usize = 512;

/// embed, norm, gate (with a bias, halved) and up, glu, down (scaled) into the residual, select, norm, logits.
struct FeedForward {
    program: Program,
    dtype: Dtype,
    table: Table,
    weights: [Vec<u8>; 4],
    norm: Vec<f32>,
    bias: Vec<f32>,
    ids: [BufferId; 7],
}

impl FeedForward {
    fn new(dtype: Dtype) -> Self {
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

/// A layer of gated attention with normed and turned heads, one of DeltaNet with its convolution and gated norm.
fn hybrid(dtype: Dtype) -> Program {
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
fn in_passes(
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

#[test]
fn a_step_that_does_not_fit_changes_nothing() {
    let program = hybrid(Dtype::Q8_0);
    let pool = Pool::new(1, 100, 100).expect("threads");
    let base = profile(Isa::detect(), 1);
    let mut session = Session::new(&program, base.clone(), 8, 20);
    session.workspace.limits.outputs = 4;
    let first: Vec<u32> = (0..8).collect();
    session
        .step(&program, &pool, &first, Outputs::Last)
        .expect("a step that fits");
    let mut witness = Session::new(&program, base, 8, 20);
    witness
        .step(&program, &pool, &first, Outputs::Last)
        .expect("a step that fits");
    let logits = session.logits();

    let unknown = [1, VOCABULARY as u32, 2];
    let cases: [(&[u32], Outputs, ExecuteError); 4] = [
        (&[], Outputs::Last, ExecuteError::Empty),
        (
            &[1; 9],
            Outputs::Last,
            ExecuteError::Workspace { asked: 9, rows: 8 },
        ),
        (
            &[1; 5],
            Outputs::All,
            ExecuteError::Workspace { asked: 5, rows: 4 },
        ),
        (
            &unknown,
            Outputs::Last,
            ExecuteError::Token {
                token: VOCABULARY as u32,
                vocabulary: VOCABULARY,
            },
        ),
    ];
    for (tokens, outputs, want) in cases {
        assert_eq!(session.step(&program, &pool, tokens, outputs), Err(want));
    }
    let three = Pool::new(3, 100, 100).expect("threads");
    let error = session.step(&program, &three, &first, Outputs::Last);
    let want = ExecuteError::Threads {
        pool: 3,
        workspace: 1,
    };
    assert_eq!(error, Err(want));
    session.profile.attention_tile += 1;
    let error = session.step(&program, &pool, &first, Outputs::Last);
    let want = ExecuteError::AttentionTile {
        profile: session.profile.attention_tile,
        workspace: session.profile.attention_tile - 1,
    };
    assert_eq!(error, Err(want));
    session.profile.attention_tile -= 1;

    assert_eq!(session.state.positions(), 8);
    assert_same_bits(&session.logits(), &logits, "logits after refused steps");
    for both in [&mut session, &mut witness] {
        both.step(&program, &pool, &first, Outputs::Last)
            .expect("a step that fits");
    }
    assert_same_bits(&session.logits(), &witness.logits(), "the next step");
    let error = session.step(&program, &pool, &first, Outputs::Last);
    let want = ExecuteError::Context {
        needed: 24,
        capacity: 20,
    };
    assert_eq!(error, Err(want));
    session
        .step(&program, &pool, &first[..4], Outputs::None)
        .expect("four positions are left");
    assert_eq!(session.workspace.logits(0), None);
}

#[test]
fn a_hollow_program_is_not_run() {
    let mut b = ProgramBuilder::new(Box::new(Table::of(Dtype::F32, VOCABULARY, 64)));
    let x = b.buffer("x", 64, Extent::Tokens);
    let last = b.buffer("last", 64, Extent::Outputs);
    let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
    let head = b.matrix(PackedMatrix::hollow(Dtype::F32, VOCABULARY, 64).expect("a shape"));
    for node in [
        Node::Embed { out: x, scale: 1.0 },
        Node::SelectOutputs {
            input: x,
            out: last,
        },
        Node::MatMul {
            input: last,
            projections: vec![project(head, logits, false)],
        },
    ] {
        b.push("part", node).expect("shapes fit");
    }
    let program = b.finish(logits).expect("rows per output");
    let pool = Pool::new(1, 100, 100).expect("threads");
    let mut session = Session::new(&program, profile(Isa::detect(), 1), 4, 4);
    let error = session.step(&program, &pool, &[1], Outputs::Last);
    assert_eq!(error, Err(ExecuteError::Hollow));
    assert_eq!(session.state.positions(), 0);
}

#[test]
fn a_trace_has_a_span_for_every_node_and_thread() {
    let program = hybrid(Dtype::Q8_0);
    let pool = Pool::new(3, 100, 100).expect("threads");
    let mut session = Session::new(&program, profile(Isa::detect(), 3), 8, 16);
    let mut trace = Trace::new(3, program.nodes().len());
    // A second step replaces the spans of the first.
    for _ in 0..2 {
        execute(
            &program,
            &mut session.state,
            &mut session.workspace,
            Step {
                tokens: &[1; 8],
                outputs: Outputs::Last,
            },
            &pool,
            &session.profile,
            Some(&mut trace),
        )
        .expect("a step that fits");
        let spans = trace.spans();
        assert_eq!(spans.len(), 3);
        for thread in spans {
            let nodes: Vec<usize> = thread.iter().map(|s| s.node).collect();
            assert_eq!(nodes, (0..program.nodes().len()).collect::<Vec<_>>());
            assert!(thread.iter().all(|s| s.start_ns <= s.end_ns));
            assert!(thread.windows(2).all(|w| w[0].end_ns <= w[1].start_ns));
        }
    }
}

#[test]
fn parts_run_alone_do_not_move_the_state_on() {
    let program = hybrid(Dtype::F32);
    let pool = Pool::new(2, 100, 100).expect("threads");
    let mut session = Session::new(&program, profile(Isa::detect(), 2), 4, 16);
    session.state.pretend(10);
    let nodes: Vec<usize> = (0..program.nodes().len()).rev().collect();
    let step = Step {
        tokens: &[1, 2, 3, 4],
        outputs: Outputs::All,
    };
    execute_nodes(
        &program,
        std::slice::from_mut(&mut session.state),
        &mut session.workspace,
        &[Member { sequence: 0, step }],
        &pool,
        &session.profile,
        &nodes,
        None,
    )
    .expect("a step that fits");
    assert_eq!(session.state.positions(), 10);
    assert_eq!(session.workspace.logits(0), None);
}

#[test]
fn a_state_forgets_all_or_what_its_layers_can() {
    let tokens: Vec<u32> = (0..12).collect();
    let pool = Pool::new(1, 100, 100).expect("threads");
    let program = hybrid(Dtype::F32);
    let mut session = Session::new(&program, profile(Isa::detect(), 1), 12, 12);
    let run = |session: &mut Session| {
        session
            .step(&program, &pool, &tokens, Outputs::All)
            .expect("a step that fits");
        session.logits()
    };
    let first = run(&mut session);
    // A recurrent state cannot go back, but to nothing.
    assert!(!session.state.truncate(5) && !session.state.truncate(13));
    assert!(session.state.truncate(12));
    assert_eq!(session.state.positions(), 12);
    assert!(session.state.truncate(0));
    assert_same_bits(&run(&mut session), &first, "after forgetting all");
    session.state.reset();
    assert_eq!(session.state.positions(), 0);
    assert_same_bits(&run(&mut session), &first, "after a reset");

    let plain = FeedForward::new(Dtype::F32).program;
    let mut state = State::new(&plain, &RuntimeProfile::default(), 9).expect("memory");
    state.pretend(100);
    assert_eq!((state.positions(), state.capacity()), (9, 9));
    assert!(state.truncate(4) && state.positions() == 4);
}
