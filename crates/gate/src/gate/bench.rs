//! One bench for three kinds of readings: hands each to the statistics of its kind.
//!
//! This is the boundary at which a metric becomes a cost: behind it the lower one is better, whichever way the track points.
//! A reading that cannot be judged is a loss of the candidate here; that it is of the track's kind was checked before.

use crate::blocks::Blocks;
use crate::cases::CaseTable;
use crate::decision::{Decision, Evidence, Loss, Refusal};
use crate::event::{Reading, Want};
use crate::noise::Noise;
use crate::scores::{Costs, Scores};
use crate::settings::{Better, Kind, Settings};
use crate::verdict::{Screened, Step};

/// The statistics of the track's kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bench {
    Scores(Scores),
    Blocks(Blocks),
    Cases(CaseTable),
}

/// What a candidate is compared with. `None`: the champion's pool.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    Cost(Option<f64>),
    Cases(Option<Vec<f64>>),
}

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Score => Self::Scores(Scores::default()),
            Kind::Timing => Self::Blocks(Blocks::default()),
            Kind::Cases => Self::Cases(CaseTable::default()),
        }
    }

    /// What has to be measured before anything else.
    pub(super) fn wanted(&self, settings: &Settings) -> Option<Want> {
        let why = match self {
            Self::Scores(scores) => scores.wanted(settings),
            Self::Cases(cases) => cases.wanted(settings),
            Self::Blocks(blocks) => return blocks.same_wanted(settings).then_some(Want::Same),
        };
        why.map(|why| Want::Champion { why })
    }

    /// Numbers of public and hidden cases, where they are known.
    pub(super) fn case_counts(&self) -> Option<(usize, usize)> {
        match self {
            Self::Cases(cases) => cases.counts(),
            Self::Scores(_) | Self::Blocks(_) => None,
        }
    }

    pub(super) fn session(&mut self) {
        if let Self::Blocks(blocks) = self {
            blocks.session();
        }
    }

    pub(super) fn same(&mut self, reading: &Reading, settings: &Settings) {
        if let (Self::Blocks(blocks), Reading::Block { log_ratio }) = (self, reading) {
            blocks.same(*log_ratio, settings);
        }
    }

    /// A run of the champion, and the gain that it tells.
    pub(super) fn champion(&mut self, reading: &Reading, settings: &Settings) -> Option<Decision> {
        match (self, reading) {
            (Self::Scores(scores), Reading::Score { public, hidden }) => {
                let costs = costs(settings.better, *public, (*hidden)?);
                scores.champion(costs, settings)
            }
            (Self::Cases(cases), Reading::Cases { public, hidden }) => {
                let public = case_costs(settings.better, public);
                cases.champion(&public, &case_costs(settings.better, hidden), settings)
            }
            _ => None,
        }
    }

    pub(super) fn screen(&mut self, reading: Option<&Reading>, settings: &Settings) -> Screened {
        let Some(reading) = reading else {
            return Screened::Refuse(Refusal::NoReading);
        };
        if !reading.usable() {
            return Screened::Refuse(Refusal::NotFinite);
        }
        let expected = self.case_counts();
        match (self, reading) {
            (Self::Scores(scores), Reading::Score { public, .. }) => {
                scores.screen(settings.better.cost(*public), settings)
            }
            (Self::Blocks(blocks), Reading::Block { log_ratio }) => {
                blocks.screen(*log_ratio, settings)
            }
            (Self::Cases(cases), Reading::Cases { public, hidden }) => {
                let came = (public.len(), hidden.len());
                match expected {
                    Some(expected) if expected != came && (expected.0, 0) != came => {
                        Screened::Refuse(Refusal::OtherCases { expected, came })
                    }
                    _ => cases.screen(&case_costs(settings.better, public), settings),
                }
            }
            _ => Screened::Refuse(Refusal::NoReading),
        }
    }

    pub(super) fn open(&mut self, number: u64, level: f64, settings: &Settings) {
        match self {
            Self::Scores(scores) => scores.open(level, settings),
            Self::Blocks(blocks) => blocks.open(level),
            Self::Cases(cases) => cases.open(number, level),
        }
    }

    /// Counts a run of the race, or says why it loses the race.
    pub(super) fn run(
        &mut self,
        reading: Option<&Reading>,
        settings: &Settings,
    ) -> Result<(), Loss> {
        let reading = reading.ok_or(Loss::NoReading)?;
        if !reading.usable() {
            return Err(Loss::NotFinite);
        }
        let expected = self.case_counts();
        let better = settings.better;
        match (self, reading) {
            (Self::Scores(scores), Reading::Score { public, hidden }) => {
                let hidden = hidden.ok_or(Loss::NoReading)?;
                scores.run(costs(better, *public, hidden));
            }
            (Self::Blocks(blocks), Reading::Block { log_ratio }) => {
                blocks.run(*log_ratio, settings);
            }
            (Self::Cases(cases), Reading::Cases { public, hidden }) => {
                if expected != Some((public.len(), hidden.len())) {
                    return Err(Loss::OtherCases);
                }
                cases.run(&case_costs(better, public), &case_costs(better, hidden));
            }
            _ => return Err(Loss::NoReading),
        }
        Ok(())
    }

    pub(super) fn step(&mut self, settings: &Settings) -> Step {
        match self {
            Self::Scores(scores) => scores.step(settings),
            Self::Blocks(blocks) => blocks.step(settings),
            Self::Cases(cases) => cases.step(settings),
        }
    }

    pub(super) fn evidence(&self, settings: &Settings) -> Evidence {
        match self {
            Self::Scores(scores) => scores.evidence(),
            Self::Blocks(blocks) => blocks.evidence(settings),
            Self::Cases(cases) => cases.evidence(settings),
        }
    }

    /// Ends the race; the gain where it is known at once.
    pub(super) fn close(
        &mut self,
        number: u64,
        won: bool,
        settings: &Settings,
    ) -> Option<Decision> {
        match self {
            Self::Scores(scores) => scores.close(number, won),
            Self::Blocks(blocks) => return blocks.close(number, won),
            Self::Cases(cases) => cases.close(won, settings),
        }
        None
    }

    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Scores(scores) => Standing::Cost(scores.standing()),
            Self::Blocks(blocks) => Standing::Cost(blocks.standing()),
            Self::Cases(cases) => Standing::Cases(cases.standing()),
        }
    }

    pub(super) fn stand(&mut self, on: Standing) {
        match (self, on) {
            (Self::Scores(scores), Standing::Cost(cost)) => scores.stand(cost),
            (Self::Blocks(blocks), Standing::Cost(cost)) => blocks.stand(cost),
            (Self::Cases(cases), Standing::Cases(values)) => cases.stand(values),
            _ => {}
        }
    }

    pub(super) fn noise(&self, settings: &Settings) -> Option<Noise> {
        match self {
            Self::Scores(scores) => scores.noise(settings),
            Self::Blocks(blocks) => blocks.noise(),
            Self::Cases(cases) => cases.noise(settings),
        }
    }

    /// The public cost that the next candidate is compared with.
    pub(super) fn reference(&self) -> Option<f64> {
        match self {
            Self::Scores(scores) => scores.reference(),
            Self::Cases(cases) => cases.reference(),
            Self::Blocks(_) => None,
        }
    }

    pub(super) fn resolvable(&self, level: f64, settings: &Settings) -> Option<f64> {
        match self {
            Self::Scores(scores) => scores.resolvable(level, settings),
            Self::Blocks(blocks) => blocks.resolvable(level, settings),
            Self::Cases(cases) => cases.resolvable(level, settings),
        }
    }
}

fn costs(better: Better, public: f64, hidden: f64) -> Costs {
    Costs {
        public: better.cost(public),
        hidden: better.cost(hidden),
    }
}

fn case_costs(better: Better, values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| better.cost(*value)).collect()
}
