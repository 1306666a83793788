//! The products on the CPU: which threads compute which panels, with which tile.

mod amx;
mod float;
mod formats;
mod integer;

use ops::Dtype;

use crate::{
    PackedMatrix,
    pool::Team,
    profile::{MatMulVariant, RuntimeProfile},
    rows::{QuantRows, Rows},
    simd::{Kernel, Simd, dispatch},
};

/// One weight matrix and where its outputs go.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub weights: &'a PackedMatrix,
    pub out: Rows,
    /// Added to every token's outputs; padded to whole panels.
    pub bias: Option<&'a [f32]>,
    /// Whether the result is added to what `out` holds (a residual).
    pub add: bool,
}

/// The same input in both forms; integer formats read `quantised`, float formats `plain`.
#[derive(Clone, Copy)]
pub(crate) struct Input {
    pub plain: Rows,
    pub quantised: QuantRows,
    pub tokens: usize,
}

/// This thread's share of all `products` of one input.
///
/// # Safety
/// `input` has `tokens` rows in the form that the weights need, `out` of each product as many rows of whole panels; all
/// threads of the team call it with the same arguments, and nothing else writes the outputs until the next barrier.
pub(crate) unsafe fn matmul(
    profile: &RuntimeProfile,
    products: &[Product<'_>],
    input: Input,
    team: &Team<'_>,
) {
    let total: usize = products.iter().map(|p| p.weights.panels()).sum();
    let share = team.share(total);
    let mut first = 0;
    for product in products {
        let panels = product.weights.panels();
        let from = share.start.max(first) - first;
        let to = share.end.min(first + panels).max(first) - first;
        first += panels;
        if from < to {
            // SAFETY: the caller's contract, and shares are disjoint.
            unsafe {
                dispatch(
                    profile.isa,
                    Panels {
                        profile,
                        product: *product,
                        input,
                        from,
                        to,
                    },
                )
            }
        }
    }
}

/// Panels `from..to` of one product.
struct Panels<'a> {
    profile: &'a RuntimeProfile,
    product: Product<'a>,
    input: Input,
    from: usize,
    to: usize,
}

impl Kernel for Panels<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `matmul`; the formats match the weights' own.
        unsafe {
            match self.product.weights.dtype {
                Dtype::F32 => self.float::<S, float::F32>(),
                Dtype::F16 => self.float::<S, float::F16>(),
                Dtype::Bf16 => self.float::<S, float::Bf16>(),
                Dtype::Q4_0 => self.integer::<S, formats::Q4_0>(),
                Dtype::Q4_1 => self.integer::<S, formats::Q4_1>(),
                Dtype::Q5_0 => self.integer::<S, formats::Q5_0>(),
                Dtype::Q5_1 => self.integer::<S, formats::Q5_1>(),
                Dtype::Q8_0 => self.integer::<S, formats::Q8_0>(),
                Dtype::Q4K => self.integer::<S, formats::Q4K>(),
                Dtype::Q5K => self.integer::<S, formats::Q5K>(),
                Dtype::Q6K => self.integer::<S, formats::Q6K>(),
            }
        }
    }
}

impl Panels<'_> {
    #[inline(always)]
    unsafe fn integer<S: Simd, F: formats::Format>(&self) {
        let tokens = self.input.tokens;
        let mut done = 0;
        // SAFETY: token ranges stay below `tokens`, panels within the matrix.
        unsafe {
            if S::TILES && self.profile.matmul_variant == MatMulVariant::Amx && amx::is_available()
            {
                done = amx::panels::<S, F>(self.product, self.input, self.from..self.to);
            }
            while done < tokens {
                let left = tokens - done;
                done += match left {
                    1 => {
                        integer::one_token::<S, F>(self, done);
                        1
                    }
                    _ if !S::MANY_REGISTERS => {
                        integer::in_l1::<S::Part, F>(self, done, left.min(integer::TOKENS))
                    }
                    2 | 3 => integer::in_registers::<S, F, 2>(self, done),
                    _ => match self.profile.matmul_tile.min(left) {
                        12.. => integer::in_registers::<S, F, 12>(self, done),
                        8..12 => integer::in_registers::<S, F, 8>(self, done),
                        _ => integer::in_registers::<S, F, 4>(self, done),
                    },
                };
            }
        }
    }

    #[inline(always)]
    unsafe fn float<S: Simd, F: float::Element>(&self) {
        let tokens = self.input.tokens;
        let mut done = 0;
        while done < tokens {
            let left = tokens - done;
            // SAFETY: token ranges stay below `tokens`, panels within the matrix.
            unsafe {
                done += match left {
                    8.. => float::panels::<S, F, 8, 1>(self, done),
                    4..8 => float::panels::<S, F, 4, 1>(self, done),
                    _ => float::panels::<S, F, 1, 4>(self, done),
                };
            }
        }
    }
}
