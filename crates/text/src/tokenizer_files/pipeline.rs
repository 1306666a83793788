//! What a `tokenizer.json` does around its merges: normaliser, pre-tokenizer, post-processor.
//!
//! Nothing is guessed. Each part must be one whose behaviour this crate has; anything else is refused with its own text.

use serde_json::Value;

use super::document::Document;
use super::error::TokenizerFilesError;
use crate::sentence_piece::SPACE_MARK;

/// The expressions of the pre-tokenizers that cut words with one, as the files spell them. llama.cpp knows them by the name of
/// the first model that had them.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const KNOWN_PRE_TOKENIZERS: &str = "byte-level with the expressions of GPT-2, SmolLM2 (digits alone), Llama 3, Qwen2 and Qwen3.5; SentencePiece (spaces as ▁, with byte fallback)";

/// How a tokenizer cuts and merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Byte-level, with this name of a pre-tokenizer.
    BytePair { pre: &'static str },
    /// SentencePiece.
    SentencePiece { space_prefix: bool },
}

/// Recognises the tokenizer's kind.
pub(super) fn kind(document: &Document, file: &str) -> Result<Kind, TokenizerFilesError> {
    let unknown = |part, found: &Value, known| TokenizerFilesError::Unknown {
        file: file.to_owned(),
        part,
        found: shown(found),
        known,
    };
    let steps = steps(&document.pre_tokenizer, "pretokenizers");
    let normalizers = self::steps(&document.normalizer, "normalizers");
    let byte_fallback = document.model.byte_fallback == Some(true);
    if steps.iter().any(|step| kind_of(step) == "ByteLevel") {
        // NFC changes text that hardly occurs; llama.cpp leaves it out too.
        if let Some(step) = normalizers.iter().find(|step| kind_of(step) != "NFC") {
            return Err(unknown("the normalizer", step, "none and NFC"));
        }
        if byte_fallback {
            let both = Value::from("byte-level with byte fallback");
            return Err(unknown("the pre-tokenizer", &both, KNOWN_PRE_TOKENIZERS));
        }
        let ignore_merges = document.model.ignore_merges == Some(true);
        return match byte_level(&steps, ignore_merges) {
            Some(pre) => Ok(Kind::BytePair { pre }),
            None => Err(unknown(
                "the pre-tokenizer",
                &document.pre_tokenizer,
                KNOWN_PRE_TOKENIZERS,
            )),
        };
    }
    let mut spaces = Spaces::default();
    if let Some(step) = normalizers.iter().find(|step| !spaces.normalizer(step)) {
        let known = "for SentencePiece: Prepend ▁, and Replace of a space by ▁";
        return Err(unknown("the normalizer", step, known));
    }
    let strange = steps.iter().find(|step| !spaces.pre_tokenizer(step));
    if strange.is_some() || !spaces.marked || !byte_fallback {
        return Err(unknown(
            "the pre-tokenizer",
            strange.copied().unwrap_or(&document.pre_tokenizer),
            KNOWN_PRE_TOKENIZERS,
        ));
    }
    Ok(Kind::SentencePiece {
        space_prefix: spaces.prefix,
    })
}

/// The name that llama.cpp has for a byte-level pre-tokenizer.
fn byte_level(steps: &[&Value], ignore_merges: bool) -> Option<&'static str> {
    let (last, before) = steps.split_last()?;
    let flag = |step: &Value, key: &str| step.get(key).and_then(Value::as_bool);
    if kind_of(last) != "ByteLevel" || flag(last, "add_prefix_space") != Some(false) {
        return None;
    }
    // Absent means true.
    let gpt2 = flag(last, "use_regex") != Some(false);
    match (before, gpt2, ignore_merges) {
        ([], true, false) => Some("gpt-2"),
        ([digits], true, false)
            if kind_of(digits) == "Digits" && flag(digits, "individual_digits") == Some(true) =>
        {
            Some("smollm")
        }
        ([split], false, _) => {
            let whole = split.get("behavior").and_then(Value::as_str) == Some("Isolated")
                && flag(split, "invert") != Some(true)
                && kind_of(split) == "Split";
            let expression = split.get("pattern")?.get("Regex")?.as_str()?;
            match (expression, ignore_merges) {
                _ if !whole => None,
                (LLAMA3, true) => Some("llama-bpe"),
                (LLAMA3, false) => Some("smaug-bpe"),
                (QWEN2, false) => Some("qwen2"),
                (QWEN35, false) => Some("qwen35"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// How a SentencePiece tokenizer treats spaces, found step by step. The functions answer whether a step is known.
#[derive(Default)]
struct Spaces {
    marked: bool,
    prefix: bool,
}

impl Spaces {
    fn normalizer(&mut self, step: &Value) -> bool {
        let text = |key: &str| step.get(key).and_then(Value::as_str);
        match kind_of(step) {
            "Prepend" => {
                self.prefix = true;
                text("prepend") == Some("▁")
            }
            "Replace" => {
                self.marked = true;
                is_space(step) && text("content") == Some("▁")
            }
            _ => false,
        }
    }

    fn pre_tokenizer(&mut self, step: &Value) -> bool {
        match kind_of(step) {
            // After the normaliser there are no spaces at which it could split.
            "Split" => self.marked && is_space(step),
            "Metaspace" => {
                let scheme = step.get("prepend_scheme").and_then(Value::as_str);
                let prefix = step.get("add_prefix_space").and_then(Value::as_bool);
                self.marked = true;
                self.prefix |= match scheme {
                    Some(scheme) => scheme != "never",
                    None => prefix.unwrap_or(true),
                };
                step.get("replacement").and_then(Value::as_str) == Some("▁")
                    && step.get("split").and_then(Value::as_bool) == Some(false)
            }
            _ => false,
        }
    }
}

fn is_space(step: &Value) -> bool {
    let pattern = step
        .get("pattern")
        .and_then(|pattern| pattern.get("String"));
    pattern.and_then(Value::as_str) == Some(" ")
}

/// Tokens that are put around every text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) begin: Option<String>,
    pub(super) end: Option<String>,
}

/// Reads the post-processor. `None` where it puts nothing around a text.
pub(super) fn around(
    document: &Document,
    file: &str,
) -> Result<Option<Around>, TokenizerFilesError> {
    let mut found = None;
    for step in steps(&document.post_processor, "processors") {
        match kind_of(step) {
            "ByteLevel" => {}
            "TemplateProcessing" => {
                let single = step.get("single").and_then(Value::as_array);
                let places = single.map_or(&[][..], Vec::as_slice);
                let special = |place: Option<&Value>| {
                    let id = place?.get("SpecialToken")?.get("id")?;
                    id.as_str().map(str::to_owned)
                };
                let text = places
                    .iter()
                    .position(|place| place.get("Sequence").is_some());
                let (before, after) = match text {
                    Some(at) => (at, places.len() - at - 1),
                    None => (2, 2),
                };
                if before > 1 || after > 1 {
                    return Err(unknown_processor(step, file));
                }
                found = Some(Around {
                    begin: special(places.first()).filter(|_| before == 1),
                    end: special(places.last()).filter(|_| after == 1),
                });
            }
            _ => return Err(unknown_processor(step, file)),
        }
    }
    Ok(found)
}

fn unknown_processor(step: &Value, file: &str) -> TokenizerFilesError {
    TokenizerFilesError::Unknown {
        file: file.to_owned(),
        part: "the post-processor",
        found: shown(step),
        known: "ByteLevel, and TemplateProcessing with at most one token before and after the text",
    }
}

/// The parts of a sequence, or the one part; nothing for `null`.
fn steps<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value {
        Value::Null => Vec::new(),
        value if kind_of(value) == "Sequence" => {
            let parts = value.get(key).and_then(Value::as_array);
            let parts = parts.into_iter().flatten();
            // A sequence in a sequence is its parts; the parser bounds the depth.
            parts.flat_map(|part| steps(part, key)).collect()
        }
        value => vec![value],
    }
}

fn kind_of(step: &Value) -> &str {
    step.get("type").and_then(Value::as_str).unwrap_or("")
}

/// A part as text, shortened and made safe to print.
fn shown(value: &Value) -> String {
    let text: String = value.to_string().chars().take(200).collect();
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// `▁` is what [`SPACE_MARK`] spells; the match arms above need it as text.
const _: () = assert!(SPACE_MARK as u32 == 0x2581);
