//! Walking a program on the CPU: every thread goes through the same nodes and meets the others behind each.
//!
//! Invariants that the kernels' contracts rest on:
//! 1. [`execute`] checks the step against the workspace and the state before any thread starts: tokens within the vocabulary,
//!    rows within the buffers, positions within the caches. Shapes were checked when the program was built.
//! 2. Between two barriers one node runs; its threads write disjoint parts of its outputs, and nothing reads those before the
//!    next barrier.
//! 3. `&mut` on the workspace and the state keeps everyone else out for the duration.

mod state;
mod step;
#[cfg(test)]
mod tests;
mod trace;
mod walk;
mod workspace;

pub use state::State;
pub use step::{ExecuteError, Outputs, Step};
pub use trace::{Span, Trace};
pub use walk::{execute, execute_nodes};
pub use workspace::Workspace;
