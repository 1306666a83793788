//! Python packaging, as far as fetching one wheel needs it: pip's settings, and the simple index.

pub(crate) mod config;
pub(crate) mod index;
pub(crate) mod links;
