//! Products against f64, in all four layouts; the same bits on every instruction set and any number of threads.

use crate::{
    Isa,
    training::{Into, Machine, Matrix, MatrixMut, Precision, gemm},
};

/// Numbers between -1 and 1 that repeat with no small period.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// (m, k, n): tiles that are whole and that are not, several blocks of columns on both sides.
const SHAPES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (3, 5, 7),
    (14, 16, 32),
    (29, 37, 70),
    (64, 384, 33),
    (30, 900, 400),
    (15, 48, 2000),
];

fn product(machine: &Machine, shape: (usize, usize, usize), layout: (bool, bool)) -> Vec<f32> {
    let (m, k, n) = shape;
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    let a = if layout.0 {
        Matrix::of(&a, k, m).transposed()
    } else {
        Matrix::of(&a, m, k)
    };
    let b = if layout.1 {
        Matrix::of(&b, n, k).transposed()
    } else {
        Matrix::of(&b, k, n)
    };
    let mut out = numbers(m * n, 3);
    gemm(
        machine,
        Precision::F32,
        a,
        b,
        Into::Add,
        MatrixMut::of(&mut out, m, n),
    );
    out
}

/// In f64; and the sum of magnitudes that the tolerance is relative to.
fn wanted(
    shape: (usize, usize, usize),
    layout: (bool, bool),
    operands: &[Vec<f32>; 3],
    at: (usize, usize),
) -> (f64, f64) {
    let ((m, k, n), (i, j)) = (shape, at);
    let [a, b, c] = operands;
    let start = f64::from(c[i * n + j]);
    let mut sums = (start, start.abs());
    for l in 0..k {
        let x = f64::from(if layout.0 { a[l * m + i] } else { a[i * k + l] });
        let y = f64::from(if layout.1 { b[j * k + l] } else { b[l * n + j] });
        sums = (sums.0 + x * y, sums.1 + (x * y).abs());
    }
    sums
}

#[test]
fn products_are_near_f64_in_every_layout() {
    let machine = Machine::new(2).expect("threads");
    for shape in SHAPES {
        let (m, k, n) = shape;
        let operands = [numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3)];
        for layout in [(false, false), (false, true), (true, false), (true, true)] {
            let got = product(&machine, shape, layout);
            for (index, &got) in got.iter().enumerate() {
                let at = (index / shape.2, index % shape.2);
                let (want, scale) = wanted(shape, layout, &operands, at);
                let error = (f64::from(got) - want).abs();
                assert!(
                    error <= 1e-6 * scale,
                    "{shape:?} {layout:?} at {at:?}: {got}, not {want}"
                );
            }
        }
    }
}

#[test]
fn instruction_sets_and_threads_change_no_bit() {
    let portable = Machine::of(1, Isa::Portable).expect("threads");
    for shape in SHAPES {
        for layout in [(false, true), (true, false)] {
            let want = product(&portable, shape, layout);
            for isa in Isa::available_for_training() {
                for threads in [1, 3] {
                    let machine = Machine::of(threads, isa).expect("threads");
                    let got = product(&machine, shape, layout);
                    let same = got
                        .iter()
                        .zip(&want)
                        .all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{} with {threads} threads: {shape:?}", isa.name());
                }
            }
        }
    }
}

#[test]
fn bfloat16_operands_are_rounded_and_sums_are_not() {
    let machine = Machine::new(1).expect("threads");
    let a = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -3.139_8, 1.0e-20];
    for (x, want) in a
        .into_iter()
        .zip([1.0, 1.015_625, -3.140_625, 1.000_557_7e-20])
    {
        let mut out = [0.25];
        let one = [1.0];
        let (a, b) = ([x], Matrix::of(&one, 1, 1));
        gemm(
            &machine,
            Precision::Bf16,
            Matrix::of(&a, 1, 1),
            b,
            Into::Set,
            MatrixMut::of(&mut out, 1, 1),
        );
        let rounded = half::bf16::from_f32(x).to_f32();
        assert_eq!(out[0], rounded);
        assert!(
            (out[0] - want).abs() <= 1e-4 * want.abs(),
            "{x}: {}",
            out[0]
        );
    }
}
