//! The reader against a document in Cargo's format.

use super::parse;

const DOCUMENT: &str = r#"{
  "workspace_root": "/ws", "version": 1,
  "packages": [
    {"name": "ops", "manifest_path": "/ws/crates/ops/Cargo.toml", "dependencies": []},
    {"name": "sprag", "manifest_path": "/ws/crates/cli/Cargo.toml", "dependencies": [
      {"name": "serde", "rename": null, "path": null},
      {"name": "ops", "rename": "operations", "path": "/ws/crates/ops"}
    ]}
  ]
}"#;

#[test]
fn members_are_named_by_folder_and_only_our_crates_are_arrows() {
    let workspace = parse(DOCUMENT.as_bytes()).unwrap();
    let cli = &workspace.members[1];
    assert_eq!(
        (cli.name.as_str(), cli.manifest.as_str()),
        ("cli", "crates/cli/Cargo.toml")
    );
    assert_eq!(cli.depends_on.len(), 1);
    assert_eq!(
        (
            cli.depends_on[0].name.as_str(),
            cli.depends_on[0].key.as_str()
        ),
        ("ops", "operations")
    );
}

#[test]
fn another_format_is_an_error() {
    assert!(
        parse(b"{}")
            .unwrap_err()
            .to_string()
            .contains("cargo metadata")
    );
}
