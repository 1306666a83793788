//! The runtime profile that was accepted on this machine: found, kept, and left alone on any other.
//!
//! `HOME/profiles/KEY.toml`, where KEY is of what the profile's worth depends on: processor, its instruction set, and how many processors
//! are ours. A home folder that moves to another machine thus has no profile there.

use std::{fs, io, path::PathBuf};

use kernels::{Isa, RuntimeProfile};
use runtime::profile;
use silicon::probe::Machine;
use store::Store;

use crate::{failure::Failure, report, terminal::complain};

/// What a profile's worth depends on, as a name: processor, instruction set, and how many processors are ours.
pub fn key() -> Result<String, Failure> {
    let machine = Machine::probe();
    let cpu = serde_json::to_string(&machine.cpu)?;
    let key = format!("{cpu}/{}/{}", machine.cores.usable, Isa::detect().name());
    Ok(ratchet::Digest::of(key.as_bytes()).short().to_owned())
}

/// Where it is, or would be.
pub fn path() -> Result<PathBuf, Failure> {
    let name = format!("{}.toml", key()?);
    Ok(Store::open()?.home().join("profiles").join(name))
}

/// Keeps a profile that was proven.
pub fn keep(text: &str, champion: &str) -> Result<(), Failure> {
    let path = path()?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| Failure::Write {
            path: folder.to_owned(),
            source,
        })?;
    }
    report::file(
        &path,
        format!(
            "# Accepted by the ratchet's track `stack`, commit {champion}. Dropped by `sprag ratchet stack --reset`.\n{text}"
        ),
    )
}

/// The profile to run with: the accepted one, else the defaults.
pub fn here() -> RuntimeProfile {
    let Ok(path) = path() else {
        return RuntimeProfile::default();
    };
    match fs::read_to_string(&path) {
        Ok(text) => profile::read(&text).unwrap_or_else(|error| {
            complain(&format!(
                "warning: {}: {error}; the defaults are used",
                path.display()
            ));
            RuntimeProfile::default()
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => RuntimeProfile::default(),
        Err(error) => {
            complain(&format!(
                "warning: {}: {error}; the defaults are used",
                path.display()
            ));
            RuntimeProfile::default()
        }
    }
}
