//! What a run learns from: its texts read, their tokenizer learned where it is none of bytes, and divided.

use std::path::Path;

use corpus::{Document, Documents, Shards, Splits, Tokenizer};
use train::Settings;

use super::Arguments;
use crate::{addresses, failure::Failure};

/// Texts beyond this are tokenised into files of the run's folder, and mapped.
const MOST_IN_MEMORY: u64 = 1 << 30;

/// The texts as tokens. `known`: what tokens were when the run began; else, for a vocabulary beyond the bytes, pairs are learned from what is
/// learned from.
pub(super) fn splits(
    arguments: &Arguments,
    settings: &Settings,
    known: Option<&Tokenizer>,
    folder: &Path,
) -> Result<Splits, Failure> {
    let positions = settings.steps.positions;
    let bytes = arguments
        .texts
        .iter()
        .map(|path| path.metadata().map_or(0, |data| data.len()));
    let is_large = arguments.shards || bytes.sum::<u64>() > MOST_IN_MEMORY;
    if is_large && !arguments.texts.is_empty() {
        let folder = folder.join("tokens");
        // A run that goes on has them; whatever else lies there is not this run's.
        let shards = if known.is_some() && folder.exists() {
            Shards::open(&folder)?
        } else {
            let texts = || Documents::of_files(arguments.texts.clone(), &arguments.field);
            let held_out = match arguments.held_out {
                Some(held_out) => held_out,
                None => held_out_of(texts().count()),
            };
            let tokenizer = match known {
                Some(known) => known.clone(),
                None => Tokenizer::learned(texts(), held_out, settings.model.vocabulary)?,
            };
            // A failed beginning takes the run's folder away again.
            let above = folder.parent().unwrap_or(&folder);
            std::fs::create_dir_all(above).map_err(|source| Failure::Write {
                path: above.to_owned(),
                source,
            })?;
            Shards::build(&folder, texts(), held_out, &tokenizer)?
        };
        return Ok(shards.splits(positions)?);
    }
    let documents: Vec<Document> = if arguments.texts.is_empty() {
        addresses::addresses()?
    } else {
        Documents::of_files(arguments.texts.clone(), &arguments.field).collect::<Result<_, _>>()?
    };
    let held_out = arguments
        .held_out
        .unwrap_or_else(|| held_out_of(documents.len()));
    let tokenizer = match known {
        Some(known) => known.clone(),
        None => {
            let texts = documents.iter().cloned().map(Ok);
            Tokenizer::learned(texts, held_out, settings.model.vocabulary)?
        }
    };
    Ok(Splits::of(&documents, held_out, positions, &tokenizer)?)
}

/// How many of so many documents are held out where nobody says it.
fn held_out_of(documents: usize) -> usize {
    (documents / 20).clamp(1, 8)
}
