//! Where a command's toolchain lives when it is not the system's: offered to a track's author as read-only mounts.
//!
//! A cell has the system's folders only, and a `PATH` of those. Compilers and interpreters of a user's own live in a home that no
//! candidate sees. This finds, for the managers that most people use, what a command needs of it; it guesses nothing
//! beyond, and whoever writes the track decides.
//!
//! 1. rustup: the chosen toolchain itself (its shims write into the home at every start) and the downloaded sources. Not Cargo's
//!    credentials or settings. A project's `rust-toolchain.toml` is not looked at.
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

impl Toolchain {
    fn of(mut folders: Vec<PathBuf>, environment: BTreeMap<String, String>) -> Self {
        folders.retain(|folder| folder.exists() && !is_system(folder));
        folders.sort();
        folders.dedup();
        Self {
            mounts: folders.iter().map(Mount::at).collect(),
            environment,
        }
    }
}

/// The read-only mounts that `command`, found on this process's `PATH`, needs beyond the system's, with the environment that goes with
/// them. Empty where it is the system's own, or isn't found.
#[must_use]
pub fn toolchain(command: &OsStr) -> Toolchain {
    let around = Surroundings {
        path: env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect()),
        home: env::home_dir(),
        cargo_home: env::var_os("CARGO_HOME").map(PathBuf::from),
        rustup_home: env::var_os("RUSTUP_HOME").map(PathBuf::from),
        rustup_toolchain: env::var("RUSTUP_TOOLCHAIN").ok(),
    };
    around.look_for(command)
}

/// What the environment says.
struct Surroundings {
    path: Vec<PathBuf>,
    home: Option<PathBuf>,
    cargo_home: Option<PathBuf>,
    rustup_home: Option<PathBuf>,
    rustup_toolchain: Option<String>,
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
        if real.file_name() == Some("rustup".as_ref()) {
            return self.rustup().unwrap_or_default();
        }
        let mut environment: BTreeMap<_, _> = found.parent().map(path_with).into_iter().collect();
        let mut folders = Vec::new();
        if let Some(root) = pyenv_root(&found) {
            environment.insert("PYENV_ROOT".to_owned(), text(&root));
            folders.push(root);
        } else {
            folders.extend(self.prefix_of(&found));
            folders.extend(self.prefix_of(&real));
        }
        Toolchain::of(folders, environment)
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

    /// The toolchain behind the shims: the one that the environment names, else the default, else the only one.
    fn rustup(&self) -> Option<Toolchain> {
        let in_home = |name: &str| self.home.as_ref().map(|home| home.join(name));
        let rustup = self.rustup_home.clone().or_else(|| in_home(".rustup"))?;
        let settings = fs::read_to_string(rustup.join("settings.toml")).unwrap_or_default();
        let default = settings.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == "default_toolchain").then(|| value.trim().trim_matches('"').to_owned())
        });
        let toolchains = rustup.join("toolchains");
        let all: Vec<PathBuf> = fs::read_dir(&toolchains)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        let named = self.rustup_toolchain.clone().or(default);
        let chosen = match (named, all.as_slice()) {
            // A short name, such as `stable`, is the beginning of the folder's.
            (Some(name), _) => all.iter().find(|path| {
                let folder = path.file_name().unwrap_or_default().to_string_lossy();
                folder == name || folder.starts_with(&format!("{name}-"))
            })?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        let mut folders = vec![chosen.clone()];
        let mut environment = BTreeMap::from([path_with(&chosen.join("bin"))]);
        if let Some(cargo) = self.cargo_home.clone().or_else(|| in_home(".cargo")) {
            folders.extend([cargo.join("git"), cargo.join("registry")]);
            environment.insert("CARGO_HOME".to_owned(), text(&cargo));
        }
        Some(Toolchain::of(folders, environment))
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

/// A `PATH` on which `folder` comes before the system's.
fn path_with(folder: &Path) -> (String, String) {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", text(folder));
    ("PATH".to_owned(), path)
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
