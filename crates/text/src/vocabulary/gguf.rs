//! Reading a vocabulary from a GGUF file's `tokenizer.ggml.*` keys.

use formats::gguf::Metadata;

use super::{SpecialIds, TokenType, Vocabulary, VocabularyKind};
use crate::error::TokenizerError;

impl Vocabulary {
    /// Copies the vocabulary out of a file's metadata; lengths and ids are checked by the tokenizer.
    ///
    /// # Errors
    /// When a key that is needed is missing or holds another type, or the kind of tokenizer is unknown.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, TokenizerError> {
        let kind = match metadata.str("tokenizer.ggml.model")? {
            "gpt2" => VocabularyKind::BytePair,
            "llama" => VocabularyKind::SentencePiece,
            "rwkv" => VocabularyKind::LongestMatch,
            other => {
                return Err(TokenizerError::UnknownModel {
                    found: other.chars().take(64).collect(),
                });
            }
        };
        let merges = match kind {
            VocabularyKind::BytePair => metadata
                .strs("tokenizer.ggml.merges")?
                .iter()
                .map(<[u8]>::to_vec)
                .collect(),
            VocabularyKind::SentencePiece | VocabularyKind::LongestMatch => Vec::new(),
        };
        let types = metadata
            .opt_i32s("tokenizer.ggml.token_type")?
            .unwrap_or_default();
        Ok(Self {
            kind,
            tokens: metadata
                .strs("tokenizer.ggml.tokens")?
                .iter()
                .map(<[u8]>::to_vec)
                .collect(),
            scores: metadata
                .opt_f32s("tokenizer.ggml.scores")?
                .unwrap_or_default()
                .to_vec(),
            types: types
                .iter()
                .map(|&number| TokenType::from_gguf(number))
                .collect(),
            merges,
            pre: metadata.opt_str("tokenizer.ggml.pre")?.map(str::to_owned),
            special: special_ids(metadata)?,
            add_bos: metadata.opt_bool("tokenizer.ggml.add_bos_token")?,
            add_eos: metadata.opt_bool("tokenizer.ggml.add_eos_token")?,
            add_space_prefix: metadata.opt_bool("tokenizer.ggml.add_space_prefix")?,
        })
    }
}

fn special_ids(metadata: &Metadata) -> Result<SpecialIds, TokenizerError> {
    let id = |name: &str| metadata.opt_u32(&format!("tokenizer.ggml.{name}_token_id"));
    // The fill-in-the-middle keys had other names before; the older name wins where a file has both, as in llama.cpp.
    let renamed = |old: &str, new: &str| Ok::<_, TokenizerError>(id(old)?.or(id(new)?));
    Ok(SpecialIds {
        bos: id("bos")?,
        eos: id("eos")?,
        eot: id("eot")?,
        eom: id("eom")?,
        unk: id("unknown")?,
        fim_pre: renamed("prefix", "fim_pre")?,
        fim_suf: renamed("suffix", "fim_suf")?,
        fim_mid: renamed("middle", "fim_mid")?,
        fim_pad: id("fim_pad")?,
        fim_rep: id("fim_rep")?,
        fim_sep: id("fim_sep")?,
    })
}
