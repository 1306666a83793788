//! Every crate takes the workspace's lints: Cargo does not do that by itself, and a crate without them escapes clippy's bans.

use super::Finding;
use super::tree::Tree;
use super::workspace::Member;

/// Looks for `[lints] workspace = true` in every member's manifest.
pub fn check(members: &[Member], tree: &Tree) -> Vec<Finding> {
    let escapes = members
        .iter()
        .filter(|member| !takes_lints(tree.text(&member.manifest).unwrap_or_default()));
    escapes
        .map(|member| {
            Finding::failure(
                &member.manifest,
                1,
                "the workspace's lints do not bind this crate",
                "add `[lints]` with `workspace = true`",
            )
        })
        .collect()
}

fn takes_lints(manifest: &str) -> bool {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.any(|line| line == "[lints]")
        && lines
            .next()
            .is_some_and(|line| line.replace(' ', "") == "workspace=true")
}
