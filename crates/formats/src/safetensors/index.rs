//! Reads `model.safetensors.index.json`: which shard holds which tensor.
//!
//! A shard's name is a plain file name. Anything with a path in it (`../`, an absolute path, a drive letter) is refused: an
//! index may only reach files of its own folder. Such a file may be a symbolic link, since the hub's own cache consists of
//! them; who can place links in the folder could place weights there as well.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::error::Fault;
use crate::gguf::Quoted;
use crate::json::Document;

const MAX_INDEX_BYTES: u64 = 256 << 20;
const MAX_SHARDS: usize = 4096;
const MAX_NAME_BYTES: usize = 255;

/// Each tensor's shard, as a position in the list of shards.
pub(super) struct Index {
    pub(super) shards: Vec<String>,
    pub(super) shard_of: BTreeMap<String, u32>,
}

pub(super) fn read(path: &Path) -> Result<Index, Fault> {
    let document = Document::read(path, MAX_INDEX_BYTES)?;
    parse(&document)
}

fn parse(document: &Document) -> Result<Index, Fault> {
    let root = document.root();
    let expected = "an object of tensor names and the shards' file names";
    let Some(map) = root.get("weight_map").and_then(Value::as_object) else {
        return Err(root.wrong("weight_map", expected).into());
    };
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let mut shards = Vec::new();
    let mut shard_of = BTreeMap::new();
    for (tensor, shard) in map {
        let Some(shard) = shard.as_str() else {
            return Err(root.wrong("weight_map", expected).into());
        };
        let number = match numbers.get(shard) {
            Some(&number) => number,
            None => {
                check_name(shard)?;
                if shards.len() >= MAX_SHARDS {
                    return Err(Fault::TooManyShards {
                        count: shards.len() + 1,
                        limit: MAX_SHARDS,
                    });
                }
                let number = shards.len() as u32;
                shards.push(shard.to_owned());
                numbers.insert(shard, number);
                number
            }
        };
        shard_of.insert(tensor.clone(), number);
    }
    if shards.is_empty() {
        return Err(Fault::EmptyIndex);
    }
    Ok(Index { shards, shard_of })
}

fn check_name(shard: &str) -> Result<(), Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@= ".contains(c);
    let good = shard.ends_with(".safetensors")
        && !shard.starts_with('.')
        && shard.len() <= MAX_NAME_BYTES
        && shard.chars().all(plain);
    match good {
        true => Ok(()),
        false => Err(Fault::ShardName {
            shard: Quoted::new(shard),
        }),
    }
}
