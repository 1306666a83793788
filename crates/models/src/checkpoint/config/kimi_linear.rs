//! What Kimi Linear has in place of a llama's attention and MLP: widths of two kinds of attention, which layers have which, and how the
//! router scores experts. Fields have the names of the published configuration, or those that transformers gives them.

use formats::gguf::{Array, Value};
use ops::route::Groups;

use super::{
    Experts, Fields, MOST_EXPERTS, MOST_HEAD_DIM, MOST_HEADS, MOST_LAYERS, MOST_WIDTH, Pairs,
};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::family::Family;

/// `expert_gating_func` of scores that are sigmoids.
const SIGMOID: usize = 2;
const MOST_GROUPS: usize = 64;

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checkpoint) struct KimiLinear {
    /// Width of a head of the delta layers.
    pub delta: usize,
    pub taps: usize,
    pub latents: usize,
    /// Of a head's query, what meets keys expanded from latents.
    pub own: usize,
    /// Of a head's query, what meets the keys that all heads share.
    pub shared: usize,
    /// Of a head's value.
    pub values: usize,
    /// For each layer whether it attends.
    pub attends: Vec<bool>,
    /// Layers at the beginning whose MLP is dense.
    pub dense: usize,
    /// How many experts' widths the shared one has.
    pub shared_experts: usize,
    groups: Groups,
    renormalise: bool,
    scale: f64,
}

impl KimiLinear {
    /// Width of a cached row.
    pub(super) fn row(&self) -> usize {
        self.latents + self.shared
    }

    pub(super) fn metadata(&self, pairs: &mut Pairs) {
        let kv_heads = self.attends.iter().map(|&attends| i32::from(attends));
        let kv_heads = Value::Array(Array::I32(kv_heads.collect()));
        pairs.push("attention.head_count_kv", kv_heads);
        pairs.count("ssm.conv_kernel", self.taps);
        pairs.count("kda.head_dim", self.delta);
        pairs.count("attention.kv_lora_rank", self.latents);
        pairs.count("attention.key_length", self.row());
        pairs.count("attention.key_length_mla", self.own + self.shared);
        pairs.count("attention.value_length_mla", self.values);
        pairs.count("rope.dimension_count", self.shared);
        pairs.count("leading_dense_block_count", self.dense);
        pairs.count("expert_shared_count", self.shared_experts);
        pairs.count("expert_group_count", self.groups.count);
        pairs.count("expert_group_used_count", self.groups.used);
        pairs.count("expert_gating_func", SIGMOID);
        pairs.push("expert_weights_norm", Value::Bool(self.renormalise));
        pairs.float("expert_weights_scale", self.scale);
    }
}

impl Fields<'_> {
    pub(super) fn kimi_linear(
        &self,
        family: Family,
        layers: usize,
        heads: usize,
    ) -> Result<Option<KimiLinear>, CheckpointError> {
        if family != Family::KimiLinear {
            return Ok(None);
        }
        self.check_variant(heads)?;
        let width = |key, default| self.count(key, MOST_HEAD_DIM, Some(default));
        let groups = Groups {
            count: self.count(
                self.either("num_expert_group", "n_group"),
                MOST_GROUPS,
                Some(1),
            )?,
            used: self.count("topk_group", MOST_GROUPS, Some(1))?,
        };
        let renormalise = self
            .0
            .flag(self.either("moe_renormalize", "norm_topk_prob"))?;
        let shared = self.either("num_shared_experts", "n_shared_experts");
        let (delta, taps) = self.delta_of_kimi(heads)?;
        Ok(Some(KimiLinear {
            delta,
            taps,
            latents: width("kv_lora_rank", 512)?,
            own: width("qk_nope_head_dim", 128)?,
            shared: width("qk_rope_head_dim", 64)?,
            values: width("v_head_dim", 128)?,
            attends: self.attends(layers)?,
            dense: self.dense_layers(layers)?,
            shared_experts: self.count(shared, 64, Some(1))?,
            groups,
            renormalise: renormalise.unwrap_or(true),
            scale: self.0.positive("routed_scaling_factor")?.unwrap_or(2.446),
        }))
    }

    /// The name that the configuration has, the first where it has neither.
    fn either<'k>(&self, published: &'k str, other: &'k str) -> &'k str {
        match self.0.get(published) {
            None if self.0.get(other).is_some() => other,
            _ => published,
        }
    }

    /// Refuses what would change the computation.
    fn check_variant(&self, heads: usize) -> Result<(), CheckpointError> {
        let remedy = "take Kimi-Linear-48B-A3B: it has no such thing";
        if self.0.get("q_lora_rank").is_some() {
            let feature = "queries through latents of their own (`q_lora_rank`)";
            return Err(self.unsupported(feature.into(), remedy));
        }
        if self.0.flag("mla_use_nope")? == Some(false) {
            return Err(self.unsupported("`mla_use_nope` false".into(), remedy));
        }
        for (key, expected) in [("moe_layer_freq", 1), ("num_key_value_heads", heads)] {
            if self.count(key, MOST_HEADS, Some(expected))? != expected {
                return Err(self.0.wrong(key, expected.to_string()).into());
            }
        }
        const FUNCTION: &str = "moe_router_activation_func";
        match self.0.text(FUNCTION)? {
            None | Some("sigmoid") => Ok(()),
            Some(_) => Err(self.0.wrong(FUNCTION, "\"sigmoid\"").into()),
        }
    }

    /// Width of a delta layer's heads, which are as many as attention's, and the taps of its convolutions.
    fn delta_of_kimi(&self, heads: usize) -> Result<(usize, usize), CheckpointError> {
        let inner = self.0.object("linear_attn_config")?;
        let (holder, [dim, count, taps]) = match inner {
            Some(inner) => (
                Fields(inner),
                ["head_dim", "num_heads", "short_conv_kernel_size"],
            ),
            None => (
                Fields(self.0.clone()),
                [
                    "linear_head_dim",
                    "linear_num_heads",
                    "linear_conv_kernel_dim",
                ],
            ),
        };
        let found = holder.count(count, MOST_HEADS, Some(32))?;
        if found != heads {
            let expected = format!("{heads}, as \"num_attention_heads\"");
            return Err(holder.0.wrong(count, expected).into());
        }
        Ok((
            holder.count(dim, MOST_HEAD_DIM, Some(128))?,
            holder.count(taps, 64, Some(4))?,
        ))
    }

    /// For each layer whether it attends: by its type, else by a list of those that do, which counts from 1.
    fn attends(&self, layers: usize) -> Result<Vec<bool>, CheckpointError> {
        if let Some(types) = self.0.array("layer_types")? {
            let attends = |kind: &serde_json::Value| match kind.as_str() {
                Some("full_attention") => Some(true),
                Some("linear_attention") => Some(false),
                _ => None,
            };
            let found: Option<Vec<bool>> = types.iter().map(attends).collect();
            return found.filter(|found| found.len() == layers).ok_or_else(|| {
                let expected = format!("{layers} times \"linear_attention\" or \"full_attention\"");
                self.0.wrong("layer_types", expected).into()
            });
        }
        let inner = self.0.object("linear_attn_config")?;
        let list = match &inner {
            Some(inner) => inner.array("full_attn_layers")?.map(|list| (inner, list)),
            None => None,
        };
        let Some((inner, list)) = list else {
            // As transformers has it.
            return Ok((0..layers).map(|i| i > 0 && i.is_multiple_of(4)).collect());
        };
        let mut attends = vec![false; layers];
        for number in list {
            let index = number.as_u64().and_then(|number| number.checked_sub(1));
            let layer = index.and_then(|index| attends.get_mut(usize::try_from(index).ok()?));
            let Some(layer) = layer else {
                let expected = format!("numbers of layers from 1 to {layers}");
                return Err(inner.wrong("full_attn_layers", expected).into());
            };
            *layer = true;
        }
        Ok(attends)
    }

    /// How many layers at the beginning have a dense MLP; all others are mixtures.
    fn dense_layers(&self, layers: usize) -> Result<usize, CheckpointError> {
        const TYPES: &str = "mlp_layer_types";
        let Some(types) = self.0.array(TYPES)? else {
            let key = "first_k_dense_replace";
            return Ok(self.0.optional_count(key, 0, MOST_LAYERS)?.unwrap_or(1));
        };
        let is = |kind: &serde_json::Value, name| kind.as_str() == Some(name);
        let dense = types.iter().take_while(|kind| is(kind, "dense")).count();
        if types.len() != layers || !types[dense..].iter().all(|kind| is(kind, "sparse")) {
            let expected = format!("{layers} types, \"dense\" ones before \"sparse\" ones");
            return Err(self.0.wrong(TYPES, expected).into());
        }
        Ok(dense)
    }

    pub(super) fn kimi_experts(&self, kimi: &KimiLinear) -> Result<Experts, CheckpointError> {
        let count = self.either("num_experts", "num_local_experts");
        let count = self.count(count, MOST_EXPERTS, Some(256))?;
        let key = self.either("num_experts_per_token", "num_experts_per_tok");
        let used = self.count(key, count, Some(8))?;
        if !kimi.groups.fit(count, used) {
            let kept = kimi.groups.used;
            let expected = format!(
                "groups of two experts or more that part the {count}, {kept} of which hold the {used} of a token"
            );
            let key = self.either("num_expert_group", "n_group");
            return Err(self.0.wrong(key, expected).into());
        }
        let width = self.count("moe_intermediate_size", MOST_WIDTH, Some(1024))?;
        Ok(Experts {
            count,
            used,
            width,
            shared_width: Some(width * kimi.shared_experts),
        })
    }

    /// Positions that a model was made for.
    pub(super) fn kimi_context(&self) -> Result<usize, CheckpointError> {
        let key = self.either("model_max_length", "max_position_embeddings");
        self.count(key, 1 << 32, Some(1 << 20))
    }
}
