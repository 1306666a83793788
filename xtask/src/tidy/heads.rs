//! Every Rust file begins with a `//!` head: a reader who reads nothing else must understand the crate.

use super::Finding;
use super::tree::Tree;

/// Looks at the first line of every Rust file, tests included.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let headless = tree
        .texts()
        .filter(|(file, text)| file.rust.is_some() && !has_head(text));
    headless
        .map(|(file, _)| {
            Finding::failure(
                &file.path,
                1,
                "no `//!` head",
                "say in the first line why the file exists, then its algorithm, invariants and source",
            )
        })
        .collect()
}

fn has_head(text: &str) -> bool {
    text.lines()
        .next()
        .and_then(|line| line.strip_prefix("//!"))
        .is_some_and(|head| !head.trim().is_empty())
}
