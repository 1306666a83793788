//! Operations on one element of each operand at a time, forward and backward, by one loop.
//!
//! With `s = sigmoid(g)`: SwiGLU is `y = g s u`, so `du = dy g s` and `dg = dy u s (1 + g (1 - s))`; the squared ReLU is `y = max(x, 0)^2`,
//! so `dx = 2 dy max(x, 0)`; a sigmoid gate is `y = x s`, so `dx = dy s` and `dg = dy x s (1 - s)`.

use std::ops::Range;

use super::{
    Into, Machine,
    shared::{Shared, load_some},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, math, store_first};

/// `I` numbers to `O` numbers.
trait Pointwise<const I: usize, const O: usize>: Copy + Sync {
    /// # Safety
    /// The features of `S` are there.
    unsafe fn of<S: Simd>(self, x: [S::F; I]) -> [S::F; O];
}

/// Elements that a thread takes at a time: whole vectors, in L1 with all operands.
const ELEMENTS: usize = 2048;

fn pointwise<P: Pointwise<I, O>, const I: usize, const O: usize>(
    machine: &Machine,
    operation: P,
    inputs: [&[f32]; I],
    outputs: [(&mut [f32], Into); O],
) {
    let len = outputs[0].0.len();
    for (i, input) in inputs.iter().enumerate() {
        assert_eq!(input.len(), len, "length of operand {i}");
    }
    for (o, (output, _)) in outputs.iter().enumerate() {
        assert_eq!(output.len(), len, "length of result {o}");
    }
    let outputs = outputs.map(|(values, into)| (Shared::of(values), into));
    share(machine, operation, inputs.map(Shared::read), outputs, len);
}

fn share<P: Pointwise<I, O>, const I: usize, const O: usize>(
    machine: &Machine,
    operation: P,
    inputs: [Shared; I],
    outputs: [(Shared, Into); O],
    len: usize,
) {
    machine.pool.run(|team| {
        team.deal(0, len.div_ceil(ELEMENTS), 1, |pieces| {
            let some = Elements {
                operation,
                inputs,
                outputs,
                elements: pieces.start * ELEMENTS..len.min(pieces.end * ELEMENTS),
            };
            // SAFETY: operands have `len` elements; pieces are disjoint; the processor has the set. An element is read before it is
            // written, so that an operand may be a result.
            unsafe { dispatch_floats(machine.isa, some) }
        });
    });
}

struct Elements<P, const I: usize, const O: usize> {
    operation: P,
    inputs: [Shared; I],
    outputs: [(Shared, Into); O],
    elements: Range<usize>,
}

impl<P: Pointwise<I, O>, const I: usize, const O: usize> Kernel for Elements<P, I, O> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for at in self.elements.clone().step_by(LANES) {
            let count = self.elements.end - at;
            // SAFETY: `count` elements are left.
            unsafe {
                let mut x = [S::splat(0.0); I];
                for (x, from) in x.iter_mut().zip(&self.inputs) {
                    *x = load_some::<S>(from.at(at), count);
                }
                for (mut y, &(to, into)) in self.operation.of::<S>(x).into_iter().zip(&self.outputs)
                {
                    if into == Into::Add {
                        y = S::add(load_some::<S>(to.at(at), count), y);
                    }
                    store_first::<S>(to.at(at), y, count);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl Pointwise<2, 1> for Sum {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [a, b]: [S::F; 2]) -> [S::F; 1] {
        // SAFETY: lane arithmetic only.
        unsafe { [S::add(a, b)] }
    }
}

/// `out = a + b`.
pub fn add(machine: &Machine, a: &[f32], b: &[f32], out: &mut [f32]) {
    pointwise(machine, Sum, [a, b], [(out, Into::Set)]);
}

#[derive(Clone, Copy)]
struct Scaled(f32);

impl Pointwise<1, 1> for Scaled {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [x]: [S::F; 1]) -> [S::F; 1] {
        // SAFETY: lane arithmetic only.
        unsafe { [S::mul(x, S::splat(self.0))] }
    }
}

/// `out = factor x`, or `out += factor x`.
pub fn scale(machine: &Machine, factor: f32, x: &[f32], into: Into, out: &mut [f32]) {
    pointwise(machine, Scaled(factor), [x], [(out, into)]);
}

/// `x = factor x`.
pub fn scale_in_place(machine: &Machine, factor: f32, x: &mut [f32]) {
    let len = x.len();
    let x = Shared::of(x);
    share(machine, Scaled(factor), [x], [(x, Into::Set)], len);
}

/// `s = sigmoid(x)` and `1 - s`, as exact where s is nearly 1: with `e = exp(-x)` they are `1 / (1 + e)` and `e / (1 + e)`.
///
/// # Safety
/// The features of `S` are there.
#[inline(always)]
pub(super) unsafe fn sigmoids<S: Simd>(x: S::F) -> (S::F, S::F) {
    // SAFETY: lane arithmetic only.
    unsafe {
        let one = S::splat(1.0);
        let e = math::exp::<S>(S::sub(S::splat(0.0), x));
        let s = S::div(one, S::add(one, e));
        (s, S::mul(e, s))
    }
}

#[derive(Clone, Copy)]
struct SwiGlu;

impl Pointwise<2, 1> for SwiGlu {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [gate, up]: [S::F; 2]) -> [S::F; 1] {
        // SAFETY: lane arithmetic only.
        unsafe { [S::mul(math::silu::<S>(gate), up)] }
    }
}

impl Pointwise<3, 2> for SwiGlu {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [gate, up, dy]: [S::F; 3]) -> [S::F; 2] {
        // SAFETY: lane arithmetic only.
        unsafe {
            let (s, rest) = sigmoids::<S>(gate);
            let silu = S::mul(gate, s);
            // s (1 + g (1 - s)) = s + silu (1 - s)
            let slope = S::fma(silu, rest, s);
            [S::mul(S::mul(dy, up), slope), S::mul(dy, silu)]
        }
    }
}

/// `out = silu(gate) up`.
pub fn swiglu(machine: &Machine, gate: &[f32], up: &[f32], out: &mut [f32]) {
    pointwise(machine, SwiGlu, [gate, up], [(out, Into::Set)]);
}

/// Gradients of [`swiglu`]'s operands, from that of its result.
pub fn swiglu_backward(
    machine: &Machine,
    gate: &[f32],
    up: &[f32],
    d_out: &[f32],
    d_gate: (&mut [f32], Into),
    d_up: (&mut [f32], Into),
) {
    pointwise(machine, SwiGlu, [gate, up, d_out], [d_gate, d_up]);
}

#[derive(Clone, Copy)]
struct SquaredRelu;

impl Pointwise<1, 1> for SquaredRelu {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [x]: [S::F; 1]) -> [S::F; 1] {
        // SAFETY: lane arithmetic only.
        unsafe { [math::squared_relu::<S>(x)] }
    }
}

impl Pointwise<2, 1> for SquaredRelu {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [x, dy]: [S::F; 2]) -> [S::F; 1] {
        // SAFETY: lane arithmetic only.
        unsafe {
            let slope = S::zero_below(x, S::splat(0.0), S::add(x, x));
            [S::mul(slope, dy)]
        }
    }
}

/// `out = max(x, 0)^2`.
pub fn squared_relu(machine: &Machine, x: &[f32], out: &mut [f32]) {
    pointwise(machine, SquaredRelu, [x], [(out, Into::Set)]);
}

/// Gradient of [`squared_relu`]'s operand, from that of its result.
pub fn squared_relu_backward(machine: &Machine, x: &[f32], d_out: &[f32], d_x: (&mut [f32], Into)) {
    pointwise(machine, SquaredRelu, [x, d_out], [d_x]);
}

#[derive(Clone, Copy)]
struct SigmoidGate;

impl Pointwise<2, 1> for SigmoidGate {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [x, gate]: [S::F; 2]) -> [S::F; 1] {
        // SAFETY: lane arithmetic only.
        unsafe { [S::mul(x, math::sigmoid::<S>(gate))] }
    }
}

impl Pointwise<3, 2> for SigmoidGate {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, [x, gate, dy]: [S::F; 3]) -> [S::F; 2] {
        // SAFETY: lane arithmetic only.
        unsafe {
            let (s, rest) = sigmoids::<S>(gate);
            let dx = S::mul(dy, s);
            [dx, S::mul(S::mul(dx, x), rest)]
        }
    }
}

/// `out = x sigmoid(gate)`.
pub fn sigmoid_gate(machine: &Machine, x: &[f32], gate: &[f32], out: &mut [f32]) {
    pointwise(machine, SigmoidGate, [x, gate], [(out, Into::Set)]);
}

/// Gradients of [`sigmoid_gate`]'s operands, from that of its result.
pub fn sigmoid_gate_backward(
    machine: &Machine,
    x: &[f32],
    gate: &[f32],
    d_out: &[f32],
    d_x: (&mut [f32], Into),
    d_gate: (&mut [f32], Into),
) {
    pointwise(machine, SigmoidGate, [x, gate, d_out], [d_x, d_gate]);
}
