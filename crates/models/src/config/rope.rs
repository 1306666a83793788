//! `rope.scaling.*`: how positions are stretched beyond a model's first context.
//!
//! Keys mean what llama.cpp takes them to mean. `yarn_attn_factor` is the exception: its converter writes the magnitude of
//! `config.json` there, which its own computation then passes over; here it counts.

use super::{Fields, file_name};
use crate::{ModelError, rope::Yarn};

/// What a file says of stretching.
pub(super) struct Stretch {
    /// Multiplies positions.
    pub scale: f64,
    /// YaRN, which multiplies no positions.
    pub yarn: Option<Yarn>,
}

impl Fields<'_> {
    /// Without a type a factor means linear scaling, as files from before types have it.
    pub(super) fn stretch(&self, context: usize) -> Result<Stretch, ModelError> {
        const FACTOR: &str = "rope.scaling.factor";
        let kind = self.metadata.opt_str(&self.key("rope.scaling.type"))?;
        let factor = self.metadata.opt_f32(&self.key(FACTOR))?;
        let unscaled = Stretch {
            scale: 1.0,
            yarn: None,
        };
        match (kind, factor) {
            (Some("none"), _) | (None, None) => return Ok(unscaled),
            (None | Some("linear" | "yarn"), _) => {}
            (Some(kind), _) => {
                return Err(ModelError::Unsupported {
                    file: file_name(self.gguf),
                    feature: format!("rope scaling `{}`", kind.escape_debug()),
                    remedy: "take a file of the model without context extension".into(),
                });
            }
        }
        let Some(factor) = factor else {
            return Err(self.value(FACTOR, "missing", "a positive number".into()));
        };
        if !(factor.is_finite() && factor > 0.0) {
            return Err(self.value(FACTOR, factor, "a positive number".into()));
        }
        let factor = f64::from(factor);
        if kind == Some("yarn") {
            let yarn = Some(self.yarn(factor, context)?);
            return Ok(Stretch { yarn, ..unscaled });
        }
        Ok(Stretch {
            scale: 1.0 / factor,
            ..unscaled
        })
    }

    fn yarn(&self, factor: f64, context: usize) -> Result<Yarn, ModelError> {
        // Variants of YaRN that no model of ours has been published with.
        for (key, plain) in [("yarn_ext_factor", 1.0), ("yarn_log_multiplier", 0.0)] {
            let key = format!("rope.scaling.{key}");
            let found = self.metadata.opt_f32(&self.key(&key))?.unwrap_or(plain);
            if found != plain {
                return Err(self.value(&key, found, format!("{plain}, or no such key")));
            }
        }
        let theta = self.positive("rope.freq_base", 10_000.0)?;
        if theta <= 1.0 {
            let expected = "a number above 1, as rope scaling `yarn` needs it";
            return Err(self.value("rope.freq_base", theta, expected.into()));
        }
        let original = self.optional("rope.scaling.original_context_length")?;
        let original = original.unwrap_or(context);
        let default = Yarn::magnitude_of(factor, 1.0);
        let magnitude = default * self.positive("rope.scaling.attn_factor", 1.0)?;
        Ok(Yarn {
            factor,
            original_context: self.within(
                "rope.scaling.original_context_length",
                original,
                1 << 32,
            )?,
            beta_fast: self.positive("rope.scaling.yarn_beta_fast", Yarn::BETA_FAST)?,
            beta_slow: self.positive("rope.scaling.yarn_beta_slow", Yarn::BETA_SLOW)?,
            magnitude: self.positive("rope.scaling.yarn_attn_factor", magnitude)?,
        })
    }
}
