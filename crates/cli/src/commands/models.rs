//! `sprag models`: what is in the store, and what can be pulled by name.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use store::{Store, catalogue};

use crate::{
    failure::Failure,
    model_file::{self, Identity},
    quantity, report,
    terminal::{Style, Terminal, harmless, say},
};

/// List the models that are here, and those that can be fetched by name
#[derive(Debug, Args)]
#[command(after_help = "Example: sprag models --json")]
pub struct Arguments {
    /// Report as JSON (schema sprag.models/1)
    #[arg(long)]
    pub json: bool,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    folder: PathBuf,
    models: Vec<Stored>,
    available: Vec<Available>,
    packed: Packed,
}

/// Weights that were kept as kernels read them, for faster starts; they may be deleted.
#[derive(Debug, Serialize)]
struct Packed {
    folder: PathBuf,
    files: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Stored {
    name: String,
    path: PathBuf,
    bytes: u64,
    architecture: Option<String>,
    quantisation: Option<String>,
    parameters: Option<u64>,
    source: Option<String>,
    sha256: Option<String>,
    licence: Option<String>,
    /// Why the file can't be used, if so.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Available {
    alias: &'static str,
    default: bool,
    here: bool,
    source: &'static str,
    bytes: u64,
    licence: &'static str,
    note: &'static str,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let store = Store::open()?;
    let models: Vec<Stored> = store.list()?.into_iter().map(stored).collect();
    let available: Vec<Available> = catalogue()
        .iter()
        .map(|e| Available {
            alias: &e.alias,
            default: e.default,
            here: models
                .iter()
                .any(|m| m.path.file_name().is_some_and(|n| n == e.file.as_str())),
            source: &e.source,
            bytes: e.bytes,
            licence: &e.licence,
            note: &e.note,
        })
        .collect();
    let kept = store.packed_files();
    let report = Report {
        schema: "sprag.models/1",
        folder: store.models_folder(),
        models,
        available,
        packed: Packed {
            folder: store.packed_folder(),
            files: kept.len(),
            bytes: kept.iter().map(|(_, bytes)| bytes).sum(),
        },
    };
    if arguments.json {
        report::json(&report)
    } else {
        say(&table(&report, terminal))
    }
}

fn stored(model: store::Model) -> Stored {
    let opened = model_file::open(&model.path).map(|gguf| Identity::of(&gguf, &model.path));
    let error = opened.as_ref().err().map(ToString::to_string);
    let identity = opened.ok();
    let record = model.record;
    Stored {
        name: model.name,
        path: model.path,
        bytes: model.bytes,
        architecture: identity.as_ref().and_then(|i| i.architecture.clone()),
        parameters: identity.as_ref().map(|i| i.parameters),
        quantisation: identity.map(|i| i.quantisation),
        sha256: record.as_ref().map(|r| r.sha256.to_string()),
        licence: record.as_ref().and_then(|r| r.licence.clone()),
        source: record.map(|r| r.source),
        error,
    }
}

fn table(report: &Report, terminal: &Terminal) -> String {
    let paint = terminal.data();
    let mut out = format!(
        "{} {}\n",
        paint.paint(Style::Heading, "here, in"),
        report.folder.display()
    );
    if report.models.is_empty() {
        out.push_str("  no model yet: `sprag pull default` fetches one\n");
    }
    let width = report
        .models
        .iter()
        .map(|m| m.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    for model in &report.models {
        let size = quantity::bytes(model.bytes);
        let what = match (&model.error, &model.quantisation, &model.architecture) {
            (Some(error), ..) => format!("cannot be used: {error}"),
            (None, quantisation, architecture) => format!(
                "{:7} {:>6} parameters  {}",
                quantisation.as_deref().unwrap_or("?"),
                model
                    .parameters
                    .map_or_else(|| "?".to_owned(), quantity::count),
                architecture.as_deref().unwrap_or("?"),
            ),
        };
        out.push_str(&format!(
            "  {:width$}  {size:>8}  {}\n",
            harmless(&model.name),
            harmless(&what)
        ));
    }
    let Packed {
        folder,
        files,
        bytes,
    } = &report.packed;
    if *files > 0 {
        out.push_str(&format!(
            "{} {}\n  packed weights, {} in {files} files; they may be deleted\n",
            paint.paint(Style::Heading, "kept for faster starts, in"),
            folder.display(),
            quantity::bytes(*bytes)
        ));
    }
    let missing: Vec<&Available> = report.available.iter().filter(|a| !a.here).collect();
    if !missing.is_empty() {
        out.push_str(&format!(
            "{}\n",
            paint.paint(Style::Heading, "to be had with `sprag pull NAME`")
        ));
    }
    for entry in missing {
        let mark = if entry.default { " (the default)" } else { "" };
        out.push_str(&format!(
            "  {}{mark}  {}  {}\n",
            entry.alias,
            quantity::bytes(entry.bytes),
            entry.note
        ));
    }
    out
}
