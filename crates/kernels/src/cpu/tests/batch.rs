//! Several sequences in one step: the bits that each has alone, and what is refused.

use super::{Session, griffin::griffin, hybrid::hybrid, profile, rwkv7::rwkv7, workspace};
use crate::{
    Isa, Pool, RuntimeProfile,
    cpu::{ExecuteError, Member, Outputs, State, Step, Workspace, execute_batch},
    fixture::assert_same_bits,
    program::Program,
};
use ops::Dtype;

const CAPACITY: usize = 1200;
/// Room of the workspaces, in tokens.
const ROWS: usize = 700;

fn text(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| (i * 7 + seed * 13) % 40).collect()
}

/// What three sequences do in each step: tokens, and for which of them logits are computed. One sits a step out, prompts run beside
/// single tokens, and two single tokens see more than one split of the cache.
fn steps() -> Vec<[Option<(usize, Outputs)>; 3]> {
    use Outputs::{All, Last, None as Silent};
    vec![
        [Some((600, Last)), None, Some((3, All))],
        [Some((1, Last)), Some((530, Silent)), Some((1, Last))],
        [Some((1, All)), Some((1, Last)), None],
        [Some((1, Last)), Some((1, Last)), Some((1, Last))],
        [Some((2, Silent)), Some((70, Silent)), Some((64, Silent))],
        [Some((1, Last)), Some((2, All)), Some((1, Silent))],
    ]
}

/// The logits of every step, all sequences in one batch.
fn together(program: &Program, profile: &RuntimeProfile, pool: &Pool) -> Vec<Vec<f32>> {
    let mut states: Vec<State> = (0..3)
        .map(|_| State::new(program, profile, CAPACITY).expect("memory"))
        .collect();
    let mut workspace = workspace(program, profile, ROWS, 3, CAPACITY);
    let mut got = vec![Vec::new(); 3];
    for step in steps() {
        let tokens: Vec<Vec<u32>> = (0..3)
            .map(|s| {
                let len = step[s].map_or(0, |(len, _)| len);
                text(s as u32, CAPACITY)[states[s].positions()..][..len].to_vec()
            })
            .collect();
        let members: Vec<Member<'_>> = (0..3)
            .filter_map(|sequence| {
                let (_, outputs) = step[sequence]?;
                let tokens = &tokens[sequence];
                let step = Step { tokens, outputs };
                Some(Member { sequence, step })
            })
            .collect();
        let (states, workspace) = (&mut states, &mut workspace);
        execute_batch(program, states, workspace, &members, pool, profile, None)
            .expect("a step that fits");
        let mut rows = (0..).map_while(|i| workspace.logits(i));
        for member in &members {
            let count = match member.step.outputs {
                Outputs::None => 0,
                Outputs::Last => 1,
                Outputs::All => member.step.tokens.len(),
            };
            got[member.sequence].extend(rows.by_ref().take(count).flatten());
        }
        assert_eq!(rows.next(), None, "no logits but those asked for");
    }
    got
}

/// The same, each sequence in steps of its own.
fn alone(program: &Program, profile: &RuntimeProfile, pool: &Pool) -> Vec<Vec<f32>> {
    (0..3)
        .map(|s| {
            let mut session = Session::new(program, profile.clone(), ROWS, CAPACITY);
            let mut got = Vec::new();
            for (len, outputs) in steps().into_iter().filter_map(|step| step[s]) {
                let tokens = &text(s as u32, CAPACITY)[session.state.positions()..][..len];
                session
                    .step(program, pool, tokens, outputs)
                    .expect("a step that fits");
                got.extend(session.logits());
            }
            got
        })
        .collect()
}

#[test]
fn a_sequence_has_the_bits_that_it_has_alone() {
    for (name, program) in [
        ("hybrid of Q4_0", hybrid(Dtype::Q4_0)),
        ("hybrid of Bf16", hybrid(Dtype::Bf16)),
        ("RWKV-7 of Q4_0", rwkv7(Dtype::Q4_0, Dtype::F16)),
        ("Griffin of Q4_0", griffin(Dtype::Q4_0).program),
    ] {
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads, 100, 100).expect("threads");
            for isa in [Isa::detect(), Isa::Portable] {
                let profile = profile(isa, threads);
                let want = alone(&program, &profile, &pool);
                let got = together(&program, &profile, &pool);
                for (s, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert!(!want.is_empty());
                    assert_same_bits(got, want, &format!("{name}, {threads}, {isa:?}, {s}"));
                }
            }
        }
    }
}

fn refused(
    program: &Program,
    states: &mut [State],
    workspace: &mut Workspace,
    members: &[(usize, &[u32])],
) -> ExecuteError {
    let pool = Pool::new(1, 100, 100).expect("threads");
    let members: Vec<Member<'_>> = members
        .iter()
        .map(|&(sequence, tokens)| Member {
            sequence,
            step: Step {
                tokens,
                outputs: Outputs::Last,
            },
        })
        .collect();
    let before: Vec<usize> = states.iter().map(State::positions).collect();
    let profile = profile(Isa::detect(), 1);
    let error = execute_batch(program, states, workspace, &members, &pool, &profile, None)
        .expect_err("a step that does not fit");
    let after: Vec<usize> = states.iter().map(State::positions).collect();
    assert_eq!(before, after, "{error}");
    error
}

#[test]
fn a_batch_that_does_not_fit_changes_nothing() {
    let program = hybrid(Dtype::F32);
    let settings = profile(Isa::detect(), 1);
    let mut states: Vec<State> = (0..3)
        .map(|_| State::new(&program, &settings, 8).expect("memory"))
        .collect();
    let mut room = workspace(&program, &settings, 4, 2, 8);
    let mut error =
        |members: &[(usize, &[u32])]| refused(&program, &mut states, &mut room, members);
    let one: &[u32] = &[1];
    assert_eq!(error(&[]), ExecuteError::Empty);
    assert_eq!(error(&[(0, one), (1, &[])]), ExecuteError::Empty);
    let order = |sequence| ExecuteError::Order {
        sequence,
        states: 3,
    };
    assert_eq!(error(&[(1, one), (1, one)]), order(1));
    assert_eq!(error(&[(2, one), (0, one)]), order(0));
    assert_eq!(error(&[(3, one)]), order(3));
    let many = ExecuteError::Sequences { asked: 3, room: 2 };
    assert_eq!(error(&[(0, one), (1, one), (2, one)]), many);
    let wide = ExecuteError::Workspace { asked: 5, rows: 4 };
    assert_eq!(error(&[(0, &[1, 2]), (2, &[1, 2, 3])]), wide);
    let token = ExecuteError::Token {
        token: 40,
        vocabulary: 40,
    };
    assert_eq!(error(&[(0, one), (2, &[40])]), token);
    let full = ExecuteError::Context {
        needed: 9,
        capacity: 8,
    };
    states[1].pretend(8);
    let members: [(usize, &[u32]); 2] = [(0, one), (1, one)];
    let error = refused(&program, &mut states, &mut room, &members);
    assert_eq!(error, full);
    let other = hybrid(Dtype::F32);
    states[1] = State::new(&other, &settings, 8).expect("memory");
    let error = refused(&program, &mut states, &mut room, &members);
    assert_eq!(error, ExecuteError::OtherProgram);
}
