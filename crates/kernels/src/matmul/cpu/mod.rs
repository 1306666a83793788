//! The products on the CPU: which threads compute which panels, with which tile.

mod activations;
mod amx;
mod float;
mod formats;
mod in_l1;
mod integer;
mod one_token;

use std::{marker::PhantomData, ops::Range};

use ops::{Dtype, glu::Activation, pointwise::Function};

pub(crate) use activations::gathered_len;
pub(crate) use amx::{has_bf16 as has_bf16_tiles, has_int8 as has_int8_tiles};

use crate::{
    PackedMatrix,
    experts::plan::Plan,
    packed::{BLOCK, PANEL_ROWS},
    pointwise::cpu::{Finish, finish},
    pool::Team,
    profile::{FloatProducts, MatMulVariant, RuntimeProfile},
    rows::{QuantRows, Rows},
    simd::{Kernel, Simd, dispatch_products},
};

/// One weight matrix and where its outputs go.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub weights: &'a PackedMatrix,
    pub out: Rows,
    /// Added to every token's outputs; padded to whole panels.
    pub bias: Option<&'a [f32]>,
    /// Multiplies the outputs, bias included.
    pub scale: f32,
    /// Whether the result is added to what `out` holds (a residual).
    pub add: bool,
    /// Panel of `weights` that makes the first 16 outputs: an expert's rows lie behind those of the experts before it.
    pub first_panel: usize,
    /// What the outputs go through at last; they are not added then.
    pub function: Option<Function>,
    /// What the outputs are multiplied with at last: the activation of rows that a product before this one in the same call makes, of
    /// the same width as all of them.
    pub gate: Option<(Rows, Activation)>,
    /// Also rounds the outputs to 8 bits, which come in whole blocks of 32 then.
    pub quantised: Option<QuantRows>,
}

/// The same input in both forms; integer formats read `quantised`, float formats `plain`.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub plain: Rows,
    pub quantised: QuantRows,
    pub tokens: usize,
    /// Which rows they are, where they are not the first `tokens`.
    pub slots: Option<Slots<'a>>,
    /// This thread's, of [`gathered_len`] elements for the input's columns.
    pub scratch: *mut f32,
}

/// Some slots of a step (see [`crate::experts`]): slot s is row s of the output and row s / `per_row` of the input.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    pub slots: &'a [i32],
    pub per_row: usize,
}

impl Input<'_> {
    /// Row of the input that token `t` reads.
    ///
    /// # Safety
    /// `t` is below `tokens`.
    #[inline(always)]
    unsafe fn row(&self, t: usize) -> usize {
        match self.slots {
            // SAFETY: there is a slot for each token.
            Some(Slots { slots, per_row }) => unsafe { *slots.get_unchecked(t) as usize / per_row },
            None => t,
        }
    }

    /// Row of the output that token `t` writes.
    ///
    /// # Safety
    /// `t` is below `tokens`.
    #[inline(always)]
    unsafe fn out_row(&self, t: usize) -> usize {
        match self.slots {
            // SAFETY: there is a slot for each token.
            Some(Slots { slots, .. }) => unsafe { *slots.get_unchecked(t) as usize },
            None => t,
        }
    }
}

/// Whether a product goes over tiles of bfloat16, as [`FloatProducts::SplitBf16`] says: they take whole blocks of columns.
pub(crate) fn splits(how: FloatProducts, weights: &PackedMatrix) -> bool {
    how == FloatProducts::SplitBf16
        && weights.dtype == Dtype::Bf16
        && weights.cols.is_multiple_of(BLOCK)
}

/// Products of one call at most.
pub(crate) const PRODUCTS: usize = 4;
/// Weights of a piece that is dealt to a thread for one token.
const ONE_TOKEN_PIECE_BYTES: usize = 128 << 10;

/// This thread's part of all `products` of one input; `round` counts the calls since the last barrier.
///
/// # Safety
/// `input` has `tokens` rows in the form that the weights need, `out` of each product as many rows of whole panels; all
/// threads of the team call it with the same arguments, and nothing else writes the outputs until the next barrier.
pub(crate) unsafe fn matmul(
    profile: &RuntimeProfile,
    products: &[Product<'_>],
    input: Input<'_>,
    round: usize,
    team: &Team<'_>,
) {
    // A block of the 8-bit form is one thread's.
    let unit = if products.iter().any(|p| p.quantised.is_some()) {
        BLOCK / PANEL_ROWS
    } else {
        1
    };
    let units_of = |product: &Product<'_>| product.weights.panels().div_ceil(unit);
    // Then a share is the same panels of all products, else panels of one behind those of the other.
    let is_gated = products.iter().any(|p| p.gate.is_some());
    let some = |share: Range<usize>| {
        let mut first = 0;
        for product in products {
            let (panels, units) = (product.weights.panels(), units_of(product));
            let within =
                |end: usize| ((end.clamp(first, first + units) - first) * unit).min(panels);
            let (from, to) = (within(share.start), within(share.end));
            if !is_gated {
                first += units;
            }
            if from < to {
                let call = Panels {
                    profile,
                    product: *product,
                    input,
                    from,
                    to,
                };
                // SAFETY: the caller's contract, and shares are disjoint.
                unsafe { whole(call) };
            }
        }
    };
    let units = match products {
        [first, ..] if is_gated => units_of(first),
        _ => products.iter().map(units_of).sum(),
    };
    let least = if input.tokens == 1 {
        // Memory bounds it: shorter pieces cost more in streams begun anew than they even out.
        let panels = products.iter().map(|p| p.weights.panel_bytes * unit);
        let bytes = if is_gated {
            panels.sum()
        } else {
            panels.max().unwrap_or(0)
        };
        ONE_TOKEN_PIECE_BYTES.div_ceil(bytes.max(1))
    } else if products
        .iter()
        .any(|p| splits(profile.float_products_here(), p.weights))
    {
        // Each piece rounds the inputs anew.
        16
    } else {
        // With fewer than 4 panels, activations would be read from the second cache too often.
        4usize.div_ceil(unit)
    };
    team.deal(round, units, least, some);
}

/// Some panels, and what is done to their outputs.
///
/// # Safety
/// As [`matmul`]; nobody else writes these panels' outputs.
unsafe fn whole(call: Panels<'_>) {
    let Panels {
        profile,
        product,
        input,
        from,
        to,
    } = call;
    // SAFETY: the caller's contract.
    unsafe {
        dispatch_products(profile.isa, call);
        if product.function.is_some() || product.gate.is_some() || product.quantised.is_some() {
            let call = Finish {
                rows: product.out,
                tokens: input.tokens,
                columns: from * PANEL_ROWS..to * PANEL_ROWS,
                function: product.function,
                gate: product.gate,
                quantised: product.quantised,
            };
            finish(profile.isa, call);
        }
    }
}

/// What streaming and unpacking a panel costs, in tokens' products with it.
const PANEL_COST: usize = 2;

/// This thread's share of the products of experts: of each matrix, expert e is the e-th part of its rows, and makes the outputs
/// of e's slots. Shares are equal by products and streamed panels together; an expert without slots is not read.
///
/// # Safety
/// As [`matmul`], where `input` has a row for every `per_row` slots of the plan and each output one for every slot; the plan was
/// filled before the last barrier; matrices are whole panels per expert.
pub(crate) unsafe fn by_expert(
    profile: &RuntimeProfile,
    products: &[Product<'_>],
    input: Input<'_>,
    plan: Plan,
    per_row: usize,
    team: &Team<'_>,
) {
    // SAFETY: the plan was filled; experts are below its number.
    let slots_of = |expert: usize| unsafe { plan.of(expert) };
    let panels_of = |product: &Product<'_>| product.weights.panels() / plan.experts;
    let panels: usize = products.iter().map(panels_of).sum();
    let cost_of = |slots: &[i32]| match slots.len() {
        0 => 0,
        n => n + PANEL_COST,
    };
    let total: usize = (0..plan.experts)
        .map(|e| cost_of(slots_of(e)) * panels)
        .sum();
    let share = team.share(total);
    let mut first = 0;
    for expert in 0..plan.experts {
        let slots = slots_of(expert);
        let cost = cost_of(slots);
        if cost == 0 {
            continue;
        }
        for product in products {
            let panels = panels_of(product);
            // A panel is whose share its first unit lies in.
            let before = |end: usize| end.saturating_sub(first).div_ceil(cost).min(panels);
            let (from, to) = (before(share.start), before(share.end));
            first += panels * cost;
            if from < to {
                let product = Product {
                    first_panel: expert * panels,
                    ..*product
                };
                let input = Input {
                    tokens: slots.len(),
                    slots: Some(Slots { slots, per_row }),
                    ..input
                };
                let panels = Panels {
                    profile,
                    product,
                    input,
                    from,
                    to,
                };
                // SAFETY: the caller's contract, and shares are disjoint.
                unsafe { dispatch_products(profile.isa, panels) }
            }
        }
    }
}

/// Panels `from..to` of one product.
struct Panels<'a> {
    profile: &'a RuntimeProfile,
    product: Product<'a>,
    input: Input<'a>,
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
                Dtype::Bf16 => self.bf16::<S>(),
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
    /// The bytes of panel `panel` of the product.
    #[inline(always)]
    unsafe fn panel(&self, panel: usize) -> *const u8 {
        // SAFETY: the product's panels are within the matrix.
        unsafe { self.product.weights.panel(self.product.first_panel + panel) }
    }

    #[inline(always)]
    unsafe fn bf16<S: Simd>(&self) {
        // SAFETY: the contract of `matmul`.
        unsafe {
            let how = self.profile.float_products_here();
            let split = S::TILES && splits(how, self.product.weights);
            let (range, ahead) = (self.from..self.to, self.profile.prefetch_bytes);
            if !(split && amx::split_bf16::panels::<S>(&self.product, &self.input, range, ahead)) {
                self.float::<S, float::Bf16>();
            }
        }
    }

    #[inline(always)]
    unsafe fn float<S: Simd, E: float::Element>(&self) {
        let element = PhantomData::<E>;
        // SAFETY: the contract of `matmul`, and the processor has `S`.
        unsafe {
            S::call(float::Floats {
                panels: self,
                element,
            });
        }
    }

    #[inline(always)]
    unsafe fn integer<S: Simd, F: formats::Format>(&self) {
        let tokens = self.input.tokens;
        let mut done = 0;
        // SAFETY: token ranges stay below `tokens`, panels within the matrix.
        unsafe {
            if S::TILES {
                // Tiles read consecutive rows.
                let wanted = self.profile.matmul_variant == MatMulVariant::Amx;
                if wanted && self.input.slots.is_none() && amx::has_int8() {
                    done = amx::int8::panels::<S, F>(self.product, self.input, self.from..self.to);
                }
            }
            while done < tokens {
                let left = tokens - done;
                if left == 1 {
                    S::call(one_token::OneToken {
                        panels: self,
                        token: done,
                        format: PhantomData::<F>,
                    });
                    done += 1;
                } else {
                    done += self.several::<S, F>(done, left);
                }
            }
        }
    }

    /// Some of the `left` tokens from `first`, at least two. Returns how many. The constant decides alone what is compiled, so
    /// that no set gets the others' forms.
    #[inline(always)]
    unsafe fn several<S: Simd, F: formats::Format>(&self, first: usize, left: usize) -> usize {
        // SAFETY: as `integer`; no form takes more than `left` tokens.
        unsafe {
            if S::MANY_REGISTERS {
                // The smallest tile that takes all that are left, up to the profile's.
                let widest = self.profile.matmul_tile.clamp(4, 12) / 4 * 4;
                let count = left.min(widest);
                match count {
                    9.. => integer::in_registers::<S, F, 12>(self, first, count),
                    5..9 => integer::in_registers::<S, F, 8>(self, first, count),
                    3..5 => integer::in_registers::<S, F, 4>(self, first, count),
                    _ => integer::in_registers::<S, F, 2>(self, first, count),
                }
            } else {
                let count = left.min(activations::TOKENS);
                S::call(in_l1::InL1 {
                    panels: self,
                    first,
                    count,
                    format: PhantomData::<F>,
                });
                count
            }
        }
    }
}
