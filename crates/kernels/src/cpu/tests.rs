//! Whole programs: node by node against the references, the same bits from every choice and cut, and steps that are refused.

use ops::Dtype;

mod batch;
mod choices;
mod feed_forward;
mod griffin;
mod heads;
mod hybrid;
mod rwkv7;

use feed_forward::FeedForward;
use hybrid::hybrid;

use super::{
    ExecuteError, Member, Outputs, State, Step, StepLimits, Trace, Workspace, execute,
    execute_nodes,
};
use crate::{
    Isa, PackedMatrix, Pool, RuntimeProfile, StoredMatrix,
    fixture::{Table, assert_same_bits},
    memory::{Arena, Pages},
    program::{BufferId, Extent, MatrixId, Node, Program, ProgramBuilder, Projection},
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
