//! Repeated and absent tokens by hand, and all rows against finite differences.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{Dtype, embed, input};

const SHAPE: Shape = Shape {
    tokens: 3,
    rows: 4,
    width: 2,
    dtype: Dtype::F32,
    scale: 0.5,
};

#[test]
fn a_repeated_token_adds_up_and_an_absent_one_stays_zero() {
    let got = reference(&SHAPE, &[2, 0, 2], &[2.0, 4.0, 6.0, 8.0, 1.0, 0.0]).unwrap();
    assert_eq!(got.table, [3.0, 4.0, 0.0, 0.0, 1.5, 2.0, 0.0, 0.0]);
}

#[test]
fn gradients_are_those_of_the_forward() {
    let table = grid(1, SHAPE.rows * SHAPE.width, -2.0, 2.0);
    let dy = input::normal(2, SHAPE.tokens * SHAPE.width);
    let tokens = [3, 1, 3];
    let got = reference(&SHAPE, &tokens, &dy).unwrap();
    assert_gradient("table", &table, &got.table, |table| {
        let bytes: Vec<u8> = table.iter().flat_map(|w| w.to_le_bytes()).collect();
        let y = embed::reference(&SHAPE, &bytes, &tokens).expect("a table of the shape");
        loss(&y, &dy)
    });
}

#[test]
fn a_token_beyond_the_table_is_an_error() {
    let want = EmbedError::UnknownToken { token: 4, rows: 4 };
    assert_eq!(reference(&SHAPE, &[0, 4, 1], &[0.0; 6]), Err(want));
}
