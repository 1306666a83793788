//! The tokenizer of a Hugging Face checkpoint, as the metadata of a GGUF file.
//!
//! 1. `tokenizer.json` gives tokens, types and merges; its pre-tokenizer is recognised by its exact definition
//!    ([`pipeline`]). SentencePiece merges become scores ([`scores`]).
//! 2. `tokenizer_config.json` names the begin and end tokens and whether they are added; `generation_config.json` and
//!    `config.json` are asked where it is silent.
//! 3. The chat template comes from `chat_template.jinja`, else `tokenizer_config.json`, else `chat_template.json`.
//!
//! So the one tokenizer of this crate serves both kinds of model. What cannot be said in that form is refused, never guessed.

mod document;
mod error;
mod pipeline;
mod scores;

use std::path::Path;

use formats::gguf::{Array, Quoted, Text, Value};
use formats::json::{self, Object};

use crate::vocabulary::TokenType;
use document::{Document, Merge, Vocab};
pub use error::TokenizerFilesError;
use pipeline::{Around, Kind};

/// The largest vocabularies with their merges take some 35 MB.
const MAX_TOKENIZER_BYTES: u64 = 256 << 20;
const MAX_CONFIG_BYTES: u64 = 16 << 20;
/// Several times the largest vocabulary.
const MAX_ROWS: usize = 1 << 22;

/// The `tokenizer.*` metadata of the checkpoint in `folder`, whose embedding table has `rows` rows.
///
/// # Errors
/// `tokenizer.json` is missing, damaged, or of a kind that Sprag does not know.
pub fn tokenizer_metadata(
    folder: &Path,
    rows: usize,
) -> Result<Vec<(String, Value)>, TokenizerFilesError> {
    let path = folder.join("tokenizer.json");
    let Some(bytes) = json::bytes(&path, MAX_TOKENIZER_BYTES)? else {
        return Err(TokenizerFilesError::Missing {
            folder: folder.display().to_string(),
        });
    };
    let document: Document = json::parse(&path, &bytes)?;
    drop(bytes);
    let files = Files::read(folder)?;
    metadata(document, &path, rows, &files)
}

/// As [`tokenizer_metadata`], for the bytes of a `tokenizer.json` alone that are said to come from `path`.
///
/// # Errors
/// As [`tokenizer_metadata`].
pub fn tokenizer_metadata_of(
    path: &Path,
    bytes: &[u8],
    rows: usize,
) -> Result<Vec<(String, Value)>, TokenizerFilesError> {
    metadata(json::parse(path, bytes)?, path, rows, &Files::default())
}

/// The files beside `tokenizer.json`, each of which may be missing.
#[derive(Default)]
struct Files {
    tokenizer_config: Option<json::Document>,
    generation_config: Option<json::Document>,
    config: Option<json::Document>,
    template: Option<String>,
}

impl Files {
    fn read(folder: &Path) -> Result<Self, TokenizerFilesError> {
        let read = |name: &str| json::Document::read_optional(&folder.join(name), MAX_CONFIG_BYTES);
        let jinja = json::bytes(&folder.join("chat_template.jinja"), MAX_CONFIG_BYTES)?;
        let tokenizer_config = read("tokenizer_config.json")?;
        let mut template = jinja.map(|text| String::from_utf8_lossy(&text).into_owned());
        if let (None, Some(config)) = (&template, &tokenizer_config) {
            template = template_of(&config.root())?;
        }
        if let (None, Some(file)) = (&template, read("chat_template.json")?) {
            template = template_of(&file.root())?;
        }
        Ok(Self {
            tokenizer_config,
            generation_config: read("generation_config.json")?,
            config: read("config.json")?,
            template,
        })
    }
}

/// The field `chat_template`: a text, or a list of named ones of which `default` counts.
fn template_of(config: &Object<'_>) -> Result<Option<String>, TokenizerFilesError> {
    let Some(value) = config.get("chat_template") else {
        return Ok(None);
    };
    if let Some(text) = value.as_str() {
        return Ok(Some(text.to_owned()));
    }
    let Some(list) = value.as_array() else {
        let expected = "a text, or a list of named texts";
        return Err(config.wrong("chat_template", expected).into());
    };
    let named = |name: &str| {
        let found = list.iter().find(|entry| entry["name"] == name)?;
        found["template"].as_str().map(str::to_owned)
    };
    Ok(named("default"))
}

fn metadata(
    document: Document,
    path: &Path,
    rows: usize,
    files: &Files,
) -> Result<Vec<(String, Value)>, TokenizerFilesError> {
    let file = path.display().to_string();
    check_model(&document, &file)?;
    let kind = pipeline::kind(&document, &file)?;
    let around = pipeline::around(&document, &file)?;
    let table = Table::new(&document, &kind, rows, &file)?;
    let mut pairs = Pairs(Vec::new());
    let text = |text: &str| Value::Str(Text::from(text));
    match &kind {
        Kind::BytePair { pre } => {
            pairs.push("model", text("gpt2"));
            pairs.push("pre", text(pre));
            let merges = byte_merges(&document.model.merges, &file)?;
            pairs.push("merges", Value::Array(Array::Str(merges.iter().collect())));
        }
        Kind::SentencePiece { space_prefix } => {
            pairs.push("model", text("llama"));
            pairs.push("pre", text("default"));
            let merges = &document.model.merges;
            let scores =
                scores::from_merges(&table.tokens, &table.types, merges).map_err(|found| {
                    TokenizerFilesError::Unknown {
                        file: file.clone(),
                        part: "the list of merges",
                        found: format!("one in which {}", Quoted::new(&found)),
                        known: "for SentencePiece: merges that follow from scores",
                    }
                })?;
            pairs.push("scores", Value::Array(Array::F32(scores)));
            pairs.push("add_space_prefix", Value::Bool(*space_prefix));
        }
    }
    table.special_ids(&document, files, around.as_ref(), &mut pairs)?;
    let types = table.types.iter().map(|&kind| kind.gguf()).collect();
    pairs.push("token_type", Value::Array(Array::I32(types)));
    let mut spelled = table.tokens;
    if matches!(kind, Kind::SentencePiece { .. }) {
        // Such tokens are looked for in the text as it is, before spaces are marked.
        let cut_out = |kind: &TokenType| *kind == TokenType::UserDefined;
        for (token, _) in spelled
            .iter_mut()
            .zip(&table.types)
            .filter(|(_, t)| cut_out(t))
        {
            *token = token.replace('▁', " ");
        }
    }
    pairs.push("tokens", Value::Array(Array::Str(spelled.iter().collect())));
    if let Some(template) = &files.template {
        let key = "tokenizer.chat_template".to_owned();
        pairs.0.push((key, text(template)));
    }
    Ok(pairs.0)
}

/// The algorithm is byte-pair merging without further rules.
fn check_model(document: &Document, file: &str) -> Result<(), TokenizerFilesError> {
    let model = &document.model;
    let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    let kind = model.kind.as_deref().unwrap_or("BPE");
    let found = if kind != "BPE" {
        Quoted::new(kind).to_string()
    } else if matches!(model.vocab, Vocab::Scores) {
        "a list of scores (Unigram)".to_owned()
    } else if !empty(&model.continuing_subword_prefix) || !empty(&model.end_of_word_suffix) {
        "BPE with marks at the ends of words".to_owned()
    } else if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        "BPE with dropout".to_owned()
    } else {
        return Ok(());
    };
    Err(TokenizerFilesError::Unknown {
        file: file.to_owned(),
        part: "the model",
        found,
        known: "BPE, byte-level or with byte fallback",
    })
}

/// Merges as GGUF has them: the two spellings with a space between.
fn byte_merges(merges: &[Merge], file: &str) -> Result<Vec<String>, TokenizerFilesError> {
    let line = |Merge(left, right): &Merge| {
        if left.contains(' ') || right.contains(' ') || left.is_empty() || right.is_empty() {
            let shown = Quoted::new(&format!("{left} {right}"));
            let what = format!("the merge {shown} is not two spellings of bytes");
            let file = file.to_owned();
            return Err(TokenizerFilesError::Contradiction { file, what });
        }
        Ok(format!("{left} {right}"))
    };
    merges.iter().map(line).collect()
}

struct Pairs(Vec<(String, Value)>);

impl Pairs {
    fn push(&mut self, key: &str, value: Value) {
        self.0.push((format!("tokenizer.ggml.{key}"), value));
    }
}

/// Every id's spelling and type.
struct Table {
    file: String,
    tokens: Vec<String>,
    types: Vec<TokenType>,
}

impl Table {
    fn new(
        document: &Document,
        kind: &Kind,
        rows: usize,
        file: &str,
    ) -> Result<Self, TokenizerFilesError> {
        if rows > MAX_ROWS {
            return Err(TokenizerFilesError::TooManyRows {
                rows,
                limit: MAX_ROWS,
            });
        }
        let mut tokens: Vec<Option<&str>> = vec![None; rows];
        let mut types = vec![TokenType::Unused; rows];
        let place = |token: &str, id: u32| -> Result<usize, TokenizerFilesError> {
            let index = id as usize;
            if index >= rows {
                return Err(TokenizerFilesError::BeyondEmbedding {
                    file: file.to_owned(),
                    token: Quoted::new(token).to_string(),
                    id,
                    rows,
                });
            }
            Ok(index)
        };
        let twice = |id: u32, one: &str, other: &str| TokenizerFilesError::Contradiction {
            file: file.to_owned(),
            what: format!(
                "the id {id} belongs to both {} and {}",
                Quoted::new(one),
                Quoted::new(other)
            ),
        };
        let bytes = matches!(kind, Kind::SentencePiece { .. });
        let Vocab::Ids(ids) = &document.model.vocab else {
            return Ok(Self::padded(file, tokens, types));
        };
        for (token, id) in ids {
            let index = place(token, *id)?;
            if let Some(other) = tokens[index].replace(token) {
                return Err(twice(*id, token, other));
            }
            types[index] = match bytes && is_byte(token) {
                true => TokenType::Byte,
                false => TokenType::Normal,
            };
        }
        for added in &document.added_tokens {
            let index = place(&added.content, added.id)?;
            match tokens[index] {
                Some(other) if other != added.content => {
                    return Err(twice(added.id, &added.content, other));
                }
                _ => tokens[index] = Some(&added.content),
            }
            types[index] = match added.special || looks_special(&added.content) {
                true => TokenType::Control,
                false => TokenType::UserDefined,
            };
        }
        if let (true, Some(unknown)) = (bytes, &document.model.unk_token)
            && let Some(at) = tokens.iter().position(|t| *t == Some(unknown))
        {
            types[at] = TokenType::Unknown;
        }
        Ok(Self::padded(file, tokens, types))
    }

    /// Rows without a token get a name that no text has.
    fn padded(file: &str, tokens: Vec<Option<&str>>, types: Vec<TokenType>) -> Self {
        let name = |(id, token): (usize, Option<&str>)| match token {
            Some(token) => token.to_owned(),
            None => format!("[PAD{id}]"),
        };
        Self {
            file: file.to_owned(),
            tokens: tokens.into_iter().enumerate().map(name).collect(),
            types,
        }
    }

    fn id(&self, token: &str) -> Option<u32> {
        let found = self.tokens.iter().position(|known| known == token)?;
        u32::try_from(found).ok()
    }

    /// Begin, end, unknown and padding tokens, and whether the first two are added.
    fn special_ids(
        &self,
        document: &Document,
        files: &Files,
        around: Option<&Around>,
        pairs: &mut Pairs,
    ) -> Result<(), TokenizerFilesError> {
        let bos = match self.named(files, "bos_token")? {
            Some(id) => Some(id),
            None => self.listed(files, "bos_token_id")?.first().copied(),
        };
        let ends = self.listed(files, "eos_token_id")?;
        let eos = self.named(files, "eos_token")?.or(ends.first().copied());
        let mut later = ends.iter().copied().filter(|&id| Some(id) != eos);
        let unknown = document.model.unk_token.as_deref();
        for (key, id) in [
            ("bos_token_id", bos),
            ("eos_token_id", eos),
            ("eot_token_id", later.next()),
            ("eom_token_id", later.next()),
            ("unknown_token_id", unknown.and_then(|token| self.id(token))),
            ("padding_token_id", self.named(files, "pad_token")?),
        ] {
            if let Some(id) = id {
                pairs.push(key, Value::U32(id));
            }
        }
        let flag = |key: &str| match &files.tokenizer_config {
            Some(config) => config.root().flag(key),
            None => Ok(None),
        };
        for (key, id, place) in [
            ("add_bos_token", bos, around.map(|a| &a.begin)),
            ("add_eos_token", eos, around.map(|a| &a.end)),
        ] {
            let template = place.and_then(Option::as_deref);
            let adds = match flag(key)? {
                Some(adds) => adds,
                None => template.is_some(),
            };
            // What is added must be the token that has the role.
            if let (true, Some(token)) = (adds, template)
                && self.id(token) != id
            {
                return Err(TokenizerFilesError::Contradiction {
                    file: self.file.clone(),
                    what: format!(
                        "the post-processor adds {}, which the configuration does not name as begin or end token",
                        Quoted::new(token)
                    ),
                });
            }
            pairs.push(key, Value::Bool(adds && id.is_some()));
        }
        Ok(())
    }

    /// A token that `tokenizer_config.json` names: as text, or as an object with the text.
    fn named(&self, files: &Files, key: &str) -> Result<Option<u32>, TokenizerFilesError> {
        let Some(config) = &files.tokenizer_config else {
            return Ok(None);
        };
        let root = config.root();
        let Some(value) = root.get(key) else {
            return Ok(None);
        };
        match value.as_str().or(value["content"].as_str()) {
            Some(token) => Ok(self.id(token)),
            None => Err(root.wrong(key, "a token's text").into()),
        }
    }

    /// Ids that `generation_config.json`, else `config.json`, lists under `key`: a number or several.
    fn listed(&self, files: &Files, key: &str) -> Result<Vec<u32>, TokenizerFilesError> {
        for file in [&files.generation_config, &files.config]
            .into_iter()
            .flatten()
        {
            let outer = file.root();
            for place in outer.object("text_config")?.into_iter().chain([outer]) {
                let Some(value) = place.get(key) else {
                    continue;
                };
                let values = value
                    .as_array()
                    .map_or(std::slice::from_ref(value), Vec::as_slice);
                let id = |value: &serde_json::Value| {
                    let id = u32::try_from(value.as_u64()?).ok()?;
                    ((id as usize) < self.tokens.len()).then_some(id)
                };
                let ids: Option<Vec<u32>> = values.iter().map(id).collect();
                let expected = || format!("token ids below {}", self.tokens.len());
                return ids.ok_or_else(|| place.wrong(key, expected()).into());
            }
        }
        Ok(Vec::new())
    }
}

/// A token for one byte, spelt `<0x0A>`.
fn is_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// Tokens that steer the model although their files don't say so, by llama.cpp's rules.
fn looks_special(token: &str) -> bool {
    let within = |start, end| token.starts_with(start) && token.ends_with(end);
    matches!(token, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || within("<|", "|>")
        || within("<｜", "｜>")
        || within("<unused", ">")
}

#[cfg(test)]
mod tests;
