//! A repository with a track in it, and where the real engine is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ratchet::Place;
use tempfile::TempDir;

/// The example `engine`, which `cargo test` builds beside the tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/engine");
    assert!(
        program.exists(),
        "{} is missing: run `cargo test -p ratchet`, which builds it, or `cargo build -p ratchet --examples`",
        program.display()
    );
    program
}

/// Where the tests write: in memory where there is one, since a flush costs nothing there.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A repository with a track.
pub struct World {
    _scratch: TempDir,
    pub root: PathBuf,
}

impl World {
    /// A repository with one commit of these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let scratch = scratch();
        let root = scratch.path().join("repository");
        fs::create_dir(&root).unwrap();
        let world = Self {
            _scratch: scratch,
            root,
        };
        world.git(&["init", "-q", "-b", "main"]);
        for (path, text) in files {
            world.write(path, text);
        }
        world.commit("begin");
        world
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            message,
        ]);
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.root)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn place(&self) -> Place {
        Place::open(&self.root).unwrap()
    }
}

pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
