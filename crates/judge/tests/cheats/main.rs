//! Hostile candidates: one small program for each way to cheat these judges, each refused with its reason or without any gain.
//!
//! The programs are Python and stand beside this file, each with an honest one. Every one runs at each level of sealing that this
//! machine has; a level that is missing is said and left out, and one has to be there.

#![cfg(target_os = "linux")]

#[cfg(test)]
mod ground;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod language;
