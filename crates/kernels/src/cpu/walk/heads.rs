//! Products of each head with a matrix of its own: heads are experts to which every token goes.

use super::Walk;
use crate::{
    RuntimeProfile, matmul,
    pool::Team,
    program::{BufferId, MatrixId},
    rows::Rows,
};

impl Walk<'_> {
    /// # Safety
    /// As [`Walk::node`].
    pub(super) unsafe fn head_products(
        &self,
        profile: &RuntimeProfile,
        (input, rest, out): (BufferId, Option<BufferId>, BufferId),
        heads: usize,
        matrix: MatrixId,
        team: &Team<'_>,
    ) {
        let weights = self.program.matrix(matrix);
        let (rows, slots) = (weights.rows() / heads, self.count(input));
        let behind = rest.map_or(0, |id| self.program.buffers[id.0].width);
        // A token's row is its heads without gaps: each is whole vectors (`ProgramBuilder::check_head_products`).
        let out = Rows {
            stride: rows + behind,
            ..self.rows(out)
        };
        let product = matmul::cpu::Product {
            weights,
            out,
            bias: None,
            scale: 1.0,
            add: false,
            first_panel: 0,
            function: None,
            gate: None,
            quantised: None,
        };
        // SAFETY: as `node`; slots are rows of both buffers, the workspace's plan is of this step, and what is copied lies
        // behind what the product writes.
        unsafe {
            let (input, plan) = (self.input(input, team), self.workspace.head_plan(heads));
            matmul::cpu::by_expert(profile, &[product], input, plan, 1, team);
            if let Some(rest) = rest {
                let rest = self.rows(rest);
                for slot in team.share(slots) {
                    let to = out.row(slot).add(rows);
                    to.copy_from_nonoverlapping(rest.row(slot), behind);
                }
            }
        }
    }
}
