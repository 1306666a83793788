//! A model's dimensions, read from `<architecture>.*` metadata and checked for sense.

use formats::gguf::{Gguf, Metadata};

use crate::ModelError;

/// Limits beyond which a file is damaged rather than large; they keep products of dimensions from overflowing.
const MOST_LAYERS: usize = 4096;
const MOST_WIDTH: usize = 1 << 24;

/// Dimensions that all supported architectures share.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`, where given.
    pub name: Option<String>,
    /// Decoder layers (prediction heads for later tokens not counted).
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward layers.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Added to the mean of squares in norms.
    pub eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Leading dimensions of a head that turn.
    pub rope_dims: usize,
    /// Multiplies positions.
    pub rope_scale: f64,
    /// Longest context that the model was made for, in tokens.
    pub context: usize,
    /// Rows of the embedding table.
    pub vocabulary: usize,
}

impl Config {
    /// Reads and checks the dimensions.
    ///
    /// # Errors
    /// A field is missing, of the wrong type, or makes no sense.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ModelError> {
        let metadata = gguf.metadata();
        let architecture = metadata.str("general.architecture")?.to_owned();
        let fields = Fields { gguf, metadata, architecture: &architecture };
        let hidden = fields.within("embedding_length", fields.required("embedding_length")?, MOST_WIDTH)?;
        let heads = fields.within("attention.head_count", fields.required("attention.head_count")?, MOST_WIDTH)?;
        let kv_heads = fields.optional("attention.head_count_kv")?.unwrap_or(heads);
        let kv_heads = fields.within("attention.head_count_kv", kv_heads, heads)?;
        let head_dim = fields.optional("attention.key_length")?.unwrap_or(hidden / heads);
        let head_dim = fields.within("attention.key_length", head_dim, 4096)?;
        let value_dim = fields.optional("attention.value_length")?.unwrap_or(head_dim);
        if value_dim != head_dim {
            return Err(fields.value("attention.value_length", value_dim, format!("the key length, {head_dim}")));
        }
        let prediction = fields.optional("nextn_predict_layers")?.unwrap_or(0);
        let blocks = fields.within("block_count", fields.required("block_count")?, MOST_LAYERS)?;
        let rope_dims = fields.optional("rope.dimension_count")?.unwrap_or(head_dim);
        let eps = metadata.f32(&fields.key("attention.layer_norm_rms_epsilon"))?;
        if !(eps.is_finite() && eps >= 0.0) {
            return Err(fields.value("attention.layer_norm_rms_epsilon", eps, "a small positive number".into()));
        }
        Ok(Self {
            name: metadata.opt_str("general.name")?.map(str::to_owned),
            layers: fields.within("block_count", blocks.saturating_sub(prediction), MOST_LAYERS)?,
            hidden,
            feed_forward: fields.within(
                "feed_forward_length",
                fields.optional("feed_forward_length")?.unwrap_or(hidden),
                MOST_WIDTH,
            )?,
            heads,
            kv_heads,
            head_dim,
            eps,
            rope_theta: fields.theta("rope.freq_base", 10_000.0)?,
            rope_dims: fields.within("rope.dimension_count", rope_dims, head_dim)?,
            rope_scale: fields.rope_scale()?,
            context: fields.within("context_length", fields.required("context_length")?, 1 << 32)?,
            vocabulary: vocabulary(gguf)?,
            architecture,
        })
    }

    /// The same dimension under another key of this architecture, where the file has it.
    pub(crate) fn optional(&self, gguf: &Gguf, key: &str) -> Result<Option<usize>, ModelError> {
        Ok(gguf.metadata().opt_usize(&format!("{}.{key}", self.architecture))?)
    }

    /// A dimension that this architecture needs, between 1 and `most`.
    pub(crate) fn required(&self, gguf: &Gguf, key: &str, most: usize) -> Result<usize, ModelError> {
        let fields = Fields { gguf, metadata: gguf.metadata(), architecture: &self.architecture };
        fields.within(key, fields.required(key)?, most)
    }

    /// Another base of rotary angles.
    pub(crate) fn theta(&self, gguf: &Gguf, key: &str, default: f64) -> Result<f64, ModelError> {
        Fields { gguf, metadata: gguf.metadata(), architecture: &self.architecture }.theta(key, default)
    }
}

fn vocabulary(gguf: &Gguf) -> Result<usize, ModelError> {
    let table = gguf.tensor("token_embd.weight").map(|t| t.rows());
    match table {
        Some(rows) => Ok(rows),
        // The error of a missing tensor, in the parser's words.
        None => Err(gguf.require("token_embd.weight", &[]).err().map_or_else(
            || ModelError::Value {
                file: file_name(gguf),
                key: "token_embd.weight".into(),
                found: "empty".into(),
                expected: "the embedding table".into(),
            },
            ModelError::File,
        )),
    }
}

/// The file for messages.
pub(crate) fn file_name(gguf: &Gguf) -> String {
    gguf.path().map_or_else(|| "the model in memory".to_owned(), |p| p.display().to_string())
}

struct Fields<'a> {
    gguf: &'a Gguf,
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Fields<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn required(&self, key: &str) -> Result<usize, ModelError> {
        Ok(self.metadata.usize(&self.key(key))?)
    }

    fn optional(&self, key: &str) -> Result<Option<usize>, ModelError> {
        Ok(self.metadata.opt_usize(&self.key(key))?)
    }

    fn value(&self, key: &str, found: impl std::fmt::Display, expected: String) -> ModelError {
        ModelError::Value { file: file_name(self.gguf), key: self.key(key), found: found.to_string(), expected }
    }

    fn within(&self, key: &str, found: usize, most: usize) -> Result<usize, ModelError> {
        if (1..=most).contains(&found) {
            Ok(found)
        } else {
            Err(self.value(key, found, format!("1 to {most}")))
        }
    }

    fn theta(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        let theta = self.metadata.opt_f32(&self.key(key))?.map_or(default, f64::from);
        if theta.is_finite() && theta > 0.0 {
            Ok(theta)
        } else {
            Err(self.value(key, theta, "a positive number".into()))
        }
    }

    fn rope_scale(&self) -> Result<f64, ModelError> {
        let kind = self.metadata.opt_str(&self.key("rope.scaling.type"))?.unwrap_or("none");
        let factor = self.metadata.opt_f32(&self.key("rope.scaling.factor"))?;
        match (kind, factor) {
            ("none", None) => Ok(1.0),
            ("none" | "linear", Some(factor)) if factor.is_finite() && factor > 0.0 => Ok(1.0 / f64::from(factor)),
            ("none" | "linear", Some(factor)) => Err(self.value("rope.scaling.factor", factor, "a positive number".into())),
            _ => Err(ModelError::Unsupported {
                file: file_name(self.gguf),
                feature: format!("rope scaling `{kind}`"),
                remedy: "take a file of the model without context extension".into(),
            }),
        }
    }
}
