//! What files of Kimi Linear can get wrong, and what they may say in more than one way.

use formats::gguf::{Array, Value};
use models::Model;

use super::{Change, Draft, Row, check_refused};

fn key_heads(counts: [i32; 5]) -> Value {
    Value::Array(Array::I32(counts.to_vec()))
}

#[test]
fn metadata_that_contradict_themselves() {
    let rows: &[Row] = &[
        (
            |d| _ = d.unset("kimi-linear.kda.head_dim"),
            "\"kimi-linear.kda.head_dim\" is missing",
        ),
        (
            |d| _ = d.set("kimi-linear.kda.head_dim", Value::U32(0)),
            "`kimi-linear.kda.head_dim` is 0; expected 1 to 1024",
        ),
        (
            |d| _ = d.set("kimi-linear.kda.head_dim", Value::U32(24)),
            "`kimi-linear.kda.head_dim` is 24; expected a multiple of 16",
        ),
        (
            |d| _ = d.set("kimi-linear.kda.head_dim", Value::U32(64)),
            "blk.0.attn_q.weight\" has the shape [64, 96], where the",
        ),
        (
            |d| _ = d.set("kimi-linear.ssm.conv_kernel", Value::U32(3)),
            "conv_kernel` is 3; expected 4",
        ),
        (
            |d| _ = d.unset("kimi-linear.attention.head_count_kv"),
            "\"kimi-linear.attention.head_count_kv\" is missing",
        ),
        (
            |d| {
                _ = d.set(
                    "kimi-linear.attention.head_count_kv",
                    key_heads([0, 0, 3, 0, 3]),
                )
            },
            "`kimi-linear.attention.head_count_kv` is 3; expected 1 where a layer attends, else 0",
        ),
        (
            |d| {
                _ = d.set(
                    "kimi-linear.attention.head_count_kv",
                    key_heads([0, 0, 1, 0, 3]),
                )
            },
            "`kimi-linear.attention.head_count_kv` is 3; expected 1 as in the layers before, or 0",
        ),
        (
            |d| {
                _ = d.set(
                    "kimi-linear.attention.head_count_kv",
                    key_heads([1, 0, 1, 0, 1]),
                )
            },
            "blk.0.attn_q.weight\" has the shape [64, 96], where the",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.head_count", Value::U32(4)),
            "blk.0.attn_q.weight\" has the shape [64, 96], where the",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.kv_lora_rank", Value::U32(96)),
            "`kimi-linear.attention.key_length` is 96; expected 112: attention.kv_lora_rank and rope",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.kv_lora_rank", Value::U32(u32::MAX)),
            "kv_lora_rank` is 4294967295; expected 1 to 4096",
        ),
        (
            |d| {
                d.unset("kimi-linear.attention.key_length");
                d.set("kimi-linear.attention.kv_lora_rank", Value::U32(72));
            },
            "`kimi-linear.attention.kv_lora_rank` is 72; expected a multiple of 16",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.key_length_mla", Value::U32(16)),
            "key_length_mla` is 16; expected more than the 16 shared ones",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.key_length_mla", Value::U32(60)),
            "key_length_mla` is 60; expected a multiple of 16",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.value_length_mla", Value::U32(0)),
            "value_length_mla` is 0; expected 1 to 4096",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.value_length_mla", Value::U32(48)),
            "attn_v_b.weight\" has the shape [80, 32, 3], where the",
        ),
        (
            |d| _ = d.set("kimi-linear.attention.q_lora_rank", Value::U32(32)),
            "queries through latents of their own (attention.q_lora_rank) is not supported yet; take",
        ),
    ];
    check_refused("kimi-linear", rows);
}

#[test]
fn experts_that_contradict_themselves() {
    let rows: &[Row] = &[
        (
            |d| _ = d.set("kimi-linear.expert_gating_func", Value::U32(1)),
            "`kimi-linear.expert_gating_func` is 1; expected 2, experts scored by sigmoids",
        ),
        (
            |d| _ = d.set("kimi-linear.expert_group_count", Value::U32(2)),
            "`kimi-linear.expert_group_count` is 2; expected groups of two experts or more that part the 9",
        ),
        (
            |d| _ = d.set("kimi-linear.expert_group_count", Value::U32(65)),
            "`kimi-linear.expert_group_count` is 65; expected 1 to 64",
        ),
        (
            |d| _ = d.set("kimi-linear.expert_group_used_count", Value::U32(4)),
            "`kimi-linear.expert_group_used_count` is 4; expected 1 to 3",
        ),
        (
            |d| _ = d.unset("kimi-linear.expert_group_used_count"),
            "\"kimi-linear.expert_group_used_count\" is missing",
        ),
        (
            |d| {
                d.set("kimi-linear.expert_group_used_count", Value::U32(1));
                d.set("kimi-linear.expert_used_count", Value::U32(4));
            },
            "1 of which hold the 4 of a token",
        ),
        (
            |d| _ = d.set("kimi-linear.expert_weights_scale", Value::F32(f32::NAN)),
            "`kimi-linear.expert_weights_scale` is NaN; expected a positive",
        ),
        (
            |d| _ = d.set("kimi-linear.expert_shared_count", Value::U32(u32::MAX)),
            "`kimi-linear.expert_shared_count` is 4294967295; expected 1 to",
        ),
        (
            |d| _ = d.set("kimi-linear.expert_shared_count", Value::U32(1)),
            "ffn_gate_shexp.weight\" has the shape [64, 64], where the",
        ),
        (
            |d| _ = d.tensor("blk.1.exp_probs_b.bias").reshape(&[8]),
            "exp_probs_b.bias\" has the shape [8], where the",
        ),
    ];
    check_refused("kimi-linear", rows);
}

#[test]
fn tensors_that_are_others() {
    let rows: &[Row] = &[
        (
            |d| _ = d.add("blk.2.attn_kv_b.weight", &[80, 240]),
            "`attn_kv_b` in one is not supported yet; convert it anew",
        ),
        (
            |d| _ = d.remove("blk.2.attn_k_b.weight"),
            "tensor \"blk.2.attn_k_b.weight\" is missing",
        ),
        (
            |d| _ = d.tensor("blk.2.attn_k_b.weight").reshape(&[80, 48, 3]),
            "attn_k_b.weight\" has the shape [80, 48, 3], where the",
        ),
        (
            |d| _ = d.remove("blk.2.attn_kv_a_norm.weight"),
            "tensor \"blk.2.attn_kv_a_norm.weight\" is missing",
        ),
        (
            |d| _ = d.remove("blk.0.ssm_conv1d_k.weight"),
            "tensor \"blk.0.ssm_conv1d_k.weight\" is missing",
        ),
        (
            |d| _ = d.tensor("blk.0.ssm_conv1d_v.weight").reshape(&[4, 96, 1]),
            "ssm_conv1d_v.weight\" has the shape [4, 96, 1], where the",
        ),
        (
            |d| _ = d.tensor("blk.1.ssm_a").reshape(&[3, 1]),
            "ssm_a\" has the shape [3, 1], where the",
        ),
        (
            |d| _ = d.tensor("blk.1.ssm_dt.bias").reshape(&[3]),
            "ssm_dt.bias\" has the shape [3], where the",
        ),
        (
            |d| _ = d.add("blk.2.attn_gate.weight", &[64, 96]),
            "a variant with the tensor `blk.2.attn_gate.weight`",
        ),
    ];
    check_refused("kimi-linear", rows);
}

#[test]
fn variations_that_are_sound() {
    let variations: [Change; 6] = [
        // What converters write or leave out.
        |d| {
            for key in [
                "expert_weights_norm",
                "expert_gating_func",
                "attention.key_length",
            ] {
                d.unset(&format!("kimi-linear.{key}"));
            }
        },
        |d| _ = d.set("kimi-linear.attention.value_length", Value::U32(72)),
        |d| {
            d.set("kimi-linear.expert_group_count", Value::U32(0));
            d.unset("kimi-linear.expert_group_used_count");
        },
        |d| _ = d.set("kimi-linear.attention.q_lora_rank", Value::U32(0)),
        // The other shapes of their vectors.
        |d| {
            d.tensor("blk.1.ssm_a").reshape(&[1, 3, 1, 1]);
            d.tensor("blk.1.ssm_conv1d_q.weight")
                .reshape(&[4, 1, 96, 1]);
            d.tensor("blk.1.ssm_conv1d_k.weight").reshape(&[4, 96]);
        },
        // A router without biases.
        |d| _ = d.remove("blk.2.exp_probs_b.bias"),
    ];
    for (i, change) in variations.into_iter().enumerate() {
        let mut draft = Draft::of("kimi-linear");
        change(&mut draft);
        let described = Model::describe(draft.build());
        assert!(described.is_ok(), "{i}: {:?}", described.err());
    }
}
