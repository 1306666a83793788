//! The state machine: screen, tip, race, merge.
//!
//! 1. The first champion is measured until its noise is known (scores, cases), or A/A blocks are taken (timing).
//! 2. Candidates come one at a time, each built on the tip, and are screened by one public reading. What is promising stays on the
//!    tip *provisionally*; that is not a merge.
//! 3. The tip is raced against the champion when enough stands on it, when one reading was better by far, or when nothing was
//!    kept for long. Opening a race spends its level of the track's error, for good.
//! 4. A won race makes the tip the champion, whose record starts empty: what decided is never a record. A lost one drops the tip.
//!
//! Invariants: an event that is not wanted changes nothing; the state is a fold over the events; a run of a race is counted once,
//! because each has its number; a candidate has one screen; spent error only grows.

mod bench;

use std::collections::BTreeSet;

use crate::decision::{Decision, Loss, Opening, Refusal};
use crate::event::{Event, OutOfTurn, Reading, Want};
use crate::noise::Noise;
use crate::settings::{Settings, SettingsError};
use crate::spending::{Spending, Spent};
use crate::verdict::{Screened, Step};

use bench::{Bench, Standing};

/// The decision logic of one track.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    settings: Settings,
    bench: Bench,
    tip: Vec<u64>,
    /// What each member of the tip was compared with, so that a withdrawal can go back to it.
    before: Vec<Standing>,
    race: Option<Open>,
    without_keep: u32,
    screened: BTreeSet<u64>,
    spending: Spending,
}

#[derive(Clone, Debug, PartialEq)]
struct Open {
    number: u64,
    index: u32,
}

impl Gate {
    /// A gate before its first event.
    ///
    /// # Errors
    /// [`SettingsError`], as [`Settings::check`].
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            spending: Spending::new(&settings),
            bench: Bench::new(settings.kind),
            settings,
            tip: Vec::new(),
            before: Vec::new(),
            race: None,
            without_keep: 0,
            screened: BTreeSet::new(),
        })
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What to measure now.
    #[must_use]
    pub fn next(&self) -> Want {
        match (self.bench.wanted(&self.settings), &self.race) {
            (Some(first), _) => first,
            (None, Some(race)) => Want::Race {
                race: race.number,
                index: race.index,
            },
            (None, None) if self.spending.ended() => Want::End,
            (None, None) => Want::Proposal,
        }
    }

    /// Whether `event` may be applied now: to be asked before it is written to a ledger that nothing is ever removed from.
    ///
    /// # Errors
    /// [`OutOfTurn`], the same as [`Gate::apply`] would give.
    pub fn check(&self, event: &Event) -> Result<(), OutOfTurn> {
        let want = self.next();
        let wanted = match (event, want) {
            (Event::Session, _) => return Ok(()),
            (Event::Epoch(settings), _) => return Ok(settings.check()?),
            (Event::Withdraw { candidate, .. }, _) => return self.check_withdrawal(*candidate),
            (Event::Champion(_), Want::Champion { .. })
            | (Event::Same(_), Want::Same)
            | (Event::Screen { .. }, Want::Proposal) => true,
            (
                Event::Race { race, index, .. },
                Want::Race {
                    race: open,
                    index: next,
                },
            ) => *race == open && *index == next,
            _ => false,
        };
        if !wanted {
            return Err(OutOfTurn::Unexpected {
                expected: want,
                came: event.words(),
            });
        }
        match event {
            Event::Champion(reading) | Event::Same(reading) => {
                self.check_kind(reading)?;
                if !reading.usable() {
                    return Err(OutOfTurn::BrokenJudge {
                        came: reading.clone(),
                    });
                }
                check_whole(reading)?;
                self.check_cases(reading)
            }
            Event::Screen { candidate, reading } => {
                if self.screened.contains(candidate) {
                    return Err(OutOfTurn::ScreenedBefore {
                        candidate: *candidate,
                    });
                }
                reading.iter().try_for_each(|r| self.check_kind(r))
            }
            Event::Race { reading, .. } => {
                let check = |r| self.check_kind(r).and_then(|()| check_whole(r));
                reading.iter().try_for_each(check)
            }
            Event::Session | Event::Epoch(_) | Event::Withdraw { .. } => Ok(()),
        }
    }

    fn check_kind(&self, reading: &Reading) -> Result<(), OutOfTurn> {
        let (expected, came) = (self.settings.kind, reading.kind());
        if expected == came {
            Ok(())
        } else {
            Err(OutOfTurn::WrongKind { expected, came })
        }
    }

    /// The champion's cases: at least one of each split, and always as many.
    fn check_cases(&self, reading: &Reading) -> Result<(), OutOfTurn> {
        let Reading::Cases { public, hidden } = reading else {
            return Ok(());
        };
        let came = (public.len(), hidden.len());
        let expected = self.bench.case_counts();
        let same = match expected {
            Some(expected) => expected == came,
            None => 0 < came.0 && 0 < came.1,
        };
        if same {
            return Ok(());
        }
        let (expected_public, expected_hidden) = expected.unwrap_or((1, 1));
        Err(OutOfTurn::OtherCases {
            expected_public,
            expected_hidden,
            public: came.0,
            hidden: came.1,
        })
    }

    fn check_withdrawal(&self, candidate: u64) -> Result<(), OutOfTurn> {
        if self.tip.contains(&candidate) {
            Ok(())
        } else {
            Err(OutOfTurn::NotOnTip {
                candidate,
                tip: self.tip.clone(),
            })
        }
    }

    /// Takes an event and says what it decides.
    ///
    /// # Errors
    /// [`OutOfTurn`]; the state is then as it was.
    pub fn apply(&mut self, event: Event) -> Result<Vec<Decision>, OutOfTurn> {
        self.check(&event)?;
        Ok(match event {
            Event::Session => {
                self.bench.session();
                Vec::new()
            }
            Event::Epoch(settings) => {
                self.bench = Bench::new(settings.kind);
                self.settings = *settings;
                self.tip.clear();
                self.before.clear();
                self.race = None;
                self.without_keep = 0;
                Vec::new()
            }
            Event::Champion(reading) => self.champion(&reading),
            Event::Same(reading) => {
                self.bench.same(&reading, &self.settings);
                Vec::new()
            }
            Event::Screen { candidate, reading } => self.screen(candidate, reading.as_ref()),
            Event::Race { reading, .. } => self.run(reading.as_ref()),
            Event::Withdraw { candidate, why } => self.withdraw(candidate, why),
        })
    }

    fn champion(&mut self, reading: &Reading) -> Vec<Decision> {
        let gain = self.bench.champion(reading, &self.settings);
        let mut decisions: Vec<Decision> = gain.into_iter().collect();
        // A run of the incumbent beside a race changes what the race says.
        if self.race.as_ref().is_some_and(|race| 0 < race.index) {
            decisions.extend(self.judge());
        }
        decisions
    }

    fn screen(&mut self, candidate: u64, reading: Option<&Reading>) -> Vec<Decision> {
        self.screened.insert(candidate);
        let before = self.bench.standing();
        match self.bench.screen(reading, &self.settings) {
            Screened::Keep { by, strong } => {
                self.tip.push(candidate);
                self.before.push(before);
                self.without_keep = 0;
                let standing = self.tip.len() as u32;
                let mut decisions = vec![Decision::Kept {
                    candidate,
                    better_by_sigma: by,
                    standing,
                }];
                if self.settings.unit <= standing {
                    decisions.push(self.open(Opening::Unit));
                } else if strong {
                    decisions.push(self.open(Opening::Strong));
                }
                decisions
            }
            Screened::Refuse(why) => {
                self.without_keep = self.without_keep.saturating_add(1);
                let mut decisions = vec![Decision::Refused { candidate, why }];
                if !self.tip.is_empty() && self.settings.patience <= self.without_keep {
                    decisions.push(self.open(Opening::Patience));
                }
                decisions
            }
        }
    }

    fn open(&mut self, why: Opening) -> Decision {
        let (number, level) = self.spending.open();
        self.bench.open(number, level, &self.settings);
        self.race = Some(Open { number, index: 0 });
        self.without_keep = 0;
        Decision::RaceOpened {
            race: number,
            members: self.tip.clone(),
            level,
            why,
        }
    }

    fn run(&mut self, reading: Option<&Reading>) -> Vec<Decision> {
        if let Err(why) = self.bench.run(reading, &self.settings) {
            return self.lose(why).into_iter().collect();
        }
        if let Some(race) = &mut self.race {
            race.index = race.index.saturating_add(1);
        }
        self.judge()
    }

    fn judge(&mut self) -> Vec<Decision> {
        match self.bench.step(&self.settings) {
            Step::More => Vec::new(),
            Step::Won => self.win(),
            Step::Lost(why) => self.lose(why).into_iter().collect(),
        }
    }

    fn win(&mut self) -> Vec<Decision> {
        let Some(race) = self.race.take() else {
            return Vec::new();
        };
        let evidence = self.bench.evidence(&self.settings);
        self.spending.won();
        let gain = self.bench.close(race.number, true, &self.settings);
        self.before.clear();
        let mut decisions = vec![Decision::RaceWon {
            race: race.number,
            members: std::mem::take(&mut self.tip),
            evidence,
        }];
        decisions.extend(gain);
        decisions
    }

    fn lose(&mut self, why: Loss) -> Option<Decision> {
        let race = self.race.take()?;
        let evidence = self.bench.evidence(&self.settings);
        self.bench.close(race.number, false, &self.settings);
        self.before.clear();
        Some(Decision::RaceLost {
            race: race.number,
            members: std::mem::take(&mut self.tip),
            evidence,
            why,
        })
    }

    /// Takes a candidate, and what was built on it, off the tip. A race that it was part of is lost, its level stays spent, and
    /// what stood below it is provisional again.
    fn withdraw(&mut self, candidate: u64, why: String) -> Vec<Decision> {
        let Some(place) = self.tip.iter().position(|kept| *kept == candidate) else {
            return Vec::new();
        };
        let mut decisions = Vec::new();
        if let Some(race) = self.race.take() {
            let evidence = self.bench.evidence(&self.settings);
            self.bench.close(race.number, false, &self.settings);
            decisions.push(Decision::RaceLost {
                race: race.number,
                members: self.tip.clone(),
                evidence,
                why: Loss::Withdrawn,
            });
        }
        if let Some(before) = self.before.drain(place..).next() {
            self.bench.stand(before);
        }
        decisions.push(Decision::Refused {
            candidate,
            why: Refusal::Withdrawn { why },
        });
        for above in self.tip.drain(place..).skip(1) {
            decisions.push(Decision::Refused {
                candidate: above,
                why: Refusal::BuiltOn { candidate },
            });
        }
        decisions
    }

    /// The noise, once it is known.
    #[must_use]
    pub fn noise(&self) -> Option<Noise> {
        self.bench.noise(&self.settings)
    }

    /// What is provisionally kept, oldest first.
    #[must_use]
    pub fn tip(&self) -> &[u64] {
        &self.tip
    }

    /// The account of the error.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.spending.spent()
    }

    /// What the next candidate's public reading is compared with, in the metric's own units; `None` for timing, whose blocks hold
    /// their own reference.
    #[must_use]
    pub fn public_reference(&self) -> Option<f64> {
        let cost = self.bench.reference()?;
        Some(self.settings.better.cost(cost))
    }

    /// The smallest effect that a race would find with a power of 80% at today's noise, in the metric's own units (log-ratio for
    /// timing). `None` before the noise is known and after the track's end.
    #[must_use]
    pub fn resolvable(&self) -> Option<f64> {
        let level = self.spending.spent().next_level?;
        self.bench.resolvable(level, &self.settings)
    }
}

fn check_whole(reading: &Reading) -> Result<(), OutOfTurn> {
    if reading.is_whole() {
        Ok(())
    } else {
        Err(OutOfTurn::PublicAlone)
    }
}

#[cfg(test)]
mod tests;
