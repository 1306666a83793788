//! Cutting text into the words inside which byte-pair merges may happen.
//!
//! A model's pre-tokenizer is a list of regular expressions, named by `tokenizer.ggml.pre`. Dozens of names share a
//! handful of expressions, and each of those is scanned by hand here ([`scan`]): linear time on any input, no regex
//! engine, and no backtracking for hostile text to exploit.
//!
//! A pre-tokenizer is a list of *stages*. Each stage cuts every piece of the stage before; look-ahead ends at the piece,
//! exactly as if each expression were run over each piece in turn.
//!
//! Source: the expressions and names are those of llama.cpp's `llama-vocab.cpp` (its reading of each model's
//! `tokenizer.json`); names whose expressions need more (`gpt-4o`, `tekken`, `deepseek-v3`, ...) are refused by name.

mod kimi;
mod scan;

use crate::error::TokenizerError;
use scan::Stage;

/// How a byte-level BPE model cuts its text, and the habits that come with the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pretokenizer {
    name: &'static str,
    stages: &'static [Stage],
    /// A word that is a token is taken whole, without asking the merges.
    pub(crate) whole_words_first: bool,
    /// Whether prompts begin with the begin-of-sequence token when the file does not say.
    pub(crate) adds_bos: bool,
}

const GPT2: &[Stage] = &[Stage::Gpt2];
const DIGITS_THEN_GPT2: &[Stage] = &[Stage::EachNumber, Stage::Gpt2];
const LLAMA3: &[Stage] = &[Stage::Words {
    digits: 3,
    marks: false,
}];
const QWEN2: &[Stage] = &[Stage::Words {
    digits: 1,
    marks: false,
}];
const QWEN35: &[Stage] = &[Stage::Words {
    digits: 1,
    marks: true,
}];
const KIMI: &[Stage] = &[Stage::Kimi];
const DEFAULT: &[Stage] = &[
    Stage::PunctuationRuns { backtick: false },
    Stage::Gpt2,
    Stage::NumberRuns,
    Stage::DigitTriples,
];
const FALCON: &[Stage] = &[
    Stage::PunctuationRuns { backtick: true },
    Stage::Gpt2,
    Stage::DigitTriples,
];

/// (names, stages, whole words first, adds BOS)
type Family = (&'static [&'static str], &'static [Stage], bool, bool);

const FAMILIES: &[Family] = &[
    (&["default"], DEFAULT, false, false),
    (
        &[
            "gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "mpt", "olmo", "jais", "trillion",
        ],
        GPT2,
        false,
        false,
    ),
    (&["granite-docling", "exaone4"], GPT2, false, false),
    (
        &["smollm", "starcoder", "refact", "command-r", "codeshell"],
        DIGITS_THEN_GPT2,
        false,
        false,
    ),
    (
        &["exaone", "minerva-7b", "mellum2"],
        DIGITS_THEN_GPT2,
        false,
        false,
    ),
    (
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
        ],
        LLAMA3,
        true,
        true,
    ),
    (&["glm4", "glm5"], LLAMA3, true, false),
    (&["dbrx", "smaug-bpe", "chatglm-bpe"], LLAMA3, false, false),
    (
        &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"],
        QWEN2,
        false,
        false,
    ),
    (
        &["stablelm2", "hunyuan", "solar-open", "grok-2"],
        QWEN2,
        false,
        false,
    ),
    (&["qwen35"], QWEN35, false, false),
    (&["falcon"], FALCON, false, false),
    (&["kimi-k2"], KIMI, false, false),
];

impl Pretokenizer {
    /// The pre-tokenizer of that name, as `tokenizer.ggml.pre` spells it.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownPretokenizer`], with every known name: a guess would give wrong token ids silently.
    pub fn by_name(name: &str) -> Result<Self, TokenizerError> {
        for &(names, stages, whole_words_first, adds_bos) in FAMILIES {
            if let Some(&name) = names.iter().find(|&&known| known == name) {
                return Ok(Self {
                    name,
                    stages,
                    whole_words_first,
                    adds_bos,
                });
            }
        }
        let known: Vec<&str> = FAMILIES
            .iter()
            .flat_map(|family| family.0)
            .copied()
            .collect();
        Err(TokenizerError::UnknownPretokenizer {
            found: name.chars().take(64).collect(),
            known: known.join(", "),
        })
    }

    /// The name it was asked for by.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Calls `word` with each word of `text`, in order; together they are `text`.
    pub fn split<'t>(&self, text: &'t str, word: &mut impl FnMut(&'t str)) {
        split(self.stages, text, word);
    }
}

fn split<'t>(stages: &[Stage], text: &'t str, word: &mut impl FnMut(&'t str)) {
    let Some((stage, later)) = stages.split_first() else {
        return word(text);
    };
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(stage.first_piece(rest));
        rest = tail;
        if later.is_empty() {
            word(piece);
        } else {
            split(later, piece, word);
        }
    }
}

#[cfg(test)]
mod tests;
