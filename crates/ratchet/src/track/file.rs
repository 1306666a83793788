//! `track.toml` as it is written: every table and field a user may give, before any of it is checked.
//!
//! Unknown fields are refused, so that a misspelt limit is an error and not a missing limit.

use std::{collections::BTreeMap, time::Duration};

use bytesize::ByteSize;
use gate::{Better, Kind, SettingsFile};
use serde::{Deserialize, Deserializer};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Letters, digits, `-` and `_`; part of git references.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub about: String,
    /// The folder that the globs and commands are relative to; by default the one of `track.toml`.
    #[serde(default = "here")]
    pub root: String,
    /// What may change, and what may not.
    pub artefact: Artefact,
    /// Makes something to run of the files, if that is needed.
    pub build: Option<Step>,
    /// Tries what was built for a moment, so that what cannot work costs no run; its exit code counts.
    pub smoke: Option<Smoke>,
    /// Makes what is judged; without it the mutable files themselves are.
    pub run: Option<Run>,
    /// What measures a candidate.
    pub judge: Judge,
    /// Bounds on other figures of the judge.
    #[serde(default)]
    pub constraint: Vec<Constraint>,
    /// Those left out have the values for the judge's kind.
    #[serde(default)]
    pub gate: SettingsFile,
    /// What a candidate may use.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Who changes the artefact.
    #[serde(default)]
    pub proposer: Vec<Proposer>,
}

fn here() -> String {
    ".".to_owned()
}

/// What may change, what may not, and what the candidate never sees.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// Globs of files that a proposer may change, add or delete.
    pub mutable: Vec<String>,
    /// Globs of files that are hashed when the track is sealed; candidates read them.
    #[serde(default)]
    pub sealed: Vec<String>,
    /// Sealed files that are absent while building, so that nothing learned from them ends up in a binary.
    #[serde(default)]
    pub data: Vec<String>,
    /// Sealed files that a build needs and a run does not: compilers, libraries. They need not be tracked by git.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Sealed files that only the judge sees. They need not be tracked by git.
    #[serde(default)]
    pub hidden: Vec<String>,
    /// Literals that choose a random draw; a change of these alone is refused.
    #[serde(default)]
    pub seeds: Vec<Place>,
    /// The specification for proposers.
    pub program: Option<String>,
    /// The most bytes of all mutable files together.
    #[serde(default = "small")]
    pub most_bytes: ByteSize,
    /// The most bytes of them when compressed, by default half of `most_bytes`: source shrinks to less, data that was learned does not.
    pub most_compressed: Option<ByteSize>,
}

impl Artefact {
    /// The most bytes of all mutable files together, compressed.
    #[must_use]
    pub fn most_compressed(&self) -> u64 {
        self.most_compressed
            .map_or(self.most_bytes.0 / 2, |most| most.0)
    }
}

const fn small() -> ByteSize {
    ByteSize::mib(1)
}

/// One literal in one file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Path of a mutable file.
    pub file: String,
    /// The line, with `{}` in place of the literal; leading and trailing blanks do not count.
    pub line: String,
}

/// A command with its limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its arguments, the program first.
    pub command: Vec<String>,
    /// By the engine's clock; then it is ended.
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub time: Duration,
    /// Globs of what the build leaves for the run; by default everything.
    #[serde(default)]
    pub output: Vec<String>,
}

/// A short try.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// Its arguments, the program first.
    pub command: Vec<String>,
    /// By the engine's clock; then it is ended.
    #[serde(default = "minute", deserialize_with = "duration")]
    pub time: Duration,
}

/// The candidate's run, and what it may spend.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its arguments, the program first.
    pub command: Vec<String>,
    /// By the engine's clock; then it is ended.
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub time: Duration,
    /// Globs of the files that are handed to the judge.
    pub output: Vec<String>,
    /// The most bytes of them together.
    #[serde(default = "large")]
    pub most_bytes: ByteSize,
    /// Given on standard input.
    pub stdin: Option<String>,
    /// The most joules that the machine counts while it runs.
    pub joules: Option<f64>,
    /// What it is given by a server of the track's, so much and no more.
    pub budget: Option<Budget>,
    /// Where it says how far it is, so that a hopeless one is ended early.
    pub curve: Option<Curve>,
}

/// A run's own word of its progress: lines of `{"done": 0.25, "value": 2.1}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// The name of the file in the run's folder.
    pub file: String,
    /// No run is ended before so much of its budget is behind.
    #[serde(default = "third")]
    pub from: f64,
    /// A candidate is ended when it is worse than the worst of the champion's last runs by more than this part of that.
    #[serde(default = "tenth")]
    pub worse: f64,
}

const fn third() -> f64 {
    0.3
}

const fn tenth() -> f64 {
    0.1
}

/// Units that a sealed server hands out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// What is counted, such as "tokens".
    pub unit: String,
    /// The most of them in one run.
    pub most: u64,
    /// The server's arguments, its program first (`docs/ratchet.md` has the protocol).
    pub server: Vec<String>,
    /// How long a run may go on when it has got all of them; then it is ended.
    #[serde(default = "minute", deserialize_with = "duration")]
    pub finish: Duration,
    /// How long what it got is good for: a run that neither asks for more nor ends in that time is ended.
    #[serde(default, deserialize_with = "some_duration")]
    pub expires: Option<Duration>,
}

const fn minute() -> Duration {
    Duration::from_secs(60)
}

const fn large() -> ByteSize {
    ByteSize::gib(1)
}

const fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

/// What measures a candidate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// Reads the artefact, writes a result (`docs/ratchet.md`). Not needed where the engine's clock is the whole judge.
    #[serde(default)]
    pub command: Vec<String>,
    /// By the engine's clock; then it is ended.
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub time: Duration,
    /// What is measured, as reports name it.
    pub metric: String,
    /// The metric's unit, if it has one.
    #[serde(default)]
    pub unit: String,
    /// Which direction is an improvement.
    pub better: Better,
    /// What its readings are.
    pub kind: Kind,
    /// Who takes the time of a timing track.
    #[serde(default)]
    pub clock: Clock,
    /// Whether the judge measures a public and a hidden split; else one reading is both.
    #[serde(default)]
    pub splits: bool,
    /// For a judge that prints its result: a regular expression with one group, the last match counts.
    pub line: Option<String>,
    /// An independent judge of the same artefact.
    pub second: Option<Second>,
    /// Files and folders outside the repository that the judge reads, sealed by content.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Runs of the candidate's program in each half of a timing block.
    #[serde(default = "one")]
    pub repeats: u32,
    /// Memory that the judge may use; by default as the candidate's.
    pub memory: Option<ByteSize>,
}

const fn one() -> u32 {
    1
}

/// Whose clock a timing track believes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The engine times the run command from outside.
    #[default]
    Engine,
    /// The judge gets both artefacts and measures them in turns.
    Judge,
}

/// The second judge.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Its arguments, the program first.
    pub command: Vec<String>,
    /// The largest relative difference of the two that is still agreement: 0.01 for 1%.
    pub within: f64,
    /// The figure of the first judge's result that this one repeats, where that is not its metric: of a part of the data, say.
    pub metric: Option<String>,
}

/// A bound on another figure of the judge's result.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// Its name in the judge's result.
    pub metric: String,
    /// Its largest value, itself allowed.
    pub at_most: Option<f64>,
    /// Its smallest value, itself allowed.
    pub at_least: Option<f64>,
}

/// What a candidate may use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Whether it may reach the network; a judge never does.
    pub network: bool,
    /// Of all its processes together.
    pub memory: ByteSize,
    /// Processes and threads at one time.
    pub processes: u64,
    /// What it may write.
    pub disk: ByteSize,
    /// Bytes of each of standard output and standard error.
    pub output: ByteSize,
    /// Numbers of the processors; by default all.
    pub processors: Option<Vec<usize>>,
    /// Measurements at one time, each on processors of its own. Timing tracks measure alone.
    pub workers: usize,
    /// Whether the graphics cards are there.
    pub gpu: bool,
    /// Folders outside the repository that commands read, such as a toolchain's.
    pub reads: Vec<String>,
    /// Environment variables with their values.
    pub environment: BTreeMap<String, String>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            network: false,
            memory: ByteSize::gib(4),
            processes: 256,
            disk: ByteSize::gib(2),
            output: ByteSize::mib(16),
            processors: None,
            workers: 1,
            gpu: false,
            reads: Vec::new(),
            environment: BTreeMap::new(),
        }
    }
}

/// Who changes the artefact.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Proposer {
    /// A sampler over declared knobs.
    Search {
        /// Unique in the track; made up where it is left out.
        #[serde(default)]
        name: Option<String>,
        /// How it samples.
        method: Method,
        /// What it samples.
        knob: Vec<Knob>,
    },
    /// Any program that edits the files.
    Command {
        /// Unique in the track; made up where it is left out.
        #[serde(default)]
        name: Option<String>,
        /// Its arguments, the program first.
        command: Vec<String>,
        /// By the engine's clock; then it is ended.
        #[serde(default = "ten_minutes", deserialize_with = "duration")]
        time: Duration,
        /// Whether it may reach the network, as an agent must.
        #[serde(default)]
        network: bool,
        /// Environment variables that are passed on, such as an agent's key.
        #[serde(default)]
        pass: Vec<String>,
        /// Folders outside the repository that it may read.
        #[serde(default)]
        reads: Vec<String>,
    },
    /// Changes that a person makes in a folder of their own: `sprag ratchet propose`.
    Human {
        /// Unique in the track; made up where it is left out.
        #[serde(default)]
        name: Option<String>,
    },
}

/// How knobs are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Tree-structured Parzen estimator.
    Tpe,
    /// Covariance matrix adaptation; for numbers.
    Cma,
    /// Independent draws.
    Random,
}

/// One literal with the values it may take: `range`, or `values`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knob {
    /// As in [`Place::file`].
    pub file: String,
    /// As in [`Place::line`].
    pub line: String,
    /// Lowest and highest; whole numbers where both are.
    pub range: Option<[toml::Value; 2]>,
    /// Whether the range is sampled by its logarithm.
    #[serde(default)]
    pub log: bool,
    /// Whole numbers are multiples of this above the lowest.
    pub step: Option<i64>,
    /// The values, as they are written.
    pub values: Option<Vec<toml::Value>>,
}

/// As [`duration`], where there may be none.
fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// `5m`, `1h30m`, or a number of seconds.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    const EXPECTED: &str = "expected a time above 0 such as \"5m\", \"90s\" or 90";
    let wrong = |why: String| serde::de::Error::custom(format!("{why}; {EXPECTED}"));
    let time = match toml::Value::deserialize(from)? {
        toml::Value::Integer(seconds) => {
            Duration::try_from_secs_f64(seconds as f64).map_err(|error| wrong(error.to_string()))
        }
        toml::Value::Float(seconds) => {
            Duration::try_from_secs_f64(seconds).map_err(|error| wrong(error.to_string()))
        }
        toml::Value::String(words) => {
            humantime::parse_duration(&words).map_err(|error| wrong(error.to_string()))
        }
        other => Err(wrong(format!("came a {}", other.type_str()))),
    }?;
    if time.is_zero() {
        return Err(wrong("came no time at all".to_owned()));
    }
    Ok(time)
}
