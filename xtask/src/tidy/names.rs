//! Names that say nothing about what is inside are not used for files, folders, crates or modules.

use super::Finding;
use super::source::words;
use super::tree::{Tree, is_data};

const EMPTY_NAMES: [&str; 7] = [
    "util", "utils", "common", "helper", "helpers", "core", "misc",
];

const REMEDY: &str = "name it after the thing of the domain that it holds";

/// Looks at every path (data aside) and every inline module.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !is_data(&file.path)) {
        for part in file.path.split('/') {
            let stem = part.split_once('.').map_or(part, |(stem, _)| stem);
            if EMPTY_NAMES.contains(&stem) {
                findings.push(Finding::failure(
                    &file.path,
                    1,
                    format!("`{stem}` says nothing"),
                    REMEDY,
                ));
            }
        }
    }
    for (file, source) in tree.rust() {
        for (line, rest) in words(&source.code, "mod") {
            let name = rest.trim().trim_end_matches(['{', '}', ';', ' ']);
            if EMPTY_NAMES.contains(&name) {
                findings.push(Finding::failure(
                    &file.path,
                    line,
                    format!("module `{name}` says nothing"),
                    REMEDY,
                ));
            }
        }
    }
    findings
}
