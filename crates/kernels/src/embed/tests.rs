//! Every format's rows against the reference, in any order of tokens.

use ops::embed as reference;

use super::embed;
use crate::fixture::{Matrix, Table, assert_near, same_everywhere};

#[test]
fn the_table_is_right() {
    for case in reference::cases() {
        let shape = case.shape;
        let table = Table::of(shape.dtype, shape.rows, shape.width);
        let rows = shape.rows as u32;
        let tokens: Vec<u32> = (0..shape.tokens as u32)
            .map(|i| (i * 31 + 96) % rows)
            .collect();
        let want = reference::reference(&shape, &table.bytes, &tokens).expect("a valid table");
        let what = format!("{} {}", shape.dtype, case.name);
        let got = same_everywhere(&what, |_, pool| {
            let out = Matrix::empty(shape.tokens, shape.width);
            // SAFETY: `out` has a row per token; all tokens are below the table's rows.
            pool.run(|team| unsafe { embed(&table, &tokens, shape.scale, out.rows(), team) });
            out.values()
        });
        assert_near(&got, &want, reference::TOLERANCE, &what);
    }
}
