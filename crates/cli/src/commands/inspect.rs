//! `sprag inspect`: what a model file holds and what running it costs, from its header alone.
//!
//! A file of an architecture that Sprag does not run is shown too: what it says of itself, and its tensors.

mod metadata;

use std::sync::Arc;

use clap::Args;
use formats::gguf::Gguf;
use kernels::KvType;
use models::Model;
use serde::Serialize;

use crate::{
    arguments::tokens,
    checkpoint::{self, WeightArguments},
    failure::Failure,
    interrupt::Interrupt,
    model_file::{self, Identity},
    quantity, report,
    terminal::{Paint, Style, Terminal, harmless, say},
};

/// Show what a model file holds, and the bytes and operations of a token
#[derive(Debug, Args)]
#[command(after_help = "Example: sprag inspect default --context 8192")]
pub struct Arguments {
    /// Path or name of the model
    pub model: String,
    /// Context for memory and costs [default: the model's own]
    #[arg(long, value_name = "N", value_parser = tokens)]
    pub context: Option<usize>,
    /// List every tensor
    #[arg(long)]
    pub tensors: bool,
    /// Report as JSON (schema sprag.inspect/1)
    #[arg(long)]
    pub json: bool,
    /// How a checkpoint's weights are taken.
    #[command(flatten)]
    pub weights: WeightArguments,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    model: Identity,
    gguf_version: u32,
    /// Why Sprag can't run it, if so.
    unsupported: Option<String>,
    config: Option<Dimensions>,
    formats: Vec<Format>,
    /// Costs and memory at this context; `None` where the architecture is unknown.
    at_context: Option<AtContext>,
    metadata: Vec<metadata::Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<Tensor>>,
}

#[derive(Debug, Serialize)]
struct Dimensions {
    layers: usize,
    hidden: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocabulary: usize,
    context: usize,
    rope_theta: f64,
}

#[derive(Debug, Serialize)]
struct Format {
    format: &'static str,
    tensors: usize,
    elements: u64,
    bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct AtContext {
    context: usize,
    kv_type: &'static str,
    /// `None` where the size overflows.
    kv_bytes: Option<u64>,
    state_bytes: Option<u64>,
    decode_at_0: Cost,
    decode_at_context: Cost,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    read_bytes: u64,
    written_bytes: u64,
    f32_flops: u64,
    int8_ops: u64,
    int16_ops: u64,
}

#[derive(Debug, Serialize)]
struct Tensor {
    name: String,
    format: &'static str,
    /// The contiguous dimension first.
    shape: Vec<usize>,
    bytes: Option<u64>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let path = model_file::locate(&arguments.model, false, terminal, &Interrupt::install())?;
    let threads = kernels::RuntimeProfile::default().threads;
    let gguf = checkpoint::open(&path, arguments.weights, threads)?;
    let model = Model::describe(Arc::clone(&gguf));
    let report = Report {
        schema: "sprag.inspect/1",
        model: Identity::of(&gguf, &path),
        gguf_version: gguf.version(),
        unsupported: model.as_ref().err().map(ToString::to_string),
        config: model.as_ref().ok().map(dimensions),
        formats: formats(&gguf),
        at_context: model
            .ok()
            .map(|m| at_context(&m, arguments.context.unwrap_or(m.config.context))),
        metadata: metadata::entries(&gguf),
        tensors: (arguments.tensors).then(|| tensors(&gguf)),
    };
    if arguments.json {
        report::json(&report)
    } else {
        say(&text(&report, terminal.data()))
    }
}

fn dimensions(model: &Model) -> Dimensions {
    let c = &model.config;
    Dimensions {
        layers: c.layers,
        hidden: c.hidden,
        feed_forward: c.feed_forward,
        heads: c.heads,
        kv_heads: c.kv_heads,
        head_dim: c.head_dim,
        vocabulary: c.vocabulary,
        context: c.context,
        rope_theta: c.rope_theta,
    }
}

fn formats(gguf: &Gguf) -> Vec<Format> {
    let groups = Model::tensor_groups(gguf).into_iter();
    groups
        .map(|g| Format {
            format: g.format,
            tensors: g.tensors,
            elements: g.elements,
            bytes: g.bytes,
        })
        .collect()
}

fn at_context(model: &Model, context: usize) -> AtContext {
    let footprint = model.footprint(context, KvType::default());
    let cost = |depth| {
        let c = model.cost(1, depth, KvType::default());
        Cost {
            read_bytes: c.read_bytes,
            written_bytes: c.written_bytes,
            f32_flops: c.f32_flops,
            int8_ops: c.int8_ops,
            int16_ops: c.int16_ops,
        }
    };
    AtContext {
        context,
        kv_type: KvType::default().name(),
        kv_bytes: footprint.map(|f| f.kv_bytes),
        state_bytes: footprint.map(|f| f.state_bytes),
        decode_at_0: cost(0),
        // The token that fills the context.
        decode_at_context: cost(context.saturating_sub(1)),
    }
}

fn tensors(gguf: &Gguf) -> Vec<Tensor> {
    let tensor = |t: &formats::gguf::TensorInfo| Tensor {
        name: t.name().to_owned(),
        format: t.tensor_type().name(),
        shape: t.shape().to_vec(),
        bytes: t.byte_len().map(|b| b as u64),
    };
    gguf.tensors().iter().map(tensor).collect()
}

/// The report for people.
fn text(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&harmless_line(&text, paint));
        out.push('\n');
    };
    let model = &report.model;
    line(paint.paint(Style::Heading, &harmless(&model.name)));
    line(format!(
        "  file          {} ({}, GGUF {})",
        model.path.display(),
        quantity::bytes(model.bytes),
        report.gguf_version
    ));
    line(format!(
        "  architecture  {}",
        model.architecture.as_deref().unwrap_or("not stated")
    ));
    line(format!(
        "  parameters    {} in {}",
        quantity::count(model.parameters),
        model.quantisation
    ));
    if let Some(c) = &report.config {
        line(format!(
            "  dimensions    {} layers, width {}, feed-forward {}, {} query and {} key/value heads of {}",
            c.layers, c.hidden, c.feed_forward, c.heads, c.kv_heads, c.head_dim
        ));
        line(format!(
            "  vocabulary    {} tokens; made for contexts up to {}",
            c.vocabulary, c.context
        ));
    }
    if let Some(why) = &report.unsupported {
        line(format!("  cannot be run: {why}"));
    }
    line(paint.paint(Style::Heading, "tensors by format"));
    for f in &report.formats {
        let bytes = f
            .bytes
            .map_or_else(|| "size unknown".to_owned(), quantity::bytes);
        line(format!(
            "  {:8} {:>5} tensors {:>8} weights {:>9}",
            f.format,
            f.tensors,
            quantity::count(f.elements),
            bytes
        ));
    }
    if let Some(at) = &report.at_context {
        line(paint.paint(Style::Heading, "one decoded token"));
        for (name, c) in [
            ("depth 0".to_owned(), at.decode_at_0),
            (
                format!("depth {}", at.context.saturating_sub(1)),
                at.decode_at_context,
            ),
        ] {
            line(format!(
                "  {name:14} reads {:>9}, writes {:>9}, {:>7}FLOP in f32, {:>7}OP in int8, {:>7}OP in int16",
                quantity::bytes(c.read_bytes),
                quantity::bytes(c.written_bytes),
                quantity::count(c.f32_flops),
                quantity::count(c.int8_ops),
                quantity::count(c.int16_ops)
            ));
        }
        let known = |b: Option<u64>| {
            b.map_or_else(|| "more than can be addressed".to_owned(), quantity::bytes)
        };
        line(paint.paint(
            Style::Heading,
            &format!("memory at a context of {}", at.context),
        ));
        line(format!(
            "  keys and values {} in {}, recurrent state {}",
            known(at.kv_bytes),
            at.kv_type,
            known(at.state_bytes)
        ));
    }
    line(paint.paint(Style::Heading, "metadata"));
    for entry in &report.metadata {
        line(format!("  {} = {}", entry.key, entry.shown));
    }
    for tensor in report.tensors.iter().flatten() {
        let bytes = tensor.bytes.map_or_else(|| "?".to_owned(), quantity::bytes);
        line(format!(
            "  {:40} {:6} {:?} {bytes}",
            tensor.name, tensor.format, tensor.shape
        ));
    }
    out
}

/// Names come from the file: nothing in them may act on a terminal. Our own colours may.
fn harmless_line(text: &str, paint: Paint) -> String {
    let own = paint.is_on() && text.starts_with("\x1b[");
    if own {
        text.to_owned()
    } else {
        harmless(text).replace('\n', " ")
    }
}
