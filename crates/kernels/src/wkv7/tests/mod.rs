//! Gates, recurrence and output against their references, and what must not change a bit.
//!
//! Heads are whole vectors here: the reference's cases with other heads are not for these kernels.

mod gates;
mod output;
mod scan;
