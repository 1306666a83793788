//! Two servers that did the same plan in turns: whether they did the same work, and how their speeds stand to each other.
//!
//! 1. The same prompts have to be the same number of tokens to both ([`Counts`]), or tokenizer or template differ, and tokens per second
//!    are of different tokens.
//! 2. At temperature 0 the answers to the same prompts have to begin alike ([`Answers`]), or it is not the same model. Other
//!    quantisations and other kernels part after some words, which is told and is no reason to refuse.
//! 3. Each figure's ratio is that of the two medians over steps that both did, with an interval over those pairs (`measure::paired`).
//!
//! A comparison that fails 1 or 2 has a [`Refusal`] and no ratios; what each server did by itself is reported all the same.

mod agreement;
mod ratios;

use std::fmt;

use measure::Interval;
use serde::{Deserialize, Serialize};

use crate::{Report, plan::Side, text::Scale};

/// Share by which token counts of the same prompts may differ: a token at the beginning, a line feed in the template.
pub const LITTLE: f64 = 0.02;
/// Words that two answers of one model begin with, at least once in [`MANY`]: SmolLM2-135M in Q4_0 and in Q8_0 does so once in three,
/// and larger models much more often.
pub const BEGINNING: usize = 3;
/// Pairs of answers from which on that can be expected; of fewer, one has to begin with the same word.
pub const MANY: usize = 8;

/// A second server, and how the first stands to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The second server's own figures.
    pub report: Report,
    /// Whether both did the same work.
    pub agreement: Agreement,
    /// Why there are no ratios.
    pub refusal: Option<Refusal>,
    /// How many times as fast the first is.
    pub ratios: Vec<Ratio>,
    /// The comparison in a sentence or two.
    pub verdict: String,
}

/// What the same prompts were to both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Tokens of the same prompts.
    pub prompts: Vec<Counts>,
    /// Answers to the same new prompts at temperature 0.
    pub answers: Vec<Answers>,
    /// What follows from them, in a sentence.
    pub finding: String,
}

/// Tokens of one prompt as each server counts them; `None` where it does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The depth of a new prompt; `None` of one that only served to count.
    pub depth: Option<usize>,
    /// By the first.
    pub first: Option<u64>,
    /// By the second.
    pub second: Option<u64>,
}

/// Two answers to one prompt, thoughts included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// The prompt's depth.
    pub depth: usize,
    /// Words of the longer answer.
    pub words: usize,
    /// Words that both begin with.
    pub agreed_words: usize,
    /// Characters of the longer answer.
    pub characters: usize,
    /// Characters that both begin with.
    pub agreed_characters: usize,
    /// The first's count of its answer's tokens.
    pub first_tokens: Option<u64>,
    /// The second's.
    pub second_tokens: Option<u64>,
    /// How the first goes on where they part.
    pub first_goes_on: String,
    /// How the second does.
    pub second_goes_on: String,
}

/// Why two servers are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Refusal {
    /// Not the same tokenizer or template.
    PromptTokens {
        /// Of all prompts that both counted, by the first.
        first: u64,
        /// By the second.
        second: u64,
    },
    /// Not the same model.
    Answers {
        /// Prompts that both answered.
        prompts: usize,
        /// Words that no two answers begin with alike.
        words: usize,
    },
    /// No prompt that both answered.
    NoAnswers,
}

/// A figure that both servers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Tokens/s of a new prompt.
    Prefill,
    /// Tokens/s of an answer.
    Decode,
    /// Milliseconds to the first text of a new prompt.
    NewFirstText,
    /// ... of a new end behind a seen prefix.
    SeenPrefixFirstText,
    /// ... of the same prompt again.
    AgainFirstText,
    /// ... of the next turn, each after its own answer.
    NextTurnFirstText,
    /// Tokens/s of all clients of a turn.
    ClientsTokens,
    /// Milliseconds to the first text, median of a turn of several clients.
    ClientsFirstText,
}

impl What {
    /// Whether more is better.
    #[must_use]
    pub const fn is_rate(self) -> bool {
        matches!(self, Self::Prefill | Self::Decode | Self::ClientsTokens)
    }

    /// For reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prompt",
            Self::Decode => "answer",
            Self::NewFirstText => "first text, new prompt",
            Self::SeenPrefixFirstText => "first text, seen prefix",
            Self::AgainFirstText => "first text, the same again",
            Self::NextTurnFirstText => "first text, the next turn",
            Self::ClientsTokens => "tokens of all",
            Self::ClientsFirstText => "first text",
        }
    }

    /// `tokens/s` or `ms`.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        if self.is_rate() { "tokens/s" } else { "ms" }
    }
}

/// How a figure of the first server stands to that of the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The figure.
    pub what: What,
    /// At this depth.
    pub depth: usize,
    /// With this many clients at once.
    pub clients: Option<usize>,
    /// The first's median over the pairs.
    pub first: Option<f64>,
    /// The second's.
    pub second: Option<f64>,
    /// How many times as fast the first is.
    pub speed: Speed,
}

/// How many times as fast the first server is: a rate's ratio, or the inverse of a time's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Speed {
    /// From steps that both did.
    Known {
        /// Of the medians.
        ratio: f64,
        /// 95% interval by drawing from the pairs; `None` below 5.
        interval: Option<Interval>,
        /// Steps.
        pairs: usize,
    },
    /// There is none.
    Unknown {
        /// Why.
        why: Missing,
    },
}

/// Why there is no ratio of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// No step in which both have it.
    NoPair,
    /// A time of zero.
    Clock,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPair => "no step in which both have it",
            Self::Clock => "too short for the clock",
        })
    }
}

impl Speed {
    /// Whether the interval shows a difference at all.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        matches!(self, Self::Known { interval: Some(i), .. } if !i.holds(1.0))
    }
}

impl Answers {
    /// Whether they are the same to the last character.
    #[must_use]
    pub fn are_same(&self) -> bool {
        self.agreed_characters == self.characters
    }
}

/// What a comparison is made of, before the sides become reports.
pub(crate) struct Material {
    agreement: Agreement,
    refusal: Option<Refusal>,
    ratios: Vec<Ratio>,
}

impl Material {
    pub fn of(first: &Side<'_>, second: &Side<'_>, scale: Scale) -> Self {
        let (agreement, refusal) = agreement::of(first, second);
        let ratios = match refusal {
            None => ratios::of(first, second, scale),
            Some(_) => Vec::new(),
        };
        Self {
            agreement,
            refusal,
            ratios,
        }
    }

    /// The first report with the second in it.
    pub fn compared(self, mut first: Report, second: Report) -> Report {
        if self.refusal.is_none() && first.counted_by_server != second.counted_by_server {
            first.warnings.push(
                "one server counts its tokens and the other does not: tokens/s of the two are counted differently, times are not".to_owned(),
            );
        }
        let verdict = match self.refusal {
            Some(_) => self.agreement.finding.clone(),
            None => ratios::verdict(&self.ratios),
        };
        first.against = Some(Box::new(Against {
            report: second,
            agreement: self.agreement,
            refusal: self.refusal,
            ratios: self.ratios,
            verdict,
        }));
        first
    }
}

#[cfg(test)]
mod tests;
