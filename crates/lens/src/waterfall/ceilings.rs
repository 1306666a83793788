//! The silicon under a regime: what is presented, and what is measured, at the sizes that this model's steps have.

use std::time::Duration;

use kernels::Pool;
use measure::{Samples, repeat_until};
use silicon::{
    probe::Machine,
    roofline::{self, Depth, Precision, Roofline, Stream, compute::Unit},
    spec::Spec,
};

use super::{Options, Plan};
use crate::{
    LensError,
    attribution::{Int8Unit, figure},
    report::Ceilings,
};

/// Barriers in one job, so that its fork-join is a small part.
const BARRIERS: u32 = 1000;

/// What was found of the machine before the rounds begin.
pub(crate) struct Silicon {
    pub machine: Machine,
    pub roofline: Roofline,
    pub spec: Spec,
    pub unit: Int8Unit,
    int8_gop_s: f64,
    int8_instruction: String,
    int16_gop_s: Option<f64>,
    bf16_gflop_s: Option<f64>,
    f32_gflop_s: f64,
}

impl Silicon {
    pub fn measure(
        threads: usize,
        options: &Options,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<Self, LensError> {
        let machine = Machine::probe();
        let depth = if options.quick {
            Depth::Quick
        } else {
            Depth::Full
        };
        let roofline = roofline::measure(&machine, threads, depth, |p| {
            progress(
                &format!("silicon: {}", p.step),
                p.done as f64 / p.of.max(1) as f64,
            );
        })?;
        let mut spec = match roofline.core_clock_ghz.value() {
            Some(clock) => Spec::at_measured_clock(&machine, clock.median)?,
            None => Spec::of(&machine),
        };
        if let Some(gb_s) = options.spec_bandwidth_gb_s {
            spec = spec.with_memory_gb_s(gb_s)?;
        }
        // Best repetitions: a ceiling is what the machine can do when it is left alone.
        let best = |precision: Precision| {
            let peaks = roofline
                .compute
                .iter()
                .filter(move |p| p.precision == precision);
            peaks.max_by(|a, b| {
                a.all_threads_gop_s
                    .samples
                    .max()
                    .total_cmp(&b.all_threads_gop_s.samples.max())
            })
        };
        let most = |peak: &roofline::ComputePeak| peak.all_threads_gop_s.samples.max();
        let rate = |peak: Option<&roofline::ComputePeak>| peak.map_or(f64::INFINITY, most);
        let int8 = best(Precision::Int8);
        let unit = if int8.is_some_and(|p| p.unit == Unit::Matrix) {
            Int8Unit::Matrix
        } else {
            Int8Unit::Vector
        };
        let (int8_gop_s, f32_gflop_s) = (rate(int8), rate(best(Precision::F32)));
        let int8_instruction = int8.map_or_else(String::new, |p| p.instruction.clone());
        Ok(Self {
            machine,
            spec,
            unit,
            int8_gop_s,
            int8_instruction,
            int16_gop_s: best(Precision::Int16).map(most),
            bf16_gflop_s: best(Precision::Bf16).map(most),
            f32_gflop_s,
            roofline,
        })
    }
}

/// Working sets of a regime's sizes, read in every round.
pub(crate) struct Streams {
    stream: Stream,
    cache: Stream,
    stream_gb_s: Vec<f64>,
    cache_gb_s: Vec<f64>,
}

impl Streams {
    pub fn new(plan: &Plan, threads: usize) -> Result<Self, LensError> {
        Ok(Self {
            stream: Stream::new(plan.stream_bytes, threads)?,
            cache: Stream::new(plan.cache_bytes, threads)?,
            stream_gb_s: Vec::new(),
            cache_gb_s: Vec::new(),
        })
    }

    /// Reads both.
    pub fn sample(&mut self) {
        self.stream_gb_s.extend(self.stream.sample());
        self.cache_gb_s.extend(self.cache.sample());
    }

    /// The ceilings that a regime is held against.
    pub fn ceilings(self, silicon: &Silicon, pool: PoolCosts) -> Result<Ceilings, LensError> {
        let ceiling = |what, readings: &[f64]| {
            let samples = Samples::new(readings.to_vec()).and_then(|s| s.quantile(0.9));
            samples.map_err(|source| LensError::Samples { what, source })
        };
        Ok(Ceilings {
            stream_bytes: self.stream.working_set_bytes(),
            stream_gb_s: ceiling("the memory bandwidth", &self.stream_gb_s)?,
            stream_readings_gb_s: figure("the memory bandwidth", self.stream_gb_s)?,
            cache_bytes: self.cache.working_set_bytes(),
            cache_gb_s: ceiling("the cache bandwidth", &self.cache_gb_s)?,
            cache_readings_gb_s: figure("the cache bandwidth", self.cache_gb_s)?,
            int8_gop_s: silicon.int8_gop_s,
            int8_instruction: silicon.int8_instruction.clone(),
            int16_gop_s: silicon.int16_gop_s,
            bf16_gflop_s: silicon.bf16_gflop_s,
            f32_gflop_s: silicon.f32_gflop_s,
            barrier_ns: pool.barrier_ns,
            fork_join_ns: pool.fork_join_ns,
        })
    }
}

/// What the pool itself costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolCosts {
    pub barrier_ns: f64,
    pub fork_join_ns: f64,
}

impl PoolCosts {
    /// Empty jobs, with and without barriers; the best of each, since a thread without a processor is no cost of the pool's.
    pub fn measure(pool: &Pool) -> Result<Self, LensError> {
        let error = |source| LensError::Samples {
            what: "the pool",
            source,
        };
        let budget = Duration::from_millis(20);
        let fork_join = repeat_until(budget, 20, || pool.run(|_| ())).map_err(error)?;
        let barriers = repeat_until(budget, 5, || {
            pool.run(|team| {
                for _ in 0..BARRIERS {
                    team.barrier();
                }
            });
        });
        let barriers = barriers.map_err(error)?;
        Ok(Self {
            barrier_ns: barriers.per_call_ns.min() / f64::from(BARRIERS),
            fork_join_ns: fork_join.per_call_ns.min(),
        })
    }
}
