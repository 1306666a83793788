//! The `stack` track: this machine's runtime profile, improved by experiments and then used by `run`, `chat` and `bench`.
//!
//! The track is a small repository of its own under `HOME/tracks/stack-KEY` (a key of the machine), made at first use: `profile.toml` is what changes, Sprag itself
//! is the judge (`sprag judge stack`). The champion's profile is kept under `HOME/profiles`, for this machine alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use kernels::{Isa, MatMulVariant, RuntimeProfile};
use ratchet::{History, Place, git::ObjectId};
use runtime::profile;
use store::Store;

use crate::{
    failure::Failure,
    interrupt::Interrupt,
    machine_profile, model_file, report,
    terminal::{Terminal, say},
};

/// How the track is called.
pub const NAME: &str = "stack";
const TRACK: &str = include_str!("template/stack.toml");
const PROGRAM: &str = include_str!("../../../../../data/tracks/stack/program.md");

/// This machine's runtime profile: where it comes from, or drop it
#[derive(Debug, Args)]
pub struct Arguments {
    /// Drop the accepted profile, and the track with all its experiments
    #[arg(long)]
    pub reset: bool,
}

/// Shows or drops the accepted profile.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = machine_profile::path()?;
    if arguments.reset {
        return reset(&path);
    }
    match fs::read_to_string(&path) {
        Ok(text) => say(&format!("{}\n{text}", path.display())),
        Err(_) => say(
            "no profile was accepted on this machine yet; the defaults are used. Find a better one: sprag ratchet run stack --for 10m\n",
        ),
    }
}

fn reset(path: &Path) -> Result<(), Failure> {
    let track = home()?;
    if track.exists()
        && let Some(holder) = Place::open(&track)?.running()?
    {
        let who = holder
            .pid
            .map_or_else(String::new, |pid| format!(" (process {pid})"));
        return Err(Failure::Usage(format!(
            "an engine{who} runs the track; stop it first: sprag ratchet stop stack"
        )));
    }
    let remove = |path: &Path, outcome: std::io::Result<()>| match outcome {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Failure::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    };
    // The track first: a profile that is left is dropped by the same command, one that comes back from a left track is not.
    remove(&track, fs::remove_dir_all(&track))?;
    remove(path, fs::remove_file(path))?;
    say("the defaults are used again; the track and its experiments are gone\n")
}

/// Where this machine's track is, or would be: blocks of two machines are never compared.
fn home() -> Result<PathBuf, Failure> {
    let name = format!("{NAME}-{}", machine_profile::key()?);
    Ok(Store::open()?.home().join("tracks").join(name))
}

/// The track's folder, made if it is not there: a repository with the defaults as the first champion.
pub fn folder() -> Result<PathBuf, Failure> {
    let folder = home()?;
    if folder.join(".git").exists() {
        return Ok(folder);
    }
    let interrupt = Interrupt::untouched();
    let model = model_file::locate("default", true, &Terminal::detect(), &interrupt)?;
    let model = fs::canonicalize(&model).map_err(|source| Failure::Read {
        path: model.clone(),
        source,
    })?;
    // Made beside its place and then moved there, so that half a track is never found.
    let fresh = folder.with_extension("new");
    let io = |source| Failure::Write {
        path: fresh.clone(),
        source,
    };
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(io)?;
    }
    fs::create_dir_all(&fresh).map_err(io)?;
    report::file(&fresh.join("track.toml"), track(&model))?;
    report::file(&fresh.join("program.md"), PROGRAM)?;
    report::file(&fresh.join("profile.toml"), first_profile())?;
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &[
            "-c",
            "user.name=sprag",
            "-c",
            "user.email=sprag@localhost",
            "-c",
            "commit.gpgsign=false",
            "commit",
            "--quiet",
            "--no-verify",
            "--message",
            "The defaults",
        ],
    ] {
        let output = Command::new("git")
            .arg("-C")
            .arg(&fresh)
            .args(arguments)
            .output();
        let output = output.map_err(|error| Failure::Usage(format!("git cannot be started: {error}; the ratchet keeps every candidate as a commit, so install git")))?;
        if !output.status.success() {
            return Err(Failure::Usage(format!(
                "git {}: {}",
                arguments[0],
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(io)?;
    }
    fs::rename(&fresh, &folder).map_err(io)?;
    Ok(folder)
}

/// The first champion's: every line that a knob may change.
fn first_profile() -> String {
    format!("{}note = 0\n", profile::write(&RuntimeProfile::default()))
}

/// The track for this machine: what its processor has decides what is worth varying.
fn track(model: &Path) -> String {
    let default = RuntimeProfile::default();
    let threads: Vec<String> = (1..=default.threads).map(|n| n.to_string()).collect();
    TRACK
        .replace(
            "MODEL",
            &model
                .display()
                .to_string()
                .replace('\\', "\\\\")
                .replace('"', "\\\""),
        )
        .replace("THREADS", &threads.join(", "))
        .replace("VARIANTS\n", &variants())
}

/// A proposer of the ways to compute products between which this processor has a choice; nothing where it has none.
fn variants() -> String {
    let sets = Isa::available()
        .into_iter()
        .filter(|isa| *isa != Isa::Portable);
    let products = MatMulVariant::available().into_iter();
    let knobs = [
        ("isa", sets.map(Isa::name).collect::<Vec<_>>()),
        (
            "matmul_variant",
            products.map(MatMulVariant::name).collect(),
        ),
    ];
    let knobs: String = knobs
        .into_iter()
        .filter(|(_, names)| 1 < names.len())
        .map(|(line, names)| {
            format!(
                "\n[[proposer.knob]]\nfile = \"profile.toml\"\nline = '{line} = \"{{}}\"'\nvalues = {names:?}\n"
            )
        })
        .collect();
    if knobs.is_empty() {
        return knobs;
    }
    format!("[[proposer]]\nkind = \"search\"\nname = \"variants\"\nmethod = \"random\"\n{knobs}\n")
}

/// Keeps the champion's profile for `run`, `chat` and `bench`, if this is the `stack` track and the champion is no longer the first.
pub fn keep(place: &Place, history: &History) -> Result<(), Failure> {
    let ours = home()?;
    let is_ours = fs::canonicalize(&ours)
        .ok()
        .is_some_and(|ours| ours == place.repository.root());
    let (Some(champion), Some(first)) = (&history.champion, &history.first) else {
        return Ok(());
    };
    if !is_ours || champion == first {
        return Ok(());
    }
    let text = profile_of(place, champion)?;
    profile::read(&text).map_err(|error| Failure::Content {
        path: "profile.toml".into(),
        why: error.to_string(),
    })?;
    machine_profile::keep(&text, champion.as_str())
}

fn profile_of(place: &Place, commit: &ObjectId) -> Result<String, Failure> {
    let missing = || Failure::Content {
        path: "profile.toml".into(),
        why: "the champion has none".to_owned(),
    };
    let files = ratchet::mutable_files(&place.repository, &place.track, commit)
        .map_err(ratchet::EngineError::from)?;
    let contents = files.get(Path::new("profile.toml")).ok_or_else(missing)?;
    Ok(String::from_utf8_lossy(&contents.bytes).into_owned())
}

#[cfg(test)]
mod tests;
