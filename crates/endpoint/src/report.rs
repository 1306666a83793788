//! The report as data: schema `sprag.endpoint/1`.
//!
//! Times are milliseconds and rates tokens per second, as the names say. What was not measured is `null`. Fields are added and never
//! taken away: documents of earlier versions can be read, and lack the later fields.

use measure::{Interval, Samples};
use serde::{Deserialize, Serialize};

pub use crate::comparison::{Against, Agreement, Answers, Counts, Ratio, Refusal, Speed, What};
use crate::exchange::Cause;

/// The schema's name and version.
pub const SCHEMA: &str = "sprag.endpoint/1";

/// A median with the samples behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Median.
    pub median: f64,
    /// 95% interval of the median by the sign test; `None` below 6 samples.
    pub interval: Option<Interval>,
    /// In the order of measurement.
    pub samples: Vec<f64>,
}

impl Figure {
    /// Of samples in order; `None` of none.
    pub(crate) fn of(samples: Vec<f64>) -> Option<Self> {
        // A clock's milliseconds are finite, so the only error is that there are none.
        let samples = Samples::new(samples).ok()?;
        Some(Self {
            median: samples.median(),
            interval: samples.median_interval(0.95).ok(),
            samples: samples.into(),
        })
    }
}

/// What a prompt was to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// It began as no prompt before.
    New,
    /// Its first `depth` tokens were seen, the rest was not.
    SeenPrefix,
    /// All of it was seen.
    Again,
    /// The conversation of a new one, its answer, and a short message more.
    NextTurn,
}

impl Prompt {
    /// For reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "a new prompt",
            Self::SeenPrefix => "a seen prefix",
            Self::Again => "the same again",
            Self::NextTurn => "the next turn",
        }
    }
}

/// Requests of one kind at one depth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The kind.
    pub prompt: Prompt,
    /// Requests, those that failed included.
    pub requests: usize,
    /// Requests that brought no whole answer.
    pub failed: usize,
    /// Tokens of the prompt, median; estimated from its characters where the server does not count.
    pub prompt_tokens: f64,
    /// Of these, tokens that the server had not seen, as planned.
    pub new_tokens: f64,
    /// Tokens that it had seen: as the server counted the prompts before, else as planned. Median.
    #[serde(default)]
    pub seen_tokens: Option<f64>,
    /// To the first event, whatever it held.
    pub first_event_ms: Option<Figure>,
    /// To the first text, shown or thought.
    pub first_text_ms: Option<Figure>,
    /// To the first text that a reader sees.
    pub first_visible_ms: Option<Figure>,
    /// From the first thought to the first text that a reader sees, of the answers with thoughts that are set apart.
    #[serde(default)]
    pub thinking_ms: Option<Figure>,
    /// Answers that ended within their thoughts.
    #[serde(default)]
    pub thought_only: usize,
    /// Tokens that the server says it did not compute again.
    pub cached_tokens: Option<Figure>,
    /// Seen tokens that were computed again, from what the server says.
    #[serde(default)]
    pub read_again_tokens: Option<Figure>,
    /// The same from the time to the first text, at a new prompt's time for each token: an estimate.
    #[serde(default)]
    pub read_again_by_time: Option<Figure>,
    /// Its time to the first text over a new prompt's, each less the least of a prompt of a few words.
    pub share_of_new: Option<f64>,
}

impl Phase {
    /// Seen tokens that were computed again: as the server says, else as its time suggests.
    #[must_use]
    pub fn read_again(&self) -> Option<&Figure> {
        self.read_again_tokens
            .as_ref()
            .or(self.read_again_by_time.as_ref())
    }
}

/// One depth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Depth {
    /// Tokens before the prompt's last `prefill`, as planned.
    pub depth: usize,
    /// Kinds of prompts.
    pub phases: Vec<Phase>,
    /// Tokens of a new prompt over the time to its first text, each less that of a prompt of a few words.
    pub prefill_tokens_per_s: Option<Figure>,
    /// Tokens after the first over their time.
    pub decode_tokens_per_s: Option<Figure>,
    /// Longest wait between two pieces of an answer's text.
    pub longest_gap_ms: Option<Figure>,
    /// Tokens of an answer, median.
    pub answer_tokens: Option<f64>,
}

/// Several clients at once, each with new prompts of the first depth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clients {
    /// How many.
    pub clients: usize,
    /// Requests of all.
    pub requests: usize,
    /// Requests that brought no whole answer.
    pub failed: usize,
    /// Tokens of all answers over the time from the first request to the last answer; of all turns, where two servers took turns.
    pub tokens_per_s: f64,
    /// The same of each turn.
    #[serde(default)]
    pub turns_tokens_per_s: Option<Figure>,
    /// To the first text.
    pub first_text_ms: Option<Figure>,
    /// Between tokens, mean of a request.
    pub token_ms: Option<Figure>,
    /// Share of all requests that kept both limits.
    pub goodput: f64,
}

/// A request that brought no whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// Where in the measurement, in words.
    pub during: String,
    /// Why.
    pub cause: Cause,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of Sprag.
    pub sprag: String,
    /// When it was finished, RFC 3339 in UTC.
    pub date: String,
    /// Seconds that it took.
    pub elapsed_s: f64,
    /// The server's address.
    pub address: String,
    /// The model's name there.
    pub model: String,
    /// Tokens of a prompt behind its depth, as planned.
    pub prefill: usize,
    /// Tokens of an answer, at most.
    pub answer: usize,
    /// Turns over all depths.
    pub rounds: usize,
    /// Limits of goodput: to the first text.
    pub limit_first_ms: f64,
    /// Limits of goodput: between tokens.
    pub limit_token_ms: f64,
    /// Whether tokens are the server's count, and not events.
    pub counted_by_server: bool,
    /// Whether characters per token come from the server's count of two prompts.
    pub is_scale_measured: bool,
    /// Characters of the text that make a token.
    pub characters_per_token: f64,
    /// The very first request, which may have loaded the model.
    pub first_request_ms: f64,
    /// To the first text of a prompt of a few words.
    pub floor_ms: Option<Figure>,
    /// By depth.
    pub depths: Vec<Depth>,
    /// By number of clients.
    pub clients: Vec<Clients>,
    /// Requests in all.
    pub requests: usize,
    /// Those that failed.
    pub failures: Vec<Failed>,
    /// Why not everything was measured.
    pub stopped: Option<String>,
    /// What limits the trust in the figures.
    pub warnings: Vec<String>,
    /// The result in a sentence or two.
    pub verdict: String,
    /// What a second server did in turns with this one.
    #[serde(default)]
    pub against: Option<Box<Against>>,
}
