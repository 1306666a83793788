//! A clone stays small: big files live in data folders, and those have a bound together.

use super::Finding;
use super::tree::{TEXT_LIMIT_BYTES, Tree, folders};

/// All files under `data/` and `fixtures/` together, of which the model that comes with Sprag may be 8 MB.
const DATA_LIMIT_BYTES: u64 = 40 << 20;

/// Looks at every file's size, and at the sum of the data.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let (data, other): (Vec<_>, Vec<_>) =
        tree.files.iter().partition(|file| holds_data(&file.path));
    let mut findings = Vec::new();
    for file in other.iter().filter(|file| file.bytes > TEXT_LIMIT_BYTES) {
        findings.push(Finding::failure(
            &file.path,
            1,
            format!(
                "{} bytes, at most {TEXT_LIMIT_BYTES} outside data/ and fixtures/",
                file.bytes
            ),
            "make it smaller, generate it, or move it where data lives",
        ));
    }
    let total: u64 = data.iter().map(|file| file.bytes).sum();
    let largest = data.iter().max_by_key(|file| file.bytes);
    if let Some(largest) = largest.filter(|_| total > DATA_LIMIT_BYTES) {
        findings.push(Finding::failure(
            &largest.path,
            1,
            format!("data/ and fixtures/ hold {total} bytes, at most {DATA_LIMIT_BYTES}; this file is the largest"),
            "shrink or drop fixtures, or fetch them from a registry in scripts/test",
        ));
    }
    findings
}

fn holds_data(path: &str) -> bool {
    path.starts_with("data/") || folders(path).any(|folder| folder == "fixtures")
}
