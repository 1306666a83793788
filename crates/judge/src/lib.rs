//! Sealed evaluators that talk with a candidate's own process: how well it foretells a text, how fast it computes an operation.
