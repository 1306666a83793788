//! A checkpoint's `config.json`: which family, which dimensions, and the same as GGUF metadata.
//!
//! A field that is absent has the default that the `transformers` library gives it; a field with a value that would change
//! the computation in a way that Sprag does not know is refused by name.

mod granite;
mod kimi_linear;
mod recurrent_gemma;
mod rope;

use std::path::Path;

use formats::gguf::{Quoted, Text, Value};
use formats::json::{Document, Object};

use super::CheckpointError;
use super::family::Family;
use granite::Granite;
pub(super) use granite::Mamba;
pub(super) use kimi_linear::KimiLinear;
pub(super) use recurrent_gemma::RecurrentGemma;
pub(super) use rope::Rope;

/// The whole of a configuration is a few kilobytes; those that carry label names are larger.
const MAX_CONFIG_BYTES: u64 = 16 << 20;
const MOST_LAYERS: usize = 4096;
const MOST_WIDTH: usize = 1 << 24;
const MOST_HEADS: usize = 1 << 16;
const MOST_HEAD_DIM: usize = 4096;
const MOST_EXPERTS: usize = 1 << 16;

/// What `config.json` says, checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dimensions {
    pub family: Family,
    pub layers: usize,
    pub hidden: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub eps: f64,
    pub context: usize,
    pub vocabulary: Option<usize>,
    /// Whether the output is the embedding table; `None` where the configuration does not say.
    pub tied: Option<bool>,
    pub rope: Rope,
    pub window: Option<Window>,
    pub delta: Option<Delta>,
    pub experts: Option<Experts>,
    pub granite: Option<Granite>,
    pub kimi: Option<KimiLinear>,
    pub recurrent_gemma: Option<RecurrentGemma>,
}

/// Layers that attend to the last tokens only, all but every `pattern`-th.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    pub len: usize,
    pub theta: f64,
    pub pattern: usize,
}

/// Gated DeltaNet layers, all but every `interval`-th.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Delta {
    pub key_heads: usize,
    pub value_heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub taps: usize,
    pub interval: usize,
}

/// A mixture of experts in every layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Experts {
    pub count: usize,
    pub used: usize,
    pub width: usize,
    /// Of the expert that sees every token.
    pub shared_width: Option<usize>,
}

impl Dimensions {
    /// Reads `config.json` of `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, CheckpointError> {
        Self::parse(&Document::read(
            &folder.join("config.json"),
            MAX_CONFIG_BYTES,
        )?)
    }

    pub(super) fn parse(document: &Document) -> Result<Self, CheckpointError> {
        let outer = document.root();
        let fields = match outer.object("text_config")? {
            Some(inner) => Fields(inner),
            None => Fields(outer.clone()),
        };
        let named = fields.0.text("model_type")?.or(outer.text("model_type")?);
        let Some(family) = named.and_then(Family::of_model_type) else {
            return Err(CheckpointError::Family {
                file: fields.file(),
                found: named.map_or_else(|| "missing".into(), |n| Quoted::new(n).to_string()),
                known: Family::known(),
            });
        };
        for place in [&outer, &fields.0] {
            if place.get("quantization_config").is_some() {
                return Err(fields.unsupported(
                    "a checkpoint that is quantised already (`quantization_config`)".into(),
                    "take the model's checkpoint in BF16, F16 or F32; `--quantize` makes it smaller",
                ));
            }
        }
        fields.check_activation(family.is_gemma())?;
        let gemma = family == Family::Gemma3;
        let default = |value: usize| gemma.then_some(value);
        let hidden = fields.count("hidden_size", MOST_WIDTH, None)?;
        let heads = fields.count("num_attention_heads", MOST_HEADS, default(8))?;
        let kv_default = if gemma { 4 } else { heads };
        let kv_heads = fields.count("num_key_value_heads", heads, Some(kv_default))?;
        if !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {heads} query heads");
            return Err(fields.0.wrong("num_key_value_heads", expected).into());
        }
        let layers = fields.count("num_hidden_layers", MOST_LAYERS, None)?;
        let kimi = fields.kimi_linear(family, layers, heads)?;
        let head_default = match family {
            Family::Gemma3 | Family::Qwen35 | Family::Qwen35Moe | Family::Qwen3Next => 256,
            Family::Qwen3 => 128,
            _ => hidden / heads,
        };
        let head_dim = match &kimi {
            // Its heads have widths of their own.
            Some(kimi) => kimi.row(),
            None => fields.count("head_dim", MOST_HEAD_DIM, Some(head_default))?,
        };
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(fields.0.wrong("head_dim", "an even number").into());
        }
        let granite = fields.granite(family, layers, hidden)?;
        let recurrent_gemma = fields.recurrent_gemma(family, layers, (hidden, heads))?;
        let experts = match (&granite, &kimi) {
            (Some(granite), _) => fields.granite_experts(granite)?,
            (_, Some(kimi)) => Some(fields.kimi_experts(kimi)?),
            _ => fields.experts(family, layers)?,
        };
        let is_fused = granite.as_ref().is_some_and(|granite| granite.is_fused);
        // Without Mamba layers it is the simpler architecture, whatever its configuration is called.
        let family = match &granite {
            Some(granite) if granite.mamba.is_none() => Family::Granite,
            _ => family,
        };
        // Models whose layers all have experts need not state the width of a dense one.
        let dense = experts.as_ref().map(|experts| experts.width);
        let tied = fields.0.flag("tie_word_embeddings")?;
        let tied = tied.or(outer.flag("tie_word_embeddings")?);
        let longest = match family {
            // What it was trained with; its configuration does not say.
            Family::RecurrentGemma => Some(8192),
            _ => default(131_072),
        };
        let context = match &kimi {
            Some(_) => fields.kimi_context()?,
            None => fields.count("max_position_embeddings", 1 << 32, longest)?,
        };
        let dimensions = Self {
            family,
            layers,
            hidden,
            feed_forward: match is_fused && experts.is_none() {
                true => fields.shared_width()?,
                false if recurrent_gemma.is_some() => fields.half_width()?,
                false => fields.count("intermediate_size", MOST_WIDTH, dense)?,
            },
            heads,
            kv_heads,
            head_dim,
            eps: fields.0.positive("rms_norm_eps")?.unwrap_or(1e-6),
            context,
            vocabulary: fields.0.optional_count("vocab_size", 1, 1 << 32)?,
            tied,
            rope: match &granite {
                Some(granite) if !granite.turns => fields.rope(family, head_dim, context)?.still(),
                _ if kimi.is_some() => fields.rope(family, head_dim, context)?.still(),
                _ => fields.rope(family, head_dim, context)?,
            },
            window: fields.window(family, layers, (hidden, heads, head_dim))?,
            delta: fields.delta(family, layers)?,
            experts,
            granite,
            kimi,
            recurrent_gemma,
        };
        Ok(dimensions)
    }

    /// As `general.architecture` and `<architecture>.*`.
    pub(super) fn metadata(&self, name: &str, vocabulary: usize) -> Vec<(String, Value)> {
        let mut pairs = Pairs {
            architecture: self.family.architecture(),
            pairs: Vec::new(),
        };
        let text = |text: &str| Value::Str(Text::from(text));
        let architecture = text(pairs.architecture);
        pairs
            .pairs
            .push(("general.architecture".into(), architecture));
        pairs.pairs.push(("general.name".into(), text(name)));
        pairs.count("context_length", self.context);
        pairs.count("vocab_size", vocabulary);
        pairs.count("embedding_length", self.hidden);
        pairs.count("block_count", self.layers);
        pairs.count("feed_forward_length", self.feed_forward);
        pairs.count("attention.head_count", self.heads);
        pairs.float("attention.layer_norm_rms_epsilon", self.eps);
        match &self.kimi {
            Some(kimi) => kimi.metadata(&mut pairs),
            None => {
                pairs.count("attention.key_length", self.head_dim);
                pairs.count("attention.value_length", self.head_dim);
                self.rope.metadata(&mut pairs);
            }
        }
        let is_per_layer = self
            .granite
            .as_ref()
            .is_some_and(|granite| granite.mamba.is_some());
        if let Some(recurrent) = &self.recurrent_gemma {
            recurrent.metadata(&mut pairs, self.kv_heads);
        } else if !is_per_layer && self.kimi.is_none() {
            pairs.count("attention.head_count_kv", self.kv_heads);
        }
        if let Some(granite) = &self.granite {
            let dense = self.experts.is_none().then_some(self.feed_forward);
            granite.metadata(&mut pairs, self.kv_heads, dense);
        }
        if let Some(window) = &self.window {
            pairs.count("attention.sliding_window", window.len);
            pairs.count("attention.sliding_window_pattern", window.pattern);
            pairs.float("rope.freq_base_swa", window.theta);
        }
        if let Some(delta) = &self.delta {
            pairs.count("ssm.conv_kernel", delta.taps);
            pairs.count("ssm.state_size", delta.key_dim);
            pairs.count("ssm.group_count", delta.key_heads);
            pairs.count("ssm.time_step_rank", delta.value_heads);
            pairs.count("ssm.inner_size", delta.value_heads * delta.value_dim);
            pairs.count("full_attention_interval", delta.interval);
        }
        if let Some(experts) = &self.experts {
            pairs.count("expert_count", experts.count);
            pairs.count("expert_used_count", experts.used);
            pairs.count("expert_feed_forward_length", experts.width);
            if let Some(width) = experts.shared_width.filter(|_| self.kimi.is_none()) {
                pairs.count("expert_shared_feed_forward_length", width);
            }
        }
        pairs.pairs
    }
}

struct Pairs {
    architecture: &'static str,
    pairs: Vec<(String, Value)>,
}

impl Pairs {
    fn push(&mut self, key: &str, value: Value) {
        self.pairs
            .push((format!("{}.{key}", self.architecture), value));
    }

    fn count(&mut self, key: &str, count: usize) {
        // Every count is below 2^32 by the limits of this file, but for a context of exactly that.
        self.push(key, Value::U32(u32::try_from(count).unwrap_or(u32::MAX)));
    }

    fn float(&mut self, key: &str, value: f64) {
        self.push(key, Value::F32(value as f32));
    }
}

/// The object with the language model's fields.
struct Fields<'a>(Object<'a>);

impl Fields<'_> {
    fn file(&self) -> String {
        self.0.file().display().to_string()
    }

    fn unsupported(&self, feature: String, remedy: &str) -> CheckpointError {
        CheckpointError::Unsupported {
            file: self.file(),
            feature,
            remedy: remedy.to_owned(),
        }
    }

    fn count(
        &self,
        key: &str,
        most: usize,
        default: Option<usize>,
    ) -> Result<usize, CheckpointError> {
        match (self.0.optional_count(key, 1, most)?, default) {
            (Some(count), _) | (None, Some(count)) => Ok(count),
            (None, None) => Ok(self.0.count(key, 1, most)?),
        }
    }

    fn check_activation(&self, gemma: bool) -> Result<(), CheckpointError> {
        let expected = if gemma { "gelu_pytorch_tanh" } else { "silu" };
        for key in ["hidden_act", "hidden_activation"] {
            if self.0.text(key)?.is_some_and(|found| found != expected) {
                return Err(self.0.wrong(key, format!("{expected:?}")).into());
            }
        }
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if self.0.get(key).is_some() {
                let remedy = "take a model of the family without it";
                return Err(self.unsupported(format!("`{key}`"), remedy));
            }
        }
        let key = "use_bidirectional_attention";
        if self.0.flag(key)? == Some(true) {
            let remedy = "take a model of the family that generates text";
            return Err(self.unsupported(format!("`{key}`"), remedy));
        }
        Ok(())
    }

    /// Every how many layers one is `full_attention`: by `layer_types`, or by the field `key`.
    fn interval(&self, key: &str, layers: usize, default: usize) -> Result<usize, CheckpointError> {
        let stated = self.count(key, MOST_LAYERS, Some(default))?;
        let Some(types) = self.0.array("layer_types")? else {
            return Ok(stated);
        };
        let is_full = |index: usize| types[index].as_str() == Some("full_attention");
        // Without a full layer, an interval beyond the last.
        let first = (0..types.len()).find(|&index| is_full(index));
        let interval = first.map_or(stated.max(layers + 1), |index| index + 1);
        let regular = (0..types.len()).all(|i| is_full(i) == (i + 1).is_multiple_of(interval));
        if types.len() != layers || !regular {
            let expected = format!("{layers} types, every n-th of them \"full_attention\"");
            return Err(self.0.wrong("layer_types", expected).into());
        }
        Ok(interval)
    }

    fn window(
        &self,
        family: Family,
        layers: usize,
        (hidden, heads, head_dim): (usize, usize, usize),
    ) -> Result<Option<Window>, CheckpointError> {
        if family != Family::Gemma3 {
            let slides = self.0.flag("use_sliding_window")?.unwrap_or(false);
            return match slides {
                false => Ok(None),
                true => Err(self.unsupported(
                    "`use_sliding_window`".into(),
                    "take a model of the family that attends to everything",
                )),
            };
        }
        let scalar = self.0.positive("query_pre_attn_scalar")?.unwrap_or(256.0);
        // The 27B model alone scales by width / heads; the loader knows it by its depth.
        let expected = if layers == crate::arch::GEMMA3_LAYERS_27B {
            hidden / heads
        } else {
            head_dim
        };
        if scalar != expected as f64 {
            let expected = expected.to_string();
            return Err(self.0.wrong("query_pre_attn_scalar", expected).into());
        }
        let local = match self.0.object("rope_parameters")? {
            Some(parameters) => parameters.object("sliding_attention")?,
            None => None,
        };
        let theta = match local {
            Some(local) => local.positive("rope_theta")?,
            None => self.0.positive("rope_local_base_freq")?,
        };
        let pattern_key = match self.0.get("_sliding_window_pattern") {
            Some(_) => "_sliding_window_pattern",
            None => "sliding_window_pattern",
        };
        Ok(Some(Window {
            len: self.count("sliding_window", 1 << 31, Some(4096))?,
            theta: theta.unwrap_or(10_000.0),
            pattern: self.interval(pattern_key, layers, 6)?,
        }))
    }

    fn delta(&self, family: Family, layers: usize) -> Result<Option<Delta>, CheckpointError> {
        if !family.is_hybrid() {
            return Ok(None);
        }
        let delta = Delta {
            key_heads: self.count("linear_num_key_heads", MOST_HEADS, Some(16))?,
            value_heads: self.count("linear_num_value_heads", MOST_HEADS, Some(32))?,
            key_dim: self.count("linear_key_head_dim", MOST_HEAD_DIM, Some(128))?,
            value_dim: self.count("linear_value_head_dim", MOST_HEAD_DIM, Some(128))?,
            taps: self.count("linear_conv_kernel_dim", 64, Some(4))?,
            interval: self.interval("full_attention_interval", layers, 4)?,
        };
        if !delta.value_heads.is_multiple_of(delta.key_heads) {
            let expected = format!("a multiple of the {} key heads", delta.key_heads);
            return Err(self.0.wrong("linear_num_value_heads", expected).into());
        }
        Ok(Some(delta))
    }

    fn experts(&self, family: Family, layers: usize) -> Result<Option<Experts>, CheckpointError> {
        if !family.may_have_experts() {
            return Ok(None);
        }
        // Qwen3-Next exists without experts too.
        let count = self.0.optional_count("num_experts", 0, MOST_EXPERTS)?;
        if count == Some(0) {
            return Ok(None);
        }
        let count = self.count("num_experts", MOST_EXPERTS, None)?;
        let remedy = "take a model of the family with experts in every layer";
        let step = self.count("decoder_sparse_step", MOST_LAYERS, Some(1))?;
        let dense = self
            .0
            .array("mlp_only_layers")?
            .is_some_and(|l| !l.is_empty());
        if (step != 1 && layers > 0) || dense {
            return Err(self.unsupported("a mixture of dense and sparse layers".into(), remedy));
        }
        if self.0.flag("norm_topk_prob")? == Some(false) {
            let feature = "`norm_topk_prob` false".into();
            return Err(self.unsupported(feature, "take a model whose experts are renormalised"));
        }
        let shared_width = match family.has_shared_expert() {
            true => Some(self.count("shared_expert_intermediate_size", MOST_WIDTH, None)?),
            false => None,
        };
        Ok(Some(Experts {
            count,
            used: self.count("num_experts_per_tok", count, None)?,
            width: self.count("moe_intermediate_size", MOST_WIDTH, None)?,
            shared_width,
        }))
    }
}

#[cfg(test)]
mod tests;
