//! Codes, scales and sums equal the reference exactly, special blocks included.

use ops::activation;

use super::cpu;
use crate::{
    Isa, Pool,
    memory::Aligned,
    rows::{QuantRows, Rows},
};

#[test]
fn equals_the_reference_bit_for_bit() {
    for isa in Isa::available() {
        for case in activation::cases() {
            let (tokens, cols) = (case.shape.tokens, case.shape.width);
            let mut x = ops::input::normal(7, tokens * cols);
            x[..32].fill(0.0);
            if cols >= 64 {
                x[40] = f32::NAN;
            }
            if cols >= 96 {
                x[70] = f32::INFINITY;
                x[95] = 1e-44;
            }
            let want = activation::reference(&x);
            let mut copy = Aligned::<f32>::zeroed(x.len()).expect("memory");
            copy.as_mut_slice().copy_from_slice(&x);
            let out = Aligned::<u8>::zeroed(tokens * QuantRows::row_bytes(cols)).expect("memory");
            let rows = Rows {
                pointer: copy.as_mut_pointer(),
                stride: cols,
            };
            let quantised = QuantRows {
                pointer: out.as_mut_pointer(),
                cols,
            };
            let pool = Pool::new(2, 100, 100).expect("threads");
            // SAFETY: both buffers hold `tokens` rows.
            pool.run(|team| unsafe {
                cpu::quantize(isa, rows_of(&rows), quant_of(&quantised), tokens, team)
            });
            for token in 0..tokens {
                // SAFETY: the row exists, written above.
                unsafe {
                    let row = quantised.row(token);
                    let codes = std::slice::from_raw_parts(row.codes(), cols);
                    assert_eq!(
                        codes,
                        &want.codes[token * cols..][..cols],
                        "{} {}",
                        isa.name(),
                        case.name
                    );
                    for block in 0..cols / 32 {
                        let i = token * cols / 32 + block;
                        let scale = *row.scales().add(block);
                        assert!(
                            scale.to_bits() == want.scales[i].to_bits()
                                || (scale.is_nan() && want.scales[i].is_nan())
                        );
                        let (a, b) = (i32::from(want.sums[2 * i]), i32::from(want.sums[2 * i + 1]));
                        assert_eq!(*row.minus_8_half_sums().add(2 * block), -8 * a);
                        assert_eq!(*row.minus_8_half_sums().add(2 * block + 1), -8 * b);
                        assert_eq!(*row.minus_8_sums().add(block), -8 * (a + b));
                    }
                }
            }
        }
    }
}

/// The views are `Copy`; a closure shared by threads captures them by reference.
fn rows_of(rows: &Rows) -> Rows {
    *rows
}

fn quant_of(rows: &QuantRows) -> QuantRows {
    *rows
}
