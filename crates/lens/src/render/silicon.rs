//! The silicon and the machine: what is presented, what was measured, the curve over working sets, and who the machine says it is.

use kernels::{BarrierStyle, Pinning};
use silicon::{
    Fact,
    roofline::{Roofline, formulation::Form},
    spec::Claim,
};

use page::{escape, plain};

use super::{
    line_svg::{Chart, Line, Scale, binary},
    terminal::Style,
};
use crate::{
    numbers::amount,
    report::{Profile, Report},
};

fn bytes_per_s(gb_s: f64) -> String {
    amount(gb_s * 1e9, "B/s")
}

/// A power of two.
fn working_set(bytes: u64) -> String {
    binary(bytes.max(1).ilog2())
}

/// What a full run found beyond the ceilings, a sentence each; nothing of a quick one.
fn sentences(roofline: &Roofline) -> Vec<String> {
    let mut all = Vec::new();
    let dram = &roofline.dram;
    if let Some(triad) = &dram.triad_gb_s {
        let streaming = dram.triad_streaming_stores_gb_s.as_ref();
        let streaming = streaming.map_or_else(String::new, |t| {
            format!(
                ", {} with stores that go around the caches",
                bytes_per_s(t.all_threads.median)
            )
        });
        all.push(format!(
            "Memory gives {} to reading and {} to STREAM's triad{streaming}; one thread alone reads {}.",
            bytes_per_s(dram.all_threads_gb_s.median),
            bytes_per_s(triad.all_threads.median),
            bytes_per_s(dram.one_thread_gb_s.median)
        ));
    }
    for cliff in &roofline.cliffs {
        let cause = match &cliff.cache_levels[..] {
            [] => String::new(),
            levels => {
                let levels: Vec<String> = levels.iter().map(|l| format!("L{l}")).collect();
                format!(", about the size of {}", levels.join(" and "))
            }
        };
        all.push(format!(
            "Between working sets of {} and {} a thread's bandwidth falls to {:.0}%{cause}.",
            working_set(cliff.from_bytes),
            working_set(cliff.to_bytes),
            100.0 * cliff.factor
        ));
    }
    for form in &roofline.formulations {
        let liked = match form.preferred() {
            Some(Form::Product) => "this processor likes the product better",
            Some(Form::Convolution) => "this processor likes the convolution better",
            None => "no difference that the readings show",
        };
        let positions = match form.positions {
            1 => "1 position".to_owned(),
            n => format!("{n} positions"),
        };
        all.push(format!(
            "The same f32 work over {positions} reaches {} as a matrix product and {} as a 1x1 convolution: {liked}.",
            amount(form.product_gflop_s.median * 1e9, "FLOP/s"),
            amount(form.convolution_gflop_s.median * 1e9, "FLOP/s")
        ));
    }
    all
}

/// Nothing for a quick run.
pub(super) fn terminal(out: &mut String, roofline: &Roofline, style: &Style) {
    if roofline.by_size.is_empty() {
        return;
    }
    out.push_str(&format!("\n{}\n", style.bold("SILICON")));
    for sentence in sentences(roofline) {
        style.paragraph(out, 2, &plain(&sentence));
    }
}

/// Bandwidth by working set, with the cliffs marked.
fn working_sets(roofline: &Roofline) -> String {
    let line =
        |name: &str, class, of: &dyn Fn(&silicon::roofline::BandwidthPoint) -> Option<f64>| Line {
            name: name.to_owned(),
            class,
            points: roofline
                .by_size
                .iter()
                .filter_map(|p| Some((p.bytes_per_thread as f64, of(p)?)))
                .collect(),
        };
    let mut lines = vec![
        line("read, one thread", "stream", &|p| {
            Some(p.one_thread_gb_s.median)
        }),
        line("read, all threads", "cached", &|p| {
            Some(p.all_threads_gb_s.median)
        }),
        line("triad, one thread", "third", &|p| {
            Some(p.triad_gb_s.as_ref()?.one_thread.median)
        }),
        line("triad, all threads", "fourth", &|p| {
            Some(p.triad_gb_s.as_ref()?.all_threads.median)
        }),
    ];
    lines.retain(|line| line.points.len() > 1);
    let chart = Chart {
        label: "Bandwidth by working set",
        x: ("working set of each thread", Scale::Bytes),
        y: "GB/s",
        lines,
        marks: roofline
            .cliffs
            .iter()
            .map(|cliff| {
                let middle = (cliff.from_bytes as f64 * cliff.to_bytes as f64).sqrt();
                (middle, "cliff".to_owned())
            })
            .collect(),
        height: 300.0,
    };
    chart.html()
}

pub(super) fn html(report: &Report) -> String {
    let claim = |claim: &Claim, unit: &str| match claim {
        Claim::Presented { value, source, .. } => {
            format!("{}, {}", amount(value * 1e9, unit), escape(source))
        }
        Claim::Unknown { reason, remedy } => {
            format!("unknown: {}: {}", escape(reason), escape(remedy))
        }
    };
    let spec = &report.spec;
    let mut rows = String::new();
    let mut row = |name: &str, value: String| rows += &format!("<dt>{name}</dt><dd>{value}</dd>");
    row("memory, presented", claim(&spec.memory_gb_s, "B/s"));
    let dram = &report.roofline.dram;
    row(
        "memory, measured",
        format!(
            "{} from a working set of {}",
            amount(dram.all_threads_gb_s.median * 1e9, "B/s"),
            amount(dram.working_set_bytes as f64, "B")
        ),
    );
    for fall in [&report.prefill, &report.decode] {
        let c = &fall.ceilings;
        row(
            &format!("{}'s bytes", fall.regime.name()),
            format!(
                "{} from {} (streamed), {} from {} (activations of one node)",
                amount(c.stream_gb_s * 1e9, "B/s"),
                amount(c.stream_bytes as f64, "B"),
                amount(c.cache_gb_s * 1e9, "B/s"),
                amount(c.cache_bytes as f64, "B")
            ),
        );
    }
    row(
        "int8 matrix, presented",
        claim(&spec.int8_matrix_gop_s, "OP/s"),
    );
    row(
        "int8 vector, presented",
        claim(&spec.int8_vector_gop_s, "OP/s"),
    );
    row("int16, presented", claim(&spec.int16_vector_gop_s, "OP/s"));
    row("f32, presented", claim(&spec.f32_gflop_s, "FLOP/s"));
    for peak in &report.roofline.compute {
        let rate = &peak.all_threads_gop_s;
        row(
            &escape(&peak.instruction),
            format!(
                "{} (median {})",
                amount(rate.samples.max() * 1e9, "OP/s"),
                amount(rate.median * 1e9, "OP/s")
            ),
        );
    }
    let c = &report.decode.ceilings;
    row(
        "pool",
        format!(
            "{:.0} ns for a fork-join, {:.0} ns for a barrier",
            c.fork_join_ns, c.barrier_ns
        ),
    );
    let told: String = sentences(&report.roofline)
        .iter()
        .map(|s| format!("<p class=\"soft small\">{}</p>", escape(s)))
        .collect();
    format!(
        "<section class=\"card\"><h2>Silicon</h2>{}{told}<dl>{rows}</dl></section>",
        working_sets(&report.roofline)
    )
}

pub(super) fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut rows = String::new();
    let mut row = |name: &str, value: String| rows += &format!("<dt>{name}</dt><dd>{value}</dd>");
    row("processor", known(&machine.cpu.name));
    let physical = machine
        .cores
        .physical
        .value()
        .map_or_else(String::new, |n| format!(", {n} physical"));
    row(
        "processors ours",
        format!("{}{physical}", machine.cores.usable),
    );
    if let Some(caches) = machine.caches.value() {
        let all: Vec<String> = caches
            .iter()
            .map(|c| {
                format!(
                    "L{} {} (shared by {})",
                    c.level,
                    amount(c.size_bytes as f64, "B"),
                    c.shared_by
                )
            })
            .collect();
        row("caches", all.join(", "));
    }
    let total = machine.memory.total_bytes.value();
    row(
        "memory",
        total.map_or_else(|| "unknown".to_owned(), |b| amount(*b as f64, "B")),
    );
    row(
        "system",
        format!(
            "{} {}, kernel {}",
            escape(&machine.system.os),
            escape(&machine.system.arch),
            known(&machine.system.kernel)
        ),
    );
    let hypervisor = match machine.system.hypervisor.value() {
        Some(name) if name.is_empty() => "none".to_owned(),
        _ => known(&machine.system.hypervisor),
    };
    row("hypervisor", hypervisor);
    let p = &report.profile;
    row(
        "profile",
        format!(
            "{} threads{}, {}, prefill in steps of {}, products {} with a tile of {}, {} weight streams with {} B prefetched{}, attention tile {}, KV cache {}, {} pages",
            p.threads,
            threads_in_words(p),
            escape(&p.isa),
            p.prefill_chunk,
            escape(&p.matmul_variant),
            p.matmul_tile,
            p.matvec_streams,
            p.prefetch_bytes,
            if p.roles.is_empty() {
                String::new()
            } else {
                format!(" ({})", escape(&p.roles_in_words()))
            },
            p.attention_tile,
            escape(&p.kv_type),
            escape(&p.pages)
        ),
    );
    format!("<section class=\"card\"><h2>Machine</h2><dl>{rows}</dl></section>")
}

/// What a default profile does not do.
fn threads_in_words(p: &Profile) -> String {
    let mut words = String::new();
    if p.pinning != Pinning::None.name() {
        words.push_str(&format!(" (pinned: {})", escape(&p.pinning)));
    }
    if p.barrier != BarrierStyle::default().name() {
        words.push_str(&format!(" (barrier: {})", escape(&p.barrier)));
    }
    words
}

pub(super) fn known(fact: &Fact<String>) -> String {
    match fact {
        Fact::Known { value, .. } => escape(value),
        Fact::Unknown { reason } => format!("unknown ({})", escape(reason)),
    }
}
