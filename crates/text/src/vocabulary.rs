//! A model's vocabulary as its file states it, before anything is derived from it.
//!
//! This is the seam between file formats and tokenizers: plain data, no look-up tables. Everything in it is foreign and
//! unchecked; [`crate::Tokenizer::from_vocabulary`] is the one validator.

mod gguf;

/// How a vocabulary's tokens are joined into longer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocabularyKind {
    /// Byte-level byte-pair encoding: tokens are spelt in GPT-2's byte alphabet, merges are listed by rank.
    BytePair,
    /// SentencePiece: tokens are UTF-8 with `▁` for a space, the highest score merges first, bytes are the fallback.
    SentencePiece,
    /// RWKV's: tokens are any bytes, spelt with Python's escapes; the longest one that fits comes next.
    LongestMatch,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// Ordinary text.
    Normal,
    /// The unknown token.
    Unknown,
    /// Steers the model and is not text: begin, end, roles.
    Control,
    /// Text that is always one token, before any merging.
    UserDefined,
    /// A slot without meaning.
    Unused,
    /// One raw byte, spelt `<0x0A>`.
    Byte,
}

impl TokenType {
    /// The type of a GGUF file's number; what the format does not define is [`TokenType::Unused`].
    pub fn from_gguf(number: i32) -> Self {
        match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            _ => Self::Unused,
        }
    }
}

impl TokenType {
    /// The type's number in a GGUF file.
    pub fn gguf(self) -> i32 {
        match self {
            Self::Normal => 1,
            Self::Unknown => 2,
            Self::Control => 3,
            Self::UserDefined => 4,
            Self::Unused => 5,
            Self::Byte => 6,
        }
    }
}

/// The ids of tokens with a role, where the file names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begin of sequence.
    pub bos: Option<u32>,
    /// End of sequence.
    pub eos: Option<u32>,
    /// End of turn.
    pub eot: Option<u32>,
    /// End of message.
    pub eom: Option<u32>,
    /// Unknown.
    pub unk: Option<u32>,
    /// Fill-in-the-middle: prefix, suffix and middle.
    pub fim_pre: Option<u32>,
    /// See [`SpecialIds::fim_pre`].
    pub fim_suf: Option<u32>,
    /// See [`SpecialIds::fim_pre`].
    pub fim_mid: Option<u32>,
    /// Fill-in-the-middle padding; ends generation.
    pub fim_pad: Option<u32>,
    /// Repository name; ends generation.
    pub fim_rep: Option<u32>,
    /// File separator; ends generation.
    pub fim_sep: Option<u32>,
}

/// A vocabulary as read from a model file.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// How tokens are joined.
    pub kind: VocabularyKind,
    /// Each token's spelling, by id.
    pub tokens: Vec<Vec<u8>>,
    /// One score per token (higher merges first), or empty where the file has none.
    pub scores: Vec<f32>,
    /// One type per token, or empty: then all are [`TokenType::Normal`].
    pub types: Vec<TokenType>,
    /// Byte-pair merges by rank: two spellings separated by the first space after the first character.
    pub merges: Vec<Vec<u8>>,
    /// The pre-tokenizer's name; byte-pair vocabularies only.
    pub pre: Option<String>,
    /// Tokens with a role.
    pub special: SpecialIds,
    /// Whether prompts begin with `bos`; `None` leaves it to the kind.
    pub add_bos: Option<bool>,
    /// Whether prompts end with `eos`.
    pub add_eos: Option<bool>,
    /// Whether text is given a leading space (SentencePiece only; default true).
    pub add_space_prefix: Option<bool>,
}
