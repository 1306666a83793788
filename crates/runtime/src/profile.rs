//! The runtime profile as a text: what the ratchet changes, and what an accepted one is kept as.
//!
//! A TOML table with a line per field; one that is left out is the default, one that nobody knows is an error. Every value is checked
//! here, so that a profile from a stranger can only be slow, never wrong.
//!
//! `head.matvec_streams = 4` is a choice for the products of one [`Role`] alone; left out, or `"same"`, it is what
//! `matvec_streams` says for all. A written profile has a line for each of those too, so that one line can be changed.

mod choice;

use choice::Choice;
use kernels::{
    BarrierStyle, FloatProducts, Isa, KvType, MatMulVariant, Pinning, Role, RoleChoices,
    RuntimeProfile, memory::Pages,
};
use serde::Deserialize;

/// The most threads that a profile may ask for.
const MOST_THREADS: usize = 1024;
/// Tiles that there are kernels for.
const TILES: [usize; 3] = [4, 8, 12];
/// Numbers of streams that there are kernels for.
const STREAMS: [usize; 3] = [1, 2, 4];
/// The furthest that a stream may prefetch.
const MOST_PREFETCH_BYTES: usize = 1 << 16;
/// The most looks before a thread yields, sleeps or parks.
const MOST_SPINS: u32 = 100_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    threads: Option<usize>,
    pinning: Option<String>,
    isa: Option<String>,
    prefill_chunk: Option<usize>,
    matmul_tile: Option<usize>,
    matmul_variant: Option<String>,
    float_products: Option<String>,
    matvec_streams: Option<usize>,
    prefetch_bytes: Option<usize>,
    attention_tile: Option<usize>,
    mixer: Option<WrittenRole>,
    ffn_up: Option<WrittenRole>,
    ffn_down: Option<WrittenRole>,
    head: Option<WrittenRole>,
    kv_type: Option<String>,
    pages: Option<String>,
    idle_spins: Option<u32>,
    barrier: Option<String>,
    barrier_spins: Option<u32>,
    /// Changes nothing: what a test of the ratchet itself may vary.
    #[expect(
        dead_code,
        reason = "read so that it is known, and then has no meaning"
    )]
    note: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRole {
    matmul_tile: Option<Choice>,
    matvec_streams: Option<Choice>,
    prefetch_bytes: Option<Choice>,
}

/// Why a text is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, a field that nobody knows, or a value of another type.
    #[error("{0}")]
    Toml(Box<toml::de::Error>),
    /// A value that this machine or no machine can run with.
    #[error("{field}: expected {expected}, came {came}")]
    Value {
        /// The field, of a role as `head.matvec_streams`.
        field: String,
        /// In words.
        expected: String,
        /// As written.
        came: String,
    },
}

/// Reads a profile.
///
/// # Errors
/// [`ProfileError`].
pub fn read(text: &str) -> Result<RuntimeProfile, ProfileError> {
    let written: Written = toml::from_str(text).map_err(|e| ProfileError::Toml(Box::new(e)))?;
    let default = RuntimeProfile::default();
    let isa = match &written.isa {
        None => default.isa,
        Some(name) => Isa::named(name).ok_or_else(|| {
            let names: Vec<&str> = Isa::available().iter().map(|isa| isa.name()).collect();
            bad(
                "isa",
                &format!("one of this processor's: {}", names.join(", ")),
                name,
            )
        })?,
    };
    Ok(RuntimeProfile {
        threads: within(
            "threads",
            written.threads,
            default.threads,
            1..=MOST_THREADS,
        )?,
        pinning: named(
            "pinning",
            written.pinning.as_deref(),
            default.pinning,
            &Pinning::ALL.map(|p| (p.name(), p)),
        )?,
        isa,
        prefill_chunk: match written.prefill_chunk {
            Some(n) if n % 64 != 0 => {
                return Err(bad("prefill_chunk", "a multiple of 64", &n.to_string()));
            }
            n => within("prefill_chunk", n, default.prefill_chunk, 64..=8192)?,
        },
        matmul_tile: among(
            "matmul_tile",
            written.matmul_tile,
            default.matmul_tile,
            &TILES,
        )?,
        matmul_variant: named(
            "matmul_variant",
            written.matmul_variant.as_deref(),
            default.matmul_variant,
            &MatMulVariant::ALL.map(|v| (v.name(), v)),
        )?,
        float_products: named(
            "float_products",
            written.float_products.as_deref(),
            default.float_products,
            &FloatProducts::ALL.map(|t| (t.name(), t)),
        )?,
        matvec_streams: among(
            "matvec_streams",
            written.matvec_streams,
            default.matvec_streams,
            &STREAMS,
        )?,
        prefetch_bytes: within(
            "prefetch_bytes",
            written.prefetch_bytes,
            default.prefetch_bytes,
            0..=MOST_PREFETCH_BYTES,
        )?,
        attention_tile: within(
            "attention_tile",
            written.attention_tile,
            default.attention_tile,
            1..=256,
        )?,
        roles: roles([
            written.mixer,
            written.ffn_up,
            written.ffn_down,
            written.head,
        ])?,
        kv_type: named(
            "kv_type",
            written.kv_type.as_deref(),
            default.kv_type,
            &KvType::ALL.map(|t| (t.name(), t)),
        )?,
        pages: named(
            "pages",
            written.pages.as_deref(),
            default.pages,
            &[Pages::Small, Pages::Huge].map(|p| (p.name(), p)),
        )?,
        idle_spins: within(
            "idle_spins",
            written.idle_spins,
            default.idle_spins,
            0..=MOST_SPINS,
        )?,
        barrier: named(
            "barrier",
            written.barrier.as_deref(),
            default.barrier,
            &BarrierStyle::ALL.map(|b| (b.name(), b)),
        )?,
        barrier_spins: within(
            "barrier_spins",
            written.barrier_spins,
            default.barrier_spins,
            0..=MOST_SPINS,
        )?,
    })
}

/// The choices of each role, which come in the order of [`Role::ALL`].
fn roles(
    written: [Option<WrittenRole>; Role::ALL.len()],
) -> Result<[RoleChoices; Role::ALL.len()], ProfileError> {
    let mut all = [RoleChoices::default(); Role::ALL.len()];
    for ((role, written), choices) in Role::ALL.into_iter().zip(written).zip(&mut all) {
        let Some(written) = written else { continue };
        let field = |name: &str| format!("{}.{name}", role.name());
        *choices = RoleChoices {
            matmul_tile: choice::among(field("matmul_tile"), written.matmul_tile, &TILES)?,
            matvec_streams: choice::among(
                field("matvec_streams"),
                written.matvec_streams,
                &STREAMS,
            )?,
            prefetch_bytes: choice::within(
                field("prefetch_bytes"),
                written.prefetch_bytes,
                0..=MOST_PREFETCH_BYTES,
            )?,
        };
    }
    Ok(all)
}

/// Writes a profile, every field of it.
#[must_use]
pub fn write(profile: &RuntimeProfile) -> String {
    let mut text = format!(
        "threads = {}\npinning = \"{}\"\nisa = \"{}\"\nprefill_chunk = {}\nmatmul_tile = {}\nmatmul_variant = \"{}\"\n\
         float_products = \"{}\"\nmatvec_streams = {}\nprefetch_bytes = {}\nattention_tile = {}\nkv_type = \"{}\"\npages = \"{}\"\n\
         idle_spins = {}\nbarrier = \"{}\"\nbarrier_spins = {}\n",
        profile.threads,
        profile.pinning.name(),
        profile.isa.name(),
        profile.prefill_chunk,
        profile.matmul_tile,
        profile.matmul_variant.name(),
        profile.float_products.name(),
        profile.matvec_streams,
        profile.prefetch_bytes,
        profile.attention_tile,
        profile.kv_type.name(),
        profile.pages.name(),
        profile.idle_spins,
        profile.barrier.name(),
        profile.barrier_spins,
    );
    for (role, choices) in Role::ALL.into_iter().zip(profile.roles) {
        for (name, value) in [
            ("matmul_tile", choices.matmul_tile),
            ("matvec_streams", choices.matvec_streams),
            ("prefetch_bytes", choices.prefetch_bytes),
        ] {
            let value = choice::written(value);
            text.push_str(&format!("{}.{name} = {value}\n", role.name()));
        }
    }
    text
}

fn bad(field: impl Into<String>, expected: &str, came: &str) -> ProfileError {
    ProfileError::Value {
        field: field.into(),
        expected: expected.to_owned(),
        came: came.to_owned(),
    }
}

fn within<T: PartialOrd + Copy + std::fmt::Display>(
    field: &'static str,
    value: Option<T>,
    default: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, ProfileError> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(&value) => Ok(value),
        Some(value) => Err(bad(
            field,
            &format!("{} to {}", range.start(), range.end()),
            &value.to_string(),
        )),
    }
}

fn among(
    field: &'static str,
    value: Option<usize>,
    default: usize,
    allowed: &[usize],
) -> Result<usize, ProfileError> {
    match value {
        None => Ok(default),
        Some(value) if allowed.contains(&value) => Ok(value),
        Some(value) => {
            let all: Vec<String> = allowed.iter().map(usize::to_string).collect();
            Err(bad(field, &all.join(", "), &value.to_string()))
        }
    }
}

fn named<T: Copy>(
    field: &'static str,
    value: Option<&str>,
    default: T,
    all: &[(&str, T)],
) -> Result<T, ProfileError> {
    let Some(value) = value else {
        return Ok(default);
    };
    all.iter()
        .find(|(name, _)| *name == value)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            bad(field, &names.join(", "), value)
        })
}

#[cfg(test)]
mod tests;
