//! What Granite has beside a llama: four factors; in the hybrids Mamba-2 layers, and one MLP under names of its own.
//!
//! A hybrid's configuration whose layers all attend is the architecture `granite`, as llama.cpp's converter has it too.

use formats::gguf::{Array, Value};

use super::{Experts, Fields, MOST_EXPERTS, MOST_HEAD_DIM, MOST_HEADS, MOST_WIDTH, Pairs};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::family::Family;

/// A member of the family.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checkpoint) struct Granite {
    pub factors: Factors,
    /// Whether attention is told positions.
    pub turns: bool,
    /// Whether the MLP that every token goes through has the hybrids' names, gate and up in one.
    pub is_fused: bool,
    pub mamba: Option<Mamba>,
}

/// Of embeddings, of what blocks add, of scores, and what divides logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::checkpoint) struct Factors {
    embedding: f64,
    residual: f64,
    attention: f64,
    logits: f64,
}

/// Mamba-2 layers.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checkpoint) struct Mamba {
    pub heads: usize,
    pub groups: usize,
    pub head_dim: usize,
    pub state: usize,
    pub taps: usize,
    /// For each layer whether it is one of attention instead.
    pub attends: Vec<bool>,
}

impl Mamba {
    /// Columns of the values.
    pub(in crate::checkpoint) fn values(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns of the convolution: values, and what a group writes and reads the state with.
    pub(in crate::checkpoint) fn channels(&self) -> usize {
        self.values() + 2 * self.groups * self.state
    }
}

impl Granite {
    /// `dense` is the width of the MLP where there are no experts.
    pub(super) fn metadata(&self, pairs: &mut Pairs, kv_heads: usize, dense: Option<usize>) {
        pairs.float("embedding_scale", self.factors.embedding);
        pairs.float("residual_scale", self.factors.residual);
        pairs.float("attention.scale", self.factors.attention);
        pairs.float("logit_scale", self.factors.logits);
        if !self.turns {
            pairs.push("rope.scaling.finetuned", Value::Bool(false));
        }
        let Some(mamba) = &self.mamba else {
            return;
        };
        // Layer by layer, 0 where there is no attention.
        let kv_heads = i32::try_from(kv_heads).unwrap_or(i32::MAX);
        let per_layer = mamba.attends.iter();
        let per_layer = per_layer.map(|&attends| if attends { kv_heads } else { 0 });
        pairs.push(
            "attention.head_count_kv",
            Value::Array(Array::I32(per_layer.collect())),
        );
        pairs.count("ssm.conv_kernel", mamba.taps);
        pairs.count("ssm.state_size", mamba.state);
        pairs.count("ssm.group_count", mamba.groups);
        pairs.count("ssm.time_step_rank", mamba.heads);
        pairs.count("ssm.inner_size", mamba.values());
        if let Some(width) = dense {
            // As llama.cpp's converter says it: the MLP is the shared one, without any beside it.
            pairs.count("expert_count", 0);
            pairs.count("expert_used_count", 0);
            pairs.count("expert_shared_feed_forward_length", width);
        }
    }
}

impl Fields<'_> {
    pub(super) fn granite(
        &self,
        family: Family,
        layers: usize,
        hidden: usize,
    ) -> Result<Option<Granite>, CheckpointError> {
        if !family.is_granite() {
            return Ok(None);
        }
        let factor = |key| Ok::<_, CheckpointError>(self.0.positive(key)?.unwrap_or(1.0));
        let factors = Factors {
            embedding: factor("embedding_multiplier")?,
            residual: factor("residual_multiplier")?,
            attention: factor("attention_multiplier")?,
            logits: factor("logits_scaling")?,
        };
        if family == Family::Granite {
            return Ok(Some(Granite {
                factors,
                turns: true,
                is_fused: false,
                mamba: None,
            }));
        }
        const KEY: &str = "position_embedding_type";
        let turns = match self.0.text(KEY)? {
            None | Some("nope") => false,
            Some("rope") => true,
            Some(_) => return Err(self.0.wrong(KEY, "\"rope\", \"nope\" or null").into()),
        };
        let mamba = self.mamba(layers, hidden)?;
        if turns && mamba.is_some() {
            let remedy = "take a Granite 4.0-H model: its attention is told no positions";
            let feature = "rotary embedding beside Mamba layers".to_owned();
            return Err(self.unsupported(feature, remedy));
        }
        Ok(Some(Granite {
            factors,
            turns,
            is_fused: true,
            mamba,
        }))
    }

    /// None where all layers attend.
    fn mamba(&self, layers: usize, hidden: usize) -> Result<Option<Mamba>, CheckpointError> {
        let key = match self.0.get("layer_types") {
            Some(_) => "layer_types",
            None => "layers_block_type",
        };
        let attends = match self.0.array(key)? {
            None => vec![false; layers],
            Some(types) => {
                let attends = |kind: &serde_json::Value| match kind.as_str() {
                    Some("full_attention" | "attention") => Some(true),
                    Some("linear_attention" | "mamba") => Some(false),
                    _ => None,
                };
                let found: Option<Vec<bool>> = types.iter().map(attends).collect();
                match found {
                    Some(found) if found.len() == layers => found,
                    _ => {
                        let expected = format!("{layers} times \"mamba\" or \"attention\"");
                        return Err(self.0.wrong(key, expected).into());
                    }
                }
            }
        };
        if attends.iter().all(|&attends| attends) {
            return Ok(None);
        }
        self.check_steps()?;
        let heads = self.count("mamba_n_heads", MOST_HEADS, Some(128))?;
        let inner = hidden * self.count("mamba_expand", 64, Some(2))?;
        let groups = self.count("mamba_n_groups", heads, Some(1))?;
        if !inner.is_multiple_of(heads) || !heads.is_multiple_of(groups) {
            let expected = format!(
                "a divisor of the {inner} values (mamba_expand times hidden_size) and a multiple of the {groups} groups"
            );
            return Err(self.0.wrong("mamba_n_heads", expected).into());
        }
        let head_dim = inner / heads;
        let stated = self.0.get("mamba_d_head").and_then(|found| found.as_str());
        if stated != Some("auto") {
            let stated = self.count("mamba_d_head", MOST_WIDTH, Some(head_dim))?;
            if stated != head_dim {
                let expected = format!("{head_dim}, the values of each head, or \"auto\"");
                return Err(self.0.wrong("mamba_d_head", expected).into());
            }
        }
        Ok(Some(Mamba {
            heads,
            groups,
            head_dim,
            state: self.count("mamba_d_state", MOST_HEAD_DIM, Some(256))?,
            taps: self.count("mamba_d_conv", 64, Some(4))?,
            attends,
        }))
    }

    /// Step sizes have no limits: from 0 on, to a number that JSON does not hold.
    fn check_steps(&self) -> Result<(), CheckpointError> {
        const KEY: &str = "time_step_limit";
        match self.0.array(KEY)? {
            None => Ok(()),
            Some([least, most]) if least.as_f64() == Some(0.0) && !most.is_number() => Ok(()),
            Some(_) => {
                let remedy = "take a model of the family whose steps have no limit";
                Err(self.unsupported(format!("`{KEY}`"), remedy))
            }
        }
    }

    /// Of a hybrid: the experts, beside an MLP that every token goes through.
    pub(super) fn granite_experts(
        &self,
        granite: &Granite,
    ) -> Result<Option<Experts>, CheckpointError> {
        if !granite.is_fused {
            return Ok(None);
        }
        let count = self
            .0
            .optional_count("num_local_experts", 0, MOST_EXPERTS)?;
        let count = count.unwrap_or(8);
        if count == 0 {
            return Ok(None);
        }
        if granite.mamba.is_none() {
            let remedy = "take a dense model of the family, or one with Mamba layers";
            let feature = "a mixture of experts whose layers all attend".to_owned();
            return Err(self.unsupported(feature, remedy));
        }
        Ok(Some(Experts {
            count,
            used: self.count("num_experts_per_tok", count, Some(2))?,
            width: self.count("intermediate_size", MOST_WIDTH, Some(11_008))?,
            shared_width: Some(self.shared_width()?),
        }))
    }

    /// Width of a hybrid's MLP that every token goes through.
    pub(super) fn shared_width(&self) -> Result<usize, CheckpointError> {
        self.count("shared_intermediate_size", MOST_WIDTH, Some(1024))
    }
}
