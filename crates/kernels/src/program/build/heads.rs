//! The checks of products that write a part of a row or a head of it, and of routes that score experts one by one.

use ops::route::Scoring;

use super::{BufferId, MatrixId, ProgramBuilder, ProgramError, Projection, VectorId};
use crate::{experts::cpu::MOST_GROUPS, packed::PANEL_ROWS};

impl ProgramBuilder {
    /// A whole row, or whole panels of a wider one: what else is in it is not written.
    pub(super) fn check_columns(&self, p: &Projection, rows: usize) -> Result<(), ProgramError> {
        let (width, name) = (self.row_width(p.out), self.buffers[p.out.0].name);
        let Some(column) = p.column else {
            return self.row_of(p.out, rows);
        };
        let end = column.checked_add(rows);
        let inside = end.is_some_and(|end| end <= width);
        let whole = column.is_multiple_of(PANEL_ROWS)
            && (rows.is_multiple_of(PANEL_ROWS) || end == Some(width));
        self.expect(inside && whole, || {
            format!(
                "expected panels of {PANEL_ROWS} columns within the {width} of `{name}`, got {rows} from {column} on"
            )
        })
    }

    /// A token's row, its slots one behind the other where it has several, has so many columns.
    pub(super) fn row_of(&self, id: BufferId, want: usize) -> Result<(), ProgramError> {
        let got = self.row_width(id);
        self.expect(got == want, || {
            format!(
                "expected {want} columns in `{}`, got {got}",
                self.buffers[id.0].name
            )
        })
    }

    pub(super) fn check_head_products(
        &self,
        (input, rest, out): (BufferId, Option<BufferId>, BufferId),
        heads: usize,
        matrix: MatrixId,
    ) -> Result<(), ProgramError> {
        let (rows, cols) = {
            let matrix = &self.matrices[matrix.0];
            (matrix.rows(), matrix.cols())
        };
        let whole =
            heads > 0 && rows.is_multiple_of(heads) && (rows / heads).is_multiple_of(PANEL_ROWS);
        self.expect(whole, || {
            format!(
                "expected {heads} heads of a multiple of {PANEL_ROWS} outputs each, got {rows} outputs in all"
            )
        })?;
        let got = self.buffers[input.0].width;
        self.expect(got >= cols, || {
            format!("expected at least {cols} columns in a head, got {got}")
        })?;
        let behind = rest.map_or(0, |id| self.buffers[id.0].width);
        self.expect(behind.is_multiple_of(PANEL_ROWS), || {
            format!("expected a multiple of {PANEL_ROWS} columns behind a head, got {behind}")
        })?;
        self.width(out, rows + heads * behind)
    }

    pub(super) fn check_scoring(
        &self,
        scoring: Scoring,
        bias: Option<VectorId>,
        experts: usize,
        chosen: usize,
    ) -> Result<(), ProgramError> {
        let Scoring::Sigmoid { groups, .. } = scoring else {
            return self.expect(bias.is_none(), || {
                "a bias of experts that are weighed by their softmax".into()
            });
        };
        self.expect(
            groups.count <= MOST_GROUPS && groups.fit(experts, chosen),
            || {
                format!(
                    "expected groups of two experts or more, at most {MOST_GROUPS}, with {chosen} experts in the used ones; got {} of {} groups of {experts} experts",
                    groups.used, groups.count
                )
            },
        )?;
        bias.map_or(Ok(()), |bias| self.len(bias, experts))
    }
}
