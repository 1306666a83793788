//! The nodes of a mixture of experts.

use super::Walk;
use crate::{RuntimeProfile, experts, matmul, pool::Team, program::Node};

impl Walk<'_> {
    /// # Safety
    /// As [`Walk::node`].
    pub(super) unsafe fn experts(&self, profile: &RuntimeProfile, node: &Node, team: &Team<'_>) {
        let (isa, tokens) = (self.profile.isa, self.tokens());
        // SAFETY: as `node`; a route comes before the products that follow its plan, since they read what it chose.
        unsafe {
            match node {
                Node::Route {
                    logits,
                    out,
                    chosen,
                    scoring,
                    bias,
                } => {
                    let experts = self.program.buffers[logits.0].width;
                    let call = experts::cpu::Route {
                        logits: self.rows(*logits),
                        out: self.rows(*out),
                        plan: self.workspace.plan(experts, tokens * chosen),
                        chosen: *chosen,
                        scoring: *scoring,
                        bias: bias.map(|id| self.program.vector(id)),
                    };
                    experts::cpu::route(isa, call, tokens, team);
                }
                Node::ExpertMatMul {
                    input,
                    experts,
                    chosen,
                    projections,
                } => {
                    let plan = self.workspace.plan(*experts, tokens * chosen);
                    let rows = self.count(*input);
                    let per_row = plan.slots / rows.max(1);
                    let input = self.input(*input, team);
                    for p in projections {
                        let product = matmul::cpu::Product {
                            weights: self.program.matrix(p.matrix),
                            out: self.rows(p.out),
                            bias: None,
                            scale: 1.0,
                            add: false,
                            first_panel: 0,
                            function: None,
                            gate: None,
                            quantised: None,
                        };
                        matmul::cpu::by_expert(profile, &[product], input, plan, per_row, team);
                    }
                }
                Node::Mix {
                    input,
                    routes,
                    shared,
                    scale,
                    out,
                    chosen,
                } => {
                    let call = experts::cpu::Mix {
                        outputs: self.rows(*input),
                        routes: self.rows(*routes),
                        shared: shared.map(|(s, gate)| (self.rows(s), gate.map(|g| self.rows(g)))),
                        scale: *scale,
                        out: self.rows(*out),
                        chosen: *chosen,
                        width: self.program.buffers[out.0].width,
                    };
                    experts::cpu::mix(isa, call, tokens, team);
                }
                _ => {}
            }
        }
    }
}
