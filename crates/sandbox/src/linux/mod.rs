//! The seals of Linux: the engine's side here, the helper's in [`inner`].

mod account;
mod cgroup;
mod disk;
pub(crate) mod inner;
pub(crate) mod probe;
pub(crate) mod scratch;
pub(crate) mod session;
pub(crate) mod streams;
mod system;
mod tree;
mod wire;

use std::path::Path;

use crate::error::SandboxError;
use crate::job::{Job, Network};
use crate::level::Level;

/// Removes what engines that were killed, supervisor and all, left behind.
pub(crate) fn sweep() {
    cgroup::sweep();
    scratch::sweep(&std::env::temp_dir());
}

/// Whether a job is one, and whether `level` can keep it.
pub(crate) fn check(job: &Job, level: Level) -> Result<(), SandboxError> {
    if job.command.is_empty() {
        return Err(SandboxError::NoCommand);
    }
    absolute("the working folder", &job.folder)?;
    for (mount, _) in job.mounts() {
        absolute("a mount", &mount.host)?;
        absolute("a mount", &mount.inside)?;
        mount
            .host
            .metadata()
            .map_err(|source| SandboxError::Mount {
                path: mount.host.clone(),
                source,
            })?;
    }
    let inside = job.mounts().into_iter().map(|(mount, _)| mount);
    let mut known: Vec<_> = inside.map(|mount| mount.inside.clone()).collect();
    known.extend(system::read_only(job));
    if level != Level::Unsealed && !system::lies_in(&job.folder, &known) {
        return Err(SandboxError::FolderOutside {
            folder: job.folder.clone(),
        });
    }
    if level == Level::Bubblewrap {
        return Ok(());
    }
    unmoved(job, level)
}

/// What can't be had without a root of one's own.
fn unmoved(job: &Job, level: Level) -> Result<(), SandboxError> {
    let unsupported = |what: String, remedy| {
        Err(SandboxError::Unsupported {
            level,
            what,
            remedy,
        })
    };
    if job.network == Network::Loopback {
        let what = "a loopback network of its own".to_owned();
        return unsupported(what, "run the job without a network");
    }
    for (mount, _) in job.mounts() {
        if mount.host != mount.inside {
            let what = format!("{:?} in another place ({:?})", mount.host, mount.inside);
            return unsupported(what, "mount it where it is");
        }
    }
    if level == Level::Unsealed {
        return Ok(());
    }
    // What Landlock once allowed for a folder it can't take back for a part of it.
    for locked in &job.read_only {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let inner = real(&locked.host);
        let outer = job
            .writable
            .iter()
            .find(|open| inner.starts_with(real(&open.host)));
        if let Some(outer) = outer {
            let what = format!(
                "{:?} read-only inside {:?}, which it may write",
                locked.host, outer.host
            );
            return unsupported(what, "list the writable parts one by one");
        }
    }
    Ok(())
}

fn absolute(what: &'static str, path: &Path) -> Result<(), SandboxError> {
    // A path with `..` says two things: where it seems to be and where it is.
    let plain = path
        .components()
        .all(|part| !matches!(part, std::path::Component::ParentDir));
    if path.is_absolute() && plain {
        return Ok(());
    }
    Err(SandboxError::Relative {
        what,
        path: path.to_owned(),
    })
}
