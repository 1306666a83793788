//! What is in the store: one folder of GGUF files, and the record of where each came from.
//!
//! ```text
//! HOME/models/NAME.gguf     a model; files put there by hand count as well
//! HOME/models/NAME.json     its record, if it was pulled
//! HOME/models/.pull/        downloads under way, and locks
//! HOME/lens/DATE-MODEL.json      what `sprag lens` measured; may be deleted at any time
//! HOME/packed/NAME-SUM.packed   a model's weights as kernels read them; may be deleted at any time
//! ```
//!
//! HOME is `SPRAG_HOME`, else `sprag` under the platform's data folder (`~/.local/share` on Linux, `~/Library/Application
//! Support` on macOS, `%APPDATA%` on Windows). A model's name is its file's name without `.gguf`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::catalogue::{self, CatalogueEntry, catalogue};
use crate::digest::Sha256;

/// The version of [`Record`]'s JSON form.
const RECORD_VERSION: u32 = 1;

/// A place where models are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    home: PathBuf,
}

/// A model in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// File name without `.gguf`.
    pub name: String,
    /// The GGUF file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Where it came from; `None` for a file that was put there by hand.
    pub record: Option<Record>,
}

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Of this JSON form: 1.
    pub version: u32,
    /// As [`Source::parse`](crate::Source::parse) takes it; of a package, with the version that was chosen.
    pub source: String,
    /// Of the GGUF file.
    pub sha256: Sha256,
    /// Of the GGUF file.
    pub bytes: u64,
    /// As the catalogue or the package states it.
    pub licence: Option<String>,
    /// When, as `2026-01-31T12:00:00Z`.
    pub pulled_at: String,
}

/// Why a store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The system does not tell where this user's data belongs.
    #[error("found no home folder to keep models in; set SPRAG_HOME to a folder")]
    NoHome,
    /// The folder exists and cannot be read.
    #[error("cannot read {}: {source}; check its permissions, or set SPRAG_HOME to another folder", path.display())]
    Unreadable {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a MODEL argument names no file.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It reads as a path, and nothing is there.
    #[error("there is no file {}; `sprag models` lists what is here, `sprag pull SOURCE` fetches more", .0.display())]
    NoFile(PathBuf),
    /// It is a name of the catalogue, and the model has not been pulled.
    #[error("model `{}` is not here yet; `sprag pull {}` fetches it ({:.0} MB, {})", .0.alias, .0.alias, .0.bytes as f64 / 1e6, .0.licence)]
    NotPulled(&'static CatalogueEntry),
    /// Several stored models begin like that.
    #[error("`{given}` may mean {}; write more of the name", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        given: String,
        /// Which models it may mean.
        candidates: Vec<String>,
    },
    /// Nothing is called that.
    #[error(
        "no model is called `{given}`{}; `sprag models` lists what is here, `sprag pull SOURCE` fetches more",
        did_you_mean(near)
    )]
    Unknown {
        /// What was asked for.
        given: String,
        /// Names that are close to it, the closest first.
        near: Vec<String>,
    },
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!(" (did you mean {}?)", near.join(", "))
}

impl Store {
    /// This user's store. Creates nothing: a pull does.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] when neither `SPRAG_HOME` nor a home folder is known.
    pub fn open() -> Result<Self, StoreError> {
        if let Some(home) = std::env::var_os("SPRAG_HOME").filter(|h| !h.is_empty()) {
            return Ok(Self::at(home));
        }
        let strategy =
            etcetera::base_strategy::choose_native_strategy().map_err(|_| StoreError::NoHome)?;
        Ok(Self::at(strategy.data_dir().join("sprag")))
    }

    /// The store in the folder `home`.
    #[must_use]
    pub fn at(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// The folder that holds everything of Sprag's.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folder of the models.
    #[must_use]
    pub fn models_folder(&self) -> PathBuf {
        self.home.join("models")
    }

    /// The folder of the reports that `sprag lens` keeps.
    #[must_use]
    pub fn lens_folder(&self) -> PathBuf {
        self.home.join("lens")
    }

    /// The folder of packed weights.
    #[must_use]
    pub fn packed_folder(&self) -> PathBuf {
        self.home.join("packed")
    }

    /// Where the packed weights of the model file at `model` are kept, whether it lies in the store or elsewhere.
    ///
    /// # Errors
    /// There is no such file.
    pub fn packed_path(&self, model: &Path) -> io::Result<PathBuf> {
        let model = fs::canonicalize(model)?;
        let sum = Sha256::of(model.as_os_str().as_encoded_bytes()).to_string();
        let name = model.file_stem().unwrap_or_default().to_string_lossy();
        // Names may be as long as the system allows; ours is longer by the sum.
        let name: String = name.chars().take(60).collect();
        let file = format!("{name}-{}.packed", &sum[..12]);
        Ok(self.packed_folder().join(file))
    }

    /// Where kernels that were compiled for this machine's GPU are kept.
    #[must_use]
    pub fn kernel_folder(&self) -> PathBuf {
        self.packed_folder().with_file_name("kernels")
    }

    /// What lies in the folder of packed weights, with sizes; nothing where it cannot be read.
    #[must_use]
    pub fn packed_files(&self) -> Vec<(PathBuf, u64)> {
        let entries = fs::read_dir(self.packed_folder()).into_iter().flatten();
        let files = entries.flatten().filter_map(|entry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((entry.path(), meta.len()))
        });
        files.collect()
    }

    /// Bytes free for this user on the store's disk.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn free_space(&self) -> io::Result<u64> {
        // The folder may not exist yet: its nearest ancestor that does is on the same disk.
        let folder = self.models_folder();
        let there = folder
            .ancestors()
            .find(|f| f.exists())
            .unwrap_or(Path::new("."));
        fs4::available_space(there)
    }

    /// The models that are here, by name.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the folder exists and cannot be read.
    pub fn list(&self) -> Result<Vec<Model>, StoreError> {
        let folder = self.models_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(StoreError::Unreadable {
                    path: folder,
                    source,
                });
            }
        };
        let mut models: Vec<Model> = entries
            .flatten()
            .filter_map(|e| self.model(&e.path()))
            .collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }

    /// The model in the file at `path`, if it is one.
    fn model(&self, path: &Path) -> Option<Model> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        if name.is_empty() || name.starts_with('.') {
            return None;
        }
        let record = self.record(name).filter(|r| r.bytes == meta.len());
        Some(Model {
            name: name.to_owned(),
            path: path.to_owned(),
            bytes: meta.len(),
            record,
        })
    }

    /// A record that cannot be read, or of a later version, is no record.
    fn record(&self, name: &str) -> Option<Record> {
        let text = fs::read(self.record_path(name)).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (record.version == RECORD_VERSION).then_some(record)
    }

    pub(crate) fn record_path(&self, name: &str) -> PathBuf {
        self.models_folder().join(format!("{name}.json"))
    }

    /// The file that a MODEL argument means: a path, a stored name (with or without `.gguf`; the beginning is enough where
    /// only one model begins so), a catalogue alias, or `default`. Names match in upper or lower case.
    ///
    /// # Errors
    /// [`ResolveError`], which says what to pull or what was probably meant.
    pub fn resolve(&self, given: &str) -> Result<PathBuf, ResolveError> {
        let path = Path::new(given);
        let has_folder = given.contains('/') || (cfg!(windows) && given.contains('\\'));
        if (has_folder || given.ends_with(".gguf")) && path.is_file() {
            return Ok(path.to_owned());
        }
        if has_folder {
            return Err(ResolveError::NoFile(path.to_owned()));
        }
        let models = self.list()?;
        let wanted = given.strip_suffix(".gguf").unwrap_or(given).to_lowercase();
        if let Some(model) = models.iter().find(|m| m.name.to_lowercase() == wanted) {
            return Ok(model.path.clone());
        }
        if let Some(entry) = catalogue::by_alias(&wanted) {
            let stored = entry.file.trim_end_matches(".gguf");
            let model = models.iter().find(|m| m.name == stored);
            return model
                .map(|m| m.path.clone())
                .ok_or(ResolveError::NotPulled(entry));
        }
        let begins = models
            .iter()
            .filter(|m| !wanted.is_empty() && m.name.to_lowercase().starts_with(&wanted));
        let candidates: Vec<&Model> = begins.collect();
        match candidates[..] {
            [one] => Ok(one.path.clone()),
            [] => Err(ResolveError::Unknown {
                given: given.to_owned(),
                near: near(&wanted, &models),
            }),
            _ => Err(ResolveError::Ambiguous {
                given: given.to_owned(),
                candidates: candidates.iter().map(|m| m.name.clone()).collect(),
            }),
        }
    }
}

impl Record {
    pub(crate) fn now(source: String, sha256: Sha256, bytes: u64, licence: Option<String>) -> Self {
        let pulled_at = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        Self {
            version: RECORD_VERSION,
            source,
            sha256,
            bytes,
            licence,
            pulled_at,
        }
    }
}

/// Up to three names like `wanted`, stored ones and aliases.
fn near(wanted: &str, models: &[Model]) -> Vec<String> {
    let stored = models.iter().map(|m| m.name.as_str());
    let aliases = catalogue().iter().map(|e| e.alias.as_str());
    let mut scored: Vec<(f64, &str)> = stored
        .chain(aliases)
        .map(|name| {
            let lower = name.to_lowercase();
            let contained = wanted.len() >= 3 && lower.contains(wanted);
            let likeness = strsim::jaro_winkler(wanted, &lower);
            (if contained { 1.0 } else { likeness }, name)
        })
        .filter(|(likeness, _)| *likeness >= 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored
        .into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests;
