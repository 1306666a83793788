//! What a model file says about itself: the JSON of the tensor `about`, bounded before anything is computed with it.
//!
//! Every field has to be there and no other may be: a field that this judge did not know could change what the model means.
//! Whatever is read later may multiply these numbers without care: all of them are below 2^17 here.

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer};

use super::flaw::{Flaw, short};

const SCHEMA: &str = "sprag.model/1";
/// The largest vocabulary, hidden layer and window.
const MOST: usize = 1 << 16;
/// The widest row that is kept for every position of a window: the residual stream, queries, keys and values.
const MOST_WIDTH: usize = 1 << 13;
/// Positions cost nothing by themselves: a window is never longer than the text.
const MOST_POSITIONS: usize = 1 << 20;
const MOST_LAYERS: usize = 256;
/// A state has this number squared for each head.
const MOST_HEAD_DIM: usize = 512;

/// The tensor `about`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    schema: String,
    pub(super) model: Configuration,
    pub(super) positions: usize,
    #[serde(deserialize_with = "present")]
    pub(super) tokenizer: Option<Merges>,
}

/// Pairs of tokens, each one a new token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Merges {
    pub(super) merges: Vec<[u32; 2]>,
}

/// How a layer lets tokens see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mixer {
    /// Attention to everything before.
    Full,
    /// Attention to the last positions alone.
    Window,
    /// A state with the delta rule.
    GatedDelta,
}

/// What happens within a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mlp {
    Swiglu,
    SquaredRelu,
}

/// The model's shape, and what it does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Configuration {
    pub(super) vocabulary: usize,
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) mixers: Vec<Mixer>,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) window: usize,
    pub(super) mlp: Mlp,
    pub(super) hidden: usize,
    pub(super) tied: bool,
    #[serde(deserialize_with = "present")]
    pub(super) soft_cap: Option<f64>,
    pub(super) rope_base: f64,
    pub(super) eps: f64,
    pub(super) head_norms: bool,
    pub(super) output_gate: bool,
    pub(super) value_residual: bool,
}

/// `null` says none, and silence says nothing: serde by itself takes them for the same.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

impl About {
    /// From the bytes of the tensor.
    pub(super) fn read(json: &[u8]) -> Result<Self, Flaw> {
        let about: Self =
            serde_json::from_slice(json).map_err(|e| Flaw::About { came: short(e) })?;
        if about.schema != SCHEMA {
            return Err(Flaw::About {
                came: format!("the schema {:?}", short(&about.schema)),
            });
        }
        within("positions", about.positions, 1..=MOST_POSITIONS)?;
        about.model.check()?;
        let merges = about.tokenizer.as_ref().map_or(0, |t| t.merges.len());
        let vocabulary = merges.saturating_add(256);
        if about.model.vocabulary != vocabulary {
            return Err(Flaw::Field {
                field: "vocabulary",
                expected: format!("{vocabulary}, 256 bytes and {merges} merges"),
                came: about.model.vocabulary.to_string(),
            });
        }
        Ok(about)
    }
}

impl Configuration {
    /// The mixer of a layer.
    pub(super) fn mixer(&self, layer: usize) -> Option<Mixer> {
        self.mixers
            .get(layer.checked_rem(self.mixers.len())?)
            .copied()
    }

    /// How many values all query heads have together.
    pub(super) fn inner(&self) -> usize {
        self.heads * self.head_dim
    }

    fn check(&self) -> Result<(), Flaw> {
        within("vocabulary", self.vocabulary, 256..=MOST)?;
        within("layers", self.layers, 1..=MOST_LAYERS)?;
        within("width", self.width, 1..=MOST_WIDTH)?;
        within("number of mixers", self.mixers.len(), 1..=MOST_LAYERS)?;
        within("heads", self.heads, 1..=MOST_WIDTH)?;
        within("kv_heads", self.kv_heads, 1..=self.heads)?;
        within("head_dim", self.head_dim, 16..=MOST_HEAD_DIM)?;
        within("heads times head_dim", self.inner(), 16..=MOST_WIDTH)?;
        within("hidden", self.hidden, 1..=MOST)?;
        let least = usize::from(self.mixers.contains(&Mixer::Window));
        within("window", self.window, least..=MOST)?;
        multiple("heads", self.heads, "kv_heads", self.kv_heads)?;
        multiple("head_dim", self.head_dim, "16", 16)?;
        between("rope_base", self.rope_base, 1.0, 1e12)?;
        between("eps", self.eps, 1e-30, 1.0)?;
        self.soft_cap
            .map_or(Ok(()), |cap| between("soft_cap", cap, 1e-6, 1e12))
    }
}

fn within(field: &'static str, came: usize, range: RangeInclusive<usize>) -> Result<(), Flaw> {
    if range.contains(&came) {
        return Ok(());
    }
    Err(Flaw::Field {
        field,
        expected: format!("from {} to {}", range.start(), range.end()),
        came: came.to_string(),
    })
}

fn between(field: &'static str, came: f64, least: f64, most: f64) -> Result<(), Flaw> {
    if (least..=most).contains(&came) {
        return Ok(());
    }
    Err(Flaw::Field {
        field,
        expected: format!("from {least:e} to {most:e}"),
        came: came.to_string(),
    })
}

fn multiple(field: &'static str, came: usize, of: &str, divisor: usize) -> Result<(), Flaw> {
    if came.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(Flaw::Field {
        field,
        expected: format!("a multiple of {of} ({divisor})"),
        came: came.to_string(),
    })
}
