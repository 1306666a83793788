//! What files of RecurrentGemma can get wrong, and what they may say in more than one way.

use formats::gguf::{Array, Value};
use models::Model;

use super::{Change, Draft, Row, check_refused, text};

/// The key heads of each layer.
fn key_heads(draft: &mut Draft, counts: &[i32]) {
    let counts = Value::Array(Array::I32(counts.to_vec()));
    draft.set("recurrentgemma.attention.head_count_kv", counts);
}

fn count(draft: &mut Draft, key: &str, count: u32) {
    draft.set(&format!("recurrentgemma.{key}"), Value::U32(count));
}

#[test]
fn metadata_that_contradict_themselves() {
    let rows: &[Row] = &[
        (
            |d| _ = d.unset("recurrentgemma.ssm.inner_size"),
            "\"recurrentgemma.ssm.inner_size\" is missing",
        ),
        (
            |d| count(d, "ssm.inner_size", 0),
            "`recurrentgemma.ssm.inner_size` is 0; expected 1 to",
        ),
        (
            |d| count(d, "ssm.inner_size", u32::MAX),
            "inner_size` is 4294967295; expected 1 to 16777216",
        ),
        (
            |d| count(d, "ssm.inner_size", 120),
            "inner_size` is 120; expected 3 heads of a multiple of 16",
        ),
        (
            |d| count(d, "ssm.inner_size", 96),
            "blk.0.ssm_in.weight\" has the shape [96, 144], where the",
        ),
        (
            |d| count(d, "ssm.group_count", 0),
            "group_count` is 0; expected 1 to",
        ),
        (
            |d| count(d, "ssm.group_count", 9),
            "blk.0.ssm_input_gate.weight\" has the shape [48, 48, 3], where the",
        ),
        (
            |d| count(d, "ssm.group_count", 65536),
            "expected 65536 heads of a multiple of 16",
        ),
        (
            |d| count(d, "ssm.conv_kernel", 3),
            "conv_kernel` is 3; expected 4",
        ),
        (
            |d| _ = d.unset("recurrentgemma.attention.head_count_kv"),
            "\"recurrentgemma.attention.head_count_kv\" is missing",
        ),
        (
            |d| count(d, "attention.head_count_kv", 1),
            "head_count_kv\" holds the u32 1, where",
        ),
        (
            |d| key_heads(d, &[0, 0, 1, 0]),
            "head_count_kv` is an array of 4; expected one number for each of 5 layers",
        ),
        (
            |d| key_heads(d, &[0, 0, 2, 0, 0]),
            "head_count_kv` is 2; expected a divisor of the 3",
        ),
        (
            |d| key_heads(d, &[0, 0, 1, 0, 3]),
            "head_count_kv` is 3; expected 1 as in the layers before, or 0",
        ),
        (
            |d| key_heads(d, &[0, 1, 0, 0, 0]),
            "tensor \"blk.1.attn_q.weight\" is missing",
        ),
        (
            |d| key_heads(d, &[0; 5]),
            "tensor \"blk.2.ssm_in.weight\" is missing",
        ),
        (
            |d| count(d, "attention.sliding_window", 0),
            "sliding_window` is 0; expected 1 to",
        ),
        (
            |d| _ = d.unset("recurrentgemma.attention.sliding_window"),
            "\"recurrentgemma.attention.sliding_window\" is missing",
        ),
        (
            |d| {
                let key = "recurrentgemma.final_logit_softcapping";
                d.set(key, Value::F32(0.0));
            },
            "final_logit_softcapping` is 0; expected a positive",
        ),
        (
            |d| {
                let key = "recurrentgemma.final_logit_softcapping";
                d.set(key, Value::F32(f32::NAN));
            },
            "final_logit_softcapping` is NaN; expected a positive",
        ),
        (
            |d| count(d, "rope.dimension_count", 34),
            "dimension_count` is 34; expected 1 to 32",
        ),
        (
            |d| count(d, "feed_forward_length", 160),
            "blk.0.ffn_gate.weight\" has the shape [96, 80], where the",
        ),
        (
            |d| {
                d.set("recurrentgemma.rope.scaling.type", text("yarn"))
                    .set("recurrentgemma.rope.scaling.factor", Value::F32(4.0));
                count(d, "rope.scaling.original_context_length", 64);
            },
            "rope scaling `yarn` in `recurrentgemma` is not supported yet; take a file",
        ),
        (
            |d| {
                for key in [
                    "expert_count",
                    "expert_used_count",
                    "expert_feed_forward_length",
                ] {
                    count(d, key, 8);
                }
            },
            "a mixture of experts in `recurrentgemma` is not supported yet; take a dense",
        ),
    ];
    check_refused("recurrentgemma", rows);
}

#[test]
fn tensors_that_are_others() {
    let rows: &[Row] = &[
        (
            |d| _ = d.remove("blk.0.ssm_in.bias"),
            "tensor \"blk.0.ssm_in.bias\" is missing",
        ),
        (
            |d| _ = d.remove("blk.1.ssm_out.bias"),
            "tensor \"blk.1.ssm_out.bias\" is missing",
        ),
        (
            |d| _ = d.remove("blk.1.ssm_conv1d.bias"),
            "tensor \"blk.1.ssm_conv1d.bias\" is missing",
        ),
        (
            |d| _ = d.remove("blk.2.attn_output.bias"),
            "tensor \"blk.2.attn_output.bias\" is missing",
        ),
        (
            |d| _ = d.remove("blk.4.ffn_up.bias"),
            "tensor \"blk.4.ffn_up.bias\" is missing",
        ),
        (
            |d| _ = d.tensor("blk.3.ffn_down.bias").reshape(&[80]),
            "ffn_down.bias\" has the shape [80], where the",
        ),
        (
            |d| _ = d.remove("blk.0.ssm_a"),
            "tensor \"blk.0.ssm_a\" is missing",
        ),
        (
            |d| _ = d.tensor("blk.0.ssm_a").reshape(&[3]),
            "ssm_a\" has the shape [3], where the",
        ),
        (
            |d| _ = d.tensor("blk.0.ssm_conv1d.weight").reshape(&[3, 144]),
            "asks for [4, 144] (contiguous dimension first)",
        ),
        (
            |d| {
                _ = d
                    .tensor("blk.0.ssm_recurrence_gate.weight")
                    .reshape(&[48, 144])
            },
            "ssm_recurrence_gate.weight\" has the shape [48, 144], where the",
        ),
        (
            |d| _ = d.tensor("blk.0.ssm_input_gate.bias").reshape(&[48, 3]),
            "ssm_input_gate.bias\" has the shape [48, 3], where the",
        ),
        (
            |d| _ = d.add("blk.2.attn_q_norm.weight", &[32]),
            "a variant with the tensor `blk.2.attn_q_norm.weight`",
        ),
        (
            |d| _ = d.add("blk.0.attn_q.weight", &[96, 96]),
            "a variant with the tensor `blk.0.attn_q.weight`",
        ),
        (
            |d| _ = d.add("blk.0.post_ffw_norm.weight", &[96]),
            "a variant with the tensor `blk.0.post_ffw_norm.weight`",
        ),
    ];
    check_refused("recurrentgemma", rows);
}

#[test]
fn variations_that_are_sound() {
    let variations: [Change; 4] = [
        // The usual cap, and rows of the logits apart from the embeddings.
        |d| _ = d.unset("recurrentgemma.final_logit_softcapping"),
        |d| _ = d.add("output.weight", &[96, 288]),
        // Published models have no biases on queries, keys and values.
        |d| {
            for kind in ["q", "k", "v"] {
                d.remove(&format!("blk.2.attn_{kind}.bias"));
            }
        },
        // Whole heads turn.
        |d| _ = d.unset("recurrentgemma.rope.dimension_count"),
    ];
    for (i, change) in variations.into_iter().enumerate() {
        let mut draft = Draft::of("recurrentgemma");
        change(&mut draft);
        let described = Model::describe(draft.build());
        assert!(described.is_ok(), "{i}: {:?}", described.err());
    }
}
