//! Against f64, with rows that are no whole vectors and pieces that are not whole.

use ops::gated_rms_norm::{Gate, Shape, backward, reference};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{GatedNormKept, Into, gated_norm, gated_norm_backward, gated_norm_scratch};

const TOLERANCE: f64 = 2e-6;

#[test]
fn rows_and_gradients_are_near_f64() {
    for (rows, width) in [(1, 2), (7, 37), (65, 64), (193, 100), (130, 128)] {
        let shape = Shape {
            rows,
            width,
            eps: 1e-6,
            gate: Gate::Silu,
        };
        let (x, z) = (normal(1, rows * width), normal(2, rows * width));
        let z: Vec<f32> = z.iter().map(|z| 5.0 * z).collect();
        let (weight, d_out) = (normal(3, width), normal(4, rows * width));
        let want = backward::reference(&shape, &x, &z, &weight, &d_out);
        for into in BOTH {
            let [out, d_x, d_z, d_weight] = everywhere(
                |_| gated_norm_scratch(rows, width),
                |machine| {
                    let (mut out, mut inverse) = (vec![f32::NAN; x.len()], vec![f32::NAN; rows]);
                    gated_norm(
                        machine,
                        (&x, &z),
                        &weight,
                        shape.eps,
                        &mut out,
                        &mut inverse,
                    );
                    let kept = GatedNormKept {
                        x: &x,
                        z: &z,
                        weight: &weight,
                        inverse: &inverse,
                    };
                    let (mut d_x, mut d_z) = (before(into, x.len()), before(into, x.len()));
                    let mut d_weight = before(into, width);
                    let of_weight = (&mut d_weight[..], into);
                    gated_norm_backward(
                        machine,
                        kept,
                        &d_out,
                        (&mut d_x, into),
                        (&mut d_z, into),
                        of_weight,
                    );
                    [out, d_x, d_z, d_weight]
                },
            );
            assert_near(
                "out",
                Into::Set,
                &out,
                &reference(&shape, &x, &z, &weight),
                TOLERANCE,
            );
            assert_near("dx", into, &d_x, &want.x, TOLERANCE);
            assert_near("dz", into, &d_z, &want.z, TOLERANCE);
            assert_near("dw", into, &d_weight, &want.weight, TOLERANCE);
        }
    }
}
