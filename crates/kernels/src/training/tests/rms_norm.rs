//! Against f64, with rows that are no whole vectors and pieces that are not whole.

use ops::rms_norm::{Shape, backward, reference};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{Into, Kept, rms_norm, rms_norm_backward, rms_norm_scratch};

/// (rows, width)
const SHAPES: [(usize, usize); 6] = [(1, 1), (1, 16), (7, 37), (65, 64), (193, 100), (128, 384)];
const EPS: f32 = 1e-5;
const TOLERANCE: f64 = 2e-6;

#[test]
fn rows_and_gradients_are_near_f64() {
    for (rows, width) in SHAPES {
        let (x, weight, d_out) = (
            normal(1, rows * width),
            normal(2, width),
            normal(3, rows * width),
        );
        let shape = Shape {
            rows,
            width,
            eps: EPS,
        };
        for into in BOTH {
            let [out, d_x, d_weight] = everywhere(
                |_| rms_norm_scratch(rows, width),
                |machine| {
                    let (mut out, mut inverse) = (vec![f32::NAN; x.len()], vec![f32::NAN; rows]);
                    rms_norm(machine, &x, &weight, EPS, &mut out, &mut inverse);
                    let kept = Kept {
                        x: &x,
                        weight: &weight,
                        inverse: &inverse,
                    };
                    let (mut d_x, mut d_weight) = (before(into, x.len()), before(into, width));
                    rms_norm_backward(
                        machine,
                        kept,
                        &d_out,
                        (&mut d_x, into),
                        (&mut d_weight, into),
                    );
                    [out, d_x, d_weight]
                },
            );
            let want = backward::reference(&shape, &x, &weight, &d_out);
            assert_near(
                "out",
                Into::Set,
                &out,
                &reference(&shape, &x, &weight),
                TOLERANCE,
            );
            if width > 1 {
                assert_near("dx", into, &d_x, &want.x, TOLERANCE);
            }
            assert_near("dw", into, &d_weight, &want.weight, TOLERANCE);
        }
    }
}
