//! `index.json`: what a folder's shards are. Foreign, and so checked whole before anything is believed.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::ShardsError;
use crate::{Part, Tokenizer, splits::Count, stream::Hash};

pub(super) const FILE: &str = "index.json";
pub(super) const SCHEMA: &str = "sprag.shards/1";

/// The file of a shard.
pub(super) fn name(number: usize) -> String {
    format!("tokens-{number:05}.bin")
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    schema: String,
    pub(super) tokenizer: Tokenizer,
    pub(super) shards: Vec<Shard>,
    pub(super) texts_sha256: String,
    train: Count,
    public: Count,
    hidden: Count,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shard {
    pub(super) tokens: u64,
    pub(super) sha256: String,
}

impl Shard {
    pub(super) fn hash(&self) -> Option<Hash> {
        let digits = self.sha256.as_bytes();
        let mut hash = Hash::default();
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Some(hash)
    }
}

impl Index {
    pub(super) fn new(
        tokenizer: Tokenizer,
        shards: Vec<Shard>,
        texts_sha256: String,
        [train, public, hidden]: [Count; 3],
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            tokenizer,
            shards,
            texts_sha256,
            train,
            public,
            hidden,
        }
    }

    pub(super) const fn counts(&self) -> [Count; 3] {
        [self.train, self.public, self.hidden]
    }

    pub(super) fn read(path: &Path) -> Result<Self, ShardsError> {
        #[derive(Deserialize)]
        struct Version {
            schema: String,
        }
        let refused = |reason: String| ShardsError::Index {
            path: path.to_owned(),
            reason,
        };
        let bytes = fs::read(path).map_err(|source| ShardsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let not_json = |error: serde_json::Error| refused(error.to_string());
        let Version { schema } = serde_json::from_slice(&bytes).map_err(not_json)?;
        if schema != SCHEMA {
            return Err(ShardsError::Version {
                path: path.to_owned(),
                found: schema.chars().take(64).collect(),
            });
        }
        let index: Self = serde_json::from_slice(&bytes).map_err(not_json)?;
        index.check().map_err(refused)?;
        Ok(index)
    }

    fn check(&self) -> Result<(), String> {
        let in_shards = sum(self.shards.iter().map(|shard| shard.tokens));
        let in_parts = sum(self.counts().iter().map(|count| count.tokens));
        if in_shards.is_none() || in_shards != in_parts {
            return Err("its shards have not as many tokens as its parts".to_owned());
        }
        for (part, count) in Part::ALL.iter().zip(self.counts()) {
            // A token is a byte at least, and 256 at most; a separator is none.
            let least = count.tokens.saturating_sub(count.documents);
            if count.documents > count.tokens
                || count.bytes < least
                || count.bytes > least.saturating_mul(256)
            {
                return Err(format!("the counts of the part {part:?} can't be"));
            }
        }
        let first = self.shards.first().map_or(0, |shard| shard.tokens);
        let last = self.shards.len().saturating_sub(1);
        for (number, shard) in self.shards.iter().enumerate() {
            let fits = shard.tokens > 0
                && if number < last {
                    shard.tokens == first
                } else {
                    shard.tokens <= first
                };
            if !fits {
                return Err(format!("shard {number} has {} tokens", shard.tokens));
            }
            if shard.hash().is_none() {
                return Err(format!("shard {number} has no SHA-256"));
            }
        }
        Ok(())
    }
}

/// What can be addressed, and else nothing.
fn sum(mut counts: impl Iterator<Item = u64>) -> Option<u64> {
    let sum = counts.try_fold(0u64, u64::checked_add);
    sum.filter(|&sum| sum <= isize::MAX as u64)
}
