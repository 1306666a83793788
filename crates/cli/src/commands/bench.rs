//! `sprag bench`: tokens per second of prefill and decode, at one or several depths.
//!
//! 1. Prefill: N pseudo-random token ids in one call, from an empty context (or at the depth).
//! 2. Decode: N ids one by one; with `--batch`, of that many sequences in each step, and the tokens of all of them count.
//! 3. Each phase runs once to warm up, then `--repeat` times; every sample is reported, and their median.
//!
//! A depth is pretended: the cache holds zeros for the tokens before, since the speed does not depend on their values. Ids
//! are the same in every run: SplitMix64 from a fixed seed.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use clap::Args;
use kernels::{
    MatMulVariant, Role, RuntimeProfile,
    cpu::{Member, Outputs, Step},
};
use measure::{Samples, Stopwatch};
use runtime::{Batch, Engine};
use serde::Serialize;
use silicon::probe::Machine;

use crate::{
    arguments::{EngineArguments, tokens},
    checkpoint,
    failure::Failure,
    interrupt::{Interrupt, Listening},
    model_file::{self, Identity},
    progress, quantity, report,
    terminal::{Style, Terminal, say},
};

/// Measure prefill and decode speed
#[derive(Debug, Args)]
#[command(after_help = "Example: sprag bench default --depth 0,4096 --json")]
pub struct Arguments {
    /// Path or name of the model
    #[arg(required_unless_present = "random")]
    pub model: Option<String>,
    /// In place of MODEL: a real shape with weights drawn at random (qwen3.5-0.8b, -2b, -4b, -9b, -27b)
    #[arg(long, value_name = "SHAPE", conflicts_with = "model")]
    pub random: Option<String>,
    /// Format of random weights: f32, f16, bf16, q8_0 or q4_0
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "q4_0",
        requires = "random"
    )]
    pub quant: String,
    /// Tokens of a prefill
    #[arg(long, value_name = "N", default_value = "512", value_parser = tokens)]
    pub prefill: usize,
    /// Tokens of a decode
    #[arg(long, value_name = "N", default_value = "128", value_parser = tokens)]
    pub decode: usize,
    /// Tokens in the context before the measured ones; several with commas
    #[arg(long, value_name = "N,..", default_value = "0", value_delimiter = ',')]
    pub depth: Vec<usize>,
    /// Sequences decoded side by side; several with commas
    #[arg(long, value_name = "N,..", default_value = "1", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=256))]
    pub batch: Vec<u32>,
    /// Samples of each phase
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Report as JSON (schema sprag.bench/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    model: Identity,
    machine: Machine,
    /// The GPU that it ran on.
    gpu: Option<Gpu>,
    /// Of the processor.
    profile: Profile,
    depths: Vec<AtDepth>,
    /// The first depth's, for readers that ask for one.
    prefill: Phase,
    decode: Phase,
}

/// A GPU in reports.
#[derive(Debug, Serialize)]
struct Gpu {
    name: String,
    architecture: String,
    multiprocessors: u32,
    memory_bytes: u64,
    /// How long the weights took to get there, kernels and all.
    load_s: f64,
    weight_bytes: u64,
}

impl Gpu {
    fn of(engine: &Engine) -> Option<Self> {
        let weights = engine.cuda()?;
        let gpu = weights.device().properties();
        Some(Self {
            name: gpu.name.clone(),
            architecture: gpu.architecture(),
            multiprocessors: gpu.multiprocessors,
            memory_bytes: gpu.memory_bytes,
            load_s: engine.packed_in().as_secs_f64(),
            weight_bytes: weights.plan().weight_bytes(),
        })
    }
}

/// The runtime profile in its fields' own spelling.
#[derive(Debug, Serialize)]
pub struct Profile {
    threads: usize,
    pinning: &'static str,
    isa: &'static str,
    prefill_chunk: usize,
    matmul_tile: usize,
    matmul_variant: &'static str,
    float_products: &'static str,
    matvec_streams: usize,
    prefetch_bytes: usize,
    attention_tile: usize,
    /// What the products of each role do.
    roles: BTreeMap<&'static str, Products>,
    kv_type: &'static str,
    pages: &'static str,
    idle_spins: u32,
    barrier: &'static str,
    barrier_spins: u32,
}

#[derive(Debug, Serialize)]
struct Products {
    matmul_tile: usize,
    matvec_streams: usize,
    prefetch_bytes: usize,
}

impl From<&RuntimeProfile> for Profile {
    fn from(p: &RuntimeProfile) -> Self {
        Self {
            threads: p.threads,
            pinning: p.pinning.name(),
            isa: p.isa.name(),
            prefill_chunk: p.prefill_chunk,
            matmul_tile: p.matmul_tile,
            matmul_variant: match p.matmul_variant {
                MatMulVariant::Lanes => "lanes",
                MatMulVariant::Amx => "amx",
            },
            float_products: p.float_products_here().name(),
            matvec_streams: p.matvec_streams,
            prefetch_bytes: p.prefetch_bytes,
            attention_tile: p.attention_tile,
            roles: Role::ALL
                .map(|role| {
                    let own = p.of_role(role);
                    let products = Products {
                        matmul_tile: own.matmul_tile,
                        matvec_streams: own.matvec_streams,
                        prefetch_bytes: own.prefetch_bytes,
                    };
                    (role.name(), products)
                })
                .into(),
            kv_type: p.kv_type.name(),
            pages: p.pages.name(),
            idle_spins: p.idle_spins,
            barrier: p.barrier.name(),
            barrier_spins: p.barrier_spins,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct AtDepth {
    depth: usize,
    prefill: Phase,
    decode: Phase,
    /// For each number of sequences asked for; the first is `decode`.
    batches: Vec<BatchPhase>,
}

#[derive(Clone, Debug, Serialize)]
struct BatchPhase {
    sequences: usize,
    /// Tokens of each; tokens per second of all.
    decode: Phase,
}

#[derive(Clone, Debug, Serialize)]
struct Phase {
    tokens: usize,
    /// In the order of measurement.
    tokens_per_second: Samples,
    median: f64,
    /// Median absolute deviation.
    mad: f64,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let interrupt = Interrupt::install();
    let (path, gguf) = match (&arguments.random, &arguments.model) {
        (Some(shape), _) => {
            let gguf = Arc::new(models::random(shape, &arguments.quant)?);
            (gguf.path().unwrap_or(Path::new("random")).to_owned(), gguf)
        }
        (None, model) => {
            let model = model.as_deref().unwrap_or_default();
            let path = model_file::locate(model, false, terminal, &interrupt)?;
            let gguf = checkpoint::open_for(&path, &arguments.engine)?;
            (path, gguf)
        }
    };
    let loaded = model_file::load(&gguf, &arguments.engine, terminal)?;
    let engine = &loaded.engine;
    let deepest = arguments.depth.iter().copied().max().unwrap_or(0);
    let context = deepest.saturating_add(arguments.prefill.max(arguments.decode));
    let widest = arguments.batch.iter().copied().max().unwrap_or(1) as usize;
    let mut batch = engine.batch(widest, Some(context))?;
    let phases = (1 + arguments.batch.len()) * arguments.depth.len();
    let rounds = (u64::from(arguments.repeat) + 1) * phases as u64;
    let bar = progress::bar(terminal, rounds, "{msg} [{bar:30}] {pos}/{len}");
    let listening = interrupt.listen();
    let mut depths = Vec::new();
    for &depth in &arguments.depth {
        let mut phase = |name: String, work: Work| {
            bar.set_message(format!("{name} at {depth}"));
            measured(&mut batch, depth, arguments.repeat, work, &mut || {
                bar.inc(1);
                listening.check()
            })
        };
        let tokens = arguments.prefill;
        let prefill = phase("prefill".to_owned(), Work::Prefill { tokens })?;
        let mut batches = Vec::new();
        for &sequences in &arguments.batch {
            let sequences = sequences as usize;
            let tokens = arguments.decode;
            let name = match sequences {
                1 => "decode".to_owned(),
                n => format!("decode of {n}"),
            };
            let decode = phase(name, Work::Decode { tokens, sequences })?;
            batches.push(BatchPhase { sequences, decode });
        }
        let Some(first) = batches.first() else {
            return Err(Failure::Usage(
                "--batch needs at least one number".to_owned(),
            ));
        };
        depths.push(AtDepth {
            depth,
            prefill,
            decode: first.decode.clone(),
            batches,
        });
    }
    bar.finish_and_clear();
    drop::<Listening<'_>>(listening);
    let Some(first) = depths.first().cloned() else {
        return Err(Failure::Usage(
            "--depth needs at least one number".to_owned(),
        ));
    };
    if arguments.json {
        return report::json(&Report {
            schema: "sprag.bench/1",
            model: Identity::of(&gguf, &path),
            machine: Machine::probe(),
            gpu: Gpu::of(engine),
            profile: Profile::from(engine.profile()),
            prefill: first.prefill,
            decode: first.decode,
            depths,
        });
    }
    say(&table(
        engine,
        &Identity::of(&gguf, &path),
        &depths,
        terminal,
    ))
}

#[derive(Clone, Copy)]
enum Work {
    Prefill { tokens: usize },
    Decode { tokens: usize, sequences: usize },
}

/// Warms up once and samples `repeat` times; `after` is called after each.
fn measured(
    batch: &mut Batch<'_>,
    depth: usize,
    repeat: u32,
    work: Work,
    after: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Phase, Failure> {
    let (tokens, sequences) = match work {
        Work::Prefill { tokens } => (tokens, 1),
        Work::Decode { tokens, sequences } => (tokens, sequences),
    };
    let ids = token_ids(batch.engine(), tokens);
    let mut samples = Vec::new();
    for round in 0..=repeat {
        for sequence in 0..sequences {
            batch.reset(sequence);
            batch.pretend_depth(sequence, depth);
        }
        let clock = Stopwatch::start();
        match work {
            Work::Prefill { .. } => {
                batch.prefill(0, &ids, &mut |_| true)?;
            }
            Work::Decode { .. } => {
                for i in 0..tokens {
                    decode_each(batch, &ids, i, sequences)?;
                }
            }
        }
        let seconds = clock.elapsed_ns().max(1.0) / 1e9;
        if round > 0 {
            samples.push((tokens * sequences) as f64 / seconds);
        }
        after()?;
    }
    let tokens_per_second = Samples::new(samples)?;
    Ok(Phase {
        tokens,
        median: tokens_per_second.median(),
        mad: tokens_per_second.mad(),
        tokens_per_second,
    })
}

/// Measures prefills from an empty context and decodes behind them, as often as it is asked.
pub struct Turns<'e> {
    batch: Batch<'e>,
    prefill: Vec<u32>,
    decode: Vec<u32>,
}

impl<'e> Turns<'e> {
    /// For so many tokens of each.
    pub fn new(engine: &'e Engine, prefill: usize, decode: usize) -> Result<Self, Failure> {
        Ok(Self {
            batch: engine.batch(1, Some(prefill + decode))?,
            prefill: token_ids(engine, prefill),
            decode: token_ids(engine, decode),
        })
    }

    /// Seconds of a prefill.
    pub fn prefill(&mut self) -> Result<f64, Failure> {
        self.batch.reset(0);
        let clock = Stopwatch::start();
        self.batch.prefill(0, &self.prefill, &mut |_| true)?;
        Ok(clock.elapsed_ns().max(1.0) / 1e9)
    }

    /// Seconds of a decode, once behind each prefill; `each` is part of every token.
    pub fn decode(&mut self, each: &dyn Fn()) -> Result<f64, Failure> {
        let clock = Stopwatch::start();
        for i in 0..self.decode.len() {
            decode_each(&mut self.batch, &self.decode, i, 1)?;
            each();
        }
        Ok(clock.elapsed_ns().max(1.0) / 1e9)
    }
}

/// One token of each of the first `sequences`, all different, and the likeliest that would follow each.
fn decode_each(
    batch: &mut Batch<'_>,
    ids: &[u32],
    i: usize,
    sequences: usize,
) -> Result<(), Failure> {
    let members: Vec<Member<'_>> = (0..sequences)
        .map(|sequence| Member {
            sequence,
            step: Step {
                tokens: std::slice::from_ref(&ids[(i + sequence) % ids.len()]),
                outputs: Outputs::Last,
            },
        })
        .collect();
    batch.step_for_likeliest(&members)?;
    for sequence in 0..sequences {
        batch.likeliest(sequence)?;
    }
    Ok(())
}

/// `count` valid ids, the same in every run.
fn token_ids(engine: &Engine, count: usize) -> Vec<u32> {
    let vocabulary = engine
        .model()
        .config
        .vocabulary
        .min(engine.tokenizer().vocab_size())
        .max(1) as u64;
    let mut state = 0u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Below the vocabulary's size, which ids fit in 32 bits.
        ((z ^ (z >> 31)) % vocabulary) as u32
    };
    (0..count).map(|_| next()).collect()
}

fn table(engine: &Engine, model: &Identity, depths: &[AtDepth], terminal: &Terminal) -> String {
    let profile = engine.profile();
    let place = match engine.cuda() {
        None => format!(
            "{} threads, {}, kv {}",
            profile.threads,
            profile.isa.name(),
            profile.kv_type.name()
        ),
        Some(weights) => format!(
            "{}, kv f16, {} of weights loaded in {}",
            weights.device().properties().name,
            quantity::bytes(weights.plan().weight_bytes()),
            humantime::format_duration(Duration::from_millis(
                u64::try_from(engine.packed_in().as_millis()).unwrap_or(u64::MAX)
            ))
        ),
    };
    let mut out = format!(
        "{}  {}, {place}\n",
        terminal.data().paint(Style::Heading, &model.name),
        model.quantisation,
    );
    for at in depths {
        let mut line = |name: &str, phase: &Phase, of: &str| {
            let samples = &phase.tokens_per_second;
            out.push_str(&format!(
                "  {name:8}{:>6} tokens{of} at depth {:<6} {:>16}   from {} to {}, {} samples\n",
                phase.tokens,
                at.depth,
                quantity::rate(phase.median),
                quantity::digits(samples.min()),
                quantity::digits(samples.max()),
                samples.len()
            ));
        };
        line("prefill", &at.prefill, "");
        for BatchPhase { sequences, decode } in &at.batches {
            let of = match sequences {
                1 => String::new(),
                n => format!(" of each of {n} sequences"),
            };
            line("decode", decode, &of);
        }
    }
    out
}
