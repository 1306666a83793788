//! Learning which pairs to merge: `tokenizers`' trainer, on the words of the texts to learn from.
//!
//! The pair that occurs most often becomes one token, then the next, until there are as many as asked for; a pair that occurs once is no
//! pattern. Of two that occur equally often the one whose tokens have the lower numbers comes first, so that the same texts always give the
//! same merges.

use std::collections::{HashMap, HashSet};

use tokenizers::{
    Trainer as _,
    models::bpe::{BPE, BpeTrainer},
};

use super::{BYTES, BytePairs, LONGEST, MOST, Tokenizer, TokenizerError};
use crate::{DataError, Document, Part, divided};

/// Bytes of text that are looked at, the first ones. The trainer counts pairs in 31 bits, and words hardly change after so many.
const SAMPLE: usize = 1 << 30;

impl Tokenizer {
    /// A vocabulary of `vocabulary` tokens, learned from those `documents` that are not held out (see [`divided`]). 256 are the bytes
    /// themselves, and need no text.
    ///
    /// # Errors
    /// A document can't be read, no vocabulary has that size, or the text has too few pairs for it.
    pub fn learned(
        documents: impl IntoIterator<Item = Result<Document, DataError>, IntoIter: Send>,
        held_out: usize,
        vocabulary: usize,
    ) -> Result<Self, DataError> {
        if !(BYTES..=MOST).contains(&vocabulary) {
            return Err(TokenizerError::Size { found: vocabulary }.into());
        }
        if vocabulary == BYTES {
            return Ok(Self::Bytes);
        }
        let mut failed = None;
        let mut left = SAMPLE;
        // The trainer asks from its own threads, and takes texts alone: an error ends them, and is told afterwards.
        let texts = divided(documents, held_out).map_while(|one| match one {
            Ok((Part::Train, mut document)) if left > 0 => {
                let end = document.text.floor_char_boundary(left);
                document.text.truncate(end);
                left = left.saturating_sub(end.max(1));
                Some(document.text)
            }
            Ok(_) => None,
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        let model = train(texts, vocabulary);
        match failed {
            Some(error) => Err(error),
            None => Ok(Self::Pairs(numbered(&model?, vocabulary)?)),
        }
    }
}

fn train(
    texts: impl Iterator<Item = String> + Send,
    vocabulary: usize,
) -> Result<BPE, TokenizerError> {
    let words = text::Pretokenizer::by_name(Tokenizer::GGUF_PRE)?;
    let alphabet: HashSet<char> = (0..=255)
        .flat_map(|byte| text::byte_spelling(&[byte]).chars().collect::<Vec<_>>())
        .collect();
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .min_frequency(2)
        .initial_alphabet(alphabet)
        .max_token_length(Some(LONGEST))
        .show_progress(false)
        .build();
    let told = |error: tokenizers::Error| TokenizerError::Learning(error.to_string());
    let spelt = |text: &str| {
        let mut found = Vec::new();
        words.split(text, &mut |word: &str| {
            found.push(text::byte_spelling(word.as_bytes()));
        });
        Ok(found)
    };
    trainer.feed(texts, spelt).map_err(told)?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(told)?;
    Ok(model)
}

/// The model's merges by our numbers of tokens. Two merges may make the same token, by different parts; then the first one stays.
fn numbered(model: &BPE, vocabulary: usize) -> Result<BytePairs, TokenizerError> {
    #[derive(serde::Deserialize)]
    struct Model {
        merges: Vec<(String, String)>,
    }
    let told = |error: serde_json::Error| TokenizerError::Learning(error.to_string());
    let value = serde_json::to_value(model).map_err(told)?;
    let Model { merges: spelt } = serde_json::from_value(value).map_err(told)?;
    let mut ids: HashMap<String, u32> = (0..=255u8)
        .map(|byte| (text::byte_spelling(&[byte]), u32::from(byte)))
        .collect();
    let mut merges = Vec::with_capacity(spelt.len());
    for (left, right) in spelt {
        let joined = format!("{left}{right}");
        if ids.contains_key(&joined) {
            continue;
        }
        let id = |part: &String| {
            let found = ids.get(part).copied();
            found.ok_or_else(|| TokenizerError::Learning(format!("{part:?} is no token")))
        };
        merges.push([id(&left)?, id(&right)?]);
        ids.insert(joined, (BYTES + merges.len() - 1) as u32);
    }
    if BYTES + merges.len() < vocabulary {
        return Err(TokenizerError::TooLittleText {
            asked: vocabulary,
            merges: merges.len(),
        });
    }
    BytePairs::new(merges)
}
