//! A run's log: a JSON object a line, for a step or an evaluation. Whoever has it has the run's folder to itself.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use train::trainer::{Evaluation, Progress, Step};

use crate::failure::Failure;

/// What happened; fields that a line does not have are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Steps made.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Time of all steps.
    pub elapsed_s: f64,
    /// Mean loss of a step's tokens, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Before clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// Learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Of the held-out text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_byte: Option<f64>,
}

impl Line {
    fn at(progress: &Progress) -> Self {
        Self {
            step: progress.steps,
            tokens: progress.tokens,
            elapsed_s: progress.elapsed.as_secs_f64(),
            loss: None,
            gradient_norm: None,
            rate: None,
            bits_per_byte: None,
        }
    }

    /// A step that was made.
    pub fn of_step(progress: &Progress, step: &Step) -> Self {
        Self {
            loss: Some(step.loss),
            gradient_norm: Some(step.gradient_norm),
            rate: Some(step.rate),
            ..Self::at(progress)
        }
    }

    /// An evaluation after a step.
    pub fn of_evaluation(progress: &Progress, evaluation: &Evaluation) -> Self {
        Self {
            bits_per_byte: Some(evaluation.bits_per_byte),
            ..Self::at(progress)
        }
    }
}

/// Keeps a second run out of a folder, until it is dropped or its process is gone.
pub struct Lock {
    _file: File,
}

/// Takes the folder.
pub fn lock(folder: &Path) -> Result<Lock, Failure> {
    let path = folder.join(".lock");
    let refused = |source| Failure::Write {
        path: path.clone(),
        source,
    };
    let file = File::create(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(Failure::Usage(format!(
            "another sprag train is at work in {}; --out names another folder",
            folder.display()
        ))),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

/// The log, and all that is in it.
pub struct Journal {
    path: PathBuf,
    file: File,
    _lock: Lock,
    lines: Vec<Line>,
}

impl Journal {
    /// An empty one.
    pub fn begin(path: &Path, lock: Lock) -> Result<Self, Failure> {
        Self::of(path, Vec::new(), lock)
    }

    /// What is there up to a step: later lines are of steps that are made again.
    pub fn go_on(path: &Path, step: u64, lock: Lock) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(Failure::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        // The last line may have been cut off; a line that is no longer JSON says nothing.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Line>(line).ok());
        Self::of(path, lines.filter(|line| line.step <= step).collect(), lock)
    }

    fn of(path: &Path, lines: Vec<Line>, lock: Lock) -> Result<Self, Failure> {
        let mut text = Vec::new();
        for line in &lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        crate::report::file(path, &text)?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|source| Failure::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            _lock: lock,
            lines,
        })
    }

    /// Writes a line.
    pub fn add(&mut self, line: Line) -> Result<(), Failure> {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file
            .write_all(&text)
            .map_err(|source| Failure::Write {
                path: self.path.clone(),
                source,
            })?;
        self.lines.push(line);
        Ok(())
    }

    /// Everything so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}
