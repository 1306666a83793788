//! No file names a place on the machine where it was written: a clone must work anywhere, under any user.

use super::Finding;
use super::tree::Tree;

/// First parts of paths that exist only on somebody's machine.
const PRIVATE_ROOTS: [&str; 4] = ["root", "work", "home", "Users"];

/// Looks for absolute paths in every text, comments and strings included.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        for (index, line) in text.lines().enumerate() {
            if let Some(root) = private_root(line) {
                let remedy = "use a path relative to the repository, or an environment variable with a default";
                findings.push(Finding::failure(
                    &file.path,
                    index + 1,
                    format!("absolute path under /{root}"),
                    remedy,
                ));
            }
        }
    }
    findings
}

fn private_root(line: &str) -> Option<&'static str> {
    line.match_indices('/').find_map(|(at, _)| {
        // `a/work` is relative, `host/home` belongs to a URL, `</root>` closes a tag, `$OUT/work` starts elsewhere.
        let continues = |c: char| c.is_alphanumeric() || "._-/~<})]>$*".contains(c);
        if line[..at].ends_with(continues) {
            return None;
        }
        let rest = &line[at + 1..];
        let name = rest
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .next()?;
        PRIVATE_ROOTS.into_iter().find(|&root| root == name)
    })
}
