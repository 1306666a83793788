//! Where a command's toolchain lives when it is not the system's: offered to a track's author as read-only mounts.
//!
//! A cell has the system's folders only, and a `PATH` of those. Compilers and interpreters of a user's own live in a home that no
//! candidate sees. This finds, for the managers that most people use, what a command needs of it; it guesses nothing
//! beyond, and whoever writes the track decides.
//!
//! 1. rustup: the folder of shims, the toolchains and settings, and the downloaded sources. Not Cargo's credentials or settings.
//! 2. pyenv: its root. A virtual environment: its folder, and the interpreter's that it was made from.
//! 3. Anything else in `PREFIX/bin`: the prefix; where that is the home itself or as wide, the one file.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::job::Mount;

/// What a command needs of its user's own folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchain {
    /// Read-only.
    pub mounts: Vec<Mount>,
    /// So that it finds them: its home is another one in a cell.
    pub environment: BTreeMap<String, String>,
}

/// The read-only mounts that `command`, found on this process's `PATH`, needs beyond the system's. Empty where it is
/// the system's own, or isn't found.
#[must_use]
pub fn toolchains(command: &OsStr) -> Vec<Mount> {
    toolchain(command).mounts
}

/// The same, with the environment that goes with it.
#[must_use]
pub fn toolchain(command: &OsStr) -> Toolchain {
    let around = Surroundings {
        path: env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect()),
        home: env::home_dir(),
        cargo_home: env::var_os("CARGO_HOME").map(PathBuf::from),
        rustup_home: env::var_os("RUSTUP_HOME").map(PathBuf::from),
    };
    around.look_for(command)
}

/// What the environment says.
struct Surroundings {
    path: Vec<PathBuf>,
    home: Option<PathBuf>,
    cargo_home: Option<PathBuf>,
    rustup_home: Option<PathBuf>,
}

impl Surroundings {
    fn look_for(&self, command: &OsStr) -> Toolchain {
        let Some(found) = self.find(command) else {
            return Toolchain::default();
        };
        let real = found.canonicalize().unwrap_or_else(|_| found.clone());
        if is_system(&found) && is_system(&real) {
            return Toolchain::default();
        }
        let mut folders = Vec::new();
        let mut environment = BTreeMap::new();
        if real.file_name() == Some("rustup".as_ref()) {
            self.rustup(&found, &mut folders, &mut environment);
        } else if let Some(root) = pyenv_root(&found) {
            environment.insert("PYENV_ROOT".to_owned(), text(&root));
            folders.push(root);
        } else {
            folders.extend(self.prefix_of(&found));
            folders.extend(self.prefix_of(&real));
        }
        if let Some(folder) = found.parent() {
            let system = "/usr/local/bin:/usr/bin:/bin";
            environment.insert("PATH".to_owned(), format!("{}:{system}", text(folder)));
        }
        folders.retain(|folder| folder.exists() && !is_system(folder));
        folders.sort();
        folders.dedup();
        Toolchain {
            mounts: folders.iter().map(Mount::at).collect(),
            environment,
        }
    }

    fn find(&self, command: &OsStr) -> Option<PathBuf> {
        let path = Path::new(command);
        if path.is_absolute() {
            return path.is_file().then(|| path.to_owned());
        }
        if path.components().count() != 1 {
            return None;
        }
        let places = self.path.iter().filter(|folder| folder.is_absolute());
        places.map(|folder| folder.join(path)).find(|p| p.is_file())
    }

    fn rustup(
        &self,
        shim: &Path,
        folders: &mut Vec<PathBuf>,
        environment: &mut BTreeMap<String, String>,
    ) {
        folders.extend(shim.parent().map(Path::to_owned));
        let in_home = |name: &str| self.home.as_ref().map(|home| home.join(name));
        if let Some(rustup) = self.rustup_home.clone().or_else(|| in_home(".rustup")) {
            folders.push(rustup.join("toolchains"));
            folders.push(rustup.join("settings.toml"));
            environment.insert("RUSTUP_HOME".to_owned(), text(&rustup));
        }
        if let Some(cargo) = self.cargo_home.clone().or_else(|| in_home(".cargo")) {
            folders.push(cargo.join("registry"));
            folders.push(cargo.join("git"));
            environment.insert("CARGO_HOME".to_owned(), text(&cargo));
        }
    }

    /// The folder that a program was installed into, with what a virtual environment there was made from.
    fn prefix_of(&self, program: &Path) -> Vec<PathBuf> {
        let alone = vec![program.to_owned()];
        let Some(folder) = program.parent() else {
            return alone;
        };
        let Some(prefix) = folder.parent() else {
            return alone;
        };
        let home = self.home.as_deref();
        let is_wide =
            home.is_some_and(|home| home.starts_with(prefix) || home.join(".local") == prefix);
        if folder.file_name() != Some("bin".as_ref()) || is_wide || prefix == Path::new("/") {
            return alone;
        }
        let mut all = vec![prefix.to_owned()];
        let settings = fs::read_to_string(prefix.join("pyvenv.cfg")).unwrap_or_default();
        let base = settings.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == "home").then(|| PathBuf::from(value.trim()))
        });
        all.extend(base.and_then(|bin| bin.parent().map(Path::to_owned)));
        all
    }
}

/// `ROOT/shims/python3` belongs to the pyenv that is `ROOT`.
fn pyenv_root(shim: &Path) -> Option<PathBuf> {
    let shims = shim.parent()?;
    let root = shims.parent()?;
    let is_one = shims.file_name() == Some("shims".as_ref()) && root.join("versions").is_dir();
    is_one.then(|| root.to_owned())
}

fn is_system(path: &Path) -> bool {
    ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
