//! Experiments that only count when they are proven: tracks, proposers, sealed trials, and the loop that moves a champion.
//!
//! A *track* ([`track`]) names what may change, who judges it, what it may cost, and when the gate believes a gain. A *proposer*
//! ([`proposer`]) changes the files. The *engine* ([`engine`]) commits each candidate ([`git`]), has it built, run and judged behind a
//! seal ([`trial`], [`seal`]), tells the gate, and writes everything down ([`record`]); what it knows is what was written ([`history`]).
//! The champion moves only when the gate says that a race was won.
//!
//! Nothing that a candidate can reach decides anything: it cannot read the hidden files, the ledger or the key; what it prints is for
//! people; the judge has its own copies of everything that was sealed; the clock is the engine's.
//!
//! Knows no kernels, no runtime and no models: a candidate is a process.

mod digest;
mod disk;
pub mod engine;
pub mod finalize;
pub mod git;
pub mod history;
pub mod place;
pub mod proposer;
pub mod record;
pub mod seal;
pub mod track;
mod tree;
pub mod trial;
pub mod views;

pub use digest::{Digest, Key};
pub use engine::{Ended, Engine, EngineError, Observer, Start, Until};
pub use history::{Experiment, History};
pub use place::{Place, PlaceError};
pub use record::{Proposal, Record, Void};
pub use tree::{TreeError, mutable as mutable_files};
