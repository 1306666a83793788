//! Walking a checked step: the fork, and each node's call of its kernel.

mod experts;
mod heads;
mod recurrent;
mod rwkv7;

use super::{ExecuteError, Member, Span, State, Step, Trace, Workspace, step::check};
use crate::{
    Pool, Role, RuntimeProfile, attention, embed, glu, matmul,
    pool::Team,
    program::{BufferId, Extent, HeadSpec, Labelled, Node, Program, Projection},
    quantize, rms_norm, rope,
    rows::{QuantRows, Rows},
};

/// Runs all nodes for one sequence and moves its state on by the step's tokens.
///
/// # Errors
/// The step does not fit; the state is unchanged then.
pub fn execute(
    program: &Program,
    state: &mut State,
    workspace: &mut Workspace,
    step: Step<'_>,
    pool: &Pool,
    profile: &RuntimeProfile,
    trace: Option<&mut Trace>,
) -> Result<(), ExecuteError> {
    let members = [Member { sequence: 0, step }];
    let states = std::slice::from_mut(state);
    execute_batch(program, states, workspace, &members, pool, profile, trace)
}

/// Runs all nodes for several sequences at once, and moves each state on by its member's tokens. Members are in the order of
/// their states; states that no member names stay as they are.
///
/// # Errors
/// The step does not fit; no state has changed then.
pub fn execute_batch(
    program: &Program,
    states: &mut [State],
    workspace: &mut Workspace,
    members: &[Member<'_>],
    pool: &Pool,
    profile: &RuntimeProfile,
    trace: Option<&mut Trace>,
) -> Result<(), ExecuteError> {
    check(program, states, workspace, members, pool, profile)?;
    workspace.lay_out(states, members);
    let nodes = 0..program.nodes.len();
    walk(
        &Walk {
            program,
            states,
            workspace,
            members,
            profile,
            roles: by_role(profile),
        },
        nodes,
        pool,
        trace,
    );
    for member in members {
        states[member.sequence].positions += member.step.tokens.len();
    }
    Ok(())
}

/// Runs some of the nodes, in the order given, over whatever the buffers hold, without moving the states on: for timing a
/// part of the model over its own weights. Results are meaningless.
///
/// # Errors
/// As [`execute_batch`].
///
/// # Panics
/// If an index is not one of the program's nodes.
#[expect(
    clippy::too_many_arguments,
    reason = "the arguments of `execute_batch` and the nodes; a struct would only rename them"
)]
pub fn execute_nodes(
    program: &Program,
    states: &mut [State],
    workspace: &mut Workspace,
    members: &[Member<'_>],
    pool: &Pool,
    profile: &RuntimeProfile,
    nodes: &[usize],
    trace: Option<&mut Trace>,
) -> Result<(), ExecuteError> {
    check(program, states, workspace, members, pool, profile)?;
    assert!(
        nodes.iter().all(|&n| n < program.nodes.len()),
        "expected indices of the program's nodes"
    );
    workspace.lay_out(states, members);
    workspace.filled = 0;
    spread_experts(program, workspace, workspace.layout.tokens.len(), nodes);
    walk(
        &Walk {
            program,
            states,
            workspace,
            members,
            profile,
            roles: by_role(profile),
        },
        nodes.iter().copied(),
        pool,
        trace,
    );
    Ok(())
}

/// Gives products of experts whose route is not among the nodes, or ran for another number of tokens, slots to work on: every
/// expert as often as any other.
fn spread_experts(program: &Program, workspace: &Workspace, tokens: usize, nodes: &[usize]) {
    /// Coprime to any number of experts that is not its multiple, so that neighbours go to different ones.
    const STRIDE: usize = 7919;
    for &node in nodes {
        if let Node::ExpertMatMul {
            experts, chosen, ..
        } = &program.nodes[node].node
        {
            let plan = workspace.plan(*experts, tokens * chosen);
            // SAFETY: `&mut Workspace` is the caller's, and no thread runs yet.
            unsafe {
                if !plan.is_filled() {
                    plan.fill(|slot| slot * STRIDE % experts);
                }
            }
        }
    }
}

/// Everything that the threads share in a step.
struct Walk<'a> {
    program: &'a Program,
    states: &'a [State],
    workspace: &'a Workspace,
    members: &'a [Member<'a>],
    profile: &'a RuntimeProfile,
    /// As it is for the products of each role.
    roles: [RuntimeProfile; Role::ALL.len()],
}

fn by_role(profile: &RuntimeProfile) -> [RuntimeProfile; Role::ALL.len()] {
    Role::ALL.map(|role| profile.of_role(role))
}

/// One sequence's part of the rows.
#[derive(Clone, Copy)]
struct Part<'a> {
    state: &'a State,
    /// Its place among the members.
    member: usize,
    /// Of its rows.
    first_row: usize,
    tokens: usize,
}

fn walk(
    walk: &Walk<'_>,
    nodes: impl Iterator<Item = usize> + Clone + Sync,
    pool: &Pool,
    trace: Option<&mut Trace>,
) {
    let trace = trace.map(|t| {
        t.begin();
        &*t
    });
    pool.run(|team| {
        for node in nodes.clone() {
            let start_ns = trace.map(Trace::now);
            #[cfg(feature = "planted-faults")]
            let planted = crate::faults::Slowed::begin(walk.program.nodes[node].label.part);
            // SAFETY: `check` and the builder established what the kernels need; one node at a time (module head, 1 to 3).
            unsafe { walk.node(&walk.program.nodes[node], team) };
            #[cfg(feature = "planted-faults")]
            planted.end();
            if let (Some(trace), Some(start_ns)) = (trace, start_ns) {
                trace.record(
                    team.index,
                    Span {
                        node,
                        start_ns,
                        end_ns: trace.now(),
                    },
                );
            }
            team.barrier();
            #[cfg(feature = "planted-faults")]
            crate::faults::delay_barrier();
        }
    });
}

impl Walk<'_> {
    /// Tokens of all sequences.
    fn tokens(&self) -> usize {
        self.workspace.layout.tokens.len()
    }

    /// The sequences, for nodes that read a state.
    fn parts(&self) -> impl Iterator<Item = Part<'_>> + Clone {
        self.members
            .iter()
            .enumerate()
            .scan(0, |next, (member, m)| {
                let tokens = m.step.tokens.len();
                let first_row = *next;
                *next += tokens;
                Some(Part {
                    state: &self.states[m.sequence],
                    member,
                    first_row,
                    tokens,
                })
            })
    }

    fn count(&self, id: BufferId) -> usize {
        let extent = self.program.buffers[id.0].extent;
        extent.rows(self.tokens(), self.workspace.layout.outputs.len())
    }

    fn rows(&self, id: BufferId) -> Rows {
        self.workspace.rows(id)
    }

    /// A row per token, its slots one behind the other where it has several (`ProgramBuilder::is_wide`).
    fn wide_rows(&self, id: BufferId) -> Rows {
        let rows = self.rows(id);
        match self.program.buffers[id.0].extent {
            Extent::Slots(count) => Rows {
                stride: rows.stride * count,
                ..rows
            },
            Extent::Tokens | Extent::Outputs => rows,
        }
    }

    fn quantised_if(&self, wanted: bool, id: BufferId) -> Option<QuantRows> {
        if wanted {
            self.workspace.quantised(id)
        } else {
            None
        }
    }

    fn heads<'a>(&'a self, spec: &HeadSpec, part: Part<'_>) -> rope::cpu::Heads<'a> {
        rope::cpu::Heads {
            rows: self.rows(spec.buffer).from(part.first_row),
            count: spec.count,
            norm: spec.norm.map(|id| self.program.vector(id)),
            scale: spec.scale,
        }
    }

    /// # Safety
    /// The invariants of the module's head.
    unsafe fn node(&self, labelled: &Labelled, team: &Team<'_>) {
        let (isa, node) = (self.profile.isa, &labelled.node);
        let profile = &self.roles[labelled.role as usize];
        // SAFETY: the contract of each kernel is what the builder and `check` established.
        unsafe {
            match node {
                Node::Embed { out, scale } => {
                    embed::embed(
                        &*self.program.embedding,
                        &self.workspace.layout.tokens,
                        *scale,
                        self.rows(*out),
                        team,
                    );
                }
                Node::RmsNorm {
                    input,
                    out,
                    weight,
                    eps,
                    width,
                    gate,
                    add,
                    quantise,
                } => {
                    let norm = rms_norm::cpu::Norm {
                        input: self.rows(*input),
                        out: self.rows(*out),
                        weight: self.program.vector(*weight),
                        eps: *eps,
                        width: *width,
                        groups: self.program.buffers[input.0].width / width,
                        weight_step: if self.program.vectors[weight.0].1 == *width {
                            0
                        } else {
                            *width
                        },
                        gate: gate.map(|(z, gate)| (self.rows(z), gate)),
                        then: if *add {
                            rms_norm::cpu::Then::Add
                        } else {
                            rms_norm::cpu::Then::Write
                        },
                        quantised: self.quantised_if(*quantise, *out),
                    };
                    rms_norm::cpu::rms_norm(isa, norm, self.count(*input), team);
                }
                Node::Quantise { buffer } => {
                    if let Some(to) = self.workspace.quantised(*buffer) {
                        quantize::cpu::quantize(
                            isa,
                            self.rows(*buffer),
                            to,
                            self.count(*buffer),
                            team,
                        );
                    }
                }
                Node::MatMul { input, projections } => {
                    self.matmul(profile, *input, projections, team);
                }
                Node::RopeTable { out, rope } => {
                    let factors = rope.factors.map(|id| self.program.vector(id));
                    let angles = rope::cpu::Angles {
                        dims: rope.dims,
                        theta: rope.theta,
                        scale: rope.scale,
                        factors,
                    };
                    let positions = &self.workspace.layout.positions;
                    rope::cpu::fill_table(self.rows(*out), angles, positions, team);
                }
                Node::Heads {
                    q,
                    k,
                    v,
                    head_dim,
                    eps,
                    table,
                    cache,
                } => {
                    for part in self.parts() {
                        let rows = |id| self.rows(id).from(part.first_row);
                        let turn = rope::cpu::Turn {
                            q: self.heads(q, part),
                            k: self.heads(k, part),
                            v: rows(*v),
                            head_dim: *head_dim,
                            eps: *eps,
                            table: table.map(|(id, dims)| (rows(id), dims)),
                            cache: &part.state.kv[cache.0],
                            start: part.state.positions,
                        };
                        rope::cpu::turn(isa, turn, part.tokens, team);
                    }
                }
                Node::Attention {
                    q,
                    out,
                    gate,
                    cache,
                    heads,
                    head_dim,
                    window,
                    quantise,
                } => {
                    let quantised = self.quantised_if(*quantise, *out);
                    let calls = self.parts().map(|part| attention::cpu::Attention {
                        q: self.rows(*q).from(part.first_row),
                        out: self.wide_rows(*out).from(part.first_row),
                        gate: gate.map(|g| self.rows(g).from(part.first_row)),
                        quantised: quantised.map(|q| q.from(part.first_row)),
                        cache: &part.state.kv[cache.0],
                        heads: *heads,
                        head_dim: *head_dim,
                        window: *window,
                        start: part.state.positions,
                        tokens: part.tokens,
                        splits: self.workspace.splits(part.member),
                    });
                    let scratch = self.workspace.scratch(team.index);
                    attention::cpu::attention(self.profile, calls, scratch, team);
                }
                Node::Glu {
                    gate,
                    up,
                    out,
                    activation,
                    quantise,
                } => {
                    let call = glu::cpu::Glu {
                        gate: self.rows(*gate),
                        up: self.rows(*up),
                        out: self.rows(*out),
                        activation: *activation,
                        width: self.program.buffers[gate.0].width,
                        quantised: self.quantised_if(*quantise, *out),
                    };
                    glu::cpu::glu(isa, call, self.count(*gate), team);
                }
                Node::SelectOutputs { input, out } => self.select(*input, *out, team),
                Node::CausalConv { .. }
                | Node::DeltaPrepare { .. }
                | Node::GatedDelta { .. }
                | Node::TimeSteps { .. }
                | Node::Mamba2 { .. }
                | Node::RgLru { .. } => {
                    self.recurrent(node, team);
                }
                Node::LayerNorm { .. }
                | Node::TokenShift { .. }
                | Node::Wkv7Gates { .. }
                | Node::Wkv7 { .. }
                | Node::Wkv7Output { .. } => {
                    self.rwkv7(node, team);
                }
                Node::Route { .. } | Node::ExpertMatMul { .. } | Node::Mix { .. } => {
                    self.experts(profile, node, team);
                }
                Node::HeadMatMul {
                    input,
                    rest,
                    out,
                    heads,
                    matrix,
                } => self.head_products(profile, (*input, *rest, *out), *heads, *matrix, team),
            }
        }
    }

    /// A buffer as the input of products.
    fn input(&self, id: BufferId, team: &Team<'_>) -> matmul::cpu::Input<'static> {
        // A buffer that no integer product reads has no 8-bit form; the null view is never followed then.
        let none = QuantRows {
            pointer: std::ptr::null_mut(),
            cols: self.program.buffers[id.0].width,
        };
        matmul::cpu::Input {
            plain: self.rows(id),
            quantised: self.workspace.quantised(id).unwrap_or(none),
            tokens: self.count(id),
            slots: None,
            scratch: self.workspace.scratch(team.index),
        }
    }

    /// # Safety
    /// As [`Walk::node`].
    unsafe fn matmul(
        &self,
        profile: &RuntimeProfile,
        input: BufferId,
        projections: &[Projection],
        team: &Team<'_>,
    ) {
        let both = self.input(input, team);
        if both.tokens == 0 {
            return;
        }
        for (round, some) in projections.chunks(matmul::cpu::PRODUCTS).enumerate() {
            let product = |p: &Projection| matmul::cpu::Product {
                weights: self.program.matrix(p.matrix),
                out: self.wide_rows(p.out).columns(p.column.unwrap_or(0)),
                bias: p.bias.map(|id| self.program.vector(id)),
                scale: p.scale,
                add: p.add,
                first_panel: 0,
                function: p.function,
                gate: p.gate.map(|(id, activation)| (self.rows(id), activation)),
                quantised: self.quantised_if(p.quantise, p.out),
            };
            let mut products = [product(&some[0]); matmul::cpu::PRODUCTS];
            for (slot, p) in products.iter_mut().zip(some) {
                *slot = product(p);
            }
            // SAFETY: as `node`.
            unsafe { matmul::cpu::matmul(profile, &products[..some.len()], both, round, team) };
        }
    }

    /// # Safety
    /// As [`Walk::node`].
    unsafe fn select(&self, input: BufferId, out: BufferId, team: &Team<'_>) {
        let outputs = &self.workspace.layout.outputs;
        let width = self.program.buffers[out.0].width;
        for row in team.share(outputs.len()) {
            // SAFETY: outputs are rows of tokens; both buffers have the rows.
            unsafe {
                let from = self.rows(input).row(outputs[row]);
                self.rows(out)
                    .row(row)
                    .copy_from_nonoverlapping(from, width);
            }
        }
    }
}
