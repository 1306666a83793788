//! Against f64, with rows that are no whole vectors and pieces that are not whole.

use ops::l2_norm::{Shape, backward, reference};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{Into, L2Norm, l2_norm, l2_norm_backward};

const TOLERANCE: f64 = 2e-6;

#[test]
fn rows_and_gradients_are_near_f64() {
    for (rows, head_dim, scale) in [
        (1, 2, 1.0),
        (7, 37, 0.3),
        (65, 64, 0.125),
        (193, 100, 1.0),
        (130, 128, 1.0),
    ] {
        let norm = L2Norm {
            head_dim,
            eps: 1e-6,
            scale,
        };
        let shape = Shape {
            rows,
            width: head_dim,
            eps: norm.eps,
            scale,
        };
        let (x, d_out) = (normal(1, rows * head_dim), normal(2, rows * head_dim));
        let want = backward::reference(&shape, &x, &d_out);
        for into in BOTH {
            let [out, d_x] = everywhere(
                |_| 0,
                |machine| {
                    let (mut out, mut inverse) = (vec![f32::NAN; x.len()], vec![f32::NAN; rows]);
                    l2_norm(machine, &norm, &x, &mut out, &mut inverse);
                    let mut d_x = before(into, x.len());
                    l2_norm_backward(machine, &norm, (&x, &inverse), &d_out, (&mut d_x, into));
                    [out, d_x]
                },
            );
            assert_near("out", Into::Set, &out, &reference(&shape, &x), TOLERANCE);
            assert_near("dx", into, &d_x, &want.x, TOLERANCE);
        }
    }
}
