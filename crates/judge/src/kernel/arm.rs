//! One of the two programs in a race: its calls, its samples, and how right it was.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::{Finding, Truth};
use super::values::{Call, outputs};
use super::{Problem, Roofline};
use crate::candidate::Candidate;
use crate::error::Stop;
use crate::refusal::Refusal;

/// An answer that is yet to be checked.
#[derive(Debug)]
pub(super) struct Given {
    bytes: Vec<u8>,
    seconds: f64,
    /// Of all calls of this process.
    call: usize,
}

/// Errors of one problem's calls.
#[derive(Clone, Copy, Debug, Default)]
struct Errors {
    squares: f64,
    calls: usize,
}

/// A program in its cell.
#[derive(Debug)]
pub(super) struct Arm {
    pub(super) candidate: Candidate,
    /// Seconds of each pass.
    pub(super) samples: Vec<f64>,
    pub(super) calls: usize,
    pub(super) in_full: usize,
    pub(super) largest_error: f64,
    errors: BTreeMap<String, Errors>,
}

impl Arm {
    pub(super) fn new(candidate: Candidate) -> Self {
        Self {
            candidate,
            samples: Vec::new(),
            calls: 0,
            in_full: 0,
            largest_error: 0.0,
            errors: BTreeMap::new(),
        }
    }

    /// One call, its end held back so long.
    pub(super) fn answer(&mut self, call: &Call, hold: Duration) -> Result<Given, Stop> {
        let question = call.question();
        let reply = self
            .candidate
            .ask(&question, call.answer_bytes(), Some(hold))?;
        self.calls += 1;
        Ok(Given {
            bytes: reply.bytes,
            seconds: reply.seconds,
            call: self.calls,
        })
    }

    /// One sample: each shape counts the same.
    pub(super) fn sample(&mut self, pass: &[Given]) {
        let logarithms = pass
            .iter()
            .map(|given| given.seconds.max(f64::MIN_POSITIVE).ln());
        let mean = logarithms.sum::<f64>() / pass.len() as f64;
        self.samples.push(mean.exp());
    }

    /// Whether an answer is right.
    pub(super) fn check(
        &mut self,
        call: &Call,
        truth: &Truth,
        given: &Given,
    ) -> Result<(), Refusal> {
        let operation = call.problem.operation();
        let finding = truth.finding(operation, &outputs(&call.problem, &given.bytes));
        let Finding {
            error,
            most,
            in_full,
        } = finding;
        if !finding.is_right() {
            return Err(Refusal::Wrong {
                call: given.call,
                problem: call.problem.to_string(),
                error,
                most,
            });
        }
        self.in_full += usize::from(in_full);
        self.largest_error = self.largest_error.max(error);
        let known = self.errors.entry(call.problem.to_string()).or_default();
        known.squares += error * error;
        known.calls += 1;
        Ok(())
    }

    /// The root of the mean square of a problem's errors.
    pub(super) fn error_of(&self, problem: &str) -> Option<f64> {
        let known = self.errors.get(problem)?;
        Some((known.squares / known.calls as f64).sqrt())
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &String> {
        self.errors.keys()
    }
}

/// Whether the machine can be so fast.
pub(super) fn is_possible(
    problem: &Problem,
    given: &Given,
    roofline: Option<Roofline>,
) -> Result<(), Refusal> {
    let Some(limit) = roofline else {
        return Ok(());
    };
    let cost = problem.cost();
    for (what, least) in [
        ("operations", cost.f32_flops as f64 / (limit.gflop_s * 1e9)),
        ("bytes", cost.bytes() as f64 / (limit.gb_s * 1e9)),
    ] {
        if given.seconds < least {
            return Err(Refusal::TooFast {
                call: given.call,
                problem: problem.to_string(),
                seconds: given.seconds,
                least,
                what,
            });
        }
    }
    Ok(())
}
