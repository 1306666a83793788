//! Known values, both ends, and what is not a number.

use super::*;

fn of(function: Function, x: &[f32]) -> Vec<f64> {
    let shape = Shape {
        function,
        tokens: 1,
        width: x.len(),
    };
    reference(&shape, x)
}

#[test]
fn values_by_hand() {
    assert_eq!(
        of(Function::SquaredRelu, &[-3.0, -0.0, 0.5, 3.0]),
        [0.0, 0.0, 0.25, 9.0]
    );
    assert_eq!(
        of(Function::Sigmoid, &[0.0, 100.0, -1000.0]),
        [0.5, 1.0, 0.0]
    );
    assert_eq!(of(Function::Tanh, &[0.0, 30.0, -30.0]), [0.0, 1.0, -1.0]);
    assert_eq!(
        of(Function::SoftCap(8.0), &[0.0, 1e6, -1e6]),
        [0.0, 8.0, -8.0]
    );
    let small = of(Function::SoftCap(30.0), &[0.25])[0];
    assert!((small - 0.25).abs() <= 1e-5 && small < 0.25);
}

#[test]
fn what_is_not_a_number_stays_so() {
    for function in [
        Function::Tanh,
        Function::Sigmoid,
        Function::SquaredRelu,
        Function::SoftCap(30.0),
    ] {
        assert!(of(function, &[f32::NAN])[0].is_nan(), "{function:?}");
    }
}

#[test]
fn tanh_is_a_sigmoid_of_twice_the_argument() {
    for x in [-4.0, -0.5, 0.25, 2.0] {
        let want = 2.0 * of(Function::Sigmoid, &[2.0 * x])[0] - 1.0;
        assert!((of(Function::Tanh, &[x])[0] - want).abs() <= 1e-15);
    }
}

#[test]
#[should_panic(expected = "x must be (tokens, width)")]
fn half_a_row_is_a_mistake() {
    let shape = Shape {
        function: Function::Tanh,
        tokens: 2,
        width: 2,
    };
    let _never = reference(&shape, &[0.0; 3]);
}

#[test]
fn costs_by_hand() {
    for (function, flops) in [
        (Function::Tanh, 15),
        (Function::Sigmoid, 45),
        (Function::SquaredRelu, 30),
    ] {
        let shape = Shape {
            function,
            tokens: 3,
            width: 5,
        };
        assert_eq!(
            cost(&shape),
            Cost {
                read_bytes: 60,
                written_bytes: 60,
                f32_flops: flops,
                ..Cost::default()
            }
        );
    }
}
