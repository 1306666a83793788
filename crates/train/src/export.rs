//! A trained model as a GGUF file, which Sprag and llama.cpp run: what architecture `llama` can express.

use std::path::Path;

use formats::gguf::{Array, TensorData, TensorType, Value, WriteError};

use ops::Dtype;

use crate::{
    data::VOCABULARY,
    graph::{Declared, Parameter},
    model::{Configuration, Mixer, Mlp},
    weights::Weights,
};

/// Why a model has no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// GGUF has no architecture for it.
    #[error("GGUF's llama architecture has no {0}; the model stays in its checkpoint")]
    NoPlace(&'static str),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What of a model has no place in a GGUF file, if anything.
#[must_use]
pub fn obstacle(configuration: &Configuration) -> Option<&'static str> {
    if configuration.mixers.contains(&Mixer::Window) {
        return Some("windowed attention");
    }
    if configuration.mixers.contains(&Mixer::GatedDelta) {
        return Some("Gated DeltaNet");
    }
    if configuration.mlp == Mlp::SquaredRelu {
        return Some("squared ReLU");
    }
    configuration.soft_cap.map(|_| "cap on logits")
}

/// Writes the model in f32.
///
/// # Errors
/// It has no place in GGUF, or the file cannot be written.
pub fn write(
    path: &Path,
    name: &str,
    configuration: &Configuration,
    context: usize,
    declared: &[Declared],
    weights: &Weights,
) -> Result<(), ExportError> {
    if let Some(obstacle) = obstacle(configuration) {
        return Err(ExportError::NoPlace(obstacle));
    }
    let metadata = metadata(name, configuration, context);
    let turned: Vec<(usize, Vec<u8>)> = declared
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let values = weights.get(Parameter(index));
            let is_turned = [".attn_q.", ".attn_k."]
                .iter()
                .any(|part| one.name.contains(part));
            let rows = (0..one.rows).map(|row| {
                if is_turned {
                    source_row(row, configuration.head_dim)
                } else {
                    row
                }
            });
            let bytes = rows.flat_map(|row| {
                values[row * one.columns..(row + 1) * one.columns]
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
            });
            (index, bytes.collect())
        })
        .collect();
    let shapes: Vec<Vec<usize>> = declared
        .iter()
        .map(|one| {
            if one.rows == 1 {
                vec![one.columns]
            } else {
                vec![one.columns, one.rows]
            }
        })
        .collect();
    let tensors: Vec<TensorData<'_>> = turned
        .iter()
        .map(|(index, bytes)| TensorData {
            name: &declared[*index].name,
            tensor_type: TensorType::Readable(Dtype::F32),
            shape: &shapes[*index],
            bytes,
        })
        .collect();
    Ok(formats::gguf::write(path, &metadata, &tensors)?)
}

/// Files of this architecture have a pair of channels side by side; here they are half a head apart.
const fn source_row(row: usize, head_dim: usize) -> usize {
    let (head, channel) = (row / head_dim, row % head_dim);
    head * head_dim + channel / 2 + channel % 2 * (head_dim / 2)
}

fn metadata(name: &str, configuration: &Configuration, context: usize) -> Vec<(String, Value)> {
    let number = |value: usize| Value::U32(u32::try_from(value).unwrap_or(u32::MAX));
    let text = |value: &str| Value::Str(value.into());
    let tokens: Vec<String> = (0..VOCABULARY)
        .map(|byte| byte_name(byte as u8).to_string())
        .collect();
    // 1: a normal token; 3: one that is never part of a text.
    let types = (0..VOCABULARY)
        .map(|byte| if byte == 0 { 3 } else { 1 })
        .collect::<Vec<i32>>();
    let pairs = [
        ("general.architecture", text("llama")),
        ("general.name", text(name)),
        ("general.file_type", number(0)),
        ("llama.block_count", number(configuration.layers)),
        ("llama.context_length", number(context)),
        ("llama.embedding_length", number(configuration.width)),
        ("llama.feed_forward_length", number(configuration.hidden)),
        ("llama.attention.head_count", number(configuration.heads)),
        (
            "llama.attention.head_count_kv",
            number(configuration.kv_heads),
        ),
        ("llama.attention.key_length", number(configuration.head_dim)),
        (
            "llama.attention.value_length",
            number(configuration.head_dim),
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Value::F32(configuration.eps),
        ),
        ("llama.rope.dimension_count", number(configuration.head_dim)),
        (
            "llama.rope.freq_base",
            Value::F32(configuration.rope_base as f32),
        ),
        ("llama.vocab_size", number(configuration.vocabulary)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("gpt-2")),
        (
            "tokenizer.ggml.tokens",
            Value::Array(Array::Str(tokens.iter().collect())),
        ),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(types))),
        (
            "tokenizer.ggml.merges",
            Value::Array(Array::Str(std::iter::empty::<&str>().collect())),
        ),
        ("tokenizer.ggml.bos_token_id", number(0)),
        ("tokenizer.ggml.eos_token_id", number(0)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

/// How byte-level BPE writes a byte: printable ones as themselves, the others as characters from U+0100 on (GPT-2).
fn byte_name(byte: u8) -> char {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_printable(byte) {
        return char::from(byte);
    }
    let others = (0..byte).filter(|&before| !is_printable(before)).count();
    char::from_u32(256 + others as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests;
