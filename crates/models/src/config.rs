//! A model's dimensions, read from `<architecture>.*` metadata and checked for sense.

mod experts;
mod rope;

use formats::gguf::{Gguf, Metadata, Origin};

pub use experts::Experts;

use crate::{ModelError, rope::Yarn};

/// Limits beyond which a file is damaged rather than large; they keep products of dimensions from overflowing.
const MOST_LAYERS: usize = 4096;
const MOST_WIDTH: usize = 1 << 24;
/// The architectures whose files count key heads layer by layer.
const PER_LAYER: [&str; 3] = [GRANITE_HYBRID, LATENT, "recurrentgemma"];
const GRANITE_HYBRID: &str = "granitehybrid";
/// The architecture with latent attention, whose cache has one head of latents and shared keys.
const LATENT: &str = "kimi-linear";
/// The architecture without attention: its heads are those of its recurrence, its norms have a mean.
const RECURRENT: &str = "rwkv7";
/// Real models have 64. A state is this times as large as the values, so more would let a small file ask for much memory.
const MOST_WKV_HEAD: usize = 1024;
/// Real models have 512; a cached row is as wide.
const MOST_LATENTS: usize = 4096;

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
    /// Added to the mean of squares in norms, or to the variance.
    pub eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Leading dimensions of a head that turn.
    pub rope_dims: usize,
    /// Multiplies positions.
    pub rope_scale: f64,
    /// Stretches angles, where the file says so.
    pub yarn: Option<Yarn>,
    /// Longest context that the model was made for, in tokens.
    pub context: usize,
    /// Rows of the embedding table.
    pub vocabulary: usize,
    /// The mixture of experts in the feed-forward layers that have a router.
    pub experts: Option<Experts>,
}

impl Config {
    /// Reads and checks the dimensions.
    ///
    /// # Errors
    /// A field is missing, of the wrong type, or makes no sense.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ModelError> {
        let metadata = gguf.metadata();
        let architecture = metadata.str("general.architecture")?.to_owned();
        let fields = Fields {
            gguf,
            metadata,
            architecture: &architecture,
        };
        let hidden = fields.within(
            "embedding_length",
            fields.required("embedding_length")?,
            MOST_WIDTH,
        )?;
        let is_recurrent = architecture == RECURRENT;
        let Heads {
            heads,
            kv_heads,
            head_dim,
        } = if is_recurrent {
            fields.wkv_heads(hidden)?
        } else if architecture == LATENT {
            fields.latent_heads()?
        } else {
            fields.attention_heads(hidden)?
        };
        let rope_dims = fields.optional("rope.dimension_count")?.unwrap_or(head_dim);
        let rope_dims = fields.within("rope.dimension_count", rope_dims, head_dim)?;
        if !rope_dims.is_multiple_of(2) {
            return Err(fields.value(
                "rope.dimension_count",
                rope_dims,
                "an even number: dimensions turn in pairs".into(),
            ));
        }
        let eps_key = if is_recurrent {
            "attention.layer_norm_epsilon"
        } else {
            "attention.layer_norm_rms_epsilon"
        };
        let eps = metadata.f32(&fields.key(eps_key))?;
        if !(eps.is_finite() && eps >= 0.0) {
            return Err(fields.value(eps_key, eps, "a small positive number".into()));
        }
        let context = fields.required("context_length")?;
        let context = fields.within("context_length", context, 1 << 32)?;
        let stretch = fields.stretch(context)?;
        Ok(Self {
            name: metadata.opt_str("general.name")?.map(str::to_owned),
            layers: fields.layers()?,
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
            rope_theta: fields.positive("rope.freq_base", 10_000.0)?,
            rope_dims,
            rope_scale: stretch.scale,
            yarn: stretch.yarn,
            context,
            vocabulary: vocabulary(gguf)?,
            experts: fields.experts()?,
            architecture,
        })
    }

    /// The same dimension under another key of this architecture, where the file has it.
    pub(crate) fn optional(&self, gguf: &Gguf, key: &str) -> Result<Option<usize>, ModelError> {
        Ok(gguf
            .metadata()
            .opt_usize(&format!("{}.{key}", self.architecture))?)
    }

    /// A dimension that this architecture needs, between 1 and `most`.
    pub(crate) fn required(
        &self,
        gguf: &Gguf,
        key: &str,
        most: usize,
    ) -> Result<usize, ModelError> {
        let fields = self.fields(gguf);
        fields.within(key, fields.required(key)?, most)
    }

    /// Every how many layers something happens; `default` where the file does not say.
    pub(crate) fn period(
        &self,
        gguf: &Gguf,
        key: &str,
        default: usize,
    ) -> Result<usize, ModelError> {
        let fields = self.fields(gguf);
        fields.within(key, fields.optional(key)?.unwrap_or(default), MOST_LAYERS)
    }

    /// A positive number; `default` where the file does not say.
    pub(crate) fn positive(&self, gguf: &Gguf, key: &str, default: f64) -> Result<f64, ModelError> {
        self.fields(gguf).positive(key, default)
    }

    /// A count for each layer.
    pub(crate) fn per_layer(&self, gguf: &Gguf, key: &str) -> Result<Vec<usize>, ModelError> {
        self.fields(gguf).per_layer(key)
    }

    /// A value under a key of this architecture that is not what it should be.
    pub(crate) fn wrong(
        &self,
        gguf: &Gguf,
        key: &str,
        found: usize,
        expected: String,
    ) -> ModelError {
        self.fields(gguf).value(key, found, expected)
    }

    fn fields<'a>(&'a self, gguf: &'a Gguf) -> Fields<'a> {
        Fields {
            gguf,
            metadata: gguf.metadata(),
            architecture: &self.architecture,
        }
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
    gguf.path()
        .map_or_else(|| Origin::Memory.to_string(), |p| p.display().to_string())
}

/// How many, and how wide.
struct Heads {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
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
        ModelError::Value {
            file: file_name(self.gguf),
            key: self.key(key),
            found: found.to_string(),
            expected,
        }
    }

    fn within(&self, key: &str, found: usize, most: usize) -> Result<usize, ModelError> {
        if (1..=most).contains(&found) {
            Ok(found)
        } else {
            Err(self.value(key, found, format!("1 to {most}")))
        }
    }

    fn positive(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        let number = self
            .metadata
            .opt_f32(&self.key(key))?
            .map_or(default, f64::from);
        if number.is_finite() && number > 0.0 {
            Ok(number)
        } else {
            Err(self.value(key, number, "a positive number".into()))
        }
    }

    /// The heads of attention.
    fn attention_heads(&self, hidden: usize) -> Result<Heads, ModelError> {
        let heads = self.within(
            "attention.head_count",
            self.required("attention.head_count")?,
            MOST_WIDTH,
        )?;
        let kv_heads = self.kv_heads(heads)?;
        let kv_heads = self.within("attention.head_count_kv", kv_heads, heads)?;
        if !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {heads} query heads (attention.head_count)");
            return Err(self.value("attention.head_count_kv", kv_heads, expected));
        }
        let head_dim = self
            .optional("attention.key_length")?
            .unwrap_or(hidden / heads);
        let head_dim = self.within("attention.key_length", head_dim, 4096)?;
        let value_dim = self.optional("attention.value_length")?.unwrap_or(head_dim);
        if value_dim != head_dim {
            return Err(self.value(
                "attention.value_length",
                value_dim,
                format!("the key length, {head_dim}"),
            ));
        }
        Ok(Heads {
            heads,
            kv_heads,
            head_dim,
        })
    }

    /// The one head of latents and shared keys, as wide as both; `attention.key_length` says the same where it is there, and files may have
    /// an `attention.value_length` that nothing reads.
    fn latent_heads(&self) -> Result<Heads, ModelError> {
        const KEY: &str = "attention.head_count_kv";
        let heads = self.required("attention.head_count")?;
        let heads = self.within("attention.head_count", heads, MOST_WIDTH)?;
        let of = |key| self.within(key, self.required(key)?, MOST_LATENTS);
        let head_dim = of("attention.kv_lora_rank")? + of("rope.dimension_count")?;
        let stated = self.optional("attention.key_length")?;
        if let Some(found) = stated.filter(|&found| found != head_dim) {
            let expected =
                format!("{head_dim}: attention.kv_lora_rank and rope.dimension_count together");
            return Err(self.value("attention.key_length", found, expected));
        }
        let kv_heads = self.kv_heads(1)?;
        if kv_heads != 1 {
            return Err(self.value(KEY, kv_heads, "1 where a layer attends, else 0".into()));
        }
        Ok(Heads {
            heads,
            kv_heads,
            head_dim,
        })
    }

    /// The heads of a recurrence, which files tell by their width; `attention.head_count` is 0 in them.
    fn wkv_heads(&self, hidden: usize) -> Result<Heads, ModelError> {
        const KEY: &str = "wkv.head_size";
        let head_dim = self.within(KEY, self.required(KEY)?, MOST_WKV_HEAD)?;
        if !head_dim.is_multiple_of(16) || !hidden.is_multiple_of(head_dim) {
            let expected =
                format!("a multiple of 16 that divides the width, {hidden} (embedding_length)");
            return Err(self.value(KEY, head_dim, expected));
        }
        let heads = hidden / head_dim;
        Ok(Heads {
            heads,
            kv_heads: heads,
            head_dim,
        })
    }

    /// Key and value heads of the layers that attend. Hybrids may say so layer by layer: 0 where a layer does not.
    fn kv_heads(&self, heads: usize) -> Result<usize, ModelError> {
        const KEY: &str = "attention.head_count_kv";
        if !PER_LAYER.contains(&self.architecture) {
            return Ok(self.optional(KEY)?.unwrap_or(heads));
        }
        let mut attending = self.per_layer(KEY)?.into_iter().filter(|&n| n > 0);
        let first = attending.next().unwrap_or(heads);
        match attending.find(|&n| n != first) {
            None => Ok(first),
            Some(other) => {
                let expected = format!("{first} as in the layers before, or 0");
                Err(self.value(KEY, other, expected))
            }
        }
    }

    fn per_layer(&self, key: &str) -> Result<Vec<usize>, ModelError> {
        let counts = self.metadata.u32s(&self.key(key))?;
        let layers = self.layers()?;
        if counts.len() != layers {
            let found = format!("an array of {}", counts.len());
            return Err(self.value(
                key,
                found,
                format!("one number for each of {layers} layers"),
            ));
        }
        Ok(counts.iter().map(|&n| n as usize).collect())
    }

    /// Decoder layers: all blocks but those that predict later tokens.
    fn layers(&self) -> Result<usize, ModelError> {
        let blocks = self.within("block_count", self.required("block_count")?, MOST_LAYERS)?;
        let prediction = self.optional("nextn_predict_layers")?.unwrap_or(0);
        if prediction >= blocks {
            let expected = format!("less than the {blocks} layers (block_count)");
            return Err(self.value("nextn_predict_layers", prediction, expected));
        }
        Ok(blocks - prediction)
    }
}
