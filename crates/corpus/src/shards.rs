//! A tokenised corpus in files: made once, mapped by every run.
//!
//! A folder holds `tokens-00000.bin` and so on, each of 64 MiB but the last: tokens of one byte for vocabularies of up to 256, else of two,
//! little-endian, all documents to learn from first, then the public ones, then the hidden ones, each after a separator. `index.json` says
//! what they are, with the tokenizer. The folder is written under another name beside its own, and renamed when it is whole; one that is there
//! is never changed.
//!
//! Opening checks that the files are as long as the index says; [`Shards::verify`] reads them all. The index is foreign: it names no files
//! and sizes nothing that is not there.

mod index;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use formats::MappedFile;
use sha2::{Digest as _, Sha256};

use crate::{
    DataError, Document, Part, Splits, Tokenizer, divided,
    splits::{fill, hexadecimal},
    stream::{CHUNK_BYTES, Chunk, Filling, Tokens, hash, token_bytes},
};
use index::{Index, Shard};

/// Why there are no shards.
#[derive(Debug, thiserror::Error)]
pub enum ShardsError {
    /// A file cannot be read.
    #[error("can't read {}: {source}; build the shards again if it is not there", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("can't write {}: {source}; check the folder's permissions and the space left on its disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something is there already.
    #[error("{} is there already; open it, remove it, or name another folder", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The index is of another version.
    #[error(
        "{} has the schema {found:?}, and this build reads {:?}; build the shards again, or use the build that made them",
        path.display(),
        index::SCHEMA
    )]
    Version {
        /// The index.
        path: PathBuf,
        /// Its schema.
        found: String,
    },
    /// The index is none.
    #[error("{}: {reason}; build the shards again", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A shard is of another length.
    #[error("{} has {found} bytes, and the index says {expected}; build the shards again", path.display())]
    Length {
        /// The shard.
        path: PathBuf,
        /// By the index.
        expected: u64,
        /// Of the file.
        found: u64,
    },
    /// A shard holds other tokens.
    #[error("{} is not what was written: its SHA-256 is not the index's; build the shards again", path.display())]
    Changed {
        /// The shard.
        path: PathBuf,
    },
    /// The texts are not.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// A tokenised corpus in a folder.
#[derive(Debug)]
pub struct Shards {
    folder: PathBuf,
    index: Index,
    tokens: Arc<Tokens>,
}

impl Shards {
    /// Tokenises documents into a new folder, and opens it. They are taken one by one: the `held_out` last ones and a shard are in memory.
    ///
    /// # Errors
    /// The folder is there, a document can't be read, or a file can't be written; then nothing is left behind.
    pub fn build(
        folder: &Path,
        documents: impl IntoIterator<Item = Result<Document, DataError>>,
        held_out: usize,
        tokenizer: &Tokenizer,
    ) -> Result<Self, ShardsError> {
        Self::build_in(CHUNK_BYTES, folder, documents, held_out, tokenizer)
    }

    fn build_in(
        chunk_bytes: usize,
        folder: &Path,
        documents: impl IntoIterator<Item = Result<Document, DataError>>,
        held_out: usize,
        tokenizer: &Tokenizer,
    ) -> Result<Self, ShardsError> {
        if folder.symlink_metadata().is_ok() {
            return Err(ShardsError::Exists {
                path: folder.to_owned(),
            });
        }
        let encoder = tokenizer.encoder().map_err(DataError::from)?;
        let half_made = HalfMade::beside(folder)?;
        let width = token_bytes(tokenizer.vocabulary());
        let mut shards: Vec<Shard> = Vec::new();
        let write = |chunk: Vec<u8>| {
            write_whole(&half_made.path.join(index::name(shards.len())), &chunk)?;
            shards.push(Shard {
                tokens: (chunk.len() / width) as u64,
                sha256: hexadecimal(&hash(&chunk)),
            });
            Ok::<(), ShardsError>(())
        };
        let mut texts = Sha256::new();
        let filling = Filling::new(tokenizer.vocabulary(), chunk_bytes, write);
        let parts = divided(documents, held_out);
        let counts = fill(parts, &encoder, filling, |document| {
            texts.update((document.text.len() as u64).to_le_bytes());
            texts.update(&document.text);
        })?;
        let index = Index::new(
            tokenizer.clone(),
            shards,
            hexadecimal(&texts.finalize()),
            counts,
        );
        let path = half_made.path.join(index::FILE);
        let json = serde_json::to_vec(&index).map_err(|error| ShardsError::Index {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        write_whole(&path, &json)?;
        half_made.rename(folder)?;
        Self::open(folder)
    }

    /// Maps a folder that [`Shards::build`] made.
    ///
    /// # Errors
    /// It is none, of another version, or not whole.
    pub fn open(folder: &Path) -> Result<Self, ShardsError> {
        let index = Index::read(&folder.join(index::FILE))?;
        let vocabulary = index.tokenizer.vocabulary();
        let (mut chunks, mut hashes) = (Vec::new(), Vec::new());
        for (number, shard) in index.shards.iter().enumerate() {
            let path = folder.join(index::name(number));
            let file = match MappedFile::open(&path) {
                Ok(file) => file,
                Err(source) => return Err(ShardsError::Read { path, source }),
            };
            let (expected, found) = (
                shard.tokens.saturating_mul(token_bytes(vocabulary) as u64),
                file.len() as u64,
            );
            if found != expected {
                return Err(ShardsError::Length {
                    path,
                    expected,
                    found,
                });
            }
            chunks.push(Chunk::Mapped(file));
            hashes.push(shard.hash().unwrap_or_default());
        }
        let chunk_tokens = index
            .shards
            .first()
            .map_or(1, |first| first.tokens as usize);
        let tokens = Tokens {
            chunks,
            hashes,
            chunk_tokens,
            vocabulary,
        };
        Ok(Self {
            folder: folder.to_owned(),
            index,
            tokens: Arc::new(tokens),
        })
    }

    /// Reads all shards, and holds them against the index.
    ///
    /// # Errors
    /// One is not what was written.
    pub fn verify(&self) -> Result<(), ShardsError> {
        self.tokens.changed().map_or(Ok(()), |number| {
            let path = self.folder.join(index::name(number));
            Err(ShardsError::Changed { path })
        })
    }

    /// Its parts, mapped.
    ///
    /// # Errors
    /// There is no held-out text, or less to learn from than a window of `positions` and the token behind it.
    pub fn splits(&self, positions: usize) -> Result<Splits, DataError> {
        let counts = self.index.counts();
        let tokenizer = self.index.tokenizer.clone();
        Splits::new(Arc::clone(&self.tokens), counts, tokenizer, positions)
    }

    /// What its tokens mean.
    #[must_use]
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.index.tokenizer
    }

    /// Documents of a part; of a corpus that is one, both sides of its cut.
    #[must_use]
    pub fn documents(&self, part: Part) -> u64 {
        self.index.counts()[part as usize].documents
    }

    /// SHA-256 of the texts, each behind its length as 64 bits, in hexadecimal.
    #[must_use]
    pub fn texts_sha256(&self) -> &str {
        &self.index.texts_sha256
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ShardsError> {
    let written = File::create_new(path);
    let written = written.and_then(|file| write_to(file, bytes));
    written.map_err(|source| ShardsError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write_to(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// A folder that is removed unless it was renamed.
struct HalfMade {
    path: PathBuf,
    is_renamed: bool,
}

impl HalfMade {
    fn beside(folder: &Path) -> Result<Self, ShardsError> {
        let refused = |source| ShardsError::Write {
            path: folder.to_owned(),
            source,
        };
        let name = folder.file_name();
        let name = name.ok_or_else(|| refused(io::ErrorKind::InvalidFilename.into()))?;
        let mut taken = io::ErrorKind::AlreadyExists.into();
        // A stopped process of the same number may have left its own.
        for attempt in 0..64 {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{attempt}.tmp", std::process::id()));
            let path = folder.with_file_name(hidden);
            match fs::create_dir(&path) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        is_renamed: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(refused(error)),
            }
        }
        Err(refused(taken))
    }

    fn rename(mut self, folder: &Path) -> Result<(), ShardsError> {
        match fs::rename(&self.path, folder) {
            Ok(()) => {
                self.is_renamed = true;
                Ok(())
            }
            Err(source) => Err(ShardsError::Write {
                path: folder.to_owned(),
                source,
            }),
        }
    }
}

impl Drop for HalfMade {
    fn drop(&mut self) {
        if !self.is_renamed {
            // Nothing more can be done about a leftover than what the error that led here already says.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
