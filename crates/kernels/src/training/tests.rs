//! What the tests of training kernels share: machines of every kind, and results compared with the references of `ops`.
//!
//! A tolerance is relative to the largest magnitude of the result that is compared, element by element.

mod adamw;
mod attention;
mod causal_conv;
mod cross_entropy;
mod delta_gates;
mod embed;
mod gated_delta;
mod gated_norm;
mod gemm;
mod l2_norm;
mod pointwise;
mod rms_norm;
mod rope;

pub(super) use ops::input::normal;

use super::{Into, Machine};
use crate::Isa;

/// Both things that may become of a gradient.
const BOTH: [Into; 2] = [Into::Set, Into::Add];

/// What a result is written over, which is never read; or what it is added to.
fn before(into: Into, len: usize) -> Vec<f32> {
    match into {
        Into::Set => vec![f32::NAN; len],
        Into::Add => normal(len as u64, len),
    }
}

/// The results of `run`: the same to the last bit on every instruction set with 1, 2 and 3 threads. `scratch` is the working memory for
/// so many threads.
#[track_caller]
fn everywhere<const R: usize>(
    scratch: impl Fn(usize) -> usize,
    run: impl Fn(&Machine) -> [Vec<f32>; R],
) -> [Vec<f32>; R] {
    let of = |isa: Isa, threads: usize| {
        let mut machine = Machine::of(threads, isa).expect("threads");
        machine.reserve(scratch(threads)).expect("memory");
        run(&machine)
    };
    let want = of(Isa::Portable, 1);
    for isa in Isa::available_for_training() {
        for threads in [1, 2, 3] {
            for (result, (got, want)) in of(isa, threads).iter().zip(&want).enumerate() {
                let differs = got
                    .iter()
                    .zip(want)
                    .position(|(a, b)| a.to_bits() != b.to_bits());
                assert_eq!(
                    differs,
                    None,
                    "{} with {threads} threads: result {result}",
                    isa.name()
                );
            }
        }
    }
    want
}

/// Compares a result that was written over or added to what [`before`] gives with what it should be by itself.
#[track_caller]
fn assert_near(name: &str, into: Into, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}: length");
    let mut want = want.to_vec();
    if into == Into::Add {
        for (want, before) in want.iter_mut().zip(before(into, got.len())) {
            *want += f64::from(before);
        }
    }
    let largest = want.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    for (i, (&got, want)) in got.iter().zip(&want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(
            error <= tolerance * largest,
            "{name}[{i}]: {got}, not {want}; the largest is {largest}"
        );
    }
}
