//! When a champion may move: the statistics of the ratchet, without files, processes or clocks.

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
