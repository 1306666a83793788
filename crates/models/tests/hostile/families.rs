//! Variants that are not run, what hybrids and sliding windows can get wrong, and odd files that are sound.

use formats::gguf::{Array, Value};
use models::Model;

use super::{Change, Draft, Row, check_refused, text};

#[test]
fn variants_that_are_not_run() {
    let rows: &[Row] = &[
        (
            |d| _ = d.set("split.count", Value::U16(3)),
            "a model split over 3 files is not supported yet; merge the parts",
        ),
        (
            |d| {
                for key in [
                    "expert_count",
                    "expert_used_count",
                    "expert_feed_forward_length",
                ] {
                    d.set(&format!("llama.{key}"), Value::U32(8));
                }
            },
            "a mixture of experts in `llama` is not supported yet; take a dense model",
        ),
        (
            |d| _ = d.add("blk.0.ffn_gate_inp.weight", &[64, 8]),
            "`llama.expert_count` is none; expected the number of experts, since layer 0 has them",
        ),
        (
            |d| _ = d.add("blk.0.attn_output.bias", &[64]),
            "a variant with the tensor `blk.0.attn_output.bias`",
        ),
        (
            |d| _ = d.add("blk.1.attn_q_norm.weight", &[16]),
            "a variant with the tensor `blk.1.attn_q_norm.weight`",
        ),
        (
            |d| _ = d.add("blk.3.attn_q.weight", &[64, 64]),
            "a variant with the tensor `blk.3.attn_q.weight`",
        ),
        (
            |d| _ = d.add("\u{1b}[2Jx", &[1]),
            "a variant with the tensor `\\u{1b}[2Jx`",
        ),
    ];
    check_refused("llama", rows);
    let mut draft = Draft::of("llama");
    let error = Model::describe(
        draft
            .set("general.architecture", text("mam\u{7}ba"))
            .build(),
    )
    .err()
    .expect("unknown");
    let known = "architecture `mam\\u{7}ba` is not supported; Sprag runs llama, qwen2, qwen3, qwen3moe, gemma3, qwen35, qwen35moe, qwen3next, granite, granitehybrid, rwkv7, kimi-linear, recurrentgemma";
    assert!(error.to_string().contains(known), "{error}");
}

#[test]
fn hybrids_that_contradict_themselves() {
    let rows: &[Row] = &[
        (
            |d| _ = d.set("qwen35.ssm.inner_size", Value::U32(100)),
            "inner_size` is 100; expected a multiple of the 6 value",
        ),
        (
            |d| _ = d.set("qwen35.ssm.group_count", Value::U32(4)),
            "time_step_rank` is 6; expected a multiple of the 4 key",
        ),
        (
            |d| _ = d.set("qwen35.ssm.group_count", Value::U32(0)),
            "group_count` is 0; expected 1 to",
        ),
        (
            |d| _ = d.unset("qwen35.ssm.group_count"),
            "\"qwen35.ssm.group_count\" is missing",
        ),
        (
            |d| _ = d.set("qwen35.ssm.conv_kernel", Value::U32(3)),
            "conv_kernel` is 3; expected 4",
        ),
        (
            |d| _ = d.set("qwen35.ssm.state_size", Value::U32(0)),
            "state_size` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("qwen35.ssm.state_size", Value::U32(u32::MAX)),
            "state_size` is 4294967295; expected 1 to",
        ),
        (
            |d| _ = d.set("qwen35.ssm.state_size", Value::U32(32)),
            "attn_qkv.weight\" has the shape [64, 160], where the",
        ),
        (
            |d| _ = d.set("qwen35.ssm.inner_size", Value::U32(192)),
            "attn_qkv.weight\" has the shape [64, 160], where the",
        ),
        (
            |d| _ = d.set("qwen35.ssm.inner_size", Value::U32(48)),
            "inner_size` is 48; expected 6 value heads of a multiple of 16",
        ),
        (
            |d| _ = d.set("qwen35.ssm.time_step_rank", Value::U32(2)),
            "ssm_beta.weight\" has the shape [64, 6], where the",
        ),
        (
            |d| _ = d.set("qwen35.full_attention_interval", Value::U32(0)),
            "full_attention_interval` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("qwen35.full_attention_interval", Value::U32(3)),
            "tensor \"blk.2.attn_q.weight\" is missing",
        ),
        (
            |d| {
                _ = d.set(
                    "qwen35.full_attention_interval",
                    Value::Array(Array::Bool(vec![true; 8])),
                )
            },
            "holds an array of 8 bool",
        ),
        (
            |d| _ = d.tensor("blk.0.ssm_conv1d.weight").reshape(&[3, 160]),
            "asks for [4, 160] (contiguous dimension first)",
        ),
        (
            |d| _ = d.remove("blk.0.ssm_a"),
            "tensor \"blk.0.ssm_a\" is missing",
        ),
        (
            |d| _ = d.remove("blk.3.attn_q_norm.weight"),
            "tensor \"blk.3.attn_q_norm.weight\" is missing",
        ),
    ];
    check_refused("qwen35", rows);
}

/// The key heads of each layer.
fn kv_heads(draft: &mut Draft, heads: &[u32]) {
    let heads = Value::Array(Array::U32(heads.to_vec()));
    draft.set("granitehybrid.attention.head_count_kv", heads);
}

#[test]
fn granites_that_contradict_themselves() {
    let rows: &[Row] = &[
        (
            |d| kv_heads(d, &[0, 2, 0]),
            "head_count_kv` is an array of 3; expected one number for each of 4 layers",
        ),
        (
            |d| kv_heads(d, &[0, 2, 4, 0]),
            "head_count_kv` is 4; expected 2 as in the layers before, or 0",
        ),
        (
            |d| kv_heads(d, &[0, 3, 0, 0]),
            "head_count_kv` is 3; expected a divisor of the 4",
        ),
        (
            |d| kv_heads(d, &[2, 2, 0, 0]),
            "tensor \"blk.0.attn_q.weight\" is missing",
        ),
        (
            |d| kv_heads(d, &[0, 0, 0, 0]),
            "tensor \"blk.1.ssm_in.weight\" is missing",
        ),
        (
            |d| _ = d.set("granitehybrid.attention.head_count_kv", Value::U32(2)),
            "head_count_kv\" holds the u32 2, where",
        ),
        (
            |d| _ = d.unset("granitehybrid.attention.head_count_kv"),
            "\"granitehybrid.attention.head_count_kv\" is missing",
        ),
        (
            |d| _ = d.set("granitehybrid.rope.scaling.finetuned", Value::Bool(true)),
            "rotary embedding in `granitehybrid` is not supported yet; take a Granite",
        ),
        (
            |d| _ = d.unset("granitehybrid.rope.scaling.finetuned"),
            "rotary embedding in `granitehybrid` is not supported yet; take a Granite",
        ),
        (
            |d| _ = d.set("granitehybrid.residual_scale", Value::F32(f32::NAN)),
            "`granitehybrid.residual_scale` is NaN; expected a positive",
        ),
        (
            |d| _ = d.set("granitehybrid.logit_scale", Value::F32(0.0)),
            "`granitehybrid.logit_scale` is 0; expected a positive",
        ),
        (
            |d| _ = d.set("granitehybrid.attention.scale", Value::F32(-1.0)),
            "`granitehybrid.attention.scale` is -1; expected a positive",
        ),
        (
            |d| _ = d.set("granitehybrid.embedding_scale", Value::F32(f32::INFINITY)),
            "`granitehybrid.embedding_scale` is inf; expected a positive",
        ),
        (
            |d| _ = d.set("granitehybrid.ssm.group_count", Value::U32(3)),
            "time_step_rank` is 8; expected a multiple of the 3 groups",
        ),
        (
            |d| _ = d.set("granitehybrid.ssm.time_step_rank", Value::U32(16)),
            "inner_size` is 128; expected 16 heads of a multiple of 16 columns",
        ),
        (
            |d| _ = d.set("granitehybrid.ssm.conv_kernel", Value::U32(3)),
            "conv_kernel` is 3; expected 4",
        ),
        (
            |d| _ = d.set("granitehybrid.ssm.state_size", Value::U32(u32::MAX)),
            "state_size` is 4294967295; expected 1 to",
        ),
        (
            |d| _ = d.set("granitehybrid.ssm.group_count", Value::U32(1)),
            "ssm_in.weight\" has the shape [64, 360], where the",
        ),
        (
            |d| _ = d.tensor("blk.0.ssm_norm.weight").reshape(&[128]),
            "ssm_norm.weight\" has the shape [128], where the",
        ),
        (
            |d| _ = d.tensor("blk.0.ssm_conv1d.bias").reshape(&[128]),
            "ssm_conv1d.bias\" has the shape [128], where the",
        ),
        (
            |d| _ = d.remove("blk.2.ssm_d"),
            "tensor \"blk.2.ssm_d\" is missing",
        ),
        (
            |d| _ = d.add("blk.0.ssm_in.bias", &[360]),
            "a variant with the tensor `blk.0.ssm_in.bias`",
        ),
        (
            |d| _ = d.add("blk.1.attn_output.bias", &[64]),
            "a variant with the tensor `blk.1.attn_output.bias`",
        ),
        (
            |d| _ = d.add("blk.1.ffn_up.bias", &[80]),
            "a variant with the tensor `blk.1.ffn_up.bias`",
        ),
    ];
    check_refused("granitehybrid", rows);
    let rows: &[Row] = &[
        (
            |d| _ = d.add("blk.0.ffn_gate_inp_shexp.weight", &[64]),
            "a variant with the tensor `blk.0.ffn_gate_inp_shexp.weight`",
        ),
        (
            |d| _ = d.remove("blk.1.ffn_down_shexp.weight"),
            "tensor \"blk.1.ffn_down_shexp.weight\" is missing",
        ),
        (
            |d| _ = d.set("granitehybrid.feed_forward_length", Value::U32(48)),
            "blk.0.ffn_gate_exps.weight",
        ),
        (
            |d| _ = d.set("granitehybrid.expert_used_count", Value::U32(6)),
            "granitehybrid.expert_used_count` is 6; expected 1 to 5",
        ),
    ];
    check_refused("granitehybrid-moe", rows);
}

#[test]
fn sliding_windows_that_make_no_sense() {
    let rows: &[Row] = &[
        (
            |d| _ = d.set("gemma3.attention.sliding_window", Value::U32(0)),
            "sliding_window` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("gemma3.attention.sliding_window", Value::U64(u64::MAX)),
            "sliding_window` is 18446744073709551615; ",
        ),
        (
            |d| _ = d.unset("gemma3.attention.sliding_window"),
            "\"gemma3.attention.sliding_window\" is missing",
        ),
        (
            |d| _ = d.set("gemma3.attention.sliding_window_pattern", Value::U32(0)),
            "window_pattern` is 0; expected 1 to",
        ),
        (
            |d| {
                _ = d.set(
                    "gemma3.attention.sliding_window_pattern",
                    Value::Array(Array::Bool(vec![true; 7])),
                )
            },
            "window_pattern\" holds an array of 7 bool, where a count",
        ),
        (
            |d| _ = d.set("gemma3.rope.freq_base_swa", Value::F32(0.0)),
            "`gemma3.rope.freq_base_swa` is 0; expected a positive",
        ),
        (
            |d| _ = d.remove("blk.6.attn_q_norm.weight"),
            "tensor \"blk.6.attn_q_norm.weight\" is missing",
        ),
        (
            |d| _ = d.remove("blk.6.post_ffw_norm.weight"),
            "tensor \"blk.6.post_ffw_norm.weight\" is missing",
        ),
    ];
    check_refused("gemma3", rows);
}

#[test]
fn experts() {
    let rows: &[Row] = &[
        (
            |d| _ = d.set("qwen3moe.expert_used_count", Value::U32(0)),
            "qwen3moe.expert_used_count` is 0; expected 1 to 6",
        ),
        (
            |d| _ = d.set("qwen3moe.expert_used_count", Value::U32(7)),
            "qwen3moe.expert_used_count` is 7; expected 1 to 6",
        ),
        (
            |d| _ = d.unset("qwen3moe.expert_used_count"),
            "qwen3moe.expert_used_count",
        ),
        (
            |d| _ = d.set("qwen3moe.expert_count", Value::U64(u64::MAX)),
            "qwen3moe.expert_count",
        ),
        (
            |d| _ = d.set("qwen3moe.expert_count", Value::U32(5)),
            "blk.0.ffn_gate_inp.weight",
        ),
        (
            |d| _ = d.set("qwen3moe.expert_feed_forward_length", Value::U32(48)),
            "blk.0.ffn_gate_exps.weight",
        ),
        (
            |d| _ = d.remove("blk.1.ffn_down_exps.weight"),
            "blk.1.ffn_down_exps.weight",
        ),
        (
            |d| _ = d.remove("blk.1.ffn_gate_inp.weight"),
            "blk.1.ffn_gate_inp.weight",
        ),
        (
            |d| _ = d.add("blk.1.ffn_gate_shexp.weight", &[64, 32]),
            "a variant with the tensor `blk.1.ffn_gate_shexp.weight`",
        ),
    ];
    check_refused("qwen3moe", rows);
}

#[test]
fn a_dense_granite_is_no_hybrid() {
    let rows: &[Row] = &[
        (
            |d| {
                let heads = Value::Array(Array::U32(vec![2, 0]));
                d.set("granite.attention.head_count_kv", heads);
            },
            "head_count_kv\" holds an array of 2 u32, where a count",
        ),
        (
            |d| {
                for key in ["expert_count", "expert_used_count"] {
                    d.set(&format!("granite.{key}"), Value::U32(2));
                }
                d.set("granite.expert_feed_forward_length", Value::U32(8));
            },
            "a mixture of experts in `granite` is not supported yet; take a dense model",
        ),
        (
            |d| _ = d.set("granite.attention.scale", Value::F32(0.0)),
            "`granite.attention.scale` is 0; expected a positive",
        ),
        (
            |d| _ = d.remove("blk.1.attn_q.weight"),
            "blk.1.attn_q.weight",
        ),
    ];
    check_refused("granite", rows);
    // Without positions nothing is turned.
    let turned = |draft: &Draft| {
        let model = Model::describe(draft.build()).expect("a model we run");
        let nodes = model.program.nodes().iter();
        nodes.filter(|n| n.label.part == "rope_table").count()
    };
    let mut draft = Draft::of("granite");
    assert_eq!(turned(&draft), 1);
    draft.set("granite.rope.scaling.finetuned", Value::Bool(false));
    assert_eq!(turned(&draft), 0);
}

/// What looks odd and is sound.
#[test]
fn unusual_files_that_are_models() {
    let rows: [(&str, Change); 7] = [
        ("llama", |d| _ = d.remove("output.weight")),
        ("llama", |d| _ = d.set("split.count", Value::U16(1))),
        ("llama", |d| _ = d.set("llama.expert_count", Value::U32(0))),
        ("llama", |d| {
            _ = d.set("llama.nextn_predict_layers", Value::U32(1))
        }),
        ("llama", |d| _ = d.set("llama.block_count", Value::I64(3))),
        ("gemma3", |d| {
            _ = d.set("gemma3.attention.sliding_window_pattern", Value::U32(1))
        }),
        ("llama", |d| {
            d.set("llama.rope.scaling.type", text("none"))
                .set("llama.rope.scaling.factor", Value::F32(8.0));
        }),
    ];
    for (fixture, change) in rows {
        let mut draft = Draft::of(fixture);
        change(&mut draft);
        let model = Model::describe(draft.build()).expect("a sound model");
        assert_eq!(model.config.rope_scale, 1.0);
    }
    let mut draft = Draft::of("llama");
    let model = Model::describe(
        draft
            .set("llama.rope.scaling.factor", Value::F32(8.0))
            .build(),
    )
    .expect("linear scaling");
    assert_eq!(model.config.rope_scale, 0.125);
}
