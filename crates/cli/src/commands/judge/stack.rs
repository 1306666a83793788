//! The judge of the `stack` track: two runtime profiles on one model, measured in turns, and how far apart their outputs are.
//!
//! 1. Champion, candidate, candidate, champion: each a fresh process that loads the model with its profile, warms up, and measures prefill
//! and decode. 2. A process counts with sqrt(seconds of a prefill x seconds of a decode): a per cent of either is worth the same. 3. The
//! divergence of the next tokens from the default profile's, on held-out text: over 4096 tokens before the first block of a race, over 512
//! in a screen, over 64 in later blocks of a race, which repeat what was seen.

use std::{env, path::PathBuf, process::Command};

use clap::Args;
use kernels::RuntimeProfile;
use models::Placement;
use runtime::{Engine, divergence, profile};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    commands::bench,
    failure::Failure,
    interrupt::Interrupt,
    model_file,
    terminal::Terminal,
};

/// Text that no profile was chosen on.
const TEXT: &str = include_str!("../../../../../data/perplexity.txt");
/// Tokens that a window of the divergence holds.
const WINDOW: usize = 512;
/// What is measured in each process.
const PREFILL: usize = 256;
const DECODE: usize = 48;
const REPEATS: u32 = 3;

/// Two runtime profiles, `profile.toml` of SPRAG_CHAMPION and of SPRAG_ARTEFACT, on one model
#[derive(Debug, Args)]
pub struct Arguments {
    /// Path or name of the model
    #[arg(long)]
    pub model: String,
}

/// One process of the judge's.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[arg(long)]
    pub model: String,
    #[arg(long)]
    pub profile: PathBuf,
}

/// What one process measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Times {
    prefill_seconds: Vec<f64>,
    decode_seconds: Vec<f64>,
    /// Of their medians.
    cost: f64,
}

/// Judges.
pub fn judge(arguments: &Arguments, terminal: &Terminal) -> Result<Value, Failure> {
    let candidate = super::folder("SPRAG_ARTEFACT")?.join("profile.toml");
    let champion = super::folder("SPRAG_CHAMPION")?.join("profile.toml");
    let profile = match profile::read(&super::text(&candidate)?) {
        Ok(profile) => profile,
        Err(error) => return Ok(json!({ "refused": format!("profile.toml: {error}") })),
    };
    let nats = divergence_of(arguments, &profile, terminal)?;
    let (mut of_champion, mut of_candidate) = (Vec::new(), Vec::new());
    for (path, times) in [(&champion, true), (&candidate, false), (&candidate, false), (&champion, true)] {
        let found = process(arguments, path)?;
        if times {
            of_champion.push(found);
        } else {
            of_candidate.push(found);
        }
    }
    let costs = |times: &[Times]| times.iter().map(|times| times.cost).collect::<Vec<f64>>();
    Ok(json!({
        "champion": costs(&of_champion),
        "candidate": costs(&of_candidate),
        "kl": nats.0,
        "kl_tokens": nats.1,
        "champion_times": of_champion,
        "candidate_times": of_candidate,
    }))
}

/// A fresh process with the profile at `path`.
fn process(arguments: &Arguments, path: &PathBuf) -> Result<Times, Failure> {
    let own = env::current_exe().map_err(|source| Failure::Read { path: "sprag".into(), source })?;
    let output = Command::new(own)
        .args(["judge", "stack-run", "--model", &arguments.model, "--profile"])
        .arg(path)
        .output()
        .map_err(|source| Failure::Read { path: path.clone(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Usage(format!("the process with {} failed: {}", path.display(), said.trim())));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// One process: the model with its profile, prefill and decode.
pub fn run(arguments: &RunArguments, terminal: &Terminal) -> Result<(), Failure> {
    let text = super::text(&arguments.profile)?;
    let profile = profile::read(&text).map_err(|error| Failure::Content { path: arguments.profile.clone(), why: error.to_string() })?;
    let interrupt = Interrupt::install();
    let path = model_file::locate(&arguments.model, false, terminal, &interrupt)?;
    let gguf = model_file::open(&path)?;
    let engine = Engine::placed(gguf, profile, &Placement::Memory, &mut |_, _| {})?;
    let (prefill_seconds, decode_seconds) = bench::seconds(&engine, PREFILL, DECODE, REPEATS)?;
    let median = |seconds: &[f64]| measure::Samples::new(seconds.to_vec()).map(|samples| samples.median());
    let cost = (median(&prefill_seconds)? * median(&decode_seconds)?).sqrt();
    let times = Times { prefill_seconds, decode_seconds, cost };
    crate::terminal::say(&format!("{}\n", serde_json::to_string(&times)?))
}

/// Nats a token between the default profile and the candidate's, and on how many tokens.
fn divergence_of(arguments: &Arguments, profile: &RuntimeProfile, terminal: &Terminal) -> Result<(f64, usize), Failure> {
    let which = env::var("SPRAG_MEASUREMENT").unwrap_or_default();
    let tokens = match which.split('/').collect::<Vec<_>>()[..] {
        ["screen", ..] | ["same", ..] => WINDOW,
        ["race", _, index] if index != "0" => 64,
        _ => 8 * WINDOW,
    };
    let interrupt = Interrupt::install();
    let path = model_file::locate(&arguments.model, false, terminal, &interrupt)?;
    let gguf = model_file::open(&path)?;
    let load = |profile: RuntimeProfile| Engine::placed(gguf.clone(), profile, &Placement::Memory, &mut |_, _| {});
    let (reference, other) = (load(RuntimeProfile::default())?, load(profile.clone())?);
    let ids = reference.tokenizer().encode(TEXT, text::Specials::Plain);
    let ids = &ids[..tokens.min(ids.len())];
    let found = divergence(&reference, &other, ids, WINDOW.min(tokens))?;
    Ok((found.mean, found.tokens))
}
