//! Hostile candidates: one small program for each way to cheat these judges, each refused with its reason or without any gain.
//!
//! The programs are Python and stand beside this file, each kind with an honest one. Every one runs at each level of sealing that this
//! machine has; a level that is missing is said and left out, and one has to be there.
//!
//! | cheat | programs |
//! |---|---|
//! | prints a fake metric, writes the results file, exits early | `prints` (both kinds), `writes_the_result`, `exits_early` |
//! | computes its own loss | `own_loss`, `unnormalised`, `slightly_more`, `not_a_number`, `peeks`, `peeks_rarely`, `both_directions` |
//! | trains on the validation data | `reads_the_text`, `does_not_forget` |
//! | keeps its own clock | `patches_the_clock`, `sleeps` |
//! | constant or no-op kernel | `zeros`, `constant` |
//! | caches by pointer or fingerprint, replays | `fingerprint`, `replays` (both kinds) |
//! | skips work; correct 10 times, then wrong | `right_ten_times`, `rarely_wrong`, `half_the_work`, `honest_at_first` |
//! | side streams, threads, lazy results | `early`, `burns` |
//! | results above the roofline | `honest` beside `slow` |
//! | uninitialised output | `left_over` |
//! | quietly lowers precision | `half_precision`, `fewer_bits` |
//! | special-cases the tested shapes | `known_shape`, `known_shapes` |
//! | falls back to the library it must replace | `borrows` |
//! | leaves a helper process or a cache for the next run | `burns`, `forks`, `replays`, `eats_memory` |
//! | a tokenizer that drops bytes | `drops_bytes`, `says_more` |
//! | a lucky draw | `dice` |
//! | hangs, floods, closes its pipes | `hangs`, `floods`, `closes` |
//!
//! Seeds, sealed files, history, start-up trojans and what happens while building are the engine's to defend; who looks outside the cell
//! is the sandbox's. A reference left in memory and mutated inputs can't be: the candidate is another process and gets copies.

#![cfg(target_os = "linux")]

#[cfg(test)]
mod ground;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod language;
