//! The lens: where the speed goes between the transistor and the token.
//!
//! A [`waterfall`] holds five levels against each other, for prefill and for decode, all in milliseconds per token: what the spec sheet
//! presents, what the silicon does when measured, what the kernels do alone at this model's shapes, what a whole step does, and
//! what the user sees. Each fall from one level to the next is split into causes, every cause read from an instrument of its own;
//! what the causes leave over is shown as unexplained.
//!
//! [`report`] is the result as data (and JSON), [`render`] shows it in a terminal or as one offline HTML file, and [`diff`] holds two of them
//! against each other. Levels and causes are
//! plain arithmetic over readings ([`waterfall`] takes the readings, `attribution` does the sums), so that tests can do without clocks.
//!
//! Does not know: sockets, files, command lines.

mod attribution;
pub mod diff;
mod error;
mod numbers;
pub mod render;
pub mod report;
pub mod waterfall;

pub use error::LensError;
pub use report::Report;
pub use waterfall::{Options, Timeline, measure, sustain, timeline};
