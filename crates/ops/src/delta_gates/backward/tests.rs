//! Both forms of the rate against the parent's reference and against finite differences; the linear end of softplus.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{delta_gates, input};

const SHAPES: [Shape; 2] = [
    Shape {
        tokens: 4,
        value_heads: 3,
        channels: 1,
    },
    Shape {
        tokens: 3,
        value_heads: 2,
        channels: 4,
    },
];

struct Owned {
    a: Vec<f32>,
    b: Vec<f32>,
    rate: Vec<f32>,
    a_log: Vec<f32>,
    dt_bias: Vec<f32>,
    dalpha: Vec<f32>,
    dbeta: Vec<f32>,
}

impl Owned {
    fn of(shape: &Shape) -> Self {
        let decays = shape.value_heads * shape.channels;
        Self {
            a: grid(1, shape.tokens * decays, -2.0, 2.0),
            b: grid(2, shape.tokens * shape.value_heads, -2.0, 2.0),
            rate: grid(3, shape.value_heads, -1.0, -0.1),
            a_log: grid(4, shape.value_heads, -2.0, 0.5),
            dt_bias: grid(5, decays, -2.0, 1.0),
            dalpha: input::normal(6, shape.tokens * decays),
            dbeta: input::normal(7, shape.tokens * shape.value_heads),
        }
    }

    fn inputs<'a>(&'a self, rate: Rate<'a>) -> Inputs<'a> {
        Inputs {
            a: &self.a,
            b: &self.b,
            rate,
            dt_bias: &self.dt_bias,
        }
    }

    fn loss(&self, shape: &Shape, inputs: &Inputs<'_>) -> f64 {
        let gates = forward(shape, inputs);
        loss(&gates.alpha, &self.dalpha) + loss(&gates.beta, &self.dbeta)
    }
}

#[test]
fn the_forward_is_the_reference() {
    for shape in SHAPES {
        let own = Owned::of(&shape);
        let want = delta_gates::reference(&shape, &own.a, &own.b, &own.rate, &own.dt_bias);
        let plain = forward(&shape, &own.inputs(Rate::Plain(&own.rate)));
        assert_eq!(plain, want);
        let a_log: Vec<f32> = own.rate.iter().map(|rate| (-rate).ln()).collect();
        let logged = forward(&shape, &own.inputs(Rate::ALog(&a_log)));
        // Only the logarithm was rounded to f32.
        let near = |(got, want): (&f64, &f64)| (got - want).abs() <= 1e-6;
        assert!(logged.alpha.iter().zip(&want.alpha).all(near));
    }
}

#[test]
fn gradients_are_those_of_the_forward() {
    for shape in SHAPES {
        let own = Owned::of(&shape);
        for rate in [Rate::Plain(&own.rate), Rate::ALog(&own.a_log)] {
            let inputs = own.inputs(rate);
            let got = reference(&shape, &inputs, &own.dalpha, &own.dbeta);
            assert_gradient("a", &own.a, &got.a, |a| {
                own.loss(&shape, &Inputs { a, ..inputs })
            });
            assert_gradient("b", &own.b, &got.b, |b| {
                own.loss(&shape, &Inputs { b, ..inputs })
            });
            assert_gradient("dt_bias", &own.dt_bias, &got.dt_bias, |dt_bias| {
                own.loss(&shape, &Inputs { dt_bias, ..inputs })
            });
        }
        let inputs = own.inputs(Rate::Plain(&own.rate));
        let got = reference(&shape, &inputs, &own.dalpha, &own.dbeta);
        assert_gradient("rate", &own.rate, &got.decay_rate, |rate| {
            own.loss(&shape, &own.inputs(Rate::Plain(rate)))
        });
        let inputs = own.inputs(Rate::ALog(&own.a_log));
        let got = reference(&shape, &inputs, &own.dalpha, &own.dbeta);
        assert_gradient("a_log", &own.a_log, &got.a_log, |a_log| {
            own.loss(&shape, &own.inputs(Rate::ALog(a_log)))
        });
    }
}

#[test]
fn above_twenty_the_slope_is_one() {
    let shape = Shape {
        tokens: 1,
        value_heads: 1,
        channels: 1,
    };
    let inputs = Inputs {
        a: &[22.0],
        b: &[0.0],
        rate: Rate::Plain(&[-0.125]),
        dt_bias: &[2.0],
    };
    let got = reference(&shape, &inputs, &[8.0], &[4.0]);
    let dg = 8.0 * (-3f64).exp();
    assert_eq!((got.a[0], got.dt_bias[0]), (-0.125 * dg, -0.125 * dg));
    assert_eq!((got.decay_rate[0], got.a_log[0]), (24.0 * dg, -3.0 * dg));
    assert_eq!(got.b[0], 1.0);
}
