//! Parameters' values, or anything of the same shapes: gradients, an optimiser's means.

use std::ops::Range;

use corpus::Random;
use kernels::memory::{Aligned, Arena, OutOfMemory, Pages};

use crate::graph::{Declared, Initial, Parameter};

/// One array with every parameter at its place, each on a cache line's boundary.
pub struct Weights {
    values: Aligned<f32>,
    places: Vec<Range<usize>>,
}

impl Weights {
    /// Zeros in the shapes of `parameters`.
    ///
    /// # Errors
    /// The system refuses the memory.
    pub fn zeroed(parameters: &[Declared]) -> Result<Self, OutOfMemory> {
        let mut end: usize = 0;
        let mut places = Vec::with_capacity(parameters.len());
        for one in parameters {
            let start = end.next_multiple_of(16);
            // Dimensions are at most 2^24 each: a product of two fits.
            end = start
                .checked_add(one.rows * one.columns)
                .ok_or(OutOfMemory { bytes: None })?;
            places.push(start..end);
        }
        Ok(Self {
            values: Arena::new(Pages::Huge).zeroed(end)?,
            places,
        })
    }

    /// As every parameter begins. The numbers of a parameter depend on `seed`, its place and its shape.
    ///
    /// # Errors
    /// The system refuses the memory.
    pub fn initial(parameters: &[Declared], seed: u64) -> Result<Self, OutOfMemory> {
        let mut weights = Self::zeroed(parameters)?;
        for (index, one) in parameters.iter().enumerate() {
            let mut random = Random::of(seed, index as u64);
            for value in weights.get_mut(Parameter(index)) {
                *value = match one.initial {
                    Initial::Normal(deviation) => deviation * normal(&mut random),
                    Initial::Uniform(from, to) => from + (to - from) * uniform(&mut random),
                    Initial::LogUniform(from, to) => {
                        (from + (to - from) * uniform(&mut random)).ln()
                    }
                    Initial::Constant(value) => value,
                };
            }
        }
        Ok(weights)
    }

    /// A parameter's values, in rows.
    #[must_use]
    pub fn get(&self, parameter: Parameter) -> &[f32] {
        &self.values.as_slice()[self.places[parameter.0].clone()]
    }

    /// The same, to write.
    #[must_use]
    pub fn get_mut(&mut self, parameter: Parameter) -> &mut [f32] {
        let place = self.places[parameter.0].clone();
        &mut self.values.as_mut_slice()[place]
    }

    /// Two parameters at once, to write.
    ///
    /// # Panics
    /// When they are one.
    pub(crate) fn get_two_mut(&mut self, a: Parameter, b: Parameter) -> (&mut [f32], &mut [f32]) {
        let places = [self.places[a.0].clone(), self.places[b.0].clone()];
        let found = self.values.as_mut_slice().get_disjoint_mut(places);
        let [a, b] = found.expect("two parameters");
        (a, b)
    }

    /// Where each parameter lies in [`Weights::all`].
    #[must_use]
    pub fn places(&self) -> &[Range<usize>] {
        &self.places
    }

    /// Everything, zeros between parameters included.
    #[must_use]
    pub fn all(&self) -> &[f32] {
        self.values.as_slice()
    }

    /// The same, to write.
    #[must_use]
    pub fn all_mut(&mut self) -> &mut [f32] {
        self.values.as_mut_slice()
    }
}

/// 0 to below 1.
pub(crate) fn uniform(random: &mut Random) -> f32 {
    (random.bits() >> 40) as f32 / (1u32 << 24) as f32
}

/// By Box and Muller.
pub(crate) fn normal(random: &mut Random) -> f32 {
    let radius = (-2.0 * f64::from(1.0 - uniform(random)).ln()).sqrt();
    let angle = std::f64::consts::TAU * f64::from(uniform(random));
    (radius * angle.cos()) as f32
}
