//! Sealed evaluators. Two talk with a candidate's own process: how well it foretells a text, how fast it computes an operation.
//! A third computes what a candidate left as data: the score of a small language model ([`model`]).
//!
//! A track of the ratchet names one of them as its judge. The judge is a pinned executable; what it judges is a program that the
//! candidate's build left in a folder, or a model file there. Of those with a program:
//!
//! 1. [`Told`] is what the engine says: where the artefacts are, which split, and a seed that no candidate can foresee.
//! 2. The program is started in a cell of [`sandbox`] ([`Cell`]): its own folder to read, nothing else of the host, no network, and
//!    limits. It is asked over a pipe, in a binary protocol that fits on a page ([`language`], [`kernel`]).
//! 3. Everything it says is checked. What does not hold is a [`Refusal`] in plain words; what holds is an [`Answer`] with raw samples.
//!
//! # Invariants
//! - No code of a candidate runs in the judge's process, and every clock is the judge's.
//! - What is compared with what is drawn from the seed by a keyed hash: nothing that was sent tells what will be.
//! - A candidate's fault is an answer; only a fault of the track, of the champion or of the machine is a [`JudgeError`].
//! - Nothing that a candidate does can make the judge wait longer than its limits, or panic.
//!
//! It knows no ratchet, no kernels and no runtime: whatever can be measured from outside can be a candidate.

mod answer;
mod candidate;
mod error;
pub mod kernel;
pub mod language;
pub mod model;
mod random;
mod refusal;
mod told;

pub use answer::Answer;
pub use candidate::{Cell, Fault};
pub use error::JudgeError;
pub use refusal::Refusal;
pub use told::{Split, Told, deliver};
