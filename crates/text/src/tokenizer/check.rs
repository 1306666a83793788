//! A vocabulary's arrays and ids against each other, before any table is built from them.

use crate::error::TokenizerError;
use crate::vocabulary::{SpecialIds, TokenType, Vocabulary, VocabularyKind};

/// Most tokens that a table of 32-bit slots, half full, can hold with room to spare.
const MOST_TOKENS: usize = 1 << 30;

/// Checks the arrays against each other, names empty tokens, and returns one type per token.
pub(super) fn checked_types(vocabulary: &mut Vocabulary) -> Result<Vec<TokenType>, TokenizerError> {
    let expected = vocabulary.tokens.len();
    if expected > MOST_TOKENS {
        return Err(TokenizerError::TooLarge {
            key: "tokenizer.ggml.tokens",
            found: expected,
            limit: MOST_TOKENS,
        });
    }
    let fits = |key, found| match found {
        0 => Ok(()),
        found if found == expected => Ok(()),
        found => Err(TokenizerError::LengthMismatch {
            key,
            expected,
            found,
        }),
    };
    fits("tokenizer.ggml.scores", vocabulary.scores.len())?;
    fits("tokenizer.ggml.token_type", vocabulary.types.len())?;
    for (id, token) in vocabulary
        .tokens
        .iter_mut()
        .enumerate()
        .filter(|(_, token)| token.is_empty())
    {
        *token = format!("[EMPTY_{id}]").into_bytes();
    }
    let mut types = std::mem::take(&mut vocabulary.types);
    types.resize(expected, TokenType::Normal);
    Ok(types)
}

/// The file's special ids, with SentencePiece's customary ones where it is silent.
pub(super) fn checked_special(vocabulary: &Vocabulary) -> Result<SpecialIds, TokenizerError> {
    let vocab_size = vocabulary.tokens.len();
    let inside = |id: &u32| (*id as usize) < vocab_size;
    let customary = |id: u32| {
        Some(id)
            .filter(|_| vocabulary.kind == VocabularyKind::SentencePiece)
            .filter(inside)
    };
    let checked = |key, id: Option<u32>| match id {
        Some(id) if !inside(&id) => Err(TokenizerError::SpecialOutOfRange {
            key,
            id,
            vocab_size,
        }),
        id => Ok(id),
    };
    let named = &vocabulary.special;
    Ok(SpecialIds {
        bos: checked("tokenizer.ggml.bos_token_id", named.bos)?.or(customary(1)),
        eos: checked("tokenizer.ggml.eos_token_id", named.eos)?.or(customary(2)),
        eot: checked("tokenizer.ggml.eot_token_id", named.eot)?,
        eom: checked("tokenizer.ggml.eom_token_id", named.eom)?,
        // Files in circulation have nonsense in the lesser roles; it does no harm to text.
        unk: named.unk.filter(inside).or(customary(0)),
        fim_pre: named.fim_pre.filter(inside),
        fim_suf: named.fim_suf.filter(inside),
        fim_mid: named.fim_mid.filter(inside),
        fim_pad: named.fim_pad.filter(inside),
        fim_rep: named.fim_rep.filter(inside),
        fim_sep: named.fim_sep.filter(inside),
    })
}
