//! What was measured, on what, when, and what limits the trust in it.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use kernels::{Role, RuntimeProfile};
use runtime::Engine;
use silicon::roofline::Roofline;

use crate::numbers::significant;
use crate::report::{Figure, Format, ModelIdentity, Profile, Reading, RoleProducts, Waterfall};

/// Beyond this spread a level is called noisy.
const NOISY: f64 = 0.1;
/// Barriers that take this many times what the pool needs for them were waits for a processor.
const INTERRUPTED: f64 = 5.0;

/// The present time, RFC 3339.
pub(super) fn now() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn model(engine: &Engine) -> ModelIdentity {
    let model = engine.model();
    let path = model.gguf.path();
    let file_name = path
        .and_then(|p| p.file_name())
        .map(|name| name.to_string_lossy().into_owned());
    let name = model
        .config
        .name
        .clone()
        .or_else(|| file_name.clone())
        .unwrap_or_else(|| "(unnamed)".into());
    let formats = model.program.packed_bytes().into_iter();
    ModelIdentity {
        name,
        architecture: model.config.architecture.clone(),
        file: file_name,
        file_bytes: model.gguf.file_len() as u64,
        parameters: model.parameters(),
        layers: model.config.layers,
        formats: formats
            .map(|(dtype, _, bytes)| Format {
                name: dtype.name().to_owned(),
                bytes: bytes as u64,
            })
            .collect(),
    }
}

pub(super) fn profile(profile: &RuntimeProfile) -> Profile {
    Profile {
        threads: profile.threads,
        pinning: profile.pinning.name().to_owned(),
        barrier: profile.barrier.name().to_owned(),
        isa: profile.isa.name().to_owned(),
        prefill_chunk: profile.prefill_chunk,
        matmul_tile: profile.matmul_tile,
        matmul_variant: profile.matmul_variant.name().to_owned(),
        float_products: profile.float_products_here().name().to_owned(),
        matvec_streams: profile.matvec_streams,
        prefetch_bytes: profile.prefetch_bytes,
        roles: roles(profile),
        attention_tile: profile.attention_tile,
        kv_type: profile.kv_type.name().to_owned(),
        pages: profile.pages.name().to_owned(),
    }
}

/// Those whose choices are not those for all.
fn roles(profile: &RuntimeProfile) -> Vec<RoleProducts> {
    let products = |role: Role| {
        let own = profile.of_role(role);
        RoleProducts {
            role: role.name().to_owned(),
            matmul_tile: own.matmul_tile,
            matvec_streams: own.matvec_streams,
            prefetch_bytes: own.prefetch_bytes,
        }
    };
    Role::ALL
        .into_iter()
        .map(products)
        .filter(|own| {
            (own.matmul_tile, own.matvec_streams, own.prefetch_bytes)
                != (
                    profile.matmul_tile,
                    profile.matvec_streams,
                    profile.prefetch_bytes,
                )
        })
        .collect()
}

/// The roofline's warnings, and those of the readings.
pub(super) fn warn(roofline: &Roofline, falls: &[&Waterfall], warnings: &mut Vec<String>) {
    warnings.extend(roofline.warnings.iter().cloned());
    for fall in falls {
        let name = fall.regime.name();
        let noisy = |figure: &Figure| figure.spread() > NOISY;
        for level in &fall.levels {
            if let Reading::Known { figure } = &level.ms_per_token
                && noisy(figure)
            {
                let spread = 100.0 * figure.spread();
                warnings.push(format!("{name}: readings of {} spread by {spread:.0}% around their median: the machine was busy", level.layer.name()));
            }
        }
        let nodes: usize = fall.parts.iter().map(|p| p.nodes).sum();
        let own_ms =
            nodes as f64 * fall.chunks as f64 / fall.tokens as f64 * fall.ceilings.barrier_ns / 1e6;
        let barrier_ms = fall.step.nodes.barrier_ms;
        if barrier_ms > INTERRUPTED * own_ms {
            warnings.push(format!(
                "{name}: barriers took {} ms per token where the pool alone needs {}: other programs kept threads from their processors, which also shows as uneven shares",
                significant(barrier_ms),
                significant(own_ms)
            ));
        }
        let tracer = fall.step.tracer_factor;
        if tracer > 1.05 {
            warnings.push(format!(
                "{name}: the tracer slowed the step by {:.0}%; parts' times are that much too long",
                100.0 * (tracer - 1.0)
            ));
        }
    }
}
