//! Decisions in words, with no more digits than the noise supports.
//!
//! Sigmas get one digit after the point; a number of runs that rests on a noisy estimate gets one digit and "about"; a gain gets
//! the digits that its interval supports.

use std::fmt;

use crate::decision::{Decision, Evidence, Loss, Opening, Proof, Refusal};
use crate::settings::Kind;

impl Decision {
    /// In words, as `Display`, but for the gain of a timing track: in per cent instead of a log-ratio.
    #[must_use]
    pub fn told(&self, kind: Kind) -> String {
        let Self::Gain {
            of_race,
            estimate,
            low,
            high,
            fresh_runs,
        } = self
        else {
            return self.to_string();
        };
        let show = |value| kind.amount(value, high - low);
        format!(
            "gain of race {of_race}: {} (95%: {} to {}), by {fresh_runs} fresh runs",
            show(*estimate),
            show(*low),
            show(*high)
        )
    }
}

impl Kind {
    /// A gain or a noise with the digits that `width` supports: in the metric's units, and in per cent where it is a log-ratio.
    #[must_use]
    pub fn amount(self, value: f64, width: f64) -> String {
        match self {
            Self::Score | Self::Cases => Digits::of(width).show(value),
            Self::Timing => {
                format!(
                    "{}%",
                    Digits::of(100.0 * width).show(100.0 * value.exp_m1())
                )
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept {
                candidate,
                better_by_sigma,
                standing,
            } => write!(
                f,
                "candidate {candidate} kept provisionally: {} on one run; {standing} on the tip, unproven until a race",
                sigmas(*better_by_sigma)
            ),
            Self::Refused { candidate, why } => write!(f, "candidate {candidate} refused: {why}"),
            Self::RaceOpened {
                race,
                members,
                level,
                why,
            } => write!(
                f,
                "race {race} opened for {}, {why}: it needs odds of {} to 1",
                candidates(members),
                about(1.0 / level)
            ),
            Self::RaceWon {
                race,
                members,
                evidence,
            } => write!(
                f,
                "race {race} won: {} merged, {evidence}",
                candidates(members)
            ),
            Self::RaceLost {
                race,
                members,
                evidence,
                why,
            } => write!(
                f,
                "race {race} lost by {}: {why}{} ({evidence})",
                candidates(members),
                unresolved(why, evidence)
            ),
            Self::Gain { .. } => f.write_str(&self.told(Kind::Score)),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReading => write!(
                f,
                "no reading; a crash, a timeout or a broken constraint is a loss"
            ),
            Self::NotFinite => write!(f, "its reading is not a finite number"),
            Self::NotBetter {
                better_by_sigma,
                needed_sigma,
            } => write!(
                f,
                "{} {} its reference, {needed_sigma:.1} sigma better is needed; one run cannot tell a small effect from none",
                sigmas(*better_by_sigma),
                if sigmas(*better_by_sigma).starts_with(SAME) {
                    "from"
                } else {
                    "than"
                }
            ),
            Self::OtherCases { expected, came } => write!(
                f,
                "judged on {} public and {} hidden cases, expected {} and {}",
                came.0, came.1, expected.0, expected.1
            ),
            Self::Withdrawn { why } => write!(f, "withdrawn, {why}"),
            Self::BuiltOn { candidate } => {
                write!(f, "built on candidate {candidate}, which was withdrawn")
            }
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "because enough stands on the tip",
            Self::Strong => "because one run was better by far",
            Self::Patience => "because nothing was kept for long",
        })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReading => write!(f, "a run gave no reading, which is a loss"),
            Self::NotFinite => write!(f, "a run gave a reading that is not a finite number"),
            Self::OtherCases => write!(f, "a run was judged on another number of cases"),
            Self::NotBetter { effect_in_sigma } => write!(
                f,
                "fresh runs do not show what the screen promised: {}",
                sigmas(*effect_in_sigma)
            ),
            Self::NotResolvable {
                effect_in_sigma,
                runs_needed,
            } => write!(
                f,
                "not resolvable at this noise: {}, an effect of that size needs about {} runs an arm",
                sigmas(*effect_in_sigma),
                about(*runs_needed as f64)
            ),
            Self::TooFewCases {
                effect_in_sigma,
                cases_needed,
            } => write!(
                f,
                "not resolvable with these cases: {}, an effect of that size needs about {} hidden cases",
                sigmas(*effect_in_sigma),
                about(*cases_needed as f64)
            ),
            Self::BelowLeast { least } => write!(
                f,
                "not proven to be better by the least gain of {}",
                Kind::Timing.amount(*least, *least)
            ),
            Self::NotConfirmed { .. } => {
                write!(
                    f,
                    "not resolvable at this noise: the fresh blocks after the decision do not confirm it"
                )
            }
            Self::Withdrawn => write!(f, "a member was withdrawn"),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(in_sigma) = self.in_sigma {
            write!(f, "{} after ", sigmas(in_sigma))?;
        }
        write!(
            f,
            "{} {}",
            self.runs,
            if self.runs == 1 { "run" } else { "runs" }
        )?;
        match self.proof {
            None => Ok(()),
            Some(Proof::Odds { ln_e, ln_needed }) => write!(
                f,
                ", odds {} to 1 of the {} needed",
                about(ln_e.exp()),
                about(ln_needed.exp())
            ),
            Some(Proof::Chance { p, level }) => write!(
                f,
                ", chance {} where {} is allowed",
                significant(p, 1),
                significant(level, 1)
            ),
        }
    }
}

fn candidates(members: &[u64]) -> String {
    let numbers: Vec<String> = members.iter().map(u64::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("candidate {one}"),
        more => format!("candidates {}", more.join(", ")),
    }
}

const SAME: &str = "no different";

/// What a race that shows nothing cannot rule out either: one that was dropped early has seen little.
fn unresolved(why: &Loss, evidence: &Evidence) -> String {
    const UPPER: f64 = 1.645;
    let (Loss::NotBetter { effect_in_sigma }, 1..) = (why, evidence.runs) else {
        return String::new();
    };
    let of_champion = match evidence.champion_runs {
        0 => 0.0,
        runs => 1.0 / f64::from(runs),
    };
    let upper = effect_in_sigma + UPPER * (1.0 / f64::from(evidence.runs) + of_champion).sqrt();
    if upper < 0.1 {
        return String::new();
    }
    format!("; a gain below {upper:.1} sigma is not resolvable by so few")
}

fn sigmas(better_by: f64) -> String {
    let size = better_by.abs();
    let size = if size <= 1000.0 {
        format!("{size:.1}")
    } else {
        "over 1000".into()
    };
    // What rounds to zero has no direction.
    if size == "0.0" {
        format!("{SAME} (0.0 sigma)")
    } else if better_by > 0.0 {
        format!("{size} sigma better")
    } else {
        format!("{size} sigma worse")
    }
}

/// One significant digit; plain up to a million, beyond that in words.
pub(crate) fn about(count: f64) -> String {
    if count <= 1e6 {
        significant(count, 1)
    } else {
        "over a million".into()
    }
}

fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let place = value.abs().log10().floor() as i32 - digits + 1;
    let step = 10_f64.powi(place);
    let rounded = (value / step).round() * step;
    if (-6..=0).contains(&place) {
        format!("{rounded:.*}", place.unsigned_abs() as usize)
    } else if place > 0 {
        format!("{rounded:.0}")
    } else {
        format!("{rounded:.*e}", (digits - 1).max(0) as usize)
    }
}

/// How many digits a width of uncertainty supports: two of its own.
pub(crate) struct Digits {
    place: i32,
}

impl Digits {
    pub(crate) fn of(width: f64) -> Self {
        let place = if width.abs() > 0.0 && width.is_finite() {
            (width.abs().log10().floor() as i32 - 1).max(-12)
        } else {
            -12
        };
        Self { place }
    }

    pub(crate) fn show(&self, value: f64) -> String {
        if 1e15 <= value.abs() {
            return format!("{value:.2e}");
        }
        let step = 10_f64.powi(self.place);
        let rounded = (value / step).round() * step + 0.0;
        format!("{rounded:.*}", (-self.place).max(0) as usize)
    }
}

#[cfg(test)]
mod tests;
