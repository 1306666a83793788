//! The judge of the `stack` track: two runtime profiles on one model, measured in turns, and how far apart their outputs are.
//!
//! 1. A fresh process for the champion's profile and one for the candidate's; each loads the model and warms up.
//! 2. They take turns of a tenth of a second, a prefill or a few decoded tokens each, while the other process is stopped ([`player`]): two
//!    turns of the same kind, one of each arm, are a pair. A machine that is slower for a second is so for both of a pair.
//! 3. What counts is the mean of two medians, that of the log-ratios of all pairs of prefills, and that of decodes: a per cent of either is
//!    worth the same.
//! 4. The divergence of the next tokens from the default profile's, on held-out text: over 4096 tokens before the first block of a race,
//!    over 64 elsewhere.

mod player;

use std::{
    env,
    io::{self, BufRead as _},
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use kernels::RuntimeProfile;
use measure::Samples;
use models::Placement;
use player::Player;
use runtime::{Engine, divergence, profile};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    commands::bench, failure::Failure, interrupt::Interrupt, model_file, terminal::Terminal,
};

/// Text that no profile was chosen on.
const TEXT: &str = include_str!("../../../../../data/perplexity.txt");
/// Tokens that a window of the divergence holds.
const WINDOW: usize = 512;
/// Tokens of the divergence where it repeats what was seen, or may still be seen.
const FEW: usize = 64;
/// Tokens of a turn.
const PREFILL: usize = 64;
const DECODE: usize = 8;
/// Rounds of a prefill and a decode of each, and the same with the arms the other way around.
const ROUNDS: usize = 8;

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

/// What a turn is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Prefill,
    Decode,
}

/// Seconds of one arm's turns, in order.
#[derive(Clone, Debug, Default, Serialize)]
struct Times {
    prefill_seconds: Vec<f64>,
    decode_seconds: Vec<f64>,
}

impl Times {
    fn of(&mut self, kind: Kind) -> &mut Vec<f64> {
        match kind {
            Kind::Prefill => &mut self.prefill_seconds,
            Kind::Decode => &mut self.decode_seconds,
        }
    }

    /// How many times as long as `other` this takes.
    fn over(&self, other: &Self) -> f64 {
        let prefill = middle_ratio(&self.prefill_seconds, &other.prefill_seconds);
        let decode = middle_ratio(&self.decode_seconds, &other.decode_seconds);
        (prefill * decode).sqrt()
    }
}

/// The median of the pairs' ratios.
fn middle_ratio(times: &[f64], others: &[f64]) -> f64 {
    let pairs = times.iter().zip(others);
    let samples = Samples::new(pairs.map(|(time, other)| time / other).collect());
    samples.map_or(1.0, |samples| samples.median())
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
    let mut first = start(arguments, &champion)?;
    let mut second = start(arguments, &candidate)?;
    for player in [&mut first, &mut second] {
        player.turn(Kind::Prefill)?;
        player.turn(Kind::Decode)?;
    }
    let (mut of_champion, mut of_candidate) = (Times::default(), Times::default());
    // Who begins changes with the seed: what the order does to a time is then no gain of anybody's.
    let seed = env::var("SPRAG_SEED")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok());
    let champion_first = seed.unwrap_or(0).is_multiple_of(2);
    for round in 0..ROUNDS {
        for (turn, kind) in [Kind::Prefill, Kind::Decode, Kind::Prefill, Kind::Decode]
            .into_iter()
            .enumerate()
        {
            // First, second, second, first, first, second, second, first.
            let straight = (round + turn).is_multiple_of(2) == champion_first;
            for of_the_champion in [straight, !straight] {
                let (player, times) = if of_the_champion {
                    (&mut first, &mut of_champion)
                } else {
                    (&mut second, &mut of_candidate)
                };
                times.of(kind).push(player.turn(kind)?);
            }
        }
    }
    Ok(json!({
        "champion": [of_champion.over(&of_candidate)],
        "candidate": [1.0],
        "kl": nats.0,
        "kl_tokens": nats.1,
        "champion_turns": of_champion,
        "candidate_turns": of_candidate,
    }))
}

/// A process with one profile.
fn start(arguments: &Arguments, profile: &Path) -> Result<Player, Failure> {
    let own = env::current_exe().map_err(|source| Failure::Read {
        path: "sprag".into(),
        source,
    })?;
    let mut command = Command::new(own);
    command
        .args([
            "judge",
            "stack-run",
            "--model",
            &arguments.model,
            "--profile",
        ])
        .arg(profile);
    Player::start(command, profile)
}

/// One process: the model with its profile; a turn for each line that it reads, which says of what kind, and is answered by its seconds.
pub fn run(arguments: &RunArguments, terminal: &Terminal) -> Result<(), Failure> {
    // One that is stopped does not see that its judge is gone.
    #[cfg(target_os = "linux")]
    let _refused =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let text = super::text(&arguments.profile)?;
    let profile = profile::read(&text).map_err(|error| Failure::Content {
        path: arguments.profile.clone(),
        why: error.to_string(),
    })?;
    let interrupt = Interrupt::untouched();
    let path = model_file::locate(&arguments.model, false, terminal, &interrupt)?;
    let gguf = model_file::open(&path)?;
    let engine = Engine::placed(gguf, profile, &Placement::Memory, &mut |_, _| {})?;
    let mut turns = bench::Turns::new(&engine, PREFILL, DECODE)?;
    let delay = planted_microseconds(&text);
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|source| Failure::Read {
            path: "-".into(),
            source,
        })?;
        let seconds = match serde_json::from_str(&line)? {
            Kind::Prefill => turns.prefill()?,
            Kind::Decode => turns.decode(&|| planted_delay(delay))?,
        };
        crate::terminal::say(&format!("{seconds}\n"))?;
    }
    Ok(())
}

/// Nats a token between the default profile and the candidate's, and on how many tokens.
fn divergence_of(
    arguments: &Arguments,
    profile: &RuntimeProfile,
    terminal: &Terminal,
) -> Result<(f64, usize), Failure> {
    let which = env::var("SPRAG_MEASUREMENT").unwrap_or_default();
    let tokens = match which.split('/').collect::<Vec<_>>()[..] {
        ["race", _, "0"] => 8 * WINDOW,
        _ => FEW,
    };
    let interrupt = Interrupt::untouched();
    let path = model_file::locate(&arguments.model, false, terminal, &interrupt)?;
    let gguf = model_file::open(&path)?;
    let load = |profile: RuntimeProfile| {
        Engine::placed(gguf.clone(), profile, &Placement::Memory, &mut |_, _| {})
    };
    let (reference, other) = (load(RuntimeProfile::default())?, load(profile.clone())?);
    let ids = reference.tokenizer().encode(TEXT, text::Specials::Plain);
    let ids = &ids[..tokens.min(ids.len())];
    let found = divergence(&reference, &other, ids, WINDOW.min(tokens))?;
    Ok((found.mean, found.tokens))
}

/// The delay that a profile's `note` stands for in builds that measure the ratchet itself; in every other build a note means nothing.
fn planted_microseconds(profile: &str) -> u64 {
    if !cfg!(feature = "planted-delay") {
        return 0;
    }
    let note = profile
        .lines()
        .find_map(|line| line.strip_prefix("note = "));
    note.and_then(|note| note.trim().parse().ok()).unwrap_or(0)
}

fn planted_delay(microseconds: u64) {
    if microseconds > 0 {
        let clock = measure::Stopwatch::start();
        while clock.elapsed_ns() < microseconds as f64 * 1e3 {
            std::hint::spin_loop();
        }
    }
}
