//! Random changes of sound models: a file is refused, or it runs, or its numbers are told to be none. It never panics, and
//! what it answers is finite.
//!
//! Most changes contradict something and are refused, so some keep what must agree: heads are cut anew at the same widths,
//! and numbers that no tensor's shape depends on change by themselves.

use formats::gguf::Value;
use kernels::{KvType, RuntimeProfile};
use ops::Dtype;
use proptest::{prelude::*, sample::Index};
use runtime::{Engine, RuntimeError};

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../../models/tests/draft/mod.rs"]
mod draft;

use draft::{Draft, Part};

const FIXTURES: [&str; 7] = [
    "llama",
    "gemma3",
    "qwen35",
    "qwen3next",
    "rwkv7",
    "kimi-linear",
    "recurrentgemma",
];

#[derive(Clone, Debug)]
enum Change {
    /// Any integer of the metadata.
    Integer(Index, u64),
    /// Any float of the metadata.
    Float(Index, f32),
    /// The metadata's integer of this name, if the architecture has it.
    Named(&'static str, u64),
    /// A dimension of a tensor.
    Dimension(Index, Index, usize),
    /// A weight of a tensor.
    Weight(Index, Index, f32),
    /// All heads twice as many and half as wide, so often.
    Heads(u32),
    /// A tensor less.
    Remove(Index),
    /// A tensor in another format, with any bytes of that seed.
    Format(Index, Dtype, u64),
}

fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..10u64, 4 => 0..600u64, 1 => any::<u64>(), 1 => (0..64u32).prop_map(|bit| 1 << bit)]
}

fn float() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        -2.0..2.0f32,
        Just(f32::MAX),
        Just(f32::MIN_POSITIVE),
        Just(0.0)
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let free = prop::sample::select(vec![
        "context_length",
        "rope.dimension_count",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "nextn_predict_layers",
    ]);
    prop_oneof![
        2 => (any::<Index>(), integer()).prop_map(|(which, value)| Change::Integer(which, value)),
        2 => (any::<Index>(), float()).prop_map(|(which, value)| Change::Float(which, value)),
        3 => (free, integer()).prop_map(|(key, value)| Change::Named(key, value)),
        1 => (any::<Index>(), any::<Index>(), 1..200usize).prop_map(|(t, dim, len)| Change::Dimension(t, dim, len)),
        3 => (any::<Index>(), any::<Index>(), float()).prop_map(|(t, at, value)| Change::Weight(t, at, value)),
        2 => (0..4u32).prop_map(Change::Heads),
        1 => any::<Index>().prop_map(Change::Remove),
        3 => (any::<Index>(), prop::sample::select(Dtype::ALL.to_vec()), any::<u64>())
            .prop_map(|(t, dtype, seed)| Change::Format(t, dtype, seed)),
    ]
}

/// All head counts times 2^times, their widths by as much less; norms over heads and the rotation shrink with them.
fn recut(draft: &mut Draft, architecture: &str, times: u32) {
    let integer = |draft: &Draft, key: &str| {
        let found = draft
            .metadata
            .iter()
            .find(|(k, _)| *k == format!("{architecture}.{key}"));
        found
            .and_then(|(_, value)| value.as_integer())
            .and_then(|value| u64::try_from(value).ok())
    };
    let Some(heads) =
        integer(draft, "attention.head_count").filter(|&heads| heads > 0 && heads < 1 << 20)
    else {
        return;
    };
    // Told layer by layer, they are one of latents.
    let Some(kv_heads) = integer(draft, "attention.head_count_kv") else {
        return;
    };
    let kv_heads = kv_heads.min(1 << 20);
    let hidden = integer(draft, "embedding_length").unwrap_or(64);
    let width = integer(draft, "attention.key_length").unwrap_or(hidden / heads) >> times;
    for (key, value) in [
        ("head_count", heads << times),
        ("head_count_kv", kv_heads << times),
        ("key_length", width),
        ("value_length", width),
    ] {
        draft.set(
            &format!("{architecture}.attention.{key}"),
            Value::U64(value),
        );
    }
    if let Some(dims) = integer(draft, "rope.dimension_count") {
        draft.set(
            &format!("{architecture}.rope.dimension_count"),
            Value::U64(dims.min(width)),
        );
    }
    for part in &mut draft.tensors {
        if part.name.ends_with("_q_norm.weight") || part.name.ends_with("_k_norm.weight") {
            reshape(part, &[(width as usize).clamp(1, 4096)]);
        }
    }
}

/// Only shapes of whole blocks are valid GGUF.
fn reshape(part: &mut Part, shape: &[usize]) {
    let block = part.tensor_type.block().expect("a format of known size");
    if shape[0].is_multiple_of(block.len) {
        part.reshape(shape);
    }
}

fn apply(draft: &mut Draft, architecture: &str, change: &Change) {
    match change {
        Change::Integer(which, value) => {
            let mut all: Vec<_> = draft
                .metadata
                .iter_mut()
                .filter(|(_, v)| v.as_integer().is_some())
                .collect();
            which.get_mut(&mut all).1 = Value::U64(*value);
        }
        Change::Float(which, value) => {
            let mut all: Vec<_> = draft
                .metadata
                .iter_mut()
                .filter(|(_, v)| v.as_f32().is_some())
                .collect();
            which.get_mut(&mut all).1 = Value::F32(*value);
        }
        Change::Named(key, value) => {
            _ = draft.set(&format!("{architecture}.{key}"), Value::U64(*value))
        }
        Change::Dimension(which, dim, len) => {
            let part = which.get_mut(&mut draft.tensors);
            let mut shape = part.shape.clone();
            *dim.get_mut(&mut shape) = *len;
            reshape(part, &shape);
        }
        Change::Weight(which, at, value) => {
            let part = which.get_mut(&mut draft.tensors);
            // Less than a whole float where other changes left little.
            let floats = part.bytes.len() / 4;
            if floats > 0 {
                part.put(at.index(floats), *value);
            }
        }
        Change::Heads(times) => recut(draft, architecture, *times),
        Change::Format(which, dtype, seed) => {
            let part = which.get_mut(&mut draft.tensors);
            if part.shape[0].is_multiple_of(dtype.block_len()) {
                part.retype((*dtype).into());
                let mut state = *seed;
                for byte in &mut part.bytes {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    // Exponents of all ones are rare where this bit is clear, so most of these scales are numbers.
                    *byte = (state >> 56) as u8 & 0xbf;
                }
            }
        }
        Change::Remove(which) => _ = draft.tensors.remove(which.index(draft.tensors.len())),
    }
}

/// Three tokens and one more; the logits of both, or why there are none.
fn run(draft: &Draft, kv_type: KvType) -> Result<Vec<f32>, RuntimeError> {
    let profile = RuntimeProfile {
        threads: 1,
        kv_type,
        ..RuntimeProfile::default()
    };
    let engine = Engine::from_gguf(draft.build(), profile, &mut |_, _| {})?;
    let context = engine.model().config.context.min(16);
    let mut session = engine.session(Some(context))?;
    let mut logits = session
        .prefill(&[17, 200, 17], &mut |_| true)?
        .expect("not interrupted")
        .to_vec();
    logits.extend(session.decode(3)?);
    Ok(logits)
}

fn check(fixture: &str, changes: &[Change], kv_type: KvType) -> Result<bool, TestCaseError> {
    let mut draft = Draft::of(fixture);
    for change in changes {
        apply(&mut draft, fixture, change);
    }
    match run(&draft, kv_type) {
        Ok(logits) => {
            prop_assert!(
                logits.iter().all(|x| x.is_finite()),
                "{fixture} with {changes:?} answers no numbers"
            );
            Ok(true)
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(text.len() > 20 && !text.contains("index out of"), "{text}");
            Ok(false)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_model_is_refused_or_runs(
        fixture in prop::sample::select(FIXTURES.to_vec()),
        changes in prop::collection::vec(change(), 1..4),
        kv_type in prop::sample::select(KvType::ALL.to_vec()),
    ) {
        check(fixture, &changes, kv_type)?;
    }
}

/// Cutting heads anew leaves models that run: the property above is about more than refusals.
#[test]
fn recut_models_run() {
    for fixture in FIXTURES {
        for times in 0..4 {
            for kv_type in KvType::ALL {
                let runs =
                    check(fixture, &[Change::Heads(times)], kv_type).expect("finite numbers");
                assert!(runs, "{fixture} with heads {times} times halved");
            }
        }
    }
}
