//! The functions on the lanes, over some columns of all rows.

use std::ops::Range;

use ops::{glu::Activation, pointwise::Function};

use crate::{
    glu, quantize,
    rows::{QuantRows, Rows},
    simd::{Isa, Kernel, LANES, Simd, dispatch, math},
};

/// What happens to some columns of a buffer.
#[derive(Clone)]
pub(crate) struct Finish {
    pub rows: Rows,
    pub tokens: usize,
    /// Whole vectors.
    pub columns: Range<usize>,
    /// What the values go through, in place.
    pub function: Option<Function>,
    /// Rows whose activation they are multiplied with then.
    pub gate: Option<(Rows, Activation)>,
    /// Where they are rounded to 8 bits then.
    pub quantised: Option<QuantRows>,
}

/// Changes the columns of all rows; no other thread's.
///
/// # Safety
/// The views have `tokens` rows with the columns, padded to whole vectors, and nothing else reads or writes them; columns are whole
/// vectors, and whole blocks of 32 where they are rounded.
pub(crate) unsafe fn finish(isa: Isa, finish: Finish) {
    // SAFETY: the caller's contract.
    unsafe { dispatch(isa, finish) }
}

impl Kernel for Finish {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for token in 0..self.tokens {
            // SAFETY: the contract of `finish`.
            unsafe {
                let row = self.rows.row(token);
                if let Some(function) = self.function {
                    let mut col = self.columns.start;
                    while col < self.columns.end {
                        let x = row.add(col);
                        S::store(x, value::<S>(function, S::load(x)));
                        col += LANES;
                    }
                }
                if let Some((gate, activation)) = self.gate {
                    let gate = gate.row(token);
                    let mut col = self.columns.start;
                    while col < self.columns.end {
                        let y = glu::cpu::gated::<S>(
                            activation,
                            S::load(gate.add(col)),
                            S::load(row.add(col)),
                        );
                        S::store(row.add(col), y);
                        col += LANES;
                    }
                }
                if let Some(quantised) = self.quantised {
                    let Range { start, end } = self.columns;
                    quantize::cpu::row::<S>(row, quantised.row(token), start, end);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn value<S: Simd>(function: Function, x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        match function {
            Function::Tanh => math::tanh::<S>(x),
            Function::Sigmoid => math::sigmoid::<S>(x),
            Function::SquaredRelu => math::squared_relu::<S>(x),
            Function::SoftCap(cap) => math::soft_cap::<S>(x, cap),
        }
    }
}
