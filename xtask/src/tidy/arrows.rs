//! Which crate may know which: one may depend only on crates above it in ARCHITECTURE.md's list.
//!
//! The order alone already says that `ops` cannot know `kernels`, nor `kernels` any file format or model. `NARROWER` holds the
//! few crates that must know still less than their place allows.

use super::layers::{FILE, Layer};
use super::tree::Tree;
use super::workspace::{Dependency, Member};
use super::{Finding, source};

/// Crate, all that it may know, and why.
const NARROWER: [(&str, &[&str], &str); 2] = [
    (
        "formats",
        &["ops"],
        "a parser of foreign bytes must be fuzzed and reused without the engine",
    ),
    (
        "xtask",
        &[],
        "chores must run when the engine does not compile",
    ),
];

/// Looks at every arrow of every member.
pub fn check(layers: &[Layer], members: &[Member], tree: &Tree) -> Vec<Finding> {
    let arrows = members
        .iter()
        .flat_map(|member| member.depends_on.iter().map(move |arrow| (member, arrow)));
    arrows
        .filter_map(|(member, arrow)| {
            let (what, remedy) = objection(layers, &member.name, &arrow.name)?;
            Some(Finding::failure(
                &member.manifest,
                line_of(arrow, member, tree),
                what,
                remedy,
            ))
        })
        .collect()
}

fn objection(layers: &[Layer], from: &str, to: &str) -> Option<(String, String)> {
    let height = |name: &str| layers.iter().position(|layer| layer.name == name);
    if let Some((_, may_know, why)) = NARROWER.iter().find(|(name, ..)| *name == from)
        && !may_know.contains(&to)
    {
        let may_know = if may_know.is_empty() {
            "none of our crates".to_owned()
        } else {
            may_know.join(", ")
        };
        return Some((
            format!("`{from}` depends on `{to}`, but may know only: {may_know} ({why})"),
            "move what it needs into one of those, or the caller".to_owned(),
        ));
    }
    // A crate that is not in the list is reported by `layers`, once and not per arrow.
    let (from_height, to_height) = (height(from)?, height(to)?);
    (to_height >= from_height).then(|| {
        (
            format!("`{from}` depends on `{to}`, which does not stand above it in {FILE}"),
            format!(
                "turn the dependency round, or move what both need into a crate above `{from}`"
            ),
        )
    })
}

/// The line of the manifest that names the dependency, or 1.
fn line_of(arrow: &Dependency, member: &Member, tree: &Tree) -> usize {
    let manifest = tree.text(&member.manifest).unwrap_or_default();
    let starts_entry = |line: &&(usize, &str)| {
        let rest = line.1.trim_start().strip_prefix(arrow.key.as_str());
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    let lines: Vec<_> = manifest.lines().enumerate().collect();
    let entry = lines.iter().find(starts_entry).map(|&(index, _)| index + 1);
    entry
        .or_else(|| source::lines_with_word(manifest, &arrow.key).next())
        .unwrap_or(1)
}
