//! What is counted, and what must not escape being counted.

use super::*;

const MIB: usize = 1 << 20;

#[test]
fn only_what_was_added_counts_and_names_of_one_file_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("old"), vec![1; MIB]).unwrap();
    let mut meter = Meter::start(vec![folder.path().to_owned()]);
    assert_eq!(meter.finish(), 0);
    fs::create_dir(at("deep")).unwrap();
    fs::write(at("deep/new"), vec![1; MIB]).unwrap();
    fs::hard_link(at("deep/new"), at("again")).unwrap();
    std::os::unix::fs::symlink("/", at("everything")).unwrap();
    let added = meter.finish();
    assert!((MIB as u64..2 * MIB as u64).contains(&added), "{added}");
    assert!(!meter.is_blind());
}

#[test]
fn a_folder_too_deep_to_name_is_a_breach() {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let folder = tempfile::tempdir().unwrap();
    let mut meter = Meter::start(vec![folder.path().to_owned()]);
    let open = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(CWD, folder.path(), open, Mode::empty()).unwrap();
    let name = "d".repeat(250);
    for _ in 0..20 {
        mkdirat(&here, &name, Mode::RWXU).unwrap();
        here = openat(&here, &name, open, Mode::empty()).unwrap();
    }
    meter.finish();
    meter.finish();
    assert!(meter.is_blind());
    super::super::scratch::remove_tree(folder.path()).unwrap();
    assert!(!folder.path().exists());
}
