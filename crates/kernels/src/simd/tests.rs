//! Every instruction set does the same, bit for bit, as the portable lanes; elementary functions are near f64.

use super::{Isa, Kernel, LANES, Simd, dispatch, dispatch_floats, math};

struct Functions<'a> {
    x: &'a [f32; LANES],
}

impl Kernel for Functions<'_> {
    type Out = Vec<f32>;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Vec<f32> {
        let mut out = Vec::new();
        // SAFETY: `x` holds 16 values; the processor has `S` by `dispatch`.
        unsafe {
            let x = S::load(self.x.as_ptr());
            for y in [
                math::exp::<S>(x),
                math::sigmoid::<S>(x),
                math::silu::<S>(x),
                math::tanh::<S>(x),
                math::gelu_tanh::<S>(x),
                math::softplus::<S>(x),
                math::exp_m1::<S>(x),
                math::soft_cap::<S>(x, 30.0),
                S::sqrt(x),
                S::keep(x, S::splat(7.0), 3, 11),
                S::keep(x, S::splat(7.0), 0, 16),
                S::round(x),
                S::abs(x),
            ] {
                let mut lanes = [0.0f32; LANES];
                S::store(lanes.as_mut_ptr(), y);
                out.extend_from_slice(&lanes);
            }
            out.push(S::sum(x));
            out.push(S::largest(x));
        }
        out
    }
}

#[test]
fn instruction_sets_agree_bit_for_bit() {
    for step in 0..2000 {
        let mut x = [0.0f32; LANES];
        for (i, v) in x.iter_mut().enumerate() {
            *v = (step as f32 - 1000.0) * 0.11 + i as f32 * 0.37;
        }
        // SAFETY: `Functions` needs nothing beyond the instruction set.
        let want = unsafe { dispatch(Isa::Portable, Functions { x: &x }) };
        for isa in Isa::available() {
            // SAFETY: as above.
            let got = unsafe { dispatch(isa, Functions { x: &x }) };
            let same = got
                .iter()
                .zip(&want)
                .all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{} differs at {x:?}", isa.name());
        }
    }
}

#[test]
fn elementary_functions_are_near_f64() {
    for step in -870..880 {
        let x = [step as f32 * 0.1; LANES];
        // SAFETY: `Functions` needs nothing beyond the instruction set.
        let got = unsafe { dispatch(Isa::detect(), Functions { x: &x }) };
        let v = f64::from(x[0]);
        let close = |got: f32, want: f64, tolerance: f64| {
            let error = (f64::from(got) - want).abs();
            assert!(
                error <= tolerance * want.abs().max(1e-30),
                "at {v}: got {got}, want {want}"
            );
        };
        close(got[0], v.exp(), 4e-7);
        close(got[LANES], 1.0 / (1.0 + (-v).exp()), 6e-7);
        close(got[5 * LANES], v.max(0.0) + (-v.abs()).exp().ln_1p(), 5e-7);
        assert!((f64::from(got[3 * LANES]) - v.tanh()).abs() <= 2e-7);
        close(got[6 * LANES], v.exp_m1(), 4e-7);
        close(got[7 * LANES], 30.0 * (v / 30.0).tanh(), 6e-7);
    }
}

#[test]
fn what_is_small_is_as_exact() {
    for power in 1..40 {
        for sign in [-1.0, 1.0] {
            let v = sign * 0.7_f64.powi(power);
            let x = [v as f32; LANES];
            let v = f64::from(x[0]);
            // SAFETY: `Functions` needs nothing beyond the instruction set.
            let got = unsafe { dispatch(Isa::detect(), Functions { x: &x }) };
            for (got, want) in [
                (got[6 * LANES], v.exp_m1()),
                (got[7 * LANES], 30.0 * (v / 30.0).tanh()),
            ] {
                let error = (f64::from(got) - want).abs();
                assert!(error <= 4e-7 * want.abs(), "at {v}: got {got}, want {want}");
            }
        }
    }
}

#[test]
fn exp_of_a_masked_score_is_exactly_zero() {
    let x = [-1.0e30; LANES];
    // SAFETY: `Functions` needs nothing beyond the instruction set.
    let got = unsafe { dispatch(Isa::detect(), Functions { x: &x }) };
    assert_eq!(got[0], 0.0);
}

/// Rows of the numbers from 0 on, transposed.
struct Transposed;

impl Kernel for Transposed {
    type Out = [[f32; LANES]; LANES];

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Self::Out {
        let mut out = [[0.0f32; LANES]; LANES];
        // SAFETY: arrays of 16 values; the processor has `S` by `dispatch`.
        unsafe {
            let mut rows = [S::splat(0.0); LANES];
            for (i, row) in rows.iter_mut().enumerate() {
                let mut lanes = [0.0f32; LANES];
                for (j, lane) in lanes.iter_mut().enumerate() {
                    *lane = (i * LANES + j) as f32;
                }
                *row = S::load(lanes.as_ptr());
            }
            for (out, row) in out.iter_mut().zip(S::transpose(rows)) {
                S::store(out.as_mut_ptr(), row);
            }
        }
        out
    }
}

#[test]
fn a_transposition_exchanges_rows_and_lanes() {
    for isa in Isa::available_for_training() {
        // SAFETY: `Transposed` needs nothing beyond the instruction set.
        let out = unsafe { dispatch_floats(isa, Transposed) };
        for (i, row) in out.iter().enumerate() {
            for (j, &x) in row.iter().enumerate() {
                assert_eq!(
                    x,
                    (j * LANES + i) as f32,
                    "{}: row {i}, lane {j}",
                    isa.name()
                );
            }
        }
    }
}
