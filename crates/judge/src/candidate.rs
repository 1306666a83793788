//! A candidate's program in its cell: started, asked, watched, and gone when it is dropped.
//!
//! It sees its own artefact's folder (read-only), the system's programs, an empty home and temporary folder, and the two pipes of
//! the protocol. Of the judge's variables, files and arguments it gets nothing; what it prints to standard error is quoted when it
//! fails, and nothing else.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbox::{Capture, End, Job, Limits, Mount, Network, Running, Sandbox, SandboxError, Stdin};
use serde::Deserialize;
use thiserror::Error;

use crate::error::{JudgeError, Stop};

mod channel;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use channel::{Channel, Cut, Question, Reply};
pub(crate) use tree::{Mapped, Tree};

/// How long a process that closed its pipes may take to end, before it is said to live on without them.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a new process is listened to before its first question: who prints a greeting should hear that, and not that the greeting
/// is a wrong answer.
const GREETING: Duration = Duration::from_millis(60);

/// No limit of time is larger.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// What of its standard error is quoted.
const QUOTED_CHARACTERS: usize = 200;

/// How candidates are run: the track's words.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The program and its arguments, in the artefact's folder: `["./model"]`, `["python3", "serve.py"]`.
    pub command: Vec<String>,
    /// Until its first answer, over and above the time of an answer: a model has to be loaded.
    pub start_limit: Duration,
    /// Of each answer, from the first byte of the question to the last of the answer.
    pub answer_limit: Duration,
    /// Of the whole life of one process.
    pub life_limit: Duration,
    /// Of all its processes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// In its temporary folder.
    pub written_bytes: u64,
    /// Where it may run; everywhere when `None`.
    pub processors: Option<Vec<usize>>,
    /// Whether it may use the graphics cards.
    pub gpu: bool,
    /// Folders outside its own that it may read.
    pub reads: Vec<PathBuf>,
    /// Variables with their values.
    pub environment: BTreeMap<String, String>,
}

/// The variable with the track's `[sandbox]`, as far as it is about a candidate's process.
const SANDBOX: &str = "SPRAG_SANDBOX";

/// What it holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    memory_bytes: u64,
    processes: u64,
    written_bytes: u64,
    gpu: bool,
    reads: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
}

impl Cell {
    /// `command` with 10 s to start, 10 s for an answer, 10 min for all, 2 GiB, 64 processes and 64 MiB on the disk.
    pub fn of(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            start_limit: Duration::from_secs(10),
            answer_limit: Duration::from_secs(10),
            life_limit: Duration::from_secs(600),
            memory_bytes: 2 << 30,
            processes: 64,
            written_bytes: 64 << 20,
            processors: None,
            gpu: false,
            reads: Vec::new(),
            environment: BTreeMap::new(),
        }
    }

    /// Within what the engine says that the track allows; as it is, where nobody says anything.
    ///
    /// # Errors
    /// When the engine's word is not what it should be.
    pub fn within_track(
        self,
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, JudgeError> {
        let Some(text) = variable(SANDBOX) else {
            return Ok(self);
        };
        let rules: Rules =
            serde_json::from_str(&text.to_string_lossy()).map_err(|error| JudgeError::Told {
                name: SANDBOX,
                expected: "the track's [sandbox] in JSON",
                came: error.to_string(),
            })?;
        Ok(Self {
            memory_bytes: rules.memory_bytes,
            processes: rules.processes,
            written_bytes: rules.written_bytes,
            gpu: rules.gpu,
            reads: rules.reads,
            environment: rules.environment,
            ..self
        })
    }

    pub(crate) fn check(&self) -> Result<(), JudgeError> {
        let wrong = |name, expected: &str, came: String| {
            Err(JudgeError::Option {
                name,
                expected: expected.to_owned(),
                came,
            })
        };
        if self.command.is_empty() {
            return wrong(
                "the command",
                "a program and its arguments",
                "nothing".to_owned(),
            );
        }
        for (name, limit) in [
            ("the time to start", self.start_limit),
            ("the time of an answer", self.answer_limit),
            ("the time of a life", self.life_limit),
        ] {
            // A start may need no time of its own.
            let is_too_short = limit.is_zero() && name != "the time to start";
            if limit > LONGEST || is_too_short {
                return wrong(name, "above 0 s, and a week at most", format!("{limit:?}"));
            }
        }
        if self.memory_bytes == 0 || self.processes == 0 {
            let came = format!("{} bytes, {} processes", self.memory_bytes, self.processes);
            return wrong("memory and processes", "above 0", came);
        }
        Ok(())
    }

    fn job(&self, artefact: &Path) -> Job {
        let limits = Limits {
            grace: Duration::from_millis(200),
            memory_bytes: Some(self.memory_bytes),
            processes: Some(self.processes),
            written_bytes: Some(self.written_bytes),
            output_bytes: 4 << 20,
            ..Limits::wall(self.life_limit)
        };
        let mut job = Job::new(&self.command, artefact, limits);
        job.writable.clear();
        job.read_only.push(Mount::at(artefact));
        job.read_only.extend(self.reads.iter().map(Mount::at));
        if let Some(program) = self.command.first() {
            let tools = sandbox::toolchain(OsStr::new(program));
            // A toolchain in a folder around the artefact (an environment made in the repository) would show what is beside it.
            let apart = |mount: &Mount| !artefact.starts_with(&mount.host);
            job.read_only.extend(tools.mounts.into_iter().filter(apart));
            job.environment = tools.environment;
        }
        job.environment.extend(self.environment.clone());
        job.network = Network::None;
        job.processors.clone_from(&self.processors);
        job.gpu = self.gpu;
        job.stdin = Stdin::Piped;
        job.stdout = Capture::Piped;
        job.stderr = Capture::Tail(4 << 10);
        job
    }
}

/// How a process failed to answer; each continues "the candidate ..".
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Fault {
    /// Its program can't be run.
    #[error("cannot be started: {why}")]
    Program {
        /// What the system said.
        why: String,
    },
    /// Bytes beyond its answer, or before a question: a print to standard output is one.
    #[error("wrote to its standard output before it was asked, or more than it was asked for")]
    Unasked,
    /// An answer to a question that it hadn't heard.
    #[error(
        "answered after {sent} of the {of} bytes of a question: what it said can't be about all of them"
    )]
    Early {
        /// What had been sent.
        sent: usize,
        /// Of so many.
        of: usize,
    },
    /// Too late, or too short.
    #[error("had sent {got} of the {wanted} bytes of an answer when its {seconds:.1} s were over")]
    Late {
        /// What came.
        got: usize,
        /// What was asked for.
        wanted: usize,
        /// Its time.
        seconds: f64,
    },
    /// Its end, or its output's.
    #[error("{how} with {got} of the {wanted} bytes of an answer sent{last}")]
    Ended {
        /// In words.
        how: String,
        /// What came.
        got: usize,
        /// What was asked for.
        wanted: usize,
        /// The last line of its standard error, quoted; or nothing.
        last: String,
    },
}

/// A running candidate.
#[derive(Debug)]
pub(crate) struct Candidate {
    // Before the cell: when its input ends, a program that waits for more knows that it is over.
    channel: Channel,
    // Nothing after a fault: a process that broke a rule is asked why it ended, and not asked again.
    running: Option<Running>,
    pub(crate) tree: Option<Tree>,
    start_limit: Duration,
    answer_limit: Duration,
    answered: bool,
}

impl Candidate {
    pub(crate) fn start(sandbox: &Sandbox, cell: &Cell, artefact: &Path) -> Result<Self, Stop> {
        let before = tree::children();
        let mut running = sandbox.start(&cell.job(artefact)).map_err(of_sandbox)?;
        let lost = || SandboxError::Lost {
            how: "gave no pipes".to_owned(),
        };
        let to = running.stdin().ok_or_else(lost).map_err(JudgeError::from)?;
        let from = running
            .stdout()
            .ok_or_else(lost)
            .map_err(JudgeError::from)?;
        let channel = Channel::of_pipes(to, from).map_err(|source| JudgeError::System {
            action: "set a pipe up",
            source,
        })?;
        Ok(Self {
            channel,
            running: Some(running),
            tree: Tree::new_since(&before),
            start_limit: cell.start_limit,
            answer_limit: cell.answer_limit,
            answered: false,
        })
    }

    /// Asks, and takes an answer of so many bytes.
    pub(crate) fn ask(
        &mut self,
        bytes: &[u8],
        wanted: usize,
        hold: Option<Duration>,
    ) -> Result<Reply, Stop> {
        let mut limit = self.answer_limit;
        if !self.answered {
            limit += self.start_limit;
        }
        let question = Question {
            bytes,
            wanted_bytes: wanted,
            limit,
            hold,
        };
        let is_quiet = if self.answered {
            Ok(())
        } else {
            self.channel.is_quiet(GREETING)
        };
        match is_quiet.and_then(|()| self.channel.ask(&question)) {
            Ok(reply) => {
                self.answered = true;
                Ok(reply)
            }
            Err(cut) => Err(self.fault(cut, &question)),
        }
    }

    /// Nothing more may come: looked at for a moment, since a candidate's last words need time.
    pub(crate) fn dismiss(mut self) -> Result<(), Stop> {
        let question = Question {
            bytes: &[],
            wanted_bytes: 0,
            limit: Duration::ZERO,
            hold: None,
        };
        match self.channel.is_quiet(Duration::from_millis(20)) {
            Ok(()) => Ok(()),
            Err(cut) => Err(self.fault(cut, &question)),
        }
    }

    fn fault(&mut self, cut: Cut, question: &Question<'_>) -> Stop {
        let wanted = question.wanted_bytes;
        match cut {
            Cut::Unasked => Fault::Unasked.into(),
            Cut::Early { sent } => Fault::Early {
                sent,
                of: question.bytes.len(),
            }
            .into(),
            Cut::Late { got } => Fault::Late {
                got,
                wanted,
                seconds: question.limit.as_secs_f64(),
            }
            .into(),
            Cut::Closed { got } => self.ended(got, wanted),
            Cut::System(source) => JudgeError::System {
                action: "talk with the candidate",
                source,
            }
            .into(),
        }
    }

    /// Its pipe is closed: by its end, or by itself.
    fn ended(&mut self, got: usize, wanted: usize) -> Stop {
        let over = |how: String, last| {
            Fault::Ended {
                how,
                got,
                wanted,
                last,
            }
            .into()
        };
        let Some(running) = self.running.take() else {
            return over("had ended".to_owned(), String::new());
        };
        let until = Instant::now() + FAREWELL;
        while !running.is_over() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !running.is_over() {
            running.stop();
        }
        match running.end() {
            Ok(outcome) => {
                let how = match outcome.end {
                    End::Stopped => "closed a pipe and went on".to_owned(),
                    end => end.to_string(),
                };
                over(how, quoted(&outcome.stderr.bytes))
            }
            Err(error) => of_sandbox(error),
        }
    }
}

/// A program that isn't there is the candidate's fault; all else is the machine's or the track's.
fn of_sandbox(error: SandboxError) -> Stop {
    match error {
        SandboxError::Program { program, reason } => {
            let why = format!("{program:?}: {reason}");
            Fault::Program { why }.into()
        }
        other => JudgeError::from(other).into(),
    }
}

/// The last line of a stranger's words, made harmless and short.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(String::new, |line| {
        let short: String = line.trim().chars().take(QUOTED_CHARACTERS).collect();
        format!("; its last words: {short:?}")
    })
}
