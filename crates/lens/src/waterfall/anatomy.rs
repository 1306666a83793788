//! What a token of decode moves at several depths, what its formats cost, and what a dense twin would move.
//!
//! Bytes and operations are those of `ops`, summed over the program; times follow from the ceilings of the report's decode. The twin is
//! the same program with every recurrence, and every attention that sees a window, replaced by full attention: weights as they are,
//! heads as in the model's own attention.

use std::{borrow::Cow, collections::BTreeSet};

use kernels::{
    KvCache, RuntimeProfile,
    program::{Node, Program, StepShape},
};
use models::Model;
use ops::{Cost, Dtype};

use super::plan::{Plan, streamed_bytes};
use crate::{
    attribution::{compute_ms, limit, ms_at},
    report::{Anatomy, Ceilings, FormatCost, OtherFormat, Traffic, Twin, Waterfall, Work},
};

/// Depths that are told beside the report's own, where the model's context reaches so far.
const DEPTHS: [usize; 4] = [0, 4096, 16384, 131_072];
/// What a model might be stored in instead.
const OTHERS: [Dtype; 3] = [Dtype::F16, Dtype::Q8_0, Dtype::Q4_0];

/// Of a model whose decode was measured.
pub(super) fn anatomy(
    model: &Model,
    profile: &RuntimeProfile,
    plan: &Plan,
    decode: &Waterfall,
) -> Anatomy {
    let program = &model.program;
    let reach = |depth: &usize| *depth < model.config.context;
    let depths: BTreeSet<usize> = DEPTHS
        .into_iter()
        .chain([plan.depth])
        .filter(reach)
        .collect();
    let at = |twin: Option<&Node>| {
        let depths = depths.iter();
        depths
            .map(|&depth| traffic(program, profile, &decode.ceilings, depth, twin))
            .collect::<Vec<_>>()
    };
    let own = at(None);
    let formats = formats(program, profile, plan, decode);
    let nominal = formats.first().map_or(0.0, |f| f.nominal_bits);
    let other_formats = OTHERS
        .into_iter()
        .filter(|other| formats.first().is_none_or(|f| f.name != other.name()))
        .filter_map(|other| {
            let here = own.iter().find(|t| t.depth == plan.depth)?;
            Some(in_format(&formats, here, other, &decode.ceilings))
        });
    Anatomy {
        nominal_bytes: model.parameters() as f64 * nominal / 8.0,
        other_formats: other_formats.collect(),
        formats,
        twin: twin(program, at),
        traffic: own,
    }
}

fn shape(profile: &RuntimeProfile, depth: usize) -> StepShape {
    StepShape {
        tokens: 1,
        depth,
        outputs: 1,
        kv_type: profile.kv_type,
        float_products: profile.float_products_here(),
    }
}

/// Of one token behind `depth` others; with `attention` in place of every layer that forgets.
fn traffic(
    program: &Program,
    profile: &RuntimeProfile,
    ceilings: &Ceilings,
    depth: usize,
    attention: Option<&Node>,
) -> Traffic {
    let shape = shape(profile, depth);
    let (mut all, mut streamed) = (Cost::default(), 0);
    let (mut weight_bytes, mut kv_bytes, mut state_bytes, mut held_bytes) = (0, 0, 0, 0);
    for labelled in program.nodes() {
        let node = attention.map_or(Cow::Borrowed(&labelled.node), |full| {
            remembering(&labelled.node, full)
        });
        let cost = program.cost(&node, shape);
        let bytes = streamed_bytes(program, &node, shape, &cost);
        match &*node {
            Node::Attention {
                cache, head_dim, ..
            } => {
                kv_bytes += bytes;
                let heads = program.kv_of(*cache).kv_heads;
                let held = KvCache::bytes_for(profile.kv_type, heads, *head_dim, depth + 1);
                held_bytes += held.unwrap_or(usize::MAX) as u64;
            }
            node if is_recurrence(node) => state_bytes += bytes,
            _ => weight_bytes += bytes,
        }
        all += cost;
        streamed += bytes;
    }
    if attention.is_none() {
        held_bytes += program.recurrent_bytes() as u64;
    }
    let work = Work {
        int8_ops: all.int8_ops as f64,
        int16_ops: all.int16_ops as f64,
        bf16_flops: all.bf16_flops as f64,
        f32_flops: all.f32_flops as f64,
    };
    let memory = ms_at(streamed as f64, ceilings.stream_gb_s);
    Traffic {
        depth,
        weight_bytes,
        kv_bytes,
        state_bytes,
        activation_bytes: all.bytes().saturating_sub(streamed),
        work,
        held_bytes,
        silicon_ms: limit(memory, compute_ms(&work, ceilings)).0,
    }
}

fn is_recurrence(node: &Node) -> bool {
    matches!(
        node,
        Node::GatedDelta { .. }
            | Node::Mamba2 { .. }
            | Node::Wkv7 { .. }
            | Node::RgLru { .. }
            | Node::TokenShift { .. }
    )
}

/// The node, or full attention if it forgets.
fn remembering<'n>(node: &'n Node, full: &Node) -> Cow<'n, Node> {
    match node {
        Node::Attention {
            window: Some(_), ..
        } => Cow::Owned(without_window(node)),
        node if is_recurrence(node) => Cow::Owned(full.clone()),
        node => Cow::Borrowed(node),
    }
}

fn without_window(node: &Node) -> Node {
    let mut full = node.clone();
    if let Node::Attention { window, .. } = &mut full {
        *window = None;
    }
    full
}

/// `None` for a model that forgets nothing, and for one without attention, which no layer could be taken from.
fn twin(program: &Program, traffic: impl Fn(Option<&Node>) -> Vec<Traffic>) -> Option<Twin> {
    let nodes = || program.nodes().iter().map(|n| &n.node);
    let recurrent = nodes().filter(|n| is_recurrence(n)).count();
    let windowed = nodes()
        .filter(|n| {
            matches!(
                n,
                Node::Attention {
                    window: Some(_),
                    ..
                }
            )
        })
        .count();
    if recurrent + windowed == 0 {
        return None;
    }
    let full = without_window(nodes().find(|n| matches!(n, Node::Attention { .. }))?);
    let Node::Attention {
        cache,
        heads,
        head_dim,
        ..
    } = &full
    else {
        return None;
    };
    let kinds = match (recurrent, windowed) {
        (_, 0) => "recurrent layers",
        (0, _) => "layers with a window",
        _ => "layers with a recurrence or a window",
    };
    Some(Twin {
        layers: recurrent + windowed,
        how: format!(
            "its {} {kinds} as full attention, {heads} heads of {head_dim} over {} of keys and values",
            recurrent + windowed,
            program.kv_of(*cache).kv_heads
        ),
        traffic: traffic(Some(&full)),
    })
}

/// Bits that a format's name promises.
fn nominal_bits(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 32.0,
        Dtype::F16 | Dtype::Bf16 => 16.0,
        Dtype::Q8_0 => 8.0,
        Dtype::Q6K => 6.0,
        Dtype::Q5_0 | Dtype::Q5_1 | Dtype::Q5K => 5.0,
        Dtype::Q4_0 | Dtype::Q4_1 | Dtype::Q4K => 4.0,
    }
}

fn formats(
    program: &Program,
    profile: &RuntimeProfile,
    plan: &Plan,
    decode: &Waterfall,
) -> Vec<FormatCost> {
    let mut all: Vec<FormatCost> = Dtype::ALL
        .into_iter()
        .filter_map(|dtype| {
            let stored = program.matrices().iter().filter(|m| m.dtype() == dtype);
            let sizes = stored.map(|m| ((m.rows() * m.cols()) as u64, m.bytes() as u64));
            let (weights, bytes) = sizes.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
            (weights > 0).then(|| FormatCost {
                name: dtype.name().to_owned(),
                nominal_bits: nominal_bits(dtype),
                bits: 8.0 * bytes as f64 / weights as f64,
                weights,
                streamed_bytes: 0.0,
                kernel_ms: None,
                silicon_ms: None,
            })
        })
        .collect();
    let shape = shape(profile, plan.depth);
    for (planned, part) in plan.parts.iter().zip(&decode.parts) {
        let mut read = vec![0.0; all.len()];
        for &node in &planned.nodes {
            let node = &program.nodes()[node].node;
            for (dtype, bytes) in weights_read(program, node, shape) {
                if let Some(at) = all.iter().position(|f| f.name == dtype.name()) {
                    read[at] += bytes;
                }
            }
        }
        for (format, bytes) in all.iter_mut().zip(&read) {
            format.streamed_bytes += bytes;
        }
        let most = (0..read.len()).max_by(|&a, &b| read[a].total_cmp(&read[b]));
        if let Some(most) = most.filter(|&at| read[at] > 0.0) {
            *all[most].kernel_ms.get_or_insert(0.0) += part.alone.busy_ms;
            *all[most].silicon_ms.get_or_insert(0.0) += part.ceiling_ms;
        }
    }
    all.sort_by(|a, b| b.streamed_bytes.total_cmp(&a.streamed_bytes));
    all
}

/// Bytes of weights that a node reads, by format.
fn weights_read(program: &Program, node: &Node, shape: StepShape) -> Vec<(Dtype, f64)> {
    match node {
        Node::MatMul { projections, .. } => projections
            .iter()
            .map(|p| program.matrix(p.matrix))
            .map(|m| (m.dtype(), m.bytes() as f64))
            .collect(),
        Node::HeadMatMul { matrix, .. } => {
            let matrix = program.matrix(*matrix);
            vec![(matrix.dtype(), matrix.bytes() as f64)]
        }
        Node::ExpertMatMul { projections, .. } => {
            let bytes = |p: &kernels::program::ExpertProjection| program.matrix(p.matrix).bytes();
            let all: usize = projections.iter().map(bytes).sum();
            let taken = program.expert_weight_bytes(node, shape.tokens) as f64 / all.max(1) as f64;
            projections
                .iter()
                .map(|p| (program.matrix(p.matrix).dtype(), bytes(p) as f64 * taken))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn in_format(
    formats: &[FormatCost],
    here: &Traffic,
    other: Dtype,
    ceilings: &Ceilings,
) -> OtherFormat {
    let bits = other.bits_per_weight();
    let (mut now, mut then) = (0.0, 0.0);
    for format in formats {
        now += format.streamed_bytes;
        then += format.streamed_bytes / format.bits * bits;
    }
    let streamed = (here.weight_bytes + here.kv_bytes + here.state_bytes) as f64 - now + then;
    OtherFormat {
        name: other.name().to_owned(),
        streamed_bytes: streamed,
        silicon_ms: ms_at(streamed, ceilings.stream_gb_s),
    }
}
