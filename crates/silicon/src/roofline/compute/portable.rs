//! Multiply-adds in plain Rust, which the compiler may turn into the vectors that the target always has.
//!
//! On ARM, the multiply-add is fused (every 64-bit ARM core has it); elsewhere it is a product and a sum, because a fused one
//! without hardware support would be a library call.

use std::hint::black_box;

use super::{Kernel, Precision, Unit};

/// As many as stay in registers: 20 of ARM's 32, or 12 of the 16 that every x86 has, four lanes each.
const F32_CHAINS: usize = if cfg!(target_arch = "aarch64") {
    80
} else {
    48
};
const INT_CHAINS: usize = 64;

pub(super) const F32: Kernel = Kernel {
    precision: Precision::F32,
    unit: Unit::Vector,
    instruction: "portable f32 multiply-add",
    ops_per_iteration: (F32_CHAINS * 2) as f64,
    run: f32_multiply_add,
};

pub(super) const INT8: Kernel = Kernel {
    precision: Precision::Int8,
    unit: Unit::Vector,
    instruction: "portable int8 multiply-add",
    ops_per_iteration: (INT_CHAINS * 2) as f64,
    run: |iterations| integer_multiply_add::<i8>(iterations, 3),
};

pub(super) const INT16: Kernel = Kernel {
    precision: Precision::Int16,
    unit: Unit::Vector,
    instruction: "portable int16 multiply-add",
    ops_per_iteration: (INT_CHAINS * 2) as f64,
    run: |iterations| integer_multiply_add::<i16>(iterations, 3),
};

fn f32_multiply_add(iterations: u64) {
    let (factor, term) = (black_box(0.5f32), black_box(1.0f32));
    let mut chains = black_box(std::array::from_fn::<f32, F32_CHAINS, _>(|index| {
        index as f32
    }));
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = if cfg!(target_arch = "aarch64") {
                chain.mul_add(factor, term)
            } else {
                *chain * factor + term
            };
        }
    }
    black_box(chains);
}

fn integer_multiply_add<T: Copy + From<i8> + Into<i32>>(iterations: u64, factor: T) {
    let operands = black_box(std::array::from_fn::<T, INT_CHAINS, _>(|index| {
        T::from(index as i8)
    }));
    let factor: i32 = black_box(factor).into();
    let mut chains = [0i32; INT_CHAINS];
    for _ in 0..iterations {
        // A reference that the compiler cannot see through: else the products, the same in every round, would be made once.
        for (chain, operand) in chains.iter_mut().zip(black_box(&operands)) {
            let operand: i32 = (*operand).into();
            *chain = chain.wrapping_add(operand * factor);
        }
    }
    black_box(chains);
}
