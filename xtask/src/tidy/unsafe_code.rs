//! `unsafe` lives in a few named places, so that a reviewer knows where memory safety is argued and where it is given.

use super::Finding;
use super::source::lines_with_word;
use super::tree::Tree;

/// Where `unsafe` may stand (a path or its beginning), and why it has to be there.
const ALLOWED: [(&str, &str); 4] = [
    (
        "crates/kernels/",
        "vector instructions, and a thread pool that shares one borrowed closure",
    ),
    (
        "crates/cuda/src/",
        "every call of the GPU's driver and compiler, and what runs there by itself",
    ),
    (
        "crates/silicon/src/roofline",
        "the same instructions, to measure what the machine can do",
    ),
    (
        "crates/formats/src/mmap",
        "mapping a file is a promise about other processes that no type can hold",
    ),
];

/// Looks for the keyword in every Rust file outside those places.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let elsewhere = tree.rust().filter(|(file, _)| {
        ALLOWED
            .iter()
            .all(|(place, _)| !file.path.starts_with(place))
    });
    elsewhere
        .flat_map(|(file, source)| {
            lines_with_word(&source.code, "unsafe").map(|line| {
                let remedy = "use a safe form, or move it behind a safe function in crates/kernels; \
                              a new place needs a reason in xtask/src/tidy/unsafe_code.rs";
                Finding::failure(&file.path, line, "`unsafe` outside its places", remedy)
            })
        })
        .collect()
}
