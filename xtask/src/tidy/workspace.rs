//! What Cargo says about the workspace: its members and which of our own crates each one depends on.
//!
//! A crate is known here by its folder (`crates/cli` is `cli`, although its package is called `sprag`), because the folder is
//! what ARCHITECTURE.md names. Dependencies of every kind count: a test that reaches down the list is an arrow too.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::TidyError;

/// The workspace as Cargo sees it.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the root manifest.
    pub root: PathBuf,
    /// Every member, in Cargo's order.
    pub members: Vec<Member>,
}

/// One crate of ours.
#[derive(Clone, Debug)]
pub struct Member {
    /// The last part of its folder.
    pub name: String,
    /// Its manifest, relative to the root.
    pub manifest: String,
    /// Our own crates that it depends on (built, for tests, or for its build script).
    pub depends_on: Vec<Dependency>,
}

/// One arrow.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The last part of the folder that it points to.
    pub name: String,
    /// The key under which the manifest lists it.
    pub key: String,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    dependencies: Vec<PackageDependency>,
}

#[derive(Deserialize)]
struct PackageDependency {
    name: String,
    rename: Option<String>,
    path: Option<PathBuf>,
}

/// Asks Cargo about the workspace around the current folder.
///
/// # Errors
/// When Cargo cannot be run, refuses the manifests, or answers in an unknown format.
pub fn read() -> Result<Workspace, TidyError> {
    const ARGUMENTS: [&str; 4] = ["metadata", "--no-deps", "--format-version", "1"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let failed = |reason| TidyError::Command {
        command: format!("cargo {}", ARGUMENTS.join(" ")),
        reason,
    };
    let output = Command::new(cargo)
        .args(ARGUMENTS)
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    parse(&output.stdout)
}

/// Reads the documented format of `cargo metadata`.
fn parse(json: &[u8]) -> Result<Workspace, TidyError> {
    let Metadata {
        workspace_root: root,
        packages,
    } = serde_json::from_slice(json)?;
    let members = packages
        .iter()
        .map(|package| member(package, &root))
        .collect();
    Ok(Workspace { root, members })
}

fn member(package: &Package, root: &Path) -> Member {
    let manifest = package
        .manifest_path
        .strip_prefix(root)
        .unwrap_or(&package.manifest_path);
    let folder = package.manifest_path.parent().unwrap_or(root);
    let depends_on = package.dependencies.iter().filter_map(|dependency| {
        let key = dependency
            .rename
            .as_ref()
            .unwrap_or(&dependency.name)
            .clone();
        Some(Dependency {
            name: last_part(dependency.path.as_deref()?),
            key,
        })
    });
    Member {
        name: last_part(folder),
        manifest: manifest.to_string_lossy().replace('\\', "/"),
        depends_on: depends_on.collect(),
    }
}

fn last_part(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests;
