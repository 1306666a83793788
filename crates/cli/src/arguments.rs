//! What a user may type: the sub-commands, and the options that several of them share.

use clap::{Args, Parser, Subcommand};
use kernels::{FloatProducts, Isa, KvType, RuntimeProfile};
use runtime::SamplingOptions;

use crate::checkpoint::WeightArguments;
use crate::commands::{
    bench, chat, convert, inspect, judge, lens, models, perplexity, pull, ratchet, run, tokenize,
    train,
};
use crate::device::DeviceChoice;
use crate::machine_profile;
use crate::placement::WeightsIn;

const AFTER: &str = "\
Without a command, sprag fetches its default model if need be, measures this machine, prints the first waterfall from \
transistor to token, experiments for two minutes on how it runs models here, looks again, and writes sprag-report.html and \
sprag-ratchet.html into the current folder. Where the model cannot be fetched, a small one that comes with Sprag takes its \
place, without experiments.

MODEL is a path (a GGUF file, a folder with a checkpoint in safetensors, or the model.safetensors that a candidate of the \
track `train` left), a name from `sprag models` (its beginning is enough), or a catalogue name such as `default`.

Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 model, source or file not found, 4 bad file, 5 network, \
6 does not fit (memory, threads, disk, context), 75 a judge's own fault, 130 interrupted.

Example: sprag run default -p \"Why is the sky blue?\"";

/// Runs language models on this machine, and shows where the speed goes between the transistor and the token.
#[derive(Debug, Parser)]
#[command(name = "sprag", version, after_help = AFTER, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Arguments {
    /// Without a command: how long to experiment between the two waterfalls; 0s for no experiments and one waterfall
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    pub ratchet: std::time::Duration,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::Arguments),
    Chat(chat::Arguments),
    Models(models::Arguments),
    Pull(pull::Arguments),
    Convert(convert::Arguments),
    Inspect(inspect::Arguments),
    Bench(bench::Arguments),
    Perplexity(perplexity::Arguments),
    Lens(lens::Arguments),
    Ratchet(ratchet::Arguments),
    Judge(judge::Arguments),
    Tokenize(tokenize::Arguments),
    Train(train::Arguments),
}

impl Arguments {
    /// The name of the sub-command, and the MODEL given to it: for hints.
    pub fn invocation(&self) -> (&'static str, Option<&str>) {
        match &self.command {
            None => ("", Some("default")),
            Some(Command::Run(a)) => ("run", Some(&a.model)),
            Some(Command::Chat(a)) => ("chat", Some(&a.model)),
            Some(Command::Models(_)) => ("models", None),
            Some(Command::Pull(a)) => ("pull", Some(&a.source)),
            Some(Command::Convert(a)) => ("convert", Some(&a.folder)),
            Some(Command::Inspect(a)) => ("inspect", Some(&a.model)),
            Some(Command::Bench(a)) => ("bench", a.model.as_deref()),
            Some(Command::Perplexity(a)) => ("perplexity", Some(&a.model)),
            Some(Command::Lens(a)) => ("lens", a.model.as_deref()),
            Some(Command::Ratchet(_)) => ("ratchet", None),
            Some(Command::Judge(_)) => ("judge", None),
            Some(Command::Tokenize(a)) => ("tokenize", Some(&a.model)),
            Some(Command::Train(_)) => ("train", None),
        }
    }
}

/// How the engine runs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArguments {
    /// Where the model runs: auto (an NVIDIA GPU where there is one that can run it, else the processor), cpu, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Threads; by default one per processor that this process may use
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// A runtime profile to run with (TOML, as `sprag ratchet stack` shows it), or `default`; without it the one that the ratchet proved on this
    /// machine, if there is one
    #[arg(long, value_name = "FILE", value_parser = runtime_profile)]
    pub profile: Option<RuntimeProfile>,
    /// Precision of the key/value cache: by default i16 (whole numbers with a scale for each head: nearer than f16, and faster for long prompts), f16, q8_0 (about half the
    /// bytes) or f32
    #[arg(long, value_name = "TYPE", value_parser = kv_type)]
    pub kv_type: Option<KvType>,
    /// What products with BF16 weights multiply: by default f32 (the same numbers on every processor), or split-bf16 (each input as the sum of two
    /// BF16, which keep 17 bits of it; much faster for long prompts where the processor has AMX, elsewhere as f32)
    #[arg(long, value_name = "TYPE", value_parser = float_products)]
    pub float_products: Option<FloatProducts>,
    /// Instruction set of the kernels: portable, avx2, avx-vnni, avx512 or neon; by default the processor's best. All give the same numbers
    #[arg(long, value_name = "SET", value_parser = isa)]
    pub isa: Option<Isa>,
    /// Where the weights are: auto (in memory if they fit, and kept on disk for the next start where packing takes more than a
    /// second), memory, or disk (read as they are needed)
    #[arg(
        long = "weights",
        value_name = "WHERE",
        value_enum,
        hide_possible_values = true,
        default_value = "auto"
    )]
    pub weights_in: WeightsIn,
    /// How a checkpoint's weights are taken.
    #[command(flatten)]
    pub weights: WeightArguments,
}

impl EngineArguments {
    /// The profile of this machine, or the one that was named, with what was asked for beside it.
    pub fn profile(&self) -> RuntimeProfile {
        let default = self.profile.clone().unwrap_or_else(machine_profile::here);
        RuntimeProfile {
            threads: self.threads.unwrap_or(default.threads),
            kv_type: self.kv_type.unwrap_or(default.kv_type),
            float_products: self.float_products.unwrap_or(default.float_products),
            isa: self.isa.unwrap_or(default.isa),
            ..default
        }
    }
}

/// How tokens are chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArguments {
    /// 0 always takes the likeliest token; 1 leaves the model's probabilities as they are
    #[arg(
        long,
        value_name = "T",
        default_value_t = 0.8,
        allow_negative_numbers = true
    )]
    pub temperature: f32,
    /// Only the K likeliest tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = 40)]
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 for all
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.95,
        allow_negative_numbers = true
    )]
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the likeliest; 0 for all
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.05,
        allow_negative_numbers = true
    )]
    pub min_p: f32,
    /// Makes tokens among the last 64 less likely; 1 for no change
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub repeat_penalty: f32,
    /// Of the random choices; by default different each time, and told in the JSON
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Always the likeliest token: the same as --temperature 0
    #[arg(long, conflicts_with = "temperature")]
    pub greedy: bool,
    /// Ends the answer at this text, which is not shown; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Tokens to generate at most; by default as many as fit
    #[arg(long, short = 'n', value_name = "N")]
    pub max_tokens: Option<usize>,
}

impl SamplingArguments {
    /// The library's form; a seed is drawn where none is given.
    pub fn options(&self) -> SamplingOptions {
        SamplingOptions {
            temperature: if self.greedy { 0.0 } else { self.temperature },
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            seed: self.seed.unwrap_or_else(drawn_seed),
            ..SamplingOptions::default()
        }
    }
}

/// Random enough for a seed, and small enough to be typed.
fn drawn_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) >> 32
}

/// For clap: at least one token.
pub fn tokens(text: &str) -> Result<usize, String> {
    within(text, 1, 1 << 32)
}

/// For clap: a number of threads that a machine may have.
pub fn threads(text: &str) -> Result<usize, String> {
    within(text, 1, 1024)
}

fn within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from {least} to {most}")),
    }
}

fn runtime_profile(text: &str) -> Result<RuntimeProfile, String> {
    if text == "default" {
        return Ok(RuntimeProfile::default());
    }
    let profile = std::fs::read_to_string(text).map_err(|error| error.to_string())?;
    runtime::profile::read(&profile).map_err(|error| error.to_string())
}

fn isa(text: &str) -> Result<Isa, String> {
    Isa::named(text).ok_or_else(|| {
        let names: Vec<&str> = Isa::available().iter().map(|isa| isa.name()).collect();
        format!("expected one of this processor's: {}", names.join(", "))
    })
}

fn float_products(text: &str) -> Result<FloatProducts, String> {
    FloatProducts::ALL
        .into_iter()
        .find(|t| t.name() == text)
        .ok_or_else(|| "expected f32 or split-bf16".to_owned())
}

fn kv_type(text: &str) -> Result<KvType, String> {
    KvType::ALL
        .into_iter()
        .find(|t| t.name() == text)
        .ok_or_else(|| "expected i16, f16, q8_0 or f32".to_owned())
}
