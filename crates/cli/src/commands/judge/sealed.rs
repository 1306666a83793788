//! The judges that talk with a candidate's own process: how well it foretells a text, how fast it computes an operation.
//!
//! The protocols stand in the heads of `judge::language` and `judge::kernel`. A refusal of the candidate is an answer; what is wrong with
//! the track, the champion or the machine is a failure of this program, whose exit code says so to the engine.

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;
use judge::{Answer, Cell, JudgeError, Told, kernel, language};
use sandbox::{Helper, Sandbox};
use serde_json::Value;

use crate::{commands::ratchet::CELL, failure::Failure};

/// How well a program foretells a text, in bits for each raw byte
#[derive(Debug, Args)]
pub struct Language {
    /// A sealed text whose score proposers may see, rounded
    #[arg(long, value_name = "FILE")]
    pub public: PathBuf,
    /// A hidden text, for races
    #[arg(long, value_name = "FILE")]
    pub hidden: PathBuf,
    /// Windows that are scored, at places drawn from the seed
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub windows: usize,
    /// Their lengths in bytes, taken in turns
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "256,1024"
    )]
    pub window_bytes: Vec<usize>,
    /// Bytes that have to be foretold one by one, without the bytes behind them
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub blind_bytes: usize,
    #[command(flatten)]
    pub candidate: Candidate,
}

/// How fast a program computes an operation, against the champion's in turns
#[derive(Debug, Args)]
pub struct Kernel {
    /// Shapes that everybody knows, such as matmul:4x576x192; also rms_norm, attention, gated_delta
    #[arg(long, value_name = "SHAPE,..", value_delimiter = ',', required = true)]
    pub public: Vec<String>,
    /// Shapes that the candidate cannot know
    #[arg(long, value_name = "SHAPE,..", value_delimiter = ',')]
    pub hidden: Vec<String>,
    /// How many times the champion's error the candidate's may be
    #[arg(long, value_name = "X", default_value_t = 2.0)]
    pub precision_ratio: f64,
    /// What the machine can do at most, in GFLOP/s and GB/s: no call may be faster
    #[arg(long, value_names = ["GFLOP_S", "GB_S"], num_args = 2)]
    pub roofline: Option<Vec<f64>>,
    /// Libraries that the candidate may not use, by a part of their file's name
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub forbidden: Vec<String>,
    #[command(flatten)]
    pub candidate: Candidate,
}

/// How the candidate's program is started.
#[derive(Debug, Args)]
pub struct Candidate {
    /// Until its first answer, besides the time of that answer: a model has to be loaded
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub start_time: Duration,
    /// Of each answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub answer_time: Duration,
    /// Of the whole life of one process
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub life_time: Duration,
    /// The program in the artefact's folder, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl Candidate {
    /// Its cell, with the limits of the track where an engine tells them.
    fn cell(&self) -> Result<Cell, Failure> {
        Cell {
            start_limit: self.start_time,
            answer_limit: self.answer_time,
            life_limit: self.life_time,
            ..Cell::of(self.command.clone())
        }
        .within_track(env::var_os)
        .map_err(fault)
    }
}

/// A seal for the candidate's process: the engine's own level may be another one, this program is not sealed itself.
fn seal() -> Result<Sandbox, Failure> {
    Sandbox::detect(Helper::own([CELL]), None).map_err(|error| Failure::Judge(error.to_string()))
}

pub(super) fn told() -> Result<Told, Failure> {
    Told::from(env::var_os).map_err(fault)
}

fn fault(error: JudgeError) -> Failure {
    Failure::Judge(error.to_string())
}

/// Judges a text.
pub fn text(asked: &Language) -> Result<Value, Failure> {
    let options = language::Options {
        windows: asked.windows,
        window_bytes: asked.window_bytes.clone(),
        blind_bytes: asked.blind_bytes,
        ..language::Options::of(&asked.public, &asked.hidden, asked.candidate.cell()?)
    };
    said(language::run(&options, &told()?, &seal()?))
}

/// Judges a program by a text of this program's own: the whole of it in windows, and a stretch by itself.
pub(super) fn program(
    command: &[String],
    text: &[u8],
    sample: Option<&[u8]>,
    window: usize,
) -> Result<Value, Failure> {
    let cell = Cell {
        start_limit: Duration::from_secs(10),
        answer_limit: Duration::from_secs(30),
        life_limit: Duration::from_secs(600),
        ..Cell::of(command.to_vec())
    };
    let cell = cell.within_track(env::var_os).map_err(fault)?;
    let (told, sandbox) = (told()?, seal()?);
    let judged = |text: &[u8]| {
        // Windows side by side, of which three at least are needed.
        let window_bytes = window.min(text.len() / 3).max(8);
        // The judge's folder is its own, and a program is asked by a file.
        let path = env::current_dir().unwrap_or_default().join("validation");
        std::fs::write(&path, text).map_err(|source| Failure::Write {
            path: path.clone(),
            source,
        })?;
        let options = language::Options {
            windows: text.len() / window_bytes,
            window_bytes: vec![window_bytes],
            ..language::Options::of(&path, &path, cell.clone())
        };
        said(language::run(&options, &told, &sandbox))
    };
    let mut all = judged(text)?;
    let Some(sample) = sample.filter(|_| all.get("refused").is_none()) else {
        return Ok(all);
    };
    let of_sample = judged(sample)?;
    if of_sample.get("refused").is_some() {
        return Ok(of_sample);
    }
    if let (Some(fields), Some(value)) = (all.as_object_mut(), of_sample.get("value")) {
        fields.insert("sample".to_owned(), value.clone());
        // The ledger keeps no windows.
        fields.remove("window_values");
    }
    Ok(all)
}

/// Judges an operation.
pub fn operation(asked: &Kernel) -> Result<Value, Failure> {
    let problems = |shapes: &[String]| -> Result<Vec<kernel::Problem>, Failure> {
        shapes
            .iter()
            .map(|shape| shape.parse().map_err(fault))
            .collect()
    };
    let own = env::current_exe().map_err(|source| Failure::Read {
        path: "sprag".into(),
        source,
    })?;
    let echo: Vec<OsString> = vec![own.into(), "judge".into(), "echo".into()];
    let roofline = match asked.roofline.as_deref() {
        Some([gflop_s, gb_s]) => Some(kernel::Roofline {
            gflop_s: *gflop_s,
            gb_s: *gb_s,
        }),
        _ => None,
    };
    let options = kernel::Options {
        hidden: problems(&asked.hidden)?,
        precision_ratio: asked.precision_ratio,
        roofline,
        forbidden: asked.forbidden.clone(),
        echo: Some(echo),
        ..kernel::Options::of(problems(&asked.public)?, asked.candidate.cell()?)
    };
    said(kernel::run(&options, &told()?, &seal()?))
}

/// Sends back what it reads: what the transfer alone takes.
pub fn echo() -> Result<(), Failure> {
    kernel::echo().map_err(fault)
}

fn said(answer: Result<Answer, JudgeError>) -> Result<Value, Failure> {
    Ok(serde_json::to_value(answer.map_err(fault)?)?)
}
