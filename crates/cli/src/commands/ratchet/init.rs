//! `sprag ratchet init`: a track to begin with.

use std::{fs, io, path::PathBuf};

use clap::Args;

use crate::{failure::Failure, terminal::say};

const TRACK: &str = include_str!("template/track.toml");
const PROGRAM: &str = include_str!("template/program.md");
const JUDGE: &str = include_str!("template/judge.py");
const CANDIDATE: &str = include_str!("template/solve.py");
const KNOWN: &str = include_str!("template/known.csv");
const HIDDEN: &str = include_str!("template/hidden.csv");

/// Write a small track that runs, to be changed into yours
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder; by default the current one
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// Writes the files; one that is there stops it before anything is written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let name: String = std::path::absolute(folder)
        .ok()
        .and_then(|path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        })
        .unwrap_or_default()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = match name.trim_start_matches(['-', '_']) {
        "" => "track",
        name => name,
    };
    let track = TRACK.replace("NAME", &name.chars().take(64).collect::<String>());
    let files = [
        ("track.toml", track.as_str()),
        ("program.md", PROGRAM),
        ("judge.py", JUDGE),
        ("solve.py", CANDIDATE),
        ("data/known.csv", KNOWN),
        ("hidden/cases.csv", HIDDEN),
    ];
    for (file, _) in files {
        let path = folder.join(file);
        if path.exists() {
            return Err(Failure::Write {
                path,
                source: io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "it is there already, and stays as it is",
                ),
            });
        }
    }
    for (file, text) in files {
        let path = folder.join(file);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(&path, text)
        };
        write().map_err(|source| Failure::Write {
            path: path.clone(),
            source,
        })?;
    }
    let shown = folder.display();
    say(&format!(
        "{shown}/track.toml   what may change, how it is judged, what it may cost\n\
         {shown}/program.md   what proposers are told\n\
         {shown}/judge.py     the judge, sealed; hidden/ is only for it\n\
         {shown}/solve.py     what is improved\n\n\
         Commit them (git init, git add -A, git commit), then: sprag ratchet run {shown} --experiments 20\n"
    ))
}
