//! A tree-structured Parzen estimator over places and choices together (Bergstra and others 2011; the joint form of Falkner and others 2018).
//!
//! 1. The first questions are a Latin hypercube: every knob is asked about in each part of its range.
//! 2. After that what is known is parted by rank: the best few are good, the others are not, losses last.
//! 3. Either part becomes a mixture: a wide kernel for what nobody has looked at, and one kernel for each point, which keeps the point's
//!    knobs together. Good is also where the question starts from: the champion and what was kept on top of it.
//! 4. Asked is the draw from the good mixture whose density there is largest beside the other's.
//!
//! Only ranks count, so that costs of any size and losses are no special case. The same questions and answers give the same draw.

use std::f64::consts::{LN_2, PI};

use statrs::distribution::{ContinuousCDF, Normal};

/// Questions before the estimator: the hypercube's.
pub const FIRST: usize = 6;
/// Draws of which the best is asked.
const DRAWS: usize = 24;
/// One of so many is good; and the most that are.
const GOOD_IN: usize = 10;
const MOST_GOOD: usize = 25;
/// The standard deviation of the kernel of a single point, as a part of the range.
const WIDTH: f64 = 0.15;

/// What one knob may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Axis {
    /// A place from 0 to 1.
    Line,
    /// One of so many, in no order.
    Choices(usize),
}

/// What one knob is: a place from 0 to 1, or the number of a choice as a whole number.
pub type Point = Vec<f64>;

/// What is known of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub point: Point,
    /// Lower is better; `None` is worse than anything.
    pub cost: Option<f64>,
}

/// The next question. `base` is where it starts from, if that is within the axes.
pub fn ask(axes: &[Axis], known: &[Known], base: Option<&Point>, seed: u64) -> Point {
    if known.len() < FIRST {
        return hypercube(axes, seed, known.len());
    }
    let mut ranked: Vec<&Known> = known.iter().collect();
    ranked.sort_by(|a, b| {
        let cost = |known: &Known| known.cost.unwrap_or(f64::INFINITY);
        cost(a).total_cmp(&cost(b))
    });
    let answered = ranked.iter().filter(|known| known.cost.is_some()).count();
    let good = known.len().div_ceil(GOOD_IN).min(MOST_GOOD).min(answered);
    let (good, other) = ranked.split_at(good);
    let points = |part: &[&Known]| part.iter().map(|known| known.point.clone()).collect();
    let mut good: Vec<Point> = points(good);
    good.extend(base.cloned());
    let (good, other) = (Mixture::new(axes, good), Mixture::new(axes, points(other)));
    // Another stream for each question, far from the others'.
    let mut random =
        fastrand::Rng::with_seed(seed ^ (known.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let draws = (0..DRAWS).map(|_| good.draw(&mut random));
    let judged = draws.map(|draw| (good.log_density(&draw) - other.log_density(&draw), draw));
    judged
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map_or_else(Vec::new, |(_, draw)| draw)
}

/// The row of that number of a Latin hypercube with [`FIRST`] rows.
fn hypercube(axes: &[Axis], seed: u64, row: usize) -> Point {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut column = || {
        let mut strata: Vec<usize> = (0..FIRST).collect();
        random.shuffle(&mut strata);
        let within: Vec<f64> = strata.iter().map(|_| random.f64()).collect();
        let stratum = strata.get(row).copied().unwrap_or_default();
        (stratum as f64 + within.get(row).copied().unwrap_or_default()) / FIRST as f64
    };
    axes.iter()
        .map(|axis| match axis {
            Axis::Line => column(),
            Axis::Choices(count) => (column() * *count as f64).floor(),
        })
        .collect()
}

/// Kernels of the same weight, one of them as wide as everything.
struct Mixture<'a> {
    axes: &'a [Axis],
    points: Vec<Point>,
    deviation: f64,
    normal: Normal,
}

impl<'a> Mixture<'a> {
    fn new(axes: &'a [Axis], points: Vec<Point>) -> Self {
        let (count, dimensions) = (points.len().max(1) as f64, axes.len() as f64);
        Self {
            axes,
            // Scott's rule for how kernels narrow as there are more of them.
            deviation: WIDTH * count.powf(-1.0 / (dimensions + 4.0)),
            points,
            normal: Normal::standard(),
        }
    }

    fn draw(&self, random: &mut fastrand::Rng) -> Point {
        let kernel = self.points.get(random.usize(0..=self.points.len()));
        self.axes
            .iter()
            .enumerate()
            .map(|(i, axis)| {
                let center = kernel.and_then(|point| point.get(i)).copied();
                match (axis, center) {
                    (Axis::Line, None) => random.f64(),
                    (Axis::Line, Some(center)) => self.truncated(center, random.f64()),
                    (Axis::Choices(count), Some(center)) if random.f64() < self.stay() => center,
                    (Axis::Choices(count), _) => random.usize(0..(*count).max(1)) as f64,
                }
            })
            .collect()
    }

    /// A normal draw around a place that stays within 0 and 1, by its quantile.
    fn truncated(&self, center: f64, quantile: f64) -> f64 {
        let at = |place: f64| self.normal.cdf((place - center) / self.deviation);
        let (low, high) = (at(0.0), at(1.0));
        let drawn =
            center + self.deviation * self.normal.inverse_cdf(low + quantile * (high - low));
        drawn.clamp(0.0, 1.0)
    }

    /// How surely a kernel keeps its choice rather than drawing any.
    fn stay(&self) -> f64 {
        let kernels = self.points.len() as f64 + 1.0;
        kernels / (kernels + 1.0)
    }

    fn log_density(&self, point: &Point) -> f64 {
        let logs: Vec<f64> = std::iter::once(self.log_wide())
            .chain(
                self.points
                    .iter()
                    .map(|center| self.log_kernel(center, point)),
            )
            .collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
        largest + sum.ln() - (logs.len() as f64).ln()
    }

    /// Of the kernel that is as wide as everything, anywhere.
    fn log_wide(&self) -> f64 {
        let of = |axis: &Axis| match axis {
            Axis::Line => 0.0,
            Axis::Choices(count) => -((*count).max(1) as f64).ln(),
        };
        self.axes.iter().map(of).sum()
    }

    fn log_kernel(&self, center: &Point, point: &Point) -> f64 {
        let places = center.iter().zip(point);
        self.axes
            .iter()
            .zip(places)
            .map(|(axis, (center, place))| match axis {
                Axis::Line => {
                    let at = |place: f64| (place - center) / self.deviation;
                    let within = self.normal.cdf(at(1.0)) - self.normal.cdf(at(0.0));
                    let log_normal = -0.5 * (at(*place).powi(2) + LN_2 + PI.ln());
                    log_normal - (self.deviation * within).ln()
                }
                Axis::Choices(count) => {
                    let stay = self.stay();
                    let any = (1.0 - stay) / (*count).max(1) as f64;
                    let same = if (center - place).abs() < 0.5 {
                        stay
                    } else {
                        0.0
                    };
                    (any + same).ln()
                }
            })
            .sum()
    }
}
