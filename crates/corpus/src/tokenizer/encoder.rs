//! From text to tokens.

use text::{Specials, Vocabulary, VocabularyKind};

use super::{Tokenizer, TokenizerError};

/// A tokenizer with its tables; threads may share it.
#[derive(Debug)]
pub struct Encoder {
    /// None where tokens are bytes.
    pairs: Option<text::Tokenizer>,
}

impl Encoder {
    pub(super) fn new(tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        if *tokenizer == Tokenizer::Bytes {
            return Ok(Self { pairs: None });
        }
        let as_bytes = |names: Vec<String>| names.into_iter().map(String::into_bytes).collect();
        let vocabulary = Vocabulary {
            kind: VocabularyKind::BytePair,
            tokens: as_bytes(tokenizer.gguf_tokens()),
            scores: Vec::new(),
            types: Vec::new(),
            merges: as_bytes(tokenizer.gguf_merges()),
            pre: Some(Tokenizer::GGUF_PRE.to_owned()),
            special: text::SpecialIds::default(),
            add_bos: Some(false),
            add_eos: Some(false),
            add_space_prefix: None,
        };
        let pairs = Some(text::Tokenizer::from_vocabulary(vocabulary)?);
        Ok(Self { pairs })
    }

    /// The tokens of a text, without a separator. A zero byte in it would be one.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match &self.pairs {
            None => text.bytes().map(u32::from).collect(),
            Some(pairs) => pairs.encode(text, Specials::Plain),
        }
    }
}
