//! Values that every architecture shares: out of range, contradictory, not finite, of the wrong type.

use formats::gguf::{Array, Value};

use super::{Draft, Row, check_refused, text};

#[test]
fn dimensions_out_of_range() {
    let rows: &[Row] = &[
        (
            |d| _ = d.set("llama.attention.head_count", Value::U32(0)),
            "`llama.attention.head_count` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("llama.attention.head_count", Value::U32(u32::MAX)),
            "`llama.attention.head_count` is 4294967295; ",
        ),
        (
            |d| _ = d.set("llama.attention.head_count", Value::U32(3)),
            "head_count_kv` is 2; expected a divisor of the 3",
        ),
        (
            |d| _ = d.set("llama.attention.head_count", Value::U32(100)),
            "`llama.attention.key_length` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("llama.attention.head_count_kv", Value::U32(0)),
            "head_count_kv` is 0; expected 1 to 4",
        ),
        (
            |d| _ = d.set("llama.attention.head_count_kv", Value::U32(3)),
            "head_count_kv` is 3; expected a divisor of the 4",
        ),
        (
            |d| _ = d.set("llama.attention.head_count_kv", Value::U32(8)),
            "head_count_kv` is 8; expected 1 to 4",
        ),
        (
            |d| _ = d.set("llama.attention.key_length", Value::U32(0)),
            "`llama.attention.key_length` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("llama.attention.key_length", Value::U64(1 << 40)),
            "key_length` is 1099511627776; expected 1 to",
        ),
        (
            |d| _ = d.set("llama.attention.value_length", Value::U32(8)),
            "value_length` is 8; expected the key length, 16",
        ),
        (
            |d| _ = d.set("llama.block_count", Value::U32(0)),
            "`llama.block_count` is 0; expected 1 to 4096",
        ),
        (
            |d| _ = d.set("llama.block_count", Value::U32(u32::MAX)),
            "`llama.block_count` is 4294967295; expected 1 to 4096",
        ),
        (
            |d| _ = d.set("llama.block_count", Value::U32(4096)),
            "tensor \"blk.3.attn_norm.weight\" is missing",
        ),
        (
            |d| _ = d.set("llama.block_count", Value::U32(2)),
            "a variant with the tensor `blk.2.",
        ),
        (
            |d| _ = d.set("llama.nextn_predict_layers", Value::U32(3)),
            "nextn_predict_layers` is 3; expected less than the 3",
        ),
        (
            |d| _ = d.set("llama.nextn_predict_layers", Value::U64(u64::MAX)),
            "expected less than the 3 layers",
        ),
        (
            |d| _ = d.set("llama.context_length", Value::U32(0)),
            "`llama.context_length` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("llama.context_length", Value::U64(1 << 40)),
            "`llama.context_length` is 1099511627776; expected",
        ),
        (
            |d| _ = d.unset("llama.context_length"),
            "metadata key \"llama.context_length\" is missing",
        ),
        (
            |d| _ = d.set("llama.embedding_length", Value::U32(0)),
            "`llama.embedding_length` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("llama.feed_forward_length", Value::U32(0)),
            "`llama.feed_forward_length` is 0; expected 1 to",
        ),
    ];
    check_refused("llama", rows);
}

#[test]
fn numbers_that_make_no_sense() {
    let rows: &[Row] = &[
        (
            |d| {
                _ = d.set(
                    "llama.attention.layer_norm_rms_epsilon",
                    Value::F32(f32::NAN),
                )
            },
            "rms_epsilon` is NaN; expected a small",
        ),
        (
            |d| _ = d.set("llama.attention.layer_norm_rms_epsilon", Value::F32(-1e-6)),
            "rms_epsilon` is -0.000001; expected",
        ),
        (
            |d| {
                _ = d.set(
                    "llama.attention.layer_norm_rms_epsilon",
                    Value::F32(f32::INFINITY),
                )
            },
            "rms_epsilon` is inf; expected",
        ),
        (
            |d| _ = d.set("llama.rope.freq_base", Value::F32(0.0)),
            "`llama.rope.freq_base` is 0; expected a positive number",
        ),
        (
            |d| _ = d.set("llama.rope.freq_base", Value::F32(-1e4)),
            "`llama.rope.freq_base` is -10000; expected a positive",
        ),
        (
            |d| _ = d.set("llama.rope.freq_base", Value::F32(f32::INFINITY)),
            "`llama.rope.freq_base` is inf; expected",
        ),
        (
            |d| _ = d.set("llama.rope.freq_base", Value::F64(f64::NAN)),
            "`llama.rope.freq_base` is NaN; expected",
        ),
        (
            |d| _ = d.set("llama.rope.dimension_count", Value::U32(0)),
            "dimension_count` is 0; expected 1 to 16",
        ),
        (
            |d| _ = d.set("llama.rope.dimension_count", Value::U32(15)),
            "dimension_count` is 15; expected an even number",
        ),
        (
            |d| _ = d.set("llama.rope.dimension_count", Value::U32(18)),
            "dimension_count` is 18; expected 1 to 16",
        ),
        (
            |d| _ = d.set("llama.rope.scaling.factor", Value::F32(0.0)),
            "scaling.factor` is 0; expected a positive number",
        ),
        (
            |d| {
                d.set("llama.rope.scaling.type", text("linear"))
                    .set("llama.rope.scaling.factor", Value::F32(f32::NAN));
            },
            "scaling.factor` is NaN; expected a positive number",
        ),
        (
            |d| _ = d.set("llama.rope.scaling.type", text("linear")),
            "scaling.factor` is missing; expected a positive number",
        ),
        (
            |d| _ = d.set("llama.rope.scaling.type", text("yarn")),
            "scaling.factor` is missing; expected a positive number",
        ),
        (
            |d| _ = d.set("llama.rope.scaling.type", text("longrope")),
            "rope scaling `longrope` is not supported yet; take a file",
        ),
        (
            |d| _ = d.set("llama.rope.scaling.type", text("\u{1b}[2J")),
            "rope scaling `\\u{1b}[2J` is not supported",
        ),
    ];
    check_refused("llama", rows);
}

#[test]
fn context_extensions_that_make_no_sense() {
    fn yarn<'d>(d: &'d mut Draft, key: &str, value: Value) -> &'d mut Draft {
        d.set("llama.rope.scaling.type", text("yarn"))
            .set("llama.rope.scaling.factor", Value::F32(4.0))
            .set(&format!("llama.rope.{key}"), value)
    }
    let rows: &[Row] = &[
        (
            |d| _ = yarn(d, "freq_base", Value::F32(1.0)),
            "`llama.rope.freq_base` is 1; expected a number above 1",
        ),
        (
            |d| _ = yarn(d, "scaling.factor", Value::F32(f32::INFINITY)),
            "scaling.factor` is inf; expected a positive number",
        ),
        (
            |d| _ = yarn(d, "scaling.original_context_length", Value::U32(0)),
            "original_context_length` is 0; expected 1 to",
        ),
        (
            |d| _ = yarn(d, "scaling.attn_factor", Value::F32(0.0)),
            "scaling.attn_factor` is 0; expected a positive number",
        ),
        (
            |d| _ = yarn(d, "scaling.yarn_beta_slow", Value::F32(f32::NAN)),
            "yarn_beta_slow` is NaN; expected a positive number",
        ),
        (
            |d| _ = yarn(d, "scaling.yarn_ext_factor", Value::F32(0.5)),
            "yarn_ext_factor` is 0.5; expected 1, or no such key",
        ),
        (
            |d| _ = yarn(d, "scaling.yarn_log_multiplier", Value::F32(0.1)),
            "yarn_log_multiplier` is 0.1; expected 0, or no such key",
        ),
        (
            |d| _ = yarn(d, "dimension_count", Value::U32(8)),
            "rope scaling `yarn` of 8 of a head's 16 dimensions is not supported yet",
        ),
        (
            |d| _ = d.add("rope_freqs.weight", &[7]),
            "rope_freqs.weight",
        ),
    ];
    check_refused("llama", rows);
    let rows: &[Row] = &[(
        |d| {
            d.set("gemma3.rope.scaling.type", text("yarn"))
                .set("gemma3.rope.scaling.factor", Value::F32(4.0));
        },
        "rope scaling `yarn` in `gemma3` is not supported yet",
    )];
    check_refused("gemma3", rows);
}

#[test]
fn metadata_of_the_wrong_type() {
    let rows: &[Row] = &[
        (
            |d| _ = d.set("llama.block_count", text("3")),
            "\"llama.block_count\" holds the string \"3\", where a count",
        ),
        (
            |d| _ = d.set("llama.block_count", Value::F32(3.0)),
            "\"llama.block_count\" holds the f32 3, where a count",
        ),
        (
            |d| _ = d.set("llama.attention.head_count", Value::I32(-4)),
            "holds the i32 -4, where a count",
        ),
        (
            |d| {
                _ = d.set(
                    "llama.attention.head_count_kv",
                    Value::Array(Array::U32(vec![2, 2, 2])),
                )
            },
            "head_count_kv\" holds an array of 3 u32, where a count",
        ),
        (
            |d| {
                _ = d.set(
                    "llama.feed_forward_length",
                    Value::Array(Array::I32(vec![80; 3])),
                )
            },
            "feed_forward_length\" holds an array of 3 i32, where a count",
        ),
        (
            |d| _ = d.set("llama.attention.layer_norm_rms_epsilon", Value::U32(1)),
            "rms_epsilon\" holds the u32 1, where a float",
        ),
        (
            |d| _ = d.set("llama.rope.freq_base", Value::U32(10_000)),
            "rope.freq_base\" holds the u32 10000, where a float",
        ),
        (
            |d| _ = d.set("llama.rope.scaling.type", Value::U32(1)),
            "scaling.type\" holds the u32 1, where a string",
        ),
        (
            |d| _ = d.set("general.architecture", Value::U32(1)),
            "\"general.architecture\" holds the u32 1, where a string",
        ),
        (
            |d| _ = d.unset("general.architecture"),
            "\"general.architecture\" is missing",
        ),
        (
            |d| _ = d.set("split.count", text("three")),
            "\"split.count\" holds the string \"three\", where a count",
        ),
    ];
    check_refused("llama", rows);
}
