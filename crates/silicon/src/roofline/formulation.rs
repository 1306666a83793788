//! One product, expressed in two ways: how the same multiply-adds are laid out decides what a processor makes of them.
//!
//! y(p, o) = sum over i of x(p, i) w(o, i), for a few positions (tokens), one thread:
//!
//! - **as a product**: activations lie position by position; each result is a dot product along the inputs, a vector's lanes hold
//!   neighbouring inputs, and are summed at the end. Some positions by some outputs share their loads.
//! - **as a 1x1 convolution**: activations lie channel by channel; a vector's lanes hold neighbouring positions, and every weight is
//!   spread over a vector. With fewer positions than lanes the rest of the vector is filled with zeros, whose work does not count.
//!
//! The sizes are a thread's share of a matrix that fits the second-level cache, so that the form is seen and not the memory. The two
//! are timed in turns. What an accelerator prefers may be the opposite: some compile convolutions well, and products badly.

mod kernels;

use std::time::Duration;

use measure::{PairedRatio, Pairs, Sampler, Stopwatch, WarmUp};
use serde::{Deserialize, Serialize};

use super::{Rate, RooflineError};

/// Inputs of the layer: 2 KiB in a row of weights.
const INPUTS: usize = 512;
/// Outputs that one thread computes: a multiple of every block of rows in `kernels`. The weights are 192 KiB.
const OUTPUTS: usize = 96;
/// One token, a small batch, a chunk of a prompt.
const POSITIONS: [usize; 3] = [1, 16, 64];
/// Positions of a channel are filled up to this many, the widest vector.
const MAX_LANES: usize = 16;
/// Time of one sample of each form.
const SAMPLE_NS: f64 = 2e6;
const SAMPLES: usize = 31;

/// A way to lay out the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Dot products of activations that lie position by position.
    Product,
    /// A 1x1 convolution over activations that lie channel by channel.
    Convolution,
}

/// What both forms reach for one number of positions, in f32 on one thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Formulation {
    /// Rows of activations.
    pub positions: usize,
    /// Length of each dot product.
    pub inputs: usize,
    /// Rows of weights.
    pub outputs: usize,
    /// Instructions of both forms, for example `avx2`.
    pub instructions: String,
    /// Multiplications and additions that count, as a product.
    pub product_gflop_s: Rate,
    /// The same as a 1x1 convolution.
    pub convolution_gflop_s: Rate,
    /// Ratio of the two rates, with the interval that its interleaved samples give.
    pub product_over_convolution: PairedRatio,
}

impl Formulation {
    /// The faster form; `None` where the interval of the ratio holds 1.
    #[must_use]
    pub fn preferred(&self) -> Option<Form> {
        let interval = &self.product_over_convolution.interval;
        if interval.low > 1.0 {
            Some(Form::Product)
        } else if interval.high < 1.0 {
            Some(Form::Convolution)
        } else {
            None
        }
    }
}

/// Activations in both layouts, and room for the results of both.
struct Work {
    /// (positions, inputs)
    by_position: Vec<f32>,
    /// (inputs, positions filled up to whole vectors)
    by_channel: Vec<f32>,
    /// (outputs, inputs)
    weights: Vec<f32>,
    /// (positions, outputs)
    of_product: Vec<f32>,
    /// (outputs, positions filled up to whole vectors)
    of_convolution: Vec<f32>,
}

impl Work {
    fn new(positions: usize) -> Self {
        // Small numbers of both signs that repeat nowhere near; their values do not matter for the time.
        let number = |at: usize| ((at * 7919 % 256) as f32 - 127.5) / 128.0;
        let stride = positions.next_multiple_of(MAX_LANES);
        let by_position: Vec<f32> = (0..positions * INPUTS).map(number).collect();
        let mut by_channel = vec![0.0; INPUTS * stride];
        for (at, value) in by_position.iter().enumerate() {
            by_channel[at % INPUTS * stride + at / INPUTS] = *value;
        }
        Self {
            by_position,
            by_channel,
            weights: (0..OUTPUTS * INPUTS).map(|at| number(at + 13)).collect(),
            of_product: vec![0.0; positions * OUTPUTS],
            of_convolution: vec![0.0; OUTPUTS * stride],
        }
    }
}

pub(super) fn measure() -> Result<Vec<Formulation>, RooflineError> {
    POSITIONS.into_iter().map(of).collect()
}

fn of(positions: usize) -> Result<Formulation, RooflineError> {
    let forms = kernels::widest();
    let Work {
        by_position,
        by_channel,
        weights,
        mut of_product,
        mut of_convolution,
    } = Work::new(positions);
    let mut product = || (forms.product)(&by_position, &weights, &mut of_product);
    let mut convolution = || (forms.convolution)(&by_channel, &weights, &mut of_convolution);
    let repeats = (calls(&mut product), calls(&mut convolution));
    let sampler = Sampler {
        budget: Duration::from_millis(500),
        min_samples: SAMPLES,
        max_samples: SAMPLES,
        warm_up: WarmUp {
            calls: 2,
            at_least_ms: 0,
        },
    };
    let pairs = sampler.interleave(
        || (0..repeats.0).for_each(|_| product()),
        || (0..repeats.1).for_each(|_| convolution()),
    )?;
    let flop = (2 * positions * INPUTS * OUTPUTS) as f64;
    let rate = |wall_ns: &measure::Samples, repeats: u64| {
        Rate::giga_per_s(flop * repeats as f64, wall_ns.raw())
    };
    let (product, convolution) = (rate(pairs.a(), repeats.0)?, rate(pairs.b(), repeats.1)?);
    let rates = Pairs::new(product.samples.clone(), convolution.samples.clone())?;
    Ok(Formulation {
        positions,
        inputs: INPUTS,
        outputs: OUTPUTS,
        instructions: forms.instructions.to_owned(),
        product_gflop_s: product,
        convolution_gflop_s: convolution,
        product_over_convolution: rates.ratio_of_medians(0.95)?,
    })
}

/// Calls that make about one sample.
fn calls(form: &mut impl FnMut()) -> u64 {
    form();
    let mut fastest_ns = f64::MAX;
    for _ in 0..3 {
        let clock = Stopwatch::start();
        form();
        fastest_ns = fastest_ns.min(clock.elapsed_ns().max(1.0));
    }
    (SAMPLE_NS / fastest_ns).ceil() as u64
}

#[cfg(test)]
mod tests;
