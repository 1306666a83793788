//! Notes to finish something later do not land: what is missing is an issue, or an error that says so.
//!
//! Looked for in the comments of Rust files and in every other text that the house writes.

use super::Finding;
use super::source::lines_with_word;
use super::tree::Tree;

const MARKERS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Looks at comments and texts.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        let prose = file.rust.as_ref().map_or(text, |rust| &rust.comments);
        for marker in MARKERS {
            for line in lines_with_word(prose, marker) {
                let remedy = "finish it now, or write an issue and say here what holds today";
                findings.push(Finding::failure(
                    &file.path,
                    line,
                    format!("`{marker}` marker"),
                    remedy,
                ));
            }
        }
    }
    findings
}
