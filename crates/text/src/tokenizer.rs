//! Text to token ids and back, exactly as the model was trained to see it.
//!
//! 1. Special tokens are cut out of the text ([`crate::specials`]).
//! 2. What lies between is cut into words: by the pre-tokenizer's expressions for byte-level BPE, before spaces for
//!    SentencePiece. RWKV's vocabularies know no words: the longest token that fits comes next ([`crate::longest_match`]).
//! 3. Each word's symbols are merged ([`crate::bpe`], [`crate::sentence_piece`]). Words repeat, so each call remembers the
//!    ones it has seen.
//!
//! Invariants: all tables are settled at construction, so that a [`Tokenizer`] is shared between threads freely; every
//! id it returns is below [`Tokenizer::vocab_size`]; encoding never fails and never panics, whatever the text.
//!
//! Source: llama.cpp's `llama-vocab.cpp`, whose ids are the reference. Attributes that llama.cpp attaches by model name
//! (`phi-3`, `jina`: stripping spaces beside special tokens) are not read; no architecture here needs them.

mod check;
mod decoded;

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use formats::gguf::Metadata;

use crate::bpe::{self, BytePairs};
use crate::error::{TokenizerError, printable};
use crate::longest_match::{LongestMatch, escapes};
use crate::pretokenizer::Pretokenizer;
use crate::sentence_piece::{Piece, SPACE_MARK, SentencePiece};
use crate::special_names;
use crate::specials::{Fragment, SpecialTrie, Specials};
use crate::token_index::TokenIndex;
use crate::vocabulary::{SpecialIds, TokenType, Vocabulary, VocabularyKind};
use check::{checked_special, checked_types};
use decoded::Decoded;

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    index: TokenIndex,
    types: Vec<TokenType>,
    decoded: Decoded,
    algorithm: Algorithm,
    trie: SpecialTrie,
    special: SpecialIds,
    ends: Vec<u32>,
    add_bos: Option<u32>,
    add_eos: Option<u32>,
}

#[derive(Debug)]
enum Algorithm {
    BytePair(BytePairs),
    SentencePiece(SentencePiece),
    LongestMatch(LongestMatch),
}

impl Tokenizer {
    /// Builds the tokenizer that a model file describes.
    ///
    /// # Errors
    /// When the file's vocabulary is missing, damaged, or of an unknown kind.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        Self::from_vocabulary(Vocabulary::from_metadata(metadata)?)
    }

    /// Builds a tokenizer from a plain vocabulary, checking all of it.
    ///
    /// # Errors
    /// When arrays differ in length, tokens repeat, scores are no numbers, ids lie outside the vocabulary, bytes cannot be
    /// spelt, or the pre-tokenizer is unknown.
    pub fn from_vocabulary(mut vocabulary: Vocabulary) -> Result<Self, TokenizerError> {
        let mut types = checked_types(&mut vocabulary)?;
        if vocabulary.kind == VocabularyKind::LongestMatch {
            // From here on a spelling is what it stands for, so that two escapes of one token are found out.
            for (id, token) in (0_u32..).zip(&mut vocabulary.tokens) {
                *token = escapes::unescaped(id, token)?;
            }
        }
        let index = TokenIndex::new(&vocabulary.tokens).map_err(|(first, second)| {
            TokenizerError::DuplicateToken {
                first,
                second,
                text: printable(&vocabulary.tokens[first as usize]),
            }
        })?;
        let special = checked_special(&vocabulary)?;
        let ends = special_names::settle(&special, &mut types, |name| index.id(name.as_bytes()));
        let (algorithm, bos_by_default) = match vocabulary.kind {
            VocabularyKind::BytePair => {
                let pretokenizer =
                    Pretokenizer::by_name(vocabulary.pre.as_deref().unwrap_or("default"))?;
                let pairs = BytePairs::new(&index, &vocabulary.merges, pretokenizer)?;
                (Algorithm::BytePair(pairs), pretokenizer.adds_bos)
            }
            VocabularyKind::SentencePiece => {
                let prefix = vocabulary.add_space_prefix.unwrap_or(true);
                let pieces =
                    SentencePiece::new(&index, &vocabulary.scores, &types, special.unk, prefix)?;
                (Algorithm::SentencePiece(pieces), true)
            }
            VocabularyKind::LongestMatch => {
                let matches = LongestMatch::new(&index, &types, special.unk)?;
                (Algorithm::LongestMatch(matches), false)
            }
        };
        let add = |flag: Option<bool>, by_default, id, flag_key, key| match (
            flag.unwrap_or(by_default),
            id,
        ) {
            (false, _) => Ok(None),
            (true, None) if flag.is_some() => Err(TokenizerError::SpecialNotNamed {
                flag: flag_key,
                key,
            }),
            (true, id) => Ok(id),
        };
        let bos_keys = (
            "tokenizer.ggml.add_bos_token",
            "tokenizer.ggml.bos_token_id",
        );
        let eos_keys = (
            "tokenizer.ggml.add_eos_token",
            "tokenizer.ggml.eos_token_id",
        );
        let add_bos = add(
            vocabulary.add_bos,
            bos_by_default,
            special.bos,
            bos_keys.0,
            bos_keys.1,
        )?;
        let add_eos = add(
            vocabulary.add_eos,
            false,
            special.eos,
            eos_keys.0,
            eos_keys.1,
        )?;
        let trie = special_trie(&index, &types);
        let decoded = Decoded::new(&index, &types, vocabulary.kind);
        Ok(Self {
            index,
            types,
            decoded,
            algorithm,
            trie,
            special,
            ends,
            add_bos,
            add_eos,
        })
    }

    /// The token ids of `text`, without begin or end tokens.
    pub fn encode(&self, text: &str, specials: Specials) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len() / 3);
        self.encode_into(text, specials, &mut out);
        out
    }

    /// The token ids of a whole prompt: with the begin and end tokens that the model was trained with.
    ///
    /// A prompt that already begins with the begin token (as templates write it) does not get a second one; llama.cpp only
    /// warns of it.
    pub fn encode_prompt(&self, text: &str, specials: Specials) -> Vec<u32> {
        let mut out: Vec<u32> = self.add_bos.into_iter().collect();
        self.encode_into(text, specials, &mut out);
        if out.len() > 1 && self.add_bos == Some(out[1]) {
            out.remove(0);
        }
        out.extend(self.add_eos.filter(|&eos| out.last() != Some(&eos)));
        out
    }

    /// The token ids of a text that the model shall go on with: the begin token where the model wants it, and never an end token.
    pub fn encode_to_continue(&self, text: &str, specials: Specials) -> Vec<u32> {
        let mut out = self.encode(text, specials);
        if let Some(bos) = self.add_bos.filter(|bos| out.first() != Some(bos)) {
            out.insert(0, bos);
        }
        out
    }

    /// As [`Tokenizer::encode_prompt`], for text that may not be UTF-8, such as a file's.
    ///
    /// # Errors
    /// [`TokenizerError::InvalidUtf8`] with the offset of the first invalid byte: no token is invented for it.
    pub fn encode_bytes(
        &self,
        text: &[u8],
        specials: Specials,
    ) -> Result<Vec<u32>, TokenizerError> {
        let text = std::str::from_utf8(text).map_err(|error| TokenizerError::InvalidUtf8 {
            offset: error.valid_up_to(),
        })?;
        Ok(self.encode_prompt(text, specials))
    }

    fn encode_into(&self, text: &str, specials: Specials, out: &mut Vec<u32>) {
        let mut work = Work {
            after_special: true,
            ..Work::default()
        };
        self.trie
            .partition(text, specials, &mut |fragment| match fragment {
                Fragment::Token(id) => {
                    out.push(id);
                    work.after_special = true;
                }
                Fragment::Text(text)
                    if specials == Specials::ParseDefused && text.contains(GUARD) =>
                {
                    self.encode_text(&text.replace(GUARD, ""), &mut work, out);
                }
                Fragment::Text(text) => self.encode_text(text, &mut work, out),
            });
    }

    /// Appends the tokens of text without special tokens.
    fn encode_text(&self, text: &str, work: &mut Work, out: &mut Vec<u32>) {
        let Work {
            seen,
            bytes,
            pieces: scratch,
            after_special,
        } = work;
        match &self.algorithm {
            Algorithm::BytePair(pairs) => pairs.pretokenizer().split(text, &mut |word| {
                seen.encode(word, out, |out| {
                    pairs.encode_word(word, &self.index, bytes, out)
                });
            }),
            Algorithm::SentencePiece(pieces) => {
                let marked = mark_spaces(text, pieces.add_space_prefix && *after_special);
                pieces.split(&marked, &mut |word| {
                    seen.encode(word, out, |out| {
                        pieces.encode_word(word, &self.index, scratch, out)
                    });
                });
            }
            Algorithm::LongestMatch(matches) => matches.encode(text.as_bytes(), &self.index, out),
        }
        *after_special = false;
    }

    /// Makes foreign text safe to put into a chat template: where it spells a control token, an invisible guard breaks the
    /// spelling. Encode the rendered template with [`Specials::ParseDefused`], which parses the template's own control
    /// tokens, removes the guards, and gives the foreign text the ids that [`Specials::Plain`] would.
    ///
    /// The guard is a Unicode noncharacter; text that holds it already gets U+FFFD instead. A control token of a single
    /// character cannot be broken, and no vocabulary is known to have one.
    pub fn defuse<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut starts = self.trie.control_starts(text.as_bytes()).peekable();
        if starts.peek().is_none() && !text.contains(GUARD) {
            return Cow::Borrowed(text);
        }
        let mut safe = String::with_capacity(text.len() + 16);
        for (at, character) in text.char_indices() {
            safe.push(if character == GUARD {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            });
            if starts.next_if_eq(&at).is_some() {
                safe.push(GUARD);
            }
        }
        Cow::Owned(safe)
    }

    /// The bytes that a token stands for: its text for control tokens, nothing for unused ones and beyond the vocabulary.
    ///
    /// A token need not be whole characters; see [`crate::Utf8Stream`].
    pub fn bytes_of(&self, id: u32) -> &[u8] {
        self.decoded.get(id)
    }

    /// The text of `ids`, without control tokens. Invalid UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let shown = ids.iter().filter(|&&id| !self.is_control(id));
        let bytes: Vec<u8> = shown.flat_map(|&id| self.bytes_of(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the token steers the model and is not part of the text: control tokens and the unknown token.
    pub fn is_control(&self, id: u32) -> bool {
        matches!(
            self.types.get(id as usize),
            Some(TokenType::Control | TokenType::Unknown)
        )
    }

    /// Whether generation stops when the model produces this token.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// All tokens that end a generation, ascending.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.ends
    }

    /// Number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.index.len()
    }

    /// The token that is spelt so in the vocabulary (`<|im_end|>`; note that BPE spells a space `Ġ`).
    pub fn token_id(&self, spelling: &str) -> Option<u32> {
        self.index.id(spelling.as_bytes())
    }

    /// The spelling of a token in the vocabulary; lossy where it is not UTF-8.
    pub fn spelling(&self, id: u32) -> String {
        String::from_utf8_lossy(self.index.spelling(id)).into_owned()
    }

    /// The tokens with a role, as the file names them.
    pub fn special_ids(&self) -> &SpecialIds {
        &self.special
    }

    /// The begin token that [`Tokenizer::encode_prompt`] puts first, if the model wants one.
    pub fn added_bos(&self) -> Option<u32> {
        self.add_bos
    }

    /// The name of the pre-tokenizer, for byte-level BPE.
    pub fn pretokenizer(&self) -> Option<&'static str> {
        match &self.algorithm {
            Algorithm::BytePair(pairs) => Some(pairs.pretokenizer().name()),
            Algorithm::SentencePiece(_) | Algorithm::LongestMatch(_) => None,
        }
    }
}

/// The noncharacter that [`Tokenizer::defuse`] puts into control tokens.
const GUARD: char = '\u{FDD0}';

/// What one call carries from fragment to fragment.
#[derive(Default)]
struct Work {
    seen: Seen,
    bytes: bpe::Scratch,
    pieces: Vec<Piece>,
    /// Nothing but special tokens came before, or one came last.
    after_special: bool,
}

/// The words of one call that are encoded already, as ranges of its output.
#[derive(Default)]
struct Seen {
    words: HashMap<Box<str>, (usize, usize), RandomState>,
}

/// Longer words seldom repeat, and would cost more to keep than they save.
const LONGEST_REMEMBERED: usize = 24;

/// Bounds the memory of one call; by then the frequent words are in.
const MOST_REMEMBERED: usize = 1 << 16;

impl Seen {
    fn encode(&mut self, word: &str, out: &mut Vec<u32>, encode: impl FnOnce(&mut Vec<u32>)) {
        if word.len() > LONGEST_REMEMBERED {
            return encode(out);
        }
        if let Some(&(start, end)) = self.words.get(word) {
            return out.extend_from_within(start..end);
        }
        let start = out.len();
        encode(out);
        if self.words.len() < MOST_REMEMBERED {
            self.words.insert(word.into(), (start, out.len()));
        }
    }
}

fn mark_spaces(text: &str, prefix: bool) -> String {
    let mut marked = String::with_capacity(text.len() + text.len() / 2);
    if prefix {
        marked.push(SPACE_MARK);
    }
    marked.extend(text.chars().map(|character| {
        if character == ' ' {
            SPACE_MARK
        } else {
            character
        }
    }));
    marked
}

/// Control, unknown and user-defined tokens. One that is not UTF-8 cannot occur in text and is left out.
fn special_trie(index: &TokenIndex, types: &[TokenType]) -> SpecialTrie {
    SpecialTrie::new((0_u32..).zip(types).filter_map(|(id, kind)| {
        let is_control = match kind {
            TokenType::Control | TokenType::Unknown => true,
            TokenType::UserDefined => false,
            TokenType::Normal | TokenType::Unused | TokenType::Byte => return None,
        };
        Some((
            id,
            std::str::from_utf8(index.spelling(id)).ok()?,
            is_control,
        ))
    }))
}

#[cfg(test)]
mod tests;
