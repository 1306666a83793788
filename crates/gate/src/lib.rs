//! When a champion may move: the statistics of the ratchet, without files, processes or clocks.
//!
//! "The new score is the best so far: merge" is what published loops do. Of 100 changes that do nothing it merges four, and its
//! record is then a lucky draw that blocks what is truly better. Here a change is **screened** by one public reading, stands on the
//! **tip** provisionally, is **raced** by fresh runs on data that it never saw, and is **merged** only on evidence whose error is
//! paid from an account that lasts as long as the track.
//!
//! # How it is driven
//! [`Gate::next`] says what to measure ([`Want`]); the engine measures, writes the [`Event`] to its ledger, and [`Gate::apply`] says
//! what that decides ([`Decision`]). The state is a fold over the events: a killed engine applies its ledger again and stands where
//! it stood. [`Gate::check`] says beforehand whether an event would be taken.
//!
//! # Where to read
//! - `gate`: the state machine. `settings`: what a track may decide. `event`, `decision`, `words`: what is said, and how.
//! - `scores`, `blocks`, `cases`: the statistics of the three kinds of readings. `spending`: the error of a track's whole life.
//! - `noise`, `likelihood`, `permutation`: spreads, e-values, tests over cases.
//! - [`simulate`]: all of it against worlds whose truth is known.
//!
//! # What it promises, and what that rests on
//! The false discovery rate of a track is at most q = 0.1. For normal noise of known size that is a theorem; the size is estimated
//! here, conservatively, so it is checked by simulation (200 or more tracks of 100 experiments, a tenth truly better unless said
//! otherwise, a score with J = 4 on a track that ends with its first epoch; "naive / gate"):
//!
//! | true effect | runs per experiment | false merges in 100 | power | runs per true change |
//! |---|---|---|---|---|
//! | none | 1.01 / 1.19 | 4.2 / 0.02 | | |
//! | 1 sigma | 1.01 / 1.38 | 4.8 / 0.02 | 0.20 / 0.17 | 50 / 80 |
//! | 2 sigma | 1.01 / 1.59 | 9.7 / 0.02 | 0.61 / 0.67 | 17 / 24 |
//! | 4 sigma | 1.01 / 1.63 | 15.9 / 0.03 | 0.98 / 0.99 | 10 / 16 |
//!
//! A track without an end (the default) spends its error more slowly: power 0.15, 0.64, 0.99 for 91, 25, 17 runs per true change.
//! With heavy tails (Student's t, 3 degrees of freedom) a do-nothing track of scores makes 0.05 false merges. Timing, at 3% a block:
//! a true 3%, 6%, 10% is found with power 0.35, 0.88, 1.00; no false merge in 400 do-nothing tracks under normal or heavy-tailed
//! noise, 0.04 a track where blocks are correlated and come in bursts.
//!
//! # What it does not know
//! Where readings come from. A judge whose readings drift between the champion's runs and a race's, a candidate that reads the
//! hidden split, a score that is not comparable from session to session: no statistics here can see them. Only timing, whose
//! blocks hold both arms, is safe from drift.

mod blocks;
mod cases;
mod decision;
mod event;
mod gate;
mod likelihood;
mod noise;
mod number;
mod permutation;
mod random;
mod scores;
mod settings;
pub mod simulate;
mod spending;
mod verdict;
mod words;

pub use decision::{Decision, Evidence, Loss, Opening, Proof, Refusal};
pub use event::{Event, OutOfTurn, Purpose, Reading, Want};
pub use gate::Gate;
pub use noise::{Noise, Spread};
pub use settings::{Better, Kind, Settings, SettingsError, SettingsFile};
pub use spending::Spent;
