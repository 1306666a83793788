//! A step against the reference of `ops`, for matrices that are wide, tall and square.

use kernels::training::Machine;
use ops::muon::Shape;

use super::{BETA, Matrix, step};
use corpus::Random;

use crate::weights::normal;

#[test]
fn two_steps_are_those_of_the_reference() {
    let machine = Machine::new(2).expect("threads");
    for (rows, columns) in [(24, 40), (40, 24), (32, 32), (1, 7)] {
        let mut random = Random::of(3, rows as u64);
        let len = rows * columns;
        let (mut weights, mut momentum) = (vec![0.0f32; len], vec![0.0f32; len]);
        let (mut want, mut want_momentum) = (vec![0.0f64; len], vec![0.0f64; len]);
        for _ in 0..2 {
            let gradient: Vec<f32> = (0..len).map(|_| normal(&mut random)).collect();
            let matrix = Matrix {
                rows,
                columns,
                weights: &mut weights,
                gradient: &gradient,
                momentum: &mut momentum,
            };
            step(&machine, matrix, 1.0, 0.02, 0.1);
            let shape = Shape {
                rows,
                columns,
                learning_rate: 0.02,
                beta: f64::from(BETA),
                weight_decay: 0.1,
            };
            ops::muon::reference(&shape, &gradient, &mut want, &mut want_momentum);
        }
        let largest = want.iter().fold(0.0f64, |most, w| most.max(w.abs()));
        for (got, want) in weights.iter().zip(&want) {
            let error = (f64::from(*got) - want).abs();
            assert!(
                error <= 1e-4 * largest,
                "{rows} x {columns}: {got}, not {want}"
            );
        }
    }
}
