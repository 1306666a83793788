//! Rows are copies; gradients of tokens that come twice are added in the order of tokens.

use ops::{
    Dtype,
    embed::{Shape, backward},
};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{embed, embed_backward};

#[test]
fn rows_are_equal_and_gradients_near_f64() {
    for (tokens, rows, width) in [(1, 1, 1), (5, 3, 37), (130, 17, 64), (67, 200, 100)] {
        let table = normal(1, rows * width);
        let named: Vec<u32> = (0..tokens).map(|i| (i * i * 7 % rows) as u32).collect();
        let d_out = normal(2, tokens * width);
        let shape = Shape {
            tokens,
            rows,
            width,
            dtype: Dtype::F32,
            scale: 1.0,
        };
        let want = backward::reference(&shape, &named, &d_out).expect("tokens of the table");
        for into in BOTH {
            let [out, d_table] = everywhere(
                |_| 0,
                |machine| {
                    let mut out = vec![f32::NAN; tokens * width];
                    embed(machine, &table, width, &named, &mut out);
                    let mut d_table = before(into, table.len());
                    embed_backward(machine, width, &named, &d_out, (&mut d_table, into));
                    [out, d_table]
                },
            );
            for (row, &token) in out.chunks_exact(width).zip(&named) {
                assert_eq!(row, &table[token as usize * width..][..width]);
            }
            assert_near("dtable", into, &d_table, &want.table, 1e-6);
        }
    }
}
