//! RWKV-7 files that contradict themselves, and variations that are sound.

use formats::gguf::{TensorType, Value};
use models::Model;
use ops::Dtype;

use super::{Change, Draft, Row, check_refused};

#[test]
fn files_that_contradict_themselves() {
    let rows: &[Row] = &[
        (
            |d| _ = d.unset("rwkv7.wkv.head_size"),
            "\"rwkv7.wkv.head_size\" is missing",
        ),
        (
            |d| _ = d.set("rwkv7.wkv.head_size", Value::U32(0)),
            "`rwkv7.wkv.head_size` is 0; expected 1 to 1024",
        ),
        (
            |d| _ = d.set("rwkv7.wkv.head_size", Value::U32(u32::MAX)),
            "`rwkv7.wkv.head_size` is 4294967295; expected 1 to 1024",
        ),
        (
            |d| _ = d.set("rwkv7.wkv.head_size", Value::U32(48)),
            "`rwkv7.wkv.head_size` is 48; expected a multiple of 16 that divides the width, 128",
        ),
        (
            |d| _ = d.set("rwkv7.wkv.head_size", Value::U32(8)),
            "`rwkv7.wkv.head_size` is 8; expected a multiple of 16",
        ),
        (
            |d| _ = d.set("rwkv7.wkv.head_size", Value::U32(256)),
            "`rwkv7.wkv.head_size` is 256; expected a multiple of 16 that divides",
        ),
        (
            |d| _ = d.set("rwkv7.attention.decay_lora_rank", Value::U32(0)),
            "`rwkv7.attention.decay_lora_rank` is 0; expected 1 to",
        ),
        (
            |d| _ = d.set("rwkv7.attention.gate_lora_rank", Value::U32(u32::MAX)),
            "`rwkv7.attention.gate_lora_rank` is 4294967295; expected 1 to",
        ),
        (
            |d| _ = d.set("rwkv7.attention.iclr_lora_rank", Value::U32(24)),
            "blk.0.time_mix_a1.weight\" has the shape [128, 20], where the",
        ),
        (
            |d| _ = d.unset("rwkv7.attention.value_residual_mix_lora_rank"),
            "value_residual_mix_lora_rank\" is missing",
        ),
        (
            |d| _ = d.set("rwkv7.token_shift_count", Value::U32(1)),
            "`rwkv7.token_shift_count` is 1; expected 2",
        ),
        (
            |d| _ = d.unset("rwkv7.attention.layer_norm_epsilon"),
            "layer_norm_epsilon\" is missing",
        ),
        (
            |d| _ = d.set("rwkv7.attention.layer_norm_epsilon", Value::F32(f32::NAN)),
            "`rwkv7.attention.layer_norm_epsilon` is NaN; expected a small positive",
        ),
        (
            |d| _ = d.set("rwkv7.feed_forward_length", Value::U32(128)),
            "blk.0.channel_mix_key.weight\" has the shape [128, 112], where the",
        ),
        (
            |d| {
                _ = d
                    .tensor("blk.1.time_mix_lerp_fused.weight")
                    .reshape(&[128, 1, 1, 5])
            },
            "time_mix_lerp_fused.weight\" has the shape [128, 1, 1, 5], where the",
        ),
        (
            |d| _ = d.tensor("blk.1.time_mix_r_k.weight").reshape(&[64]),
            "time_mix_r_k.weight\" has the shape [64], where the",
        ),
        (
            |d| _ = d.remove("token_embd_norm.bias"),
            "tensor \"token_embd_norm.bias\" is missing",
        ),
        (
            |d| _ = d.remove("blk.1.time_mix_v2.weight"),
            "tensor \"blk.1.time_mix_v2.weight\" is missing",
        ),
        (
            |d| _ = d.remove("blk.2.time_mix_ln.bias"),
            "tensor \"blk.2.time_mix_ln.bias\" is missing",
        ),
        (
            |d| _ = d.add("blk.1.time_mix_g0.weight", &[128]),
            "a variant with the tensor `blk.1.time_mix_g0.weight`",
        ),
    ];
    check_refused("rwkv7", rows);
}

#[test]
fn variations_that_are_sound() {
    let variations: [Change; 5] = [
        // Keys that other converters write or leave out.
        |d| _ = d.set("rwkv7.token_shift_count", Value::U32(2)),
        |d| _ = d.unset("rwkv7.attention.head_count"),
        // The first layer's tensors that nothing reads, or another of their shapes.
        |d| {
            for part in ["v0", "v1", "v2"] {
                d.remove(&format!("blk.0.time_mix_{part}.weight"));
            }
        },
        |d| {
            for part in ["time_mix_k_k", "time_mix_w0", "channel_mix_lerp_k"] {
                d.tensor(&format!("blk.1.{part}.weight"))
                    .reshape(&[128, 1, 1]);
            }
        },
        // Low-rank matrices in another format than the large ones.
        |d| {
            _ = d
                .tensor("blk.1.time_mix_g1.weight")
                .retype(TensorType::Readable(Dtype::F16))
        },
    ];
    for (i, change) in variations.into_iter().enumerate() {
        let mut draft = Draft::of("rwkv7");
        change(&mut draft);
        let described = Model::describe(draft.build());
        assert!(described.is_ok(), "{i}: {:?}", described.err());
    }
}
