//! The order of the crates, read from ARCHITECTURE.md's indented list so that it is written down once.
//!
//! The list is the document's first block of lines that are indented by exactly four spaces and begin with a name and its
//! purpose; deeper lines continue a purpose, and the first line at the margin ends the block. Every crate of the workspace must
//! stand in it, with a purpose, and everything in it must be a crate of the workspace.

use super::Finding;
use super::workspace::Member;

/// Where the list stands.
pub const FILE: &str = "ARCHITECTURE.md";

/// One line of the list. Its index is its height: a crate may depend on those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The crate's folder.
    pub name: String,
    /// Line in ARCHITECTURE.md, counted from 1.
    pub line: usize,
    /// Whether anything is said about it.
    pub has_purpose: bool,
}

/// Reads the list; empty if the document has none.
pub fn parse(document: &str) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (index, line) in document.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let Some(entry) = line.strip_prefix("    ") else {
            if layers.is_empty() {
                continue;
            }
            break;
        };
        if entry.starts_with(|c: char| c.is_ascii_lowercase()) {
            let (name, purpose) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
            layers.push(Layer {
                name: name.to_owned(),
                line: index + 1,
                has_purpose: !purpose.trim().is_empty(),
            });
        }
    }
    layers
}

/// Compares the list with the workspace, both ways.
pub fn check(layers: &[Layer], members: &[Member]) -> Vec<Finding> {
    if layers.is_empty() {
        return vec![Finding::failure(
            FILE,
            1,
            "the indented list of crates is missing",
            "list every crate in dependency order, four spaces in, as `name    purpose`",
        )];
    }
    let mut findings = Vec::new();
    for member in members
        .iter()
        .filter(|member| layers.iter().all(|layer| layer.name != member.name))
    {
        findings.push(Finding::failure(
            &member.manifest,
            1,
            format!("the crate `{}` is not in {FILE}'s list", member.name),
            "add it below everything that it depends on, with its purpose and what it does not know",
        ));
    }
    for (index, layer) in layers.iter().enumerate() {
        let mut report = |what: String, remedy: &str| {
            findings.push(Finding::failure(FILE, layer.line, what, remedy))
        };
        if members.iter().all(|member| member.name != layer.name) {
            report(
                format!("`{}` is no crate of the workspace", layer.name),
                "remove the line, or add the crate",
            );
        }
        if layers[..index].iter().any(|above| above.name == layer.name) {
            report(
                format!("`{}` is listed twice", layer.name),
                "keep one of the two lines",
            );
        }
        if !layer.has_purpose {
            report(
                format!("`{}` has no purpose", layer.name),
                "say what it is for and what it does not know",
            );
        }
    }
    findings
}
