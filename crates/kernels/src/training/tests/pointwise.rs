//! Each operation and its backward pass against f64, at lengths that are no whole vectors or pieces.

use ops::{
    attention::output_gate,
    glu::{self, Activation},
    pointwise::{self, Function},
};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{
    Into, add, scale, scale_in_place, sigmoid_gate, sigmoid_gate_backward, squared_relu,
    squared_relu_backward, swiglu, swiglu_backward,
};

const LENGTHS: [usize; 5] = [1, 15, 2048, 2065, 20_003];
const TOLERANCE: f64 = 5e-7;

/// Beyond where a sigmoid is 0 or 1 in f32, too.
fn wide(seed: u64, len: usize) -> Vec<f32> {
    normal(seed, len).into_iter().map(|x| x * 10.0).collect()
}

#[test]
fn sums_and_multiples_are_near_f64() {
    for len in LENGTHS {
        let (a, b) = (normal(1, len), wide(2, len));
        for into in BOTH {
            let [sum, scaled, in_place] = everywhere(
                |_| 0,
                |machine| {
                    let (mut sum, mut scaled, mut in_place) =
                        (vec![f32::NAN; len], before(into, len), a.clone());
                    add(machine, &a, &b, &mut sum);
                    scale(machine, 0.7, &a, into, &mut scaled);
                    scale_in_place(machine, 0.7, &mut in_place);
                    [sum, scaled, in_place]
                },
            );
            let pairs = a.iter().zip(&b);
            let want: Vec<f64> = pairs.map(|(&a, &b)| f64::from(a) + f64::from(b)).collect();
            assert_near("sum", Into::Set, &sum, &want, TOLERANCE);
            let want: Vec<f64> = a
                .iter()
                .map(|&a| f64::from(a) * f64::from(0.7f32))
                .collect();
            assert_near("multiple", into, &scaled, &want, TOLERANCE);
            assert_near("multiple in place", Into::Set, &in_place, &want, TOLERANCE);
        }
    }
}

#[test]
fn swiglu_is_near_f64() {
    for len in LENGTHS {
        let (gate, up, d_out) = (wide(1, len), normal(2, len), normal(3, len));
        let shape = glu::Shape {
            activation: Activation::Silu,
            tokens: 1,
            width: len,
        };
        for into in BOTH {
            let [out, d_gate, d_up] = everywhere(
                |_| 0,
                |machine| {
                    let (mut out, mut d_gate, mut d_up) =
                        (vec![f32::NAN; len], before(into, len), before(into, len));
                    swiglu(machine, &gate, &up, &mut out);
                    swiglu_backward(
                        machine,
                        &gate,
                        &up,
                        &d_out,
                        (&mut d_gate, into),
                        (&mut d_up, into),
                    );
                    [out, d_gate, d_up]
                },
            );
            let want = glu::backward::reference(&shape, &gate, &up, &d_out);
            assert_near(
                "out",
                Into::Set,
                &out,
                &glu::reference(&shape, &gate, &up),
                TOLERANCE,
            );
            assert_near("dgate", into, &d_gate, &want.gate, TOLERANCE);
            assert_near("dup", into, &d_up, &want.up, TOLERANCE);
        }
    }
}

#[test]
fn squared_relu_is_near_f64() {
    for len in LENGTHS {
        let (mut x, d_out) = (wide(1, len), normal(2, len));
        x[len / 2] = 0.0;
        x[0] = 1.5;
        let shape = pointwise::Shape {
            function: Function::SquaredRelu,
            tokens: 1,
            width: len,
        };
        for into in BOTH {
            let [out, d_x] = everywhere(
                |_| 0,
                |machine| {
                    let (mut out, mut d_x) = (vec![f32::NAN; len], before(into, len));
                    squared_relu(machine, &x, &mut out);
                    squared_relu_backward(machine, &x, &d_out, (&mut d_x, into));
                    [out, d_x]
                },
            );
            assert_near(
                "out",
                Into::Set,
                &out,
                &pointwise::reference(&shape, &x),
                TOLERANCE,
            );
            let want = pointwise::backward::reference(&shape, &x, &d_out);
            assert_near("dx", into, &d_x, &want.x, TOLERANCE);
        }
    }
}

#[test]
fn a_sigmoid_gate_is_near_f64() {
    for len in LENGTHS {
        let (x, gate, d_out) = (normal(1, len), wide(2, len), normal(3, len));
        for into in BOTH {
            let [out, d_x, d_gate] = everywhere(
                |_| 0,
                |machine| {
                    let (mut out, mut d_x, mut d_gate) =
                        (vec![f32::NAN; len], before(into, len), before(into, len));
                    sigmoid_gate(machine, &x, &gate, &mut out);
                    sigmoid_gate_backward(
                        machine,
                        &x,
                        &gate,
                        &d_out,
                        (&mut d_x, into),
                        (&mut d_gate, into),
                    );
                    [out, d_x, d_gate]
                },
            );
            let want = output_gate::backward(&x, &gate, &d_out);
            assert_near(
                "out",
                Into::Set,
                &out,
                &output_gate::reference(&x, &gate),
                TOLERANCE,
            );
            assert_near("dx", into, &d_x, &want.x, TOLERANCE);
            assert_near("dgate", into, &d_gate, &want.gate, TOLERANCE);
        }
    }
}
