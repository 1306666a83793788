//! A trained model as a GGUF file, which Sprag and llama.cpp run: what architectures `llama`, `qwen3` and `qwen35` can express.
//!
//! [`architecture`] says which of them has a place for a model, `tensors` gives its tensors the names and the order of rows that files of
//! that architecture have.

mod tensors;

use std::path::Path;

use corpus::Tokenizer;
use formats::gguf::{Array, Fallback, Formats, Gguf, Quantisation, TensorSpec, Value, WriteError};

use crate::{
    graph::Declared,
    model::{Configuration, Mixer, Mlp},
    weights::Weights,
};

/// Why a model has no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// GGUF has no architecture for it.
    #[error("no architecture of GGUF has {0}; the model stays in its checkpoint")]
    NoPlace(&'static str),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Architectures of GGUF that trained models have a place in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Full attention.
    Llama,
    /// Full attention with normed heads.
    Qwen3,
    /// Gated DeltaNet, and full attention with normed heads and an output gate in every so many layers.
    Qwen35 {
        /// The last of so many layers is attention.
        interval: usize,
    },
}

impl Architecture {
    const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen3 => "qwen3",
            Self::Qwen35 { .. } => "qwen35",
        }
    }
}

/// Where a model has its place; else what of it no architecture has, in words.
///
/// # Errors
/// It has no place.
pub fn architecture(configuration: &Configuration) -> Result<Architecture, &'static str> {
    let mixers: Vec<Mixer> = (0..configuration.layers)
        .map(|layer| configuration.mixer(layer))
        .collect();
    if mixers.contains(&Mixer::Window) {
        return Err("windowed attention");
    }
    if configuration.mlp == Mlp::SquaredRelu {
        return Err("squared ReLU");
    }
    if configuration.soft_cap.is_some() {
        return Err("a cap on logits");
    }
    let attention = mixers.iter().filter(|&&mixer| mixer == Mixer::Full).count();
    if configuration.value_residual && attention > 1 {
        return Err("values that are shared by layers");
    }
    let has_delta = attention < mixers.len();
    match (configuration.head_norms, configuration.output_gate) {
        (false, false) if !has_delta => return Ok(Architecture::Llama),
        (true, false) if !has_delta => return Ok(Architecture::Qwen3),
        (true, true) => {}
        _ if attention == 0 => {}
        _ if has_delta => {
            return Err(
                "Gated DeltaNet beside attention without head_norms and output_gate (qwen35 has both)",
            );
        }
        _ => return Err("an output gate without head_norms"),
    }
    let first = mixers.iter().position(|&mixer| mixer == Mixer::Full);
    // Where there is none, the first would come behind the last layer.
    let interval = first.unwrap_or(mixers.len()) + 1;
    let is_regular = mixers
        .iter()
        .enumerate()
        .all(|(layer, &mixer)| (mixer == Mixer::Full) == (layer + 1).is_multiple_of(interval));
    if is_regular {
        Ok(Architecture::Qwen35 { interval })
    } else {
        Err(
            "attention elsewhere than in the last of every so many layers (qwen35 has it there alone)",
        )
    }
}

/// What is exported.
#[derive(Clone, Copy)]
pub struct Trained<'a> {
    /// Of the file.
    pub name: &'a str,
    /// What the weights are of.
    pub configuration: &'a Configuration,
    /// Tokens that it was trained on at one time.
    pub context: usize,
    /// How text becomes tokens.
    pub tokenizer: &'a Tokenizer,
    /// Its parameters.
    pub declared: &'a [Declared],
    /// And what they are.
    pub weights: &'a Weights,
}

/// A model as a GGUF file.
#[derive(Debug)]
pub struct Exported {
    /// The file, whose tensors are made when they are read; it holds the weights in f32 as long as it lives.
    pub gguf: Gguf,
    /// Formats that did not fit.
    pub fallbacks: Vec<Fallback>,
}

/// The model as a GGUF file, its matrices in the format that was asked for, or in f32. `path` is where it is from.
///
/// # Errors
/// It has no place in GGUF.
pub fn gguf(
    path: &Path,
    trained: &Trained<'_>,
    asked: Option<Quantisation>,
) -> Result<Exported, ExportError> {
    let configuration = trained.configuration;
    let architecture = architecture(configuration).map_err(ExportError::NoPlace)?;
    let head_dim = configuration.head_dim;
    let tensors = tensors::of(architecture, head_dim, trained.declared, trained.weights);
    let mut formats = Formats::new(asked);
    let specs: Vec<TensorSpec> = tensors
        .iter()
        .map(|one| one.spec(configuration.tied, &mut formats))
        .collect();
    let mut metadata = metadata(trained, architecture);
    metadata.extend(formats.metadata());
    let stored: Vec<_> = specs.iter().map(|spec| spec.dtype).collect();
    let make = move |name: &str| {
        let at = tensors.iter().position(|tensor| tensor.name == name);
        let at = at.ok_or("there is no such tensor")?;
        let mut bytes = Vec::new();
        ops::encode::encode(stored[at], &tensors[at].values, &mut bytes)
            .map_err(|error| error.to_string())?;
        Ok(bytes)
    };
    Ok(Exported {
        gguf: Gguf::derived(path, &metadata, &specs, make)?,
        fallbacks: formats.fallbacks(),
    })
}

/// Writes the model in f32.
///
/// # Errors
/// It has no place in GGUF, or the file cannot be written.
pub fn write(path: &Path, trained: &Trained<'_>) -> Result<(), ExportError> {
    let Exported { gguf, .. } = gguf(path, trained, None)?;
    Ok(formats::gguf::save(&gguf, path, &mut |_| true)?)
}

fn number(value: usize) -> Value {
    Value::U32(u32::try_from(value).unwrap_or(u32::MAX))
}

fn text(value: &str) -> Value {
    Value::Str(value.into())
}

fn metadata(trained: &Trained<'_>, architecture: Architecture) -> Vec<(String, Value)> {
    let &Trained {
        name,
        configuration,
        context,
        tokenizer,
        ..
    } = trained;
    let mut all = vec![
        ("general.architecture".to_owned(), text(architecture.name())),
        ("general.name".to_owned(), text(name)),
    ];
    let of_model = model(architecture, configuration, context);
    let prefix = architecture.name();
    all.extend(of_model.map(|(key, value)| (format!("{prefix}.{key}"), value)));
    all.extend(tokens(tokenizer).map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)));
    all
}

fn model(
    architecture: Architecture,
    configuration: &Configuration,
    context: usize,
) -> impl Iterator<Item = (&'static str, Value)> {
    let Configuration {
        heads, head_dim, ..
    } = *configuration;
    let all = vec![
        ("block_count", number(configuration.layers)),
        ("context_length", number(context)),
        ("embedding_length", number(configuration.width)),
        ("feed_forward_length", number(configuration.hidden)),
        ("attention.head_count", number(heads)),
        ("attention.head_count_kv", number(configuration.kv_heads)),
        ("attention.key_length", number(head_dim)),
        ("attention.value_length", number(head_dim)),
        (
            "attention.layer_norm_rms_epsilon",
            Value::F32(configuration.eps),
        ),
        ("rope.dimension_count", number(head_dim)),
        ("rope.freq_base", Value::F32(configuration.rope_base as f32)),
        ("vocab_size", number(configuration.vocabulary)),
    ];
    let of_delta = match architecture {
        Architecture::Llama | Architecture::Qwen3 => Vec::new(),
        Architecture::Qwen35 { interval } => {
            // Text has one position for all three of an image's, so that how pairs are shared out among them changes nothing.
            let pairs = (head_dim / 2) as i32;
            let third = pairs / 3;
            let sections = vec![pairs - 2 * third, third, third, 0];
            vec![
                (
                    "rope.dimension_sections",
                    Value::Array(Array::I32(sections)),
                ),
                ("full_attention_interval", number(interval)),
                ("ssm.conv_kernel", number(ops::causal_conv::TAPS)),
                ("ssm.state_size", number(head_dim)),
                ("ssm.group_count", number(heads)),
                ("ssm.time_step_rank", number(heads)),
                ("ssm.inner_size", number(heads * head_dim)),
            ]
        }
    };
    all.into_iter().chain(of_delta)
}

/// A byte-level BPE: of the bytes alone, or with merges.
fn tokens(tokenizer: &Tokenizer) -> impl Iterator<Item = (&'static str, Value)> {
    // 1: a normal token; 3: one that is never part of a text.
    let types = (0..tokenizer.vocabulary())
        .map(|token| if token == 0 { 3 } else { 1 })
        .collect::<Vec<i32>>();
    let strings = |list: Vec<String>| Value::Array(Array::Str(list.iter().collect()));
    [
        ("model", text("gpt2")),
        ("pre", text(Tokenizer::GGUF_PRE)),
        ("tokens", strings(tokenizer.gguf_tokens())),
        ("token_type", Value::Array(Array::I32(types))),
        ("merges", strings(tokenizer.gguf_merges())),
        ("bos_token_id", number(0)),
        ("eos_token_id", number(0)),
        ("add_bos_token", Value::Bool(true)),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests;
