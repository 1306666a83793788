//! Models of real shapes with weights drawn at random: for measuring speed where no file is at hand. What they say means nothing.

use std::{path::Path, thread};

use formats::gguf::{Array, Gguf, Quantisation, TensorSpec, TextArray, Value, WriteError};
use kernels::in_turns;
use ops::{Dtype, causal_conv::TAPS};
use text::byte_spelling;

/// A shape of the family `qwen35`: heads of 256, DeltaNet heads of 128, three layers of DeltaNet for one of attention.
struct Shape {
    name: &'static str,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    value_heads: usize,
    feed_forward: usize,
    is_tied: bool,
}

/// Qwen3.5's dense models, from their configurations.
const SHAPES: [Shape; 5] = [
    shape("qwen3.5-0.8b", (1024, 24), (8, 2, 16), 3584, true),
    shape("qwen3.5-2b", (2048, 24), (8, 2, 16), 6144, false),
    shape("qwen3.5-4b", (2560, 32), (16, 4, 32), 9216, true),
    shape("qwen3.5-9b", (4096, 32), (16, 4, 32), 12288, false),
    shape("qwen3.5-27b", (5120, 64), (24, 4, 48), 17408, false),
];
const HEAD: usize = 256;
const TURNED: usize = 64;
const DELTA: usize = 128;
const KEY_HEADS: usize = 16;
const VOCABULARY: usize = 248_320;
const CONTEXT: usize = 262_144;
const ATTENTION_EVERY: usize = 4;

const fn shape(
    name: &'static str,
    (hidden, layers): (usize, usize),
    (heads, kv_heads, value_heads): (usize, usize, usize),
    feed_forward: usize,
    is_tied: bool,
) -> Shape {
    Shape {
        name,
        hidden,
        layers,
        heads,
        kv_heads,
        value_heads,
        feed_forward,
        is_tied,
    }
}

/// Why a random model could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RandomError {
    /// No shape of that name.
    #[error("no shape `{name}` is known; known: {known}")]
    Shape {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No format of that name, or none that random weights are drawn in.
    #[error("random weights in `{name}` are not drawn; known: f32, f16, bf16, q8_0, q4_0")]
    Format {
        /// What was asked for.
        name: String,
    },
    /// The file's head could not be made.
    #[error(transparent)]
    Head(#[from] WriteError),
}

/// A model of the shape `name` whose matrices, all of them, are in `format`; vectors are in f32. The same name and format give the same weights.
///
/// # Errors
/// The shape or the format is unknown.
pub fn random(name: &str, format: &str) -> Result<Gguf, RandomError> {
    let lower = name.to_ascii_lowercase();
    let shape = SHAPES.iter().find(|s| s.name == lower);
    let shape = shape.ok_or_else(|| RandomError::Shape {
        name: name.to_owned(),
        known: SHAPES.map(|s| s.name).join(", "),
    })?;
    let drawn = [
        Dtype::F32,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::Q8_0,
        Dtype::Q4_0,
    ];
    let matrices = Quantisation::named(format)
        .map(Quantisation::dtype)
        .filter(|dtype| drawn.contains(dtype))
        .ok_or_else(|| RandomError::Format {
            name: format.to_owned(),
        })?;
    let tensors = tensors(shape, matrices);
    let specs: Vec<TensorSpec> = tensors.iter().map(|(spec, _)| spec.clone()).collect();
    let path = format!(
        "{}-{} (random weights)",
        shape.name,
        format.to_ascii_lowercase()
    );
    let make = move |name: &str| {
        let (at, (spec, values)) = (0u64..)
            .zip(&tensors)
            .find(|(_, (spec, _))| spec.name == name)
            .ok_or("no such tensor")?;
        Ok(drawn_tensor(spec, *values, at))
    };
    Ok(Gguf::derived(
        Path::new(&path),
        &metadata(shape),
        &specs,
        make,
    )?)
}

/// How a tensor's values are spread: uniformly about a centre.
#[derive(Clone, Copy)]
struct Values {
    centre: f32,
    spread: f32,
}

const fn about(centre: f32, spread: f32) -> Values {
    Values { centre, spread }
}

fn tensors(shape: &Shape, matrices: Dtype) -> Vec<(TensorSpec, Values)> {
    let Shape {
        hidden,
        heads,
        kv_heads,
        value_heads,
        feed_forward,
        ..
    } = *shape;
    let values = value_heads * DELTA;
    let channels = 2 * KEY_HEADS * DELTA + values;
    let mut all = Vec::new();
    let mut add = |name: String, dtype, shape: &[usize], of| {
        let shape = shape.to_vec();
        all.push((TensorSpec { name, dtype, shape }, of));
    };
    // A sum over the columns is then about one.
    let matrix = |cols: usize| about(0.0, 1.7 / (cols as f32).sqrt());
    add(
        "token_embd.weight".into(),
        matrices,
        &[hidden, VOCABULARY],
        about(0.0, 1.0),
    );
    if !shape.is_tied {
        add(
            "output.weight".into(),
            matrices,
            &[hidden, VOCABULARY],
            matrix(hidden),
        );
    }
    let norm = about(1.0, 0.1);
    add("output_norm.weight".into(), Dtype::F32, &[hidden], norm);
    for layer in 0..shape.layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let mut product = |part: &str, cols: usize, rows: usize| {
            add(name(part), matrices, &[cols, rows], matrix(cols));
        };
        let is_attention = (layer + 1) % ATTENTION_EVERY == 0;
        if is_attention {
            product("attn_q.weight", hidden, 2 * heads * HEAD);
            product("attn_k.weight", hidden, kv_heads * HEAD);
            product("attn_v.weight", hidden, kv_heads * HEAD);
            product("attn_output.weight", heads * HEAD, hidden);
        } else {
            product("attn_qkv.weight", hidden, channels);
            product("attn_gate.weight", hidden, values);
            product("ssm_alpha.weight", hidden, value_heads);
            product("ssm_beta.weight", hidden, value_heads);
            product("ssm_out.weight", values, hidden);
        }
        product("ffn_gate.weight", hidden, feed_forward);
        product("ffn_up.weight", hidden, feed_forward);
        product("ffn_down.weight", feed_forward, hidden);
        let mut vector = |part: &str, shape: &[usize], of| add(name(part), Dtype::F32, shape, of);
        vector("attn_norm.weight", &[hidden], norm);
        vector("post_attention_norm.weight", &[hidden], norm);
        if is_attention {
            vector("attn_q_norm.weight", &[HEAD], norm);
            vector("attn_k_norm.weight", &[HEAD], norm);
        } else {
            vector("ssm_conv1d.weight", &[TAPS, channels], about(0.0, 0.5));
            vector("ssm_a", &[value_heads], about(-0.5, 0.4));
            vector("ssm_dt.bias", &[value_heads], about(0.0, 1.0));
            vector("ssm_norm.weight", &[DELTA], norm);
        }
    }
    all
}

fn metadata(shape: &Shape) -> Vec<(String, Value)> {
    let count = |n: usize| Value::U32(u32::try_from(n).unwrap_or(u32::MAX));
    let own = [
        ("context_length", count(CONTEXT)),
        ("embedding_length", count(shape.hidden)),
        ("block_count", count(shape.layers)),
        ("feed_forward_length", count(shape.feed_forward)),
        ("attention.head_count", count(shape.heads)),
        ("attention.head_count_kv", count(shape.kv_heads)),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
        ("attention.key_length", count(HEAD)),
        ("attention.value_length", count(HEAD)),
        ("rope.freq_base", Value::F32(1e7)),
        ("rope.dimension_count", count(TURNED)),
        ("ssm.conv_kernel", count(TAPS)),
        ("ssm.state_size", count(DELTA)),
        ("ssm.group_count", count(KEY_HEADS)),
        ("ssm.time_step_rank", count(shape.value_heads)),
        ("ssm.inner_size", count(shape.value_heads * DELTA)),
        ("full_attention_interval", count(ATTENTION_EVERY)),
    ];
    let own = own.map(|(key, value)| (format!("qwen35.{key}"), value));
    // Bytes alone: the table has more rows than that, and speed does not depend on which are asked for.
    let bytes: Vec<String> = (0..=u8::MAX).map(|byte| byte_spelling(&[byte])).collect();
    let tokens: TextArray = bytes
        .iter()
        .map(String::as_str)
        .chain(["<|endoftext|>"])
        .collect();
    let mut types = vec![1i32; bytes.len()];
    types.push(3);
    let text = |value: &str| Value::Str(value.into());
    let others = [
        ("general.architecture", text("qwen35")),
        ("general.name", text(shape.name)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("qwen35")),
        ("tokenizer.ggml.tokens", Value::Array(Array::Str(tokens))),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(types))),
        (
            "tokenizer.ggml.merges",
            Value::Array(Array::Str(TextArray::from_iter([""; 0]))),
        ),
        ("tokenizer.ggml.eos_token_id", count(bytes.len())),
    ];
    let others = others.map(|(key, value)| (key.to_owned(), value));
    others.into_iter().chain(own).collect()
}

/// Bytes that a thread draws at a time; a multiple of every block.
const PART: usize = 34 * 18 * 1024;

fn drawn_tensor(spec: &TensorSpec, values: Values, seed: u64) -> Vec<u8> {
    let elements: usize = spec.shape.iter().product();
    let mut bytes = vec![0u8; spec.dtype.bytes_for(elements).unwrap_or(0)];
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = (0u64..).zip(bytes.chunks_mut(PART));
    let drawn: Result<(), std::convert::Infallible> = in_turns(threads, parts, |(i, part)| {
        let mut random = SplitMix(seed << 40 | i << 20);
        match spec.dtype {
            Dtype::Q4_0 => blocks(part, 18, 4.6, values, &mut random),
            Dtype::Q8_0 => blocks(part, 34, 74.0, values, &mut random),
            dtype => numbers(part, dtype, values, &mut random),
        }
        Ok(())
    });
    let Ok(()) = drawn;
    bytes
}

/// Blocks of codes drawn evenly, whose standard deviation is `deviation` codes; their scale comes first.
fn blocks(bytes: &mut [u8], block: usize, deviation: f32, values: Values, random: &mut SplitMix) {
    // Of a uniform spread.
    let scale = values.spread * 0.577 / deviation;
    for block in bytes.chunks_exact_mut(block) {
        let (head, codes) = block.split_at_mut(2);
        for eight in codes.chunks_mut(8) {
            eight.copy_from_slice(&random.next().to_le_bytes()[..eight.len()]);
        }
        // Scales differ from block to block by a fifth.
        let factor = 0.9 + 0.2 * random.unit();
        head.copy_from_slice(&half::f16::from_f32(scale * factor).to_le_bytes());
    }
}

fn numbers(bytes: &mut [u8], dtype: Dtype, values: Values, random: &mut SplitMix) {
    let mut next = || values.centre + values.spread * (2.0 * random.unit() - 1.0);
    match dtype {
        Dtype::Bf16 => {
            for two in bytes.chunks_exact_mut(2) {
                two.copy_from_slice(&half::bf16::from_f32(next()).to_le_bytes());
            }
        }
        Dtype::F16 => {
            for two in bytes.chunks_exact_mut(2) {
                two.copy_from_slice(&half::f16::from_f32(next()).to_le_bytes());
            }
        }
        _ => {
            for four in bytes.chunks_exact_mut(4) {
                four.copy_from_slice(&next().to_le_bytes());
            }
        }
    }
}

/// SplitMix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{RandomError, random};
    use crate::Model;

    #[test]
    fn a_random_model_is_one_that_runs() {
        for format in ["q4_0", "bf16", "Q8_0"] {
            let gguf = Arc::new(random("Qwen3.5-0.8B", format).expect("a known shape"));
            let model = Model::describe(Arc::clone(&gguf)).expect("a model we run");
            assert_eq!((model.config.layers, model.config.hidden), (24, 1024));
            // The published 0.8B with its table: 0.75 G weights without a vision tower.
            assert!(
                (740_000_000..770_000_000).contains(&model.parameters()),
                "{}",
                model.parameters()
            );
            let tensor = gguf
                .tensor("blk.0.ssm_alpha.weight")
                .expect("a DeltaNet layer");
            let first = gguf.weights(tensor).expect("it is made").into_owned();
            assert_eq!(
                first,
                gguf.weights(tensor).expect("it is made").into_owned()
            );
            let mut values = vec![0.0; tensor.elements()];
            let dtype = gguf.dtype(tensor).expect("a format we read");
            ops::dequantize::dequantize(dtype, &first, &mut values).expect("whole blocks");
            let squares: f32 = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
            // 1.7 / sqrt(1024), uniformly: 0.0307.
            assert!(
                (squares.sqrt() - 0.0307).abs() < 0.002,
                "{format}: {}",
                squares.sqrt()
            );
        }
    }

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        let shape = random("qwen9", "q4_0").err().map(|e| e.to_string());
        assert!(shape.is_some_and(|told| told.contains("qwen3.5-9b")));
        for format in ["q4_k", "what"] {
            assert!(matches!(
                random("qwen3.5-2b", format),
                Err(RandomError::Format { .. })
            ));
        }
    }
}
