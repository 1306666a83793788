//! What a client of a language model server sees: any server that speaks the OpenAI API, timed from outside.
//!
//! 1. [`Server`] sends one request and notes when what came back ([`Exchange`]).
//! 2. [`measure()`] sends them in an order that keeps cold, seen and repeated prompts apart, at several depths and from several
//!    clients at once, and gives a [`Report`].
//! 3. [`compare()`] does so with two servers in turns, and says how they differ, if they do the same work at all.
//! 4. [`render::html()`] shows either as one file.
//!
//! The rules, each of which some comparer broke before:
//!
//! - Tokens are what the server's `usage` says; where it says nothing, events are counted, and the report says so.
//! - The first event, the first visible text and the first text of any kind are three times.
//! - A prompt that is meant to be new begins with words that no earlier one began with. What the server has seen is a measurement of its own.
//! - Two servers are compared only where they read the same number of tokens from the same prompts and their answers begin alike.
//! - Text is natural, depths are visited forth and back, each figure keeps its samples, and a request that failed is kept with its reason.
//!
//! Knows no models, no tokenizers, no kernels: everything is learned from answers.

mod comparison;
mod error;
mod events;
mod exchange;
mod plan;
pub mod render;
pub mod report;
mod server;
mod text;

pub use error::EndpointError;
pub use exchange::{Cause, Exchange, Usage};
pub use plan::{Options, compare, measure};
pub use report::Report;
pub use server::{Ask, Message, Patience, Server};

/// The parser of event streams, for fuzzing.
pub mod fuzzing {
    pub use crate::events::{Events, StreamError};
    pub use crate::exchange::Delta;
}
