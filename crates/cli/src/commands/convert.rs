//! `sprag convert`: a checkpoint in safetensors becomes a GGUF file, in any of the engine's formats.
//!
//! The file is written beside its final name and checked by the parser before it gets that name: an interrupted conversion
//! leaves nothing behind.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use formats::gguf::{Gguf, WriteError, save};
use kernels::RuntimeProfile;
use models::{Model, checkpoint::Opened};
use serde::Serialize;
use store::ResolveError;
use text::Tokenizer;

use crate::{
    checkpoint::{WeightArguments, is_meant_by, read, told},
    failure::Failure,
    interrupt::Interrupt,
    model_file::quantisation,
    progress, quantity, report,
    terminal::{Style, Terminal, complain, say},
};

const AFTER: &str = "\
FOLDER holds config.json, tokenizer.json and model.safetensors (or model.safetensors.index.json with its shards); a model.safetensors that a \
candidate of the track `train` has left is enough by itself. TYPE is one of \
f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k: matrices get it, vectors stay in f32, and the output matrix is \
kept in q6_k (q8_0 with q8_0). The file runs in Sprag and, but for \
recurrent_gemma, in llama.cpp.

Example: sprag convert ./SmolLM2-135M-Instruct --quantize q8_0 -o smollm2-q8_0.gguf";

/// Convert a checkpoint in safetensors to GGUF
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Folder of the checkpoint, or its .safetensors file
    #[arg(value_name = "FOLDER")]
    pub folder: String,
    /// The file to write [default: the folder's name with the type, in the current folder]
    #[arg(long, short, value_name = "OUT.gguf")]
    pub output: Option<PathBuf>,
    /// Threads; by default one per processor that this process may use
    #[arg(long, value_name = "N", value_parser = crate::arguments::threads)]
    pub threads: Option<usize>,
    /// Report as JSON (schema sprag.convert/1)
    #[arg(long)]
    pub json: bool,
    /// How weights are taken.
    #[command(flatten)]
    pub weights: WeightArguments,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    input: &'a Path,
    output: &'a Path,
    bytes: u64,
    architecture: &'a str,
    parameters: u64,
    quantisation: String,
    formats: Vec<Format>,
    fallbacks: Vec<Instead<'a>>,
    /// Why Sprag itself can't run the file, if so.
    unsupported: Option<String>,
    elapsed_ms: f64,
}

#[derive(Debug, Serialize)]
struct Format {
    format: &'static str,
    tensors: usize,
    elements: u64,
    bytes: Option<u64>,
}

/// A format that rows did not allow.
#[derive(Debug, Serialize)]
struct Instead<'a> {
    wanted: &'static str,
    used: &'static str,
    tensors: usize,
    first: &'a str,
    row_len: usize,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let started = Instant::now();
    let interrupt = Interrupt::install();
    let input = Path::new(&arguments.folder);
    if !input.exists() {
        return Err(ResolveError::NoFile(input.to_owned()).into());
    }
    if !is_meant_by(input) {
        return Err(Failure::Usage(format!(
            "{} is no checkpoint: convert takes a folder with config.json and safetensors, or a .safetensors file",
            input.display()
        )));
    }
    let threads = arguments
        .threads
        .unwrap_or(RuntimeProfile::default().threads);
    let Opened { gguf, fallbacks } = read(input, arguments.weights.quantize, threads)?;
    // What can be wrong is found before hours of work and not after.
    Tokenizer::from_gguf(gguf.metadata())?;
    let output = match &arguments.output {
        Some(path) => path.clone(),
        None => usual_output(&gguf)?,
    };
    write(&gguf, &output, terminal, &interrupt)?;
    let formats = Model::tensor_groups(&gguf);
    let (bytes, quantisation) = (gguf.file_len() as u64, quantisation(&gguf));
    let parameters = gguf.tensors().iter().map(|t| t.elements() as u64).sum();
    let architecture = gguf.metadata().str("general.architecture")?.to_owned();
    let own_end = |end: &&str| {
        let key = format!("{architecture}.rope.scaling.yarn_beta_{end}");
        gguf.metadata().get(&key).is_some()
    };
    if ["fast", "slow"].iter().any(own_end) {
        complain(
            "note: the context is extended by YaRN with ends of the model's own (yarn_beta_fast, yarn_beta_slow), which Sprag reads \
             and llama.cpp does not: its results will differ",
        );
    }
    if architecture == "recurrentgemma" {
        complain("note: llama.cpp does not know this architecture: the file is for Sprag alone");
    }
    let unsupported = Model::describe(gguf.into())
        .err()
        .map(|why| why.to_string());
    if arguments.json {
        return report::json(&Report {
            schema: "sprag.convert/1",
            input,
            output: &output,
            bytes,
            architecture: &architecture,
            parameters,
            quantisation,
            formats: formats
                .into_iter()
                .map(|g| Format {
                    format: g.format,
                    tensors: g.tensors,
                    elements: g.elements,
                    bytes: g.bytes,
                })
                .collect(),
            fallbacks: fallbacks
                .iter()
                .map(|f| Instead {
                    wanted: f.wanted.name(),
                    used: f.used.name(),
                    tensors: f.tensors,
                    first: &f.first,
                    row_len: f.row_len,
                })
                .collect(),
            unsupported,
            elapsed_ms: started.elapsed().as_secs_f64() * 1e3,
        });
    }
    for fallback in &fallbacks {
        complain(&format!("note: {}", told(fallback)));
    }
    if let Some(why) = &unsupported {
        complain(&format!("note: Sprag can't run it yet: {why}"));
    }
    say(&format!(
        "{}  {architecture}, {} parameters, {quantisation}, {}\n",
        terminal
            .data()
            .paint(Style::Heading, &output.display().to_string()),
        quantity::count(parameters),
        quantity::bytes(bytes),
    ))
}

/// The folder's name and the format; never a file that is there already, since nobody named it.
fn usual_output(gguf: &Gguf) -> Result<PathBuf, Failure> {
    let name = gguf.metadata().str("general.name")?;
    let output = PathBuf::from(format!(
        "{name}-{}.gguf",
        quantisation(gguf).to_ascii_lowercase()
    ));
    match output.exists() {
        false => Ok(output),
        true => Err(Failure::Usage(format!(
            "{} is there already; name the file to write with -o",
            output.display()
        ))),
    }
}

fn write(
    gguf: &Gguf,
    output: &Path,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let bar = progress::bar(
        terminal,
        gguf.file_len() as u64,
        "converting [{bar:30}] {bytes}/{total_bytes} {eta}",
    );
    let listening = interrupt.listen();
    let written = save(gguf, output, &mut |done| {
        bar.set_position(done);
        !listening.is_raised()
    });
    bar.finish_and_clear();
    match written {
        Err(WriteError::Stopped) => Err(Failure::Interrupted),
        written => Ok(written?),
    }
}
