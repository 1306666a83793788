//! What RecurrentGemma has beside a Gemma: which layers are recurrent, the width of their recurrence, the window of the others, and a cap
//! of the logits.

use formats::gguf::{Array, Value};

use super::{Fields, MOST_WIDTH, Pairs};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::family::Family;

const MOST_TAPS: usize = 64;

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checkpoint) struct RecurrentGemma {
    /// Channels of the recurrence.
    pub channels: usize,
    /// Blocks of its gates' matrices: as many as query heads.
    pub heads: usize,
    pub taps: usize,
    /// For each layer whether it attends.
    pub attends: Vec<bool>,
    window: usize,
    logit_cap: f64,
}

impl RecurrentGemma {
    pub(super) fn metadata(&self, pairs: &mut Pairs, kv_heads: usize) {
        // Key heads are at most 2^16.
        let kv_heads = i32::try_from(kv_heads).unwrap_or(i32::MAX);
        let of_layer = |&attends: &bool| if attends { kv_heads } else { 0 };
        let of_layers = Array::I32(self.attends.iter().map(of_layer).collect());
        pairs.push("attention.head_count_kv", Value::Array(of_layers));
        pairs.count("attention.sliding_window", self.window);
        pairs.float("final_logit_softcapping", self.logit_cap);
        pairs.count("ssm.conv_kernel", self.taps);
        pairs.count("ssm.inner_size", self.channels);
        pairs.count("ssm.group_count", self.heads);
    }
}

impl Fields<'_> {
    pub(super) fn recurrent_gemma(
        &self,
        family: Family,
        layers: usize,
        (hidden, heads): (usize, usize),
    ) -> Result<Option<RecurrentGemma>, CheckpointError> {
        const WIDTH: &str = "lru_width";
        if family != Family::RecurrentGemma {
            return Ok(None);
        }
        // The library that defines the model has no other form, and reads no such field.
        if self.0.flag("embeddings_scale_by_sqrt_dim")? == Some(false) {
            let remedy = "take a published RecurrentGemma: its embeddings are scaled";
            let feature = "`embeddings_scale_by_sqrt_dim` false".into();
            return Err(self.unsupported(feature, remedy));
        }
        let channels = self.count(WIDTH, MOST_WIDTH, Some(hidden))?;
        if !channels.is_multiple_of(heads) {
            let expected = format!("a multiple of the {heads} heads (\"num_attention_heads\")");
            return Err(self.0.wrong(WIDTH, expected).into());
        }
        Ok(Some(RecurrentGemma {
            channels,
            heads,
            taps: self.count("conv1d_width", MOST_TAPS, Some(4))?,
            attends: self.attending(layers)?,
            window: self.count("attention_window_size", 1 << 31, Some(2048))?,
            logit_cap: self.0.positive("logits_soft_cap")?.unwrap_or(30.0),
        }))
    }

    /// For each layer whether it attends: the kinds repeat, and may end anywhere.
    fn attending(&self, layers: usize) -> Result<Vec<bool>, CheckpointError> {
        const KEY: &str = "block_types";
        let Some(kinds) = self.0.array(KEY)? else {
            return Ok((0..layers).map(|layer| layer % 3 == 2).collect());
        };
        let attends = |kind: &serde_json::Value| match kind.as_str() {
            Some("attention") => Some(true),
            Some("recurrent") => Some(false),
            _ => None,
        };
        let kinds: Option<Vec<bool>> = kinds.iter().map(attends).collect();
        match kinds {
            Some(kinds) if !kinds.is_empty() => {
                Ok(kinds.iter().copied().cycle().take(layers).collect())
            }
            _ => {
                let expected = "a list of \"recurrent\" and \"attention\"";
                Err(self.0.wrong(KEY, expected).into())
            }
        }
    }

    /// Width of the MLP, of which the configuration states twice as much.
    pub(super) fn half_width(&self) -> Result<usize, CheckpointError> {
        const KEY: &str = "intermediate_size";
        match self.count(KEY, MOST_WIDTH, None)? / 2 {
            0 => {
                let expected = "at least 2: gate and up have half of it each";
                Err(self.0.wrong(KEY, expected).into())
            }
            half => Ok(half),
        }
    }
}
