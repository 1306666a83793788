//! The judge of the `stack` track: two runtime profiles on one model, measured in turns, and how far apart their outputs are.
//!
//! 1. A fresh process for the champion's profile and one for the candidate's; each loads the model and warms up.
//! 2. They measure in turns, champion, candidate, candidate, champion, four times: a prefill and a decode at each turn, while the other
//!    process sleeps. Turns are short, so that a machine that slows down slows both.
//! 3. A turn counts with sqrt(seconds of the prefill x seconds of the decode): a per cent of either is worth the same.
//! 4. The divergence of the next tokens from the default profile's, on held-out text: over 4096 tokens before the first block of a race,
//!    over 64 elsewhere.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use clap::Args;
use kernels::RuntimeProfile;
use models::Placement;
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
/// What is measured at each turn.
const PREFILL: usize = 64;
const DECODE: usize = 16;
/// Rounds of champion, candidate, candidate, champion.
const ROUNDS: usize = 4;

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

/// What one turn measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Turn {
    prefill_seconds: f64,
    decode_seconds: f64,
}

impl Turn {
    fn cost(self) -> f64 {
        (self.prefill_seconds * self.decode_seconds).sqrt()
    }
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
    let mut first = Player::start(arguments, &champion)?;
    let mut second = Player::start(arguments, &candidate)?;
    for player in [&mut first, &mut second] {
        player.turn()?;
    }
    let (mut of_champion, mut of_candidate) = (Vec::new(), Vec::new());
    // Who is in the middle changes with the seed: what the order does to a time is then no gain of anybody's.
    let seed = env::var("SPRAG_SEED")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok());
    let champion_first = seed.unwrap_or(0).is_multiple_of(2);
    for _ in 0..ROUNDS {
        for of_the_champion in [
            champion_first,
            !champion_first,
            !champion_first,
            champion_first,
        ] {
            if of_the_champion {
                of_champion.push(first.turn()?);
            } else {
                of_candidate.push(second.turn()?);
            }
        }
    }
    let costs = |turns: &[Turn]| turns.iter().map(|turn| turn.cost()).collect::<Vec<f64>>();
    Ok(json!({
        "champion": costs(&of_champion),
        "candidate": costs(&of_candidate),
        "kl": nats.0,
        "kl_tokens": nats.1,
        "champion_turns": of_champion,
        "candidate_turns": of_candidate,
    }))
}

/// A process with one profile, which measures when it is told to.
struct Player {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    path: PathBuf,
}

impl Player {
    fn start(arguments: &Arguments, path: &Path) -> Result<Self, Failure> {
        let own = env::current_exe().map_err(|source| Failure::Read {
            path: "sprag".into(),
            source,
        })?;
        let failed = |source| Failure::Read {
            path: path.to_owned(),
            source,
        };
        let mut child = Command::new(own)
            .args([
                "judge",
                "stack-run",
                "--model",
                &arguments.model,
                "--profile",
            ])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let answers = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            child,
            answers: BufReader::new(answers),
            path: path.to_owned(),
        })
    }

    fn turn(&mut self) -> Result<Turn, Failure> {
        let failed = |source| Failure::Read {
            path: self.path.clone(),
            source,
        };
        if let Some(to) = &mut self.child.stdin {
            to.write_all(b"go\n")
                .and_then(|()| to.flush())
                .map_err(failed)?;
        }
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(failed)?;
        if line.is_empty() {
            // What went wrong stands on standard error, which this process shares with it.
            return Err(Failure::Usage(format!(
                "the process with {} ended before its turn",
                self.path.display()
            )));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Without an input it ends by itself; one that hangs does not outlive its judge.
        drop(self.child.stdin.take());
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// One process: the model with its profile; a prefill and a decode for each line that it reads.
pub fn run(arguments: &RunArguments, terminal: &Terminal) -> Result<(), Failure> {
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
        line.map_err(|source| Failure::Read {
            path: "-".into(),
            source,
        })?;
        let (prefill_seconds, decode_seconds) = turns.next(&|| planted_delay(delay))?;
        let turn = Turn {
            prefill_seconds,
            decode_seconds,
        };
        crate::terminal::say(&format!("{}\n", serde_json::to_string(&turn)?))?;
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
