//! Why a candidate does not count: each rule that it can break, in words that its author can act on.
//!
//! Every message continues "the candidate ..", so that it reads on in a log, a verdict, or (of the champion) an error.

use thiserror::Error;

use crate::candidate::Fault;

/// A rule that the candidate broke, and where.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Refusal {
    /// It did not keep to the protocol, or did not live.
    #[error("{0}")]
    Talk(#[from] Fault),
    /// A row holds something that is no logarithm of a probability.
    #[error(
        "answered {value} as the log-probability of byte {byte} in row {row} of window {window}: every one must be finite"
    )]
    NotFinite {
        /// In the order of asking.
        window: usize,
        /// Which byte of the window it foretells.
        row: usize,
        /// Of which value of the byte.
        byte: usize,
        /// What it was.
        value: f32,
    },
    /// A row's probabilities do not sum to 1.
    #[error(
        "answered probabilities that sum to exp({log_sum:.6}) in row {row} of window {window}: at most {most} from 0 is normalised"
    )]
    NotNormalised {
        /// In the order of asking.
        window: usize,
        /// Which byte of the window it foretells.
        row: usize,
        /// The logarithm of the sum.
        log_sum: f64,
        /// How far it may be from 0.
        most: f64,
    },
    /// The same bytes, another answer.
    #[error(
        "foretells the same bytes differently in another process and order (row {row} of window {window} by {difference:.2e}, at most \
         {most:.0e}): an answer may depend on the window's bytes alone"
    )]
    NotRepeatable {
        /// In the order of asking.
        window: usize,
        /// Which byte of the window it foretells.
        row: usize,
        /// How far apart the answers are.
        difference: f64,
        /// How far they may be.
        most: f64,
    },
    /// Bytes that it should not have known yet changed its answer.
    #[error(
        "foretells byte {row} of window {window} differently when {how} (by {difference:.2e}, at most {most:.0e}): its answer is not \
         causal, it had looked at bytes that come later"
    )]
    LooksAhead {
        /// In the order of asking.
        window: usize,
        /// Which byte of the window it foretells.
        row: usize,
        /// What was different.
        how: &'static str,
        /// How far apart the answers are.
        difference: f64,
        /// How far they may be.
        most: f64,
    },
    /// An output is not what the reference says.
    #[error(
        "answered call {call} ({problem}) with an error of {error:.2e}: at most {most:.0e} is right"
    )]
    Wrong {
        /// Counted over all calls of this process.
        call: usize,
        /// Operation and shape.
        problem: String,
        /// Relative; NaN where an output is none.
        error: f64,
        /// The operation's tolerance.
        most: f64,
    },
    /// Right within the tolerance, but by far not as right as the champion.
    #[error(
        "lowers the precision of {problem}: an error of {error:.2e} where the champion's is {champion:.2e}, at most {most:.2e} is allowed"
    )]
    LessPrecise {
        /// Operation and shape.
        problem: String,
        /// The candidate's.
        error: f64,
        /// The champion's.
        champion: f64,
        /// What the candidate's may be.
        most: f64,
    },
    /// Faster than the machine can.
    #[error(
        "answered call {call} ({problem}) in {seconds:.2e} s, and this machine needs at least {least:.2e} s for its {what}: the work was \
         not done in this time"
    )]
    TooFast {
        /// Counted over all calls of this process.
        call: usize,
        /// Operation and shape.
        problem: String,
        /// What it took.
        seconds: f64,
        /// The roofline's.
        least: f64,
        /// `operations` or `bytes`.
        what: &'static str,
    },
    /// Its processes worked while it was another's turn.
    #[error(
        "computed for {busy:.2} s while it was the champion's turn ({turns:.2} s), at most {most:.2} s is allowed: that slows the other and \
         does work outside the clock"
    )]
    OutOfTurn {
        /// Processor seconds.
        busy: f64,
        /// Seconds of the champion's turns.
        turns: f64,
        /// What is allowed.
        most: f64,
    },
    /// A library that it must do without.
    #[error("has {file:?} mapped, and the track forbids {name:?}")]
    Library {
        /// The file.
        file: String,
        /// The word of the track.
        name: String,
    },
}
