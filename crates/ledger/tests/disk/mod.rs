//! Where the tests write.

use std::path::Path;

use tempfile::TempDir;

/// A folder in memory where there is one: a flush costs nothing there, and these faults do not depend on the disk.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}
