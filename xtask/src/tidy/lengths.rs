//! A file that is too long to read in one sitting holds more than one thing.

use super::Finding;
use super::tree::{Tree, extension};

/// From here on a source file is shown as a warning.
const WATCH_LINES: usize = 500;
/// Beyond this a source file fails.
const LIMIT_LINES: usize = 800;
/// Beyond this a file of tests fails: tables of cases are long and still easy to read.
const TEST_LIMIT_LINES: usize = 1000;

/// Counts the lines of every source file.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.texts().filter(|(file, _)| {
        matches!(
            extension(&file.path),
            Some("rs" | "py" | "sh" | "cu" | "wgsl")
        )
    });
    sources
        .filter_map(|(file, text)| {
            let lines = text.lines().count();
            let (watch, limit) = if file.is_test() {
                (TEST_LIMIT_LINES, TEST_LIMIT_LINES)
            } else {
                (WATCH_LINES, LIMIT_LINES)
            };
            let remedy = "split it along its concepts, one module each";
            if lines > limit {
                Some(Finding::failure(
                    &file.path,
                    limit + 1,
                    format!("{lines} lines, {limit} at most"),
                    remedy,
                ))
            } else if lines > watch {
                Some(Finding::warning(
                    &file.path,
                    watch + 1,
                    format!("{lines} lines, rarely more than {watch}"),
                    remedy,
                ))
            } else {
                None
            }
        })
        .collect()
}
