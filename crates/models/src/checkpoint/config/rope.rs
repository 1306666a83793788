//! Rotary settings: `rope_parameters`, since version 5 of transformers, else `rope_scaling` beside `rope_theta`.

use formats::gguf::{Array, Quoted, Text, Value};
use formats::json::Object;

use super::{Fields, Pairs};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::family::Family;
use crate::rope::{Llama3, Yarn};

const LONGEST_CONTEXT: usize = 1 << 32;
/// Far above any real one, and far from where divisors leave their number format.
const MOST_FACTOR: f64 = 65_536.0;

/// Rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checkpoint) struct Rope {
    pub theta: f64,
    pub dims: usize,
    pub scaling: Option<Scaling>,
    pub sections: Option<Vec<i32>>,
}

/// How positions are stretched beyond the context of the first training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::checkpoint) enum Scaling {
    /// Positions are divided by this.
    Linear(f64),
    Llama3(Llama3),
    Yarn(Yarn),
}

impl Rope {
    /// What GGUF has as the tensor `rope_freqs.weight`.
    pub(in crate::checkpoint) fn divisors(&self) -> Option<Vec<f32>> {
        match &self.scaling {
            Some(Scaling::Llama3(llama3)) => Some(llama3.divisors(self.dims, self.theta)),
            _ => None,
        }
    }

    /// The same for a model that is told no positions: nothing stretches.
    pub(super) fn still(self) -> Self {
        Self {
            scaling: None,
            ..self
        }
    }

    pub(super) fn metadata(&self, pairs: &mut Pairs) {
        pairs.float("rope.freq_base", self.theta);
        pairs.count("rope.dimension_count", self.dims);
        match &self.scaling {
            None | Some(Scaling::Llama3(_)) => {}
            Some(Scaling::Linear(factor)) => {
                pairs.push("rope.scaling.type", Value::Str(Text::from("linear")));
                pairs.float("rope.scaling.factor", *factor);
            }
            Some(Scaling::Yarn(yarn)) => {
                pairs.push("rope.scaling.type", Value::Str(Text::from("yarn")));
                pairs.float("rope.scaling.factor", yarn.factor);
                let original = "rope.scaling.original_context_length";
                pairs.count(original, yarn.original_context);
                // Readers have the usual magnitude from the factor, and multiply it with this.
                let usual = Yarn::magnitude_of(yarn.factor, 1.0);
                for (key, value, default) in [
                    ("attn_factor", yarn.magnitude / usual, 1.0),
                    ("yarn_beta_fast", yarn.beta_fast, Yarn::BETA_FAST),
                    ("yarn_beta_slow", yarn.beta_slow, Yarn::BETA_SLOW),
                ] {
                    if value as f32 != default as f32 {
                        pairs.float(&format!("rope.scaling.{key}"), value);
                    }
                }
            }
        }
        if let Some(sections) = &self.sections {
            let sections = Value::Array(Array::I32(sections.clone()));
            pairs.push("rope.dimension_sections", sections);
        }
    }
}

impl Fields<'_> {
    /// The object with the settings of full attention.
    fn rope_object(&self) -> Result<Option<Object<'_>>, CheckpointError> {
        let Some(parameters) = self.0.object("rope_parameters")? else {
            return Ok(self.0.object("rope_scaling")?);
        };
        Ok(match parameters.object("full_attention")? {
            Some(full) => Some(full),
            None => Some(parameters),
        })
    }

    pub(super) fn rope(
        &self,
        family: Family,
        head_dim: usize,
        context: usize,
    ) -> Result<Rope, CheckpointError> {
        let inner = self.rope_object()?;
        // What is among the settings goes before what is beside them.
        let holder = |key: &str| match &inner {
            Some(inner) if inner.get(key).is_some() => inner,
            _ => &self.0,
        };
        let positive = |key: &str| holder(key).positive(key);
        let wrong = |key: &str, expected: String| Err(holder(key).wrong(key, expected).into());
        let default_theta = match family {
            Family::Gemma3 => 1_000_000.0,
            _ => 10_000.0,
        };
        let share = positive("partial_rotary_factor")?;
        let share = share.unwrap_or(match family {
            Family::RecurrentGemma => 0.5,
            _ if family.is_hybrid() => 0.25,
            _ => 1.0,
        });
        if share > 1.0 {
            return wrong("partial_rotary_factor", "a share of at most 1".into());
        }
        // Truncated, as transformers does it.
        let dims = (head_dim as f64 * share) as usize;
        if dims == 0 || !dims.is_multiple_of(2) {
            let expected = format!("an even number of the {head_dim} dimensions of a head");
            return wrong("partial_rotary_factor", expected);
        }
        let theta = positive("rope_theta")?.unwrap_or(default_theta);
        let scaling = match &inner {
            Some(inner) => self.scaling(family, inner, context)?,
            None => None,
        };
        if let Some(Scaling::Yarn(_)) = scaling {
            if theta <= 1.0 {
                let expected = "a number above 1, as the rope scaling \"yarn\" needs it";
                return wrong("rope_theta", expected.into());
            }
            if dims != head_dim && !family.has_head_norms() {
                return Err(self.unscaled("\"yarn\" of a part of each head".into()));
            }
        }
        Ok(Rope {
            theta,
            dims,
            scaling,
            sections: sections(inner.as_ref())?,
        })
    }

    fn scaling(
        &self,
        family: Family,
        inner: &Object<'_>,
        context: usize,
    ) -> Result<Option<Scaling>, CheckpointError> {
        let kind = inner.text("rope_type")?.or(inner.text("type")?);
        let needed = |key: &str| match inner.positive(key)? {
            Some(value) => Ok(value),
            None => Err(CheckpointError::from(inner.wrong(key, "a positive number"))),
        };
        let factor = || match needed("factor")? {
            factor if (1.0..=MOST_FACTOR).contains(&factor) => Ok(factor),
            _ => {
                let expected = format!("a number from 1 to {MOST_FACTOR}");
                Err(CheckpointError::from(inner.wrong("factor", expected)))
            }
        };
        match kind {
            None | Some("default" | "mrope") => Ok(None),
            // transformers has the plain form only.
            Some(kind) if family == Family::RecurrentGemma => {
                Err(self.unscaled(Quoted::new(kind).to_string()))
            }
            Some("linear") => Ok(Some(Scaling::Linear(needed("factor")?))),
            // Only these architectures' files may have the tensor that holds the factors.
            Some("llama3") if family.interleaves_heads() => {
                let llama3 = Llama3 {
                    factor: factor()?,
                    low: needed("low_freq_factor")?,
                    high: needed("high_freq_factor")?,
                    original_context: self.original_context(inner, context)?,
                };
                if llama3.high <= llama3.low {
                    let expected = "more than \"low_freq_factor\"";
                    return Err(inner.wrong("high_freq_factor", expected).into());
                }
                Ok(Some(Scaling::Llama3(llama3)))
            }
            Some("yarn") if family != Family::Gemma3 => {
                if inner.flag("truncate")? == Some(false) {
                    return Err(self.unscaled("\"yarn\" with \"truncate\" false".into()));
                }
                let factor = factor()?;
                let slopes = (inner.positive("mscale")?, inner.positive("mscale_all_dim")?);
                let magnitude = match (inner.positive("attention_factor")?, slopes) {
                    (Some(stated), _) => stated,
                    (None, (Some(above), Some(below))) => {
                        Yarn::magnitude_of(factor, above) / Yarn::magnitude_of(factor, below)
                    }
                    (None, _) => Yarn::magnitude_of(factor, 1.0),
                };
                let beta = |key, default| {
                    Ok::<_, CheckpointError>(inner.positive(key)?.unwrap_or(default))
                };
                Ok(Some(Scaling::Yarn(Yarn {
                    factor,
                    original_context: self.original_context(inner, context)?,
                    beta_fast: beta("beta_fast", Yarn::BETA_FAST)?,
                    beta_slow: beta("beta_slow", Yarn::BETA_SLOW)?,
                    magnitude,
                })))
            }
            Some(kind) => Err(self.unscaled(Quoted::new(kind).to_string())),
        }
    }

    /// As transformers finds it: beside the other fields, else among the rotary settings, else the whole context.
    fn original_context(
        &self,
        inner: &Object<'_>,
        context: usize,
    ) -> Result<usize, CheckpointError> {
        const KEY: &str = "original_max_position_embeddings";
        Ok(match self.0.optional_count(KEY, 1, LONGEST_CONTEXT)? {
            Some(stated) => stated,
            None => inner
                .optional_count(KEY, 1, LONGEST_CONTEXT)?
                .unwrap_or(context),
        })
    }

    fn unscaled(&self, kind: String) -> CheckpointError {
        self.unsupported(
            format!("rope scaling {kind}"),
            "take a model of the family without context extension",
        )
    }
}

/// The sections of a multi-dimensional rotary embedding; four in GGUF.
fn sections(inner: Option<&Object<'_>>) -> Result<Option<Vec<i32>>, CheckpointError> {
    let Some(inner) = inner else { return Ok(None) };
    let Some(found) = inner.array("mrope_section")? else {
        return Ok(None);
    };
    let section = |value: &_| i32::try_from(serde_json::Value::as_u64(value)?).ok();
    let sections: Option<Vec<i32>> = found.iter().map(section).collect();
    match sections {
        Some(mut sections) if sections.len() <= 4 => {
            sections.resize(4, 0);
            Ok(Some(sections))
        }
        _ => Err(inner
            .wrong("mrope_section", "up to four whole numbers")
            .into()),
    }
}
