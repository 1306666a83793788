//! Rows by hand, in every format, and tokens or tables that do not fit.

use super::*;
use crate::input;

#[test]
fn rows_by_hand() {
    let shape = Shape {
        tokens: 3,
        rows: 3,
        width: 2,
        dtype: Dtype::F32,
        scale: 2.0,
    };
    let table: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    assert_eq!(
        reference(&shape, &table, &[2, 0, 2]),
        Ok(vec![10.0, 12.0, 2.0, 4.0, 10.0, 12.0])
    );
}

#[test]
fn every_format_gathers_its_rows() {
    for Case { name, shape } in cases() {
        let table = input::weights(1, shape.dtype, shape.rows * shape.width);
        let mut decoded = vec![0.0; shape.rows * shape.width];
        dequantize::dequantize(shape.dtype, &table, &mut decoded).unwrap();
        let tokens: Vec<u32> = (0..).map(|t| t * 31 % 97).take(shape.tokens).collect();
        let y = reference(&shape, &table, &tokens).unwrap();
        for (row, &token) in y.chunks_exact(shape.width).zip(&tokens) {
            let want = &decoded[token as usize * shape.width..][..shape.width];
            assert!(
                row.iter()
                    .zip(want)
                    .all(|(&y, &w)| y == f64::from(w) * f64::from(shape.scale)),
                "{name} {}",
                shape.dtype
            );
        }
    }
}

#[test]
fn tokens_beyond_the_table_and_wrong_tables_are_errors() {
    let shape = Shape {
        tokens: 1,
        rows: 2,
        width: 32,
        dtype: Dtype::Q8_0,
        scale: 1.0,
    };
    let error = reference(&shape, &[0; 68], &[2]).unwrap_err();
    assert_eq!(error, EmbedError::UnknownToken { token: 2, rows: 2 });
    assert!(error.to_string().contains("token 2"), "{error}");
    assert!(matches!(
        reference(&shape, &[0; 67], &[0]),
        Err(EmbedError::Table(DequantizeError::WrongLength { .. }))
    ));
    let shape = Shape { width: 33, ..shape };
    assert!(matches!(
        reference(&shape, &[0; 68], &[0]),
        Err(EmbedError::Table(DequantizeError::PartialBlock { .. }))
    ));
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        rows: 100,
        width: 64,
        dtype: Dtype::Q4_0,
        scale: 1.0,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 3 * 36 + 12,
            written_bytes: 768,
            f32_flops: 192,
            ..Cost::default()
        }
    );
}
