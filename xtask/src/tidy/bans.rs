//! Constructs that the house does not use, wherever they stand in Rust code (comments and strings may name them).
//!
//! clippy denies some of them too; here they are also found in code that this machine's `cfg` leaves out, such as another
//! system's or instruction set's.

use super::Finding;
use super::source::{Source, lines_with_macro, words};
use super::tree::Tree;

const MACROS: [(&str, &str); 3] = [
    ("todo", "finish it, or leave it out of this change"),
    (
        "unimplemented",
        "return a typed error that names the remedy, or leave the case out of the type",
    ),
    ("dbg", "remove it"),
];

/// Where `Box<dyn Any>` may stand (a path or its beginning), and why it has to be there.
const ERASED: [(&str, &str); 1] = [(
    "crates/kernels/src/pool",
    "a panic's payload has this type by the standard library's decision; the pool carries it to the caller",
)];

/// Looks at the code of every Rust file.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, Source { code, .. }) in tree.rust() {
        let may_erase = ERASED.iter().any(|(place, _)| file.path.starts_with(place));
        let mut report = |line, what: &str, remedy: &str| {
            findings.push(Finding::failure(&file.path, line, what.to_owned(), remedy));
        };
        for (name, remedy) in MACROS {
            lines_with_macro(code, name)
                .for_each(|line| report(line, &format!("`{name}!`"), remedy));
        }
        for (index, line) in code.lines().enumerate() {
            if line.contains("#[allow(") || line.contains("#![allow(") {
                report(
                    index + 1,
                    "`allow` attribute",
                    "repair the cause, or use `#[expect(.., reason = \"..\")]`",
                );
            }
            if line
                .match_indices("static mut ")
                .any(|(at, _)| !line[..at].ends_with(continues))
            {
                report(
                    index + 1,
                    "`static mut`",
                    "pass the state in, or use an atomic or `OnceLock`",
                );
            }
            if !may_erase && line.contains("Box<dyn") && words(line, "Any").next().is_some() {
                report(index + 1, "`Box<dyn Any>`", "use a closed `enum`");
            }
        }
    }
    findings
}

/// What before `static` makes it something else: the lifetime `'static`, or a longer name.
fn continues(c: char) -> bool {
    c == '\'' || c == '_' || c.is_alphanumeric()
}
