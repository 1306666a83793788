//! What a sealed process may see and spend: the track's words as a [`Job`].
//!
//! Every path is the same inside as outside, so that a track runs at each level of sealing.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

use sandbox::{Job, Limits, Mount, Network, Stdin};

use super::{Workshop, judge};
use crate::{seal, track::file};

/// The time between the request to end and the end.
const GRACE: Duration = Duration::from_secs(2);

/// What differs from one process to the next.
#[derive(Default)]
pub(crate) struct Extra {
    /// Folders that may be changed.
    pub writable: Vec<PathBuf>,
    /// Folders that may be read.
    pub readable: Vec<PathBuf>,
    /// More variables.
    pub environment: Vec<(String, String)>,
    /// Whether the sealed data (and for a judge the hidden files) are there.
    pub data: bool,
}

/// A step of the candidate.
pub(super) fn candidate(
    workshop: &Workshop<'_>,
    command: &[String],
    folder: &Path,
    time: Duration,
    stdin: Option<PathBuf>,
    extra: Extra,
) -> Job {
    let rules = &workshop.track.file.sandbox;
    let mut job = job(
        command,
        folder,
        limits(rules, time, rules.memory.0),
        rules,
        &extra,
    );
    if extra.data {
        let data = workshop.data();
        job.read_only.extend(data.iter().map(Mount::at));
    }
    job.stdin = stdin.map_or(Stdin::Empty, Stdin::File);
    pin(&mut job, workshop);
    job
}

/// A judge, or the server of a budget, which see all that is sealed.
pub(super) fn sealed(
    workshop: &Workshop<'_>,
    command: &[String],
    folder: &Path,
    time: Duration,
    extra: Extra,
) -> Job {
    let file = &workshop.track.file;
    let memory = file.judge.memory.unwrap_or(file.sandbox.memory).0;
    let mut job = job(
        command,
        folder,
        limits(&file.sandbox, time, memory),
        &file.sandbox,
        &extra,
    );
    job.network = Network::None;
    pin(&mut job, workshop);
    if command.first().is_some_and(|program| program == "sprag") {
        // It finds its models where the user's Sprag does.
        let own = ["HOME", "SPRAG_HOME", "XDG_DATA_HOME", "PATH"];
        job.environment.extend(
            own.iter()
                .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))),
        );
        job.limits.memory_bytes = None;
        // It puts the candidate's process into a cell itself.
        job.environment
            .insert(judge::SANDBOX.to_owned(), for_a_process(&file.sandbox));
    }
    job.read_only
        .push(Mount::at(seal::files_in(workshop.epoch)));
    job.read_only.extend(file.judge.reads.iter().map(Mount::at));
    let program = command
        .first()
        .and_then(|program| workshop.seal.program(program, workshop.epoch));
    if let (Some(path), Some(first)) = (program, job.command.first_mut()) {
        job.read_only.push(Mount::at(&path));
        *first = path.into_os_string();
    }
    job
}

/// What a process of the candidate may use, for a judge that starts it.
fn for_a_process(rules: &file::Sandbox) -> String {
    serde_json::json!({
        "memory_bytes": rules.memory.0,
        "processes": rules.processes,
        "written_bytes": rules.disk.0,
        "gpu": rules.gpu,
        "reads": rules.reads,
        "environment": rules.environment,
    })
    .to_string()
}

/// A worker that measures beside others keeps to its own processors.
fn pin(job: &mut Job, workshop: &Workshop<'_>) {
    if workshop.processors.is_some() {
        job.processors.clone_from(&workshop.processors);
    }
}

/// What steps of a track have in common.
pub(crate) fn job(
    command: &[String],
    folder: &Path,
    limits: Limits,
    rules: &file::Sandbox,
    extra: &Extra,
) -> Job {
    let words = command.iter().map(OsString::from);
    let mut job = Job::new(words, folder, limits);
    job.writable = extra.writable.iter().map(Mount::at).collect();
    job.read_only = extra.readable.iter().map(Mount::at).collect();
    job.read_only.extend(rules.reads.iter().map(Mount::at));
    if let Some(program) = command.first() {
        let tools = sandbox::toolchain(OsStr::new(program));
        // A toolchain in a folder around the engine's own (an environment made in the repository) would show the hidden files and the key.
        let apart = |mount: &Mount| !folder.starts_with(&mount.host);
        job.read_only.extend(tools.mounts.into_iter().filter(apart));
        job.environment = tools.environment;
    }
    job.environment.extend(rules.environment.clone());
    job.environment.extend(extra.environment.iter().cloned());
    job.network = if rules.network {
        Network::Host
    } else {
        Network::None
    };
    job.processors.clone_from(&rules.processors);
    job.gpu = rules.gpu;
    job
}

/// The track's limits for one process.
pub(crate) fn limits(rules: &file::Sandbox, time: Duration, memory: u64) -> Limits {
    Limits {
        wall: time,
        grace: GRACE,
        cpu: None,
        memory_bytes: Some(memory),
        processes: Some(rules.processes),
        written_bytes: Some(rules.disk.0),
        output_bytes: rules.output.0,
    }
}
