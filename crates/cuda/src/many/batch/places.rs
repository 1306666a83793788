//! Where things of a batch lie, and how its products are cut.

use super::super::{
    STEP,
    op::{Expand, MOST_SEQUENCES, MOST_SPLITS, Members},
};
use crate::{
    memory::{ALIGNMENT, Layout},
    plan::{Format, Operation, Output, PANEL, Plan, ProductStep, TURNED},
};

/// Rows of a product's tile.
pub(super) const TILE_ROWS: usize = 128;

/// Bytes of `memory` at which things lie; the stream comes first.
pub(super) struct Places {
    pub normed: usize,
    pub turns: usize,
    pub members: usize,
    pub best: usize,
    pub logits: usize,
    /// By buffer: (token, column) in bf16, of those that products read.
    pub buffers: Vec<Option<usize>>,
    /// Parts of products, and how many bytes of them are needed at one time.
    pub parts: usize,
    pub expanded: usize,
    pub bytes: usize,
}

/// Into how many parts a product's columns are cut, so that multiprocessors have equally much to do; the same for any number of tokens.
fn splits(tiles: usize, steps: usize, multiprocessors: usize) -> usize {
    let idle = |splits: usize| {
        let units = tiles * splits;
        let rounds = units.div_ceil(multiprocessors);
        // Thousandths of the time that nobody uses; a part costs some, too.
        1000 - 1000 * units / (rounds * multiprocessors) + 10 * splits
    };
    let most = MOST_SPLITS.min(steps / 4).max(1);
    (1..=most).min_by_key(|&splits| idle(splits)).unwrap_or(1)
}

/// Of a product.
pub(super) fn cuts(product: &ProductStep, multiprocessors: usize) -> usize {
    let tiles = (product.panels * PANEL).div_ceil(TILE_ROWS);
    // Logits are whole: nobody sums them.
    if product.output == Output::Logits {
        1
    } else {
        splits(tiles, product.width.div_ceil(STEP), multiprocessors)
    }
}

/// Bytes of a product's parts.
pub(super) fn part_bytes(product: &ProductStep, multiprocessors: usize) -> usize {
    let bytes = 4 * cuts(product, multiprocessors) * MOST_SEQUENCES * product.panels * PANEL;
    bytes.next_multiple_of(ALIGNMENT)
}

impl Places {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut all = Layout::default();
        let mut row = |values: usize, bytes: usize| all.add(MOST_SEQUENCES * values * bytes);
        row(plan.width, 4);
        let normed = row(plan.width, 2);
        let turns = row(TURNED, 4);
        let best = row(1, 8);
        let logits = row(plan.vocabulary, 4);
        let widths = plan.widths.iter();
        let buffers = widths
            .map(|width| width.map(|width| row(width, 2)))
            .collect();
        let members = all.add(size_of::<Members>());
        let (mut parts, mut expanded, mut used, mut mark) = (0, 0, 0, None);
        for step in &plan.steps {
            let Operation::Product(product) = &step.operation else {
                continue;
            };
            if mark != Some(step.mark) {
                (mark, used) = (Some(step.mark), 0);
            }
            used += part_bytes(product, plan.multiprocessors);
            if product.output != Output::Logits {
                parts = parts.max(used);
            }
            if product.format == Format::Q4_0 {
                expanded = expanded.max(Expand::bytes(product));
            }
        }
        let parts = all.add(parts);
        let expanded = all.add(expanded);
        Self {
            normed,
            turns,
            members,
            best,
            logits,
            buffers,
            parts,
            expanded,
            bytes: all.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::splits;

    #[test]
    fn columns_are_cut_where_tiles_are_few() {
        assert_eq!(splits(1940, 64, 132), 1);
        // 32 tiles of 132 multiprocessors: four parts of each keep 128 busy.
        assert_eq!(splits(32, 64, 132), 4);
        assert_eq!(splits(192, 64, 132), 2);
        // Parts of fewer than four steps are none.
        assert_eq!(splits(8, 4, 132), 1);
    }
}
