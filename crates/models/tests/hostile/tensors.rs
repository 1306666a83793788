//! Tensors that are missing, of the wrong shape or format, or whose weights are no numbers.

use formats::gguf::{TensorType, Value};
use kernels::RuntimeProfile;
use models::{Model, Placement};
use ops::Dtype;

use super::{Draft, Row, check_message, check_refused};

#[test]
fn tensors_that_do_not_fit() {
    let rows: &[Row] = &[
        (
            |d| _ = d.remove("token_embd.weight"),
            "tensor \"token_embd.weight\" is missing",
        ),
        (
            |d| _ = d.remove("output_norm.weight"),
            "tensor \"output_norm.weight\" is missing",
        ),
        (
            |d| _ = d.remove("blk.1.attn_k.weight"),
            "tensor \"blk.1.attn_k.weight\" is missing",
        ),
        (
            |d| _ = d.set("llama.embedding_length", Value::U32(128)),
            "\"token_embd.weight\" has the shape [64, 288], where the",
        ),
        (
            |d| _ = d.tensor("token_embd.weight").reshape(&[64]),
            "\"token_embd.weight\" has the shape [64], where the",
        ),
        (
            |d| _ = d.tensor("token_embd.weight").reshape(&[64, 16, 18]),
            "\"token_embd.weight\" has the shape [64, 16, 18]",
        ),
        (
            |d| _ = d.tensor("output.weight").reshape(&[64, 287]),
            "\"output.weight\" has the shape [64, 287], where the",
        ),
        (
            |d| _ = d.tensor("output.weight").reshape(&[64, 288, 2]),
            "\"output.weight\" has the shape [64, 288, 2], where",
        ),
        (
            |d| _ = d.tensor("blk.0.attn_q.weight").reshape(&[64, 48]),
            "asks for [64, 64] (contiguous dimension first)",
        ),
        (
            |d| _ = d.tensor("blk.2.attn_norm.weight").reshape(&[32]),
            "\"blk.2.attn_norm.weight\" has the shape [32], where",
        ),
        (
            |d| _ = d.tensor("blk.2.ffn_down.weight").reshape(&[64, 80]),
            "has the shape [64, 80], where the metadata asks for [80, 64]",
        ),
        (
            |d| _ = d.add("blk.0.attn_q.bias", &[32]),
            "\"blk.0.attn_q.bias\" has the shape [32], where the metadata asks for [64]",
        ),
        (
            |d| _ = d.add("rope_freqs.weight", &[7]),
            "\"rope_freqs.weight\" has the shape [7], where the metadata asks for [8]",
        ),
        (
            |d| {
                _ = d
                    .tensor("blk.0.attn_q.weight")
                    .retype(TensorType::from_id(20))
            },
            "is stored as IQ4_NL (type 20), which Sprag",
        ),
        (
            |d| {
                _ = d
                    .tensor("blk.0.attn_norm.weight")
                    .retype(TensorType::from_id(28))
            },
            "is stored as F64 (type 28), which Sprag",
        ),
        (
            |d| {
                _ = d
                    .tensor("token_embd.weight")
                    .retype(TensorType::from_id(24))
            },
            "is stored as I8 (type 24), which Sprag",
        ),
    ];
    check_refused("llama", rows);
    check_refused(
        "qwen2",
        &[(
            |d| _ = d.remove("blk.1.attn_v.bias"),
            "tensor \"blk.1.attn_v.bias\" is missing",
        )],
    );
    check_refused(
        "qwen3",
        &[(
            |d| _ = d.remove("blk.1.attn_k_norm.weight"),
            "tensor \"blk.1.attn_k_norm.weight\" is missing",
        )],
    );
}

/// A header can't tell: only loading reads the weights.
#[test]
fn weights_that_are_no_numbers() {
    let rows: &[Row] = &[
        (
            |d| _ = d.tensor("blk.1.attn_k.weight").put(64 * 5 + 7, f32::NAN),
            "tensor `blk.1.attn_k.weight`: row ",
        ),
        (
            |d| {
                _ = d
                    .tensor("blk.1.ffn_up.weight")
                    .put(64 * 5 + 7, f32::NEG_INFINITY)
            },
            "row 5 has a NaN or infinite weight",
        ),
        (
            |d| _ = d.tensor("output.weight").put(64 * 287 + 63, f32::INFINITY),
            "row 287 has a NaN or infinite weight",
        ),
        (
            |d| _ = d.tensor("blk.2.ffn_norm.weight").put(3, f32::NAN),
            "\"blk.2.ffn_norm.weight\" holds a value that is not finite",
        ),
        (
            |d| {
                let part = d.tensor("blk.0.ffn_gate.weight").retype(Dtype::Q8_0.into());
                part.bytes[34 * 9 + 1] = 0x7e;
            },
            "tensor `blk.0.ffn_gate.weight`: row 4 has a NaN or infinite weight or scale at column 32",
        ),
    ];
    for (change, expected) in rows {
        let mut draft = Draft::of("llama");
        change(&mut draft);
        let gguf = draft.build();
        assert!(Model::describe(gguf.clone()).is_ok(), "{expected}");
        let error = Model::from_gguf(
            gguf,
            &RuntimeProfile::default(),
            &Placement::Memory,
            &mut |_| {},
        )
        .err()
        .expect("weights that are no numbers");
        check_message(&error.to_string(), expected);
    }
}
