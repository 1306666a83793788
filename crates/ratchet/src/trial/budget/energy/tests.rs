//! Joules of laid-out machines.

use std::fs;

use silicon::energy::Sources;

use super::{Broken, Energy};

/// A machine with one counter, at so many microjoules.
fn counts(root: &std::path::Path, microjoules: &str) {
    let folder = root.join("sys/class/powercap/intel-rapl:0");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("name"), "package-0\n").unwrap();
    fs::write(folder.join("max_energy_range_uj"), "10000000\n").unwrap();
    fs::write(folder.join("energy_uj"), microjoules).unwrap();
}

#[test]
fn joules_are_counted_and_limited() {
    let root = tempfile::tempdir().unwrap();
    counts(root.path(), "9000000\n");
    let sources = Sources::open_under(root.path());
    let mut energy = Energy::start(&sources, 2.0);
    let look = |energy: &mut Energy<'_>| {
        energy.next = std::time::Instant::now();
        energy.over()
    };
    assert_eq!(look(&mut energy), None);
    // Beyond its range the counter starts over.
    counts(root.path(), "500000\n");
    assert_eq!(look(&mut energy), None);
    assert_eq!(energy.used(), Some(1.5));
    counts(root.path(), "1500000\n");
    let over = look(&mut energy);
    assert!(matches!(over, Some(Broken::Run(_))), "{over:?}");
    fs::remove_dir_all(root.path().join("sys")).unwrap();
    let gone = look(&mut energy);
    assert!(matches!(gone, Some(Broken::Counter(_))), "{gone:?}");
}
