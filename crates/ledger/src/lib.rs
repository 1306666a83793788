//! The durable, append-only, hash-chained record of experiments.
