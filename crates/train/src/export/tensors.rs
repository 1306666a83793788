//! Tensors as files of an architecture have them: their names, what is joined, and the order of rows.

use formats::gguf::{Formats, Role, TensorSpec};
use ops::Dtype;

use super::Architecture;
use crate::{
    graph::{Declared, Parameter},
    weights::Weights,
};

/// A tensor of a file.
pub(super) struct Tensor {
    pub(super) name: String,
    columns: usize,
    pub(super) values: Vec<f32>,
}

/// Parts of names of matrices that stay as they are: each of their numbers steers a whole state.
const PRECISE: [&str; 3] = ["ssm_conv1d", "ssm_alpha", "ssm_beta"];

impl Tensor {
    /// As it stands in a file of these formats; where the head is `tied` to the embedding, that is the output too.
    pub(super) fn spec(&self, tied: bool, formats: &mut Formats) -> TensorSpec {
        let rows = self.values.len() / self.columns;
        // The innermost dimension comes first.
        let shape = match rows {
            1 => vec![self.columns],
            rows => vec![self.columns, rows],
        };
        let is_output = self.name == "output.weight" || tied && self.name == "token_embd.weight";
        let is_precise = rows == 1 || PRECISE.iter().any(|part| self.name.contains(part));
        let role = match (is_precise, is_output) {
            (true, _) => Role::Precise,
            (false, true) => Role::Output,
            (false, false) => Role::Matrix,
        };
        TensorSpec {
            name: self.name.clone(),
            dtype: formats.choose(&self.name, role, Dtype::F32, (rows, self.columns)),
            shape,
        }
    }
}

/// What becomes of a parameter of a block.
enum Fate {
    /// Kept, under this name.
    Named(&'static str),
    /// Rows of pairs that lie half a head apart here, and side by side in the file.
    Turned,
    /// These, one behind the other, under this name.
    Joined(&'static str, [&'static str; 3]),
    /// Each head's rows, and then those of its gate.
    WithGate(&'static str),
    /// The logarithm of a rate; the file has the rate below zero.
    Rate(&'static str),
    /// Part of another.
    Taken,
    /// As it is.
    Kept,
}

fn fate(architecture: Architecture, part: &str) -> Fate {
    if architecture == Architecture::Llama {
        return match part {
            "attn_q.weight" | "attn_k.weight" => Fate::Turned,
            _ => Fate::Kept,
        };
    }
    if architecture == Architecture::Qwen3 {
        return Fate::Kept;
    }
    match part {
        "ffn_norm.weight" => Fate::Named("post_attention_norm.weight"),
        "attn_q.weight" => Fate::WithGate("attn_gate.weight"),
        "delta_q.weight" => Fate::Joined(
            "attn_qkv.weight",
            ["delta_q.weight", "delta_k.weight", "delta_v.weight"],
        ),
        "delta_conv_q.weight" => Fate::Joined(
            "ssm_conv1d.weight",
            [
                "delta_conv_q.weight",
                "delta_conv_k.weight",
                "delta_conv_v.weight",
            ],
        ),
        "delta_gate.weight" => Fate::Named("attn_gate.weight"),
        "delta_a.weight" => Fate::Named("ssm_alpha.weight"),
        "delta_b.weight" => Fate::Named("ssm_beta.weight"),
        "delta_a_log" => Fate::Rate("ssm_a"),
        "delta_dt_bias" => Fate::Named("ssm_dt.bias"),
        "delta_norm.weight" => Fate::Named("ssm_norm.weight"),
        "delta_output.weight" => Fate::Named("ssm_out.weight"),
        "attn_gate.weight"
        | "delta_k.weight"
        | "delta_v.weight"
        | "delta_conv_k.weight"
        | "delta_conv_v.weight" => Fate::Taken,
        _ => Fate::Kept,
    }
}

/// All tensors of a model, in the order of its parameters.
pub(super) fn of(
    architecture: Architecture,
    head_dim: usize,
    declared: &[Declared],
    weights: &Weights,
) -> Vec<Tensor> {
    let values = |name: &str| {
        let index = declared.iter().position(|one| one.name == name);
        index.map_or(&[][..], |index| weights.get(Parameter(index)))
    };
    let mut tensors = Vec::new();
    for one in declared {
        let own = values(&one.name);
        let mut push = |name: String, values: Vec<f32>| {
            tensors.push(Tensor {
                name,
                columns: one.columns,
                values,
            });
        };
        let (block, part) = match one
            .name
            .strip_prefix("blk.")
            .and_then(|n| n.split_once('.'))
        {
            Some((layer, part)) => (format!("blk.{layer}."), part),
            None => (String::new(), one.name.as_str()),
        };
        let named = |name: &str| format!("{block}{name}");
        match fate(architecture, part) {
            Fate::Taken => {}
            Fate::Kept => push(one.name.clone(), own.to_vec()),
            Fate::Named(name) => push(named(name), own.to_vec()),
            Fate::Rate(name) => push(named(name), own.iter().map(|x| -x.exp()).collect()),
            Fate::Joined(name, parts) => {
                let all = parts.iter().map(|part| values(&named(part)));
                push(named(name), all.collect::<Vec<_>>().concat());
            }
            Fate::Turned => {
                let rows = (0..one.rows).map(|row| source_row(row, head_dim));
                let rows = rows.map(|row| &own[row * one.columns..(row + 1) * one.columns]);
                push(one.name.clone(), rows.collect::<Vec<_>>().concat());
            }
            Fate::WithGate(gate) => {
                let head = head_dim * one.columns;
                let heads = own.chunks(head).zip(values(&named(gate)).chunks(head));
                let all = heads.flat_map(|(query, gate)| [query, gate]);
                push(one.name.clone(), all.collect::<Vec<_>>().concat());
            }
        }
    }
    tensors
}

/// Files of `llama` have a pair of channels side by side; here they are half a head apart.
pub(super) const fn source_row(row: usize, head_dim: usize) -> usize {
    let (head, channel) = (row / head_dim, row % head_dim);
    head * head_dim + channel / 2 + channel % 2 * (head_dim / 2)
}
