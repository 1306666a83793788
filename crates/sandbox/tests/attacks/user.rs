//! All of it again as an ordinary user, where root runs the tests: root's cells have control groups and no capabilities, a user's
//! have neither.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::ground::{HELPER, helper};

/// Nobody in particular.
const USER: u32 = 65534;

#[test]
fn all_of_it_again_as_an_ordinary_user() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    // Where root builds, others may not be able to look.
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(folder.path());
    let (tests, cell) = (folder.path().join("tests"), folder.path().join("cell"));
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    fs::copy(helper(), &cell).unwrap();
    open(&tests);
    open(&cell);
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(USER), Some(USER)).unwrap();
    let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
    let done = Command::new("setpriv")
        .args([&user, &group, "--clear-groups"])
        .arg(&tests)
        .args(["--skip", "user::", "--test-threads", "2"])
        .env(HELPER, &cell)
        .env("TMPDIR", &own)
        .env("HOME", &own)
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success());
    assert!(said.contains("test result: ok"));
}
