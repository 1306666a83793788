//! Against f64: sequences shorter than the taps and longer than a piece, channels that are no whole vectors.

use ops::causal_conv::{STATE_ROWS, Shape, backward, reference};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{ConvolutionShape, Into, causal_conv, causal_conv_backward};

const TOLERANCE: f64 = 2e-6;

/// In f64: result, gradients of inputs and taps.
fn wanted(shape: &ConvolutionShape, x: &[f32], weight: &[f32], d_out: &[f32]) -> [Vec<f64>; 3] {
    let one = Shape {
        tokens: shape.positions,
        channels: shape.channels,
        bias: false,
        silu: true,
    };
    let len = shape.positions * shape.channels;
    let mut want = [Vec::new(), Vec::new(), vec![0.0; weight.len()]];
    for (x, d_out) in x.chunks_exact(len).zip(d_out.chunks_exact(len)) {
        let mut empty = vec![0.0; STATE_ROWS * shape.channels];
        want[0].extend(reference(&one, x, weight, None, &mut empty));
        let gradients = backward::reference(&one, x, weight, None, d_out);
        want[1].extend(gradients.x);
        for (sum, gradient) in want[2].iter_mut().zip(gradients.weight) {
            *sum += gradient;
        }
    }
    want
}

#[test]
fn channels_and_gradients_are_near_f64() {
    for (sequences, positions, channels) in [
        (1, 1, 1),
        (3, 2, 37),
        (70, 3, 16),
        (2, 65, 50),
        (1, 200, 64),
        (2, 70, 150),
        (5, 31, 33),
    ] {
        let shape = ConvolutionShape {
            sequences,
            positions,
            channels,
        };
        let (x, weight, d_out) = (
            normal(1, shape.values()),
            normal(2, 4 * channels),
            normal(3, shape.values()),
        );
        let want = wanted(&shape, &x, &weight, &d_out);
        for into in BOTH {
            let got = everywhere(
                |_| shape.scratch(),
                |machine| {
                    let mut out = vec![f32::NAN; x.len()];
                    causal_conv(machine, &shape, &x, &weight, &mut out);
                    let (mut d_x, mut d_weight) =
                        (before(into, x.len()), before(into, weight.len()));
                    let read = (&x[..], &weight[..]);
                    causal_conv_backward(
                        machine,
                        &shape,
                        read,
                        &d_out,
                        (&mut d_x, into),
                        (&mut d_weight, into),
                    );
                    [out, d_x, d_weight]
                },
            );
            let names = [("out", Into::Set), ("dx", into), ("dw", into)];
            for (((name, into), got), want) in names.into_iter().zip(&got).zip(&want) {
                assert_near(name, into, got, want, TOLERANCE);
            }
        }
    }
}
