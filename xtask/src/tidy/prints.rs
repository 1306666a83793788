//! Only the command line talks to the terminal. A library returns values and typed errors: whoever embeds it owns the streams,
//! and `--json` on standard output must hold nothing else.

use super::Finding;
use super::source::lines_with_macro;
use super::tree::{TrackedFile, Tree, folders};

const MACROS: [&str; 4] = ["print", "println", "eprint", "eprintln"];

/// Looks for printing macros in libraries.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.rust().filter(|(file, _)| !may_print(file)) {
        for name in MACROS {
            for line in lines_with_macro(&source.code, name) {
                let remedy = "return the text or the value, and let crates/cli show it";
                findings.push(Finding::failure(
                    &file.path,
                    line,
                    format!("`{name}!` in a library"),
                    remedy,
                ));
            }
        }
    }
    findings
}

/// The command line, chores, tests and examples; a build script talks to Cargo by printing.
fn may_print(file: &TrackedFile) -> bool {
    let path = &file.path;
    path.starts_with("crates/cli/")
        || path.starts_with("xtask/")
        || path.ends_with("/build.rs")
        || folders(path).any(|folder| folder == "examples")
        || file.is_test()
}
