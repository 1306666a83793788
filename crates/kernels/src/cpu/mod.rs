//! Walking a program on the CPU: every thread goes through the same nodes and meets the others behind each.
//!
//! Invariants that the kernels' contracts rest on:
//! 1. [`execute_batch`] checks the step against the workspace and the states before any thread starts: tokens within the
//!    vocabulary, rows within the buffers, positions within the caches, no state twice. Shapes were checked when the program was
//!    built.
//! 2. Between two barriers one node runs; its threads write disjoint parts of its outputs, and nothing reads those before the
//!    next barrier.
//! 3. `&mut` on the workspace and the states keeps everyone else out for the duration.
//!
//! A step may hold several sequences: their tokens are rows one behind the other, and all nodes but those that read a state see
//! rows only, so weights are read once for all. A row's bits do not depend on the others.

mod state;
mod step;
#[cfg(test)]
mod tests;
mod trace;
mod walk;
mod workspace;

pub use state::State;
pub use step::{ExecuteError, Member, Outputs, Step, check_members};
pub use trace::{Span, Trace};
pub use walk::{execute, execute_batch, execute_nodes};
pub use workspace::{StepLimits, Workspace};
