//! The race: champion, candidate, candidate, champion, and after each half every answer of both checked.
//!
//! Values are drawn three times from copies of one stream (for each arm, and for the check), so that a half's inputs need not be kept.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::Sandbox;

use super::arm::{Arm, Given, is_possible};
use super::check::Truth;
use super::values::Call;
use super::{Options, Problem, Times};
use crate::candidate::{Candidate, Mapped};
use crate::error::Stop;
use crate::random::Random;
use crate::refusal::Refusal;

/// An error of a few roundings of f32 (2^-22) is as good as any: no champion makes it too much.
const ROUNDINGS: f64 = 2.4e-7;

/// What a candidate's processes may compute in the champion's turns: the system counts some of it in steps of 10 ms, and a heap is
/// tidied at times.
const IDLE_SECONDS: f64 = 0.02;
/// And of the turns' time.
const IDLE_SHARE: f64 = 0.1;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Champion,
    Candidate,
}

struct Race<'a> {
    options: &'a Options,
    champion: Arm,
    candidate: Arm,
    unchecked: Vec<String>,
    /// Seconds of the champion's turns, and the candidate's processor seconds in them.
    turns: f64,
    busy: f64,
}

pub(super) fn run(
    options: &Options,
    champion: &Path,
    candidate: &Path,
    sandbox: &Sandbox,
    random: &mut Random,
) -> Result<Times, Stop> {
    let start = |artefact| Candidate::start(sandbox, &options.cell, artefact).map(Arm::new);
    let mut race = Race {
        options,
        champion: start(champion).map_err(Stop::of_champion)?,
        candidate: start(candidate)?,
        unchecked: Vec::new(),
        turns: 0.0,
        busy: 0.0,
    };
    if race.candidate.candidate.tree.is_none() {
        race.unchecked.push(
            "work in the champion's turns: the candidate's processes could not be told from others"
                .to_owned(),
        );
    }
    let known: Vec<&Problem> = options.public.iter().chain(&options.hidden).collect();
    for block in 0..options.blocks {
        // The first time all shapes are held back, and warm both; then any one.
        let held = if block == 0 {
            known.clone()
        } else {
            vec![known[random.below(known.len())]]
        };
        race.held_back(&held, random)?;
        race.libraries()?;
        let drawn = options
            .drawn_multiple
            .map(|multiple| known[random.below(known.len())].near(multiple, random));
        let shapes: Vec<&Problem> = known.iter().copied().chain(&drawn).collect();
        race.half(&shapes, [Whose::Champion, Whose::Candidate], random)?;
        race.half(&shapes, [Whose::Candidate, Whose::Champion], random)?;
        race.idle()?;
    }
    race.libraries()?;
    race.precision()?;
    race.finish(sandbox)
}

impl Race<'_> {
    fn arm(&mut self, whose: Whose) -> &mut Arm {
        match whose {
            Whose::Champion => &mut self.champion,
            Whose::Candidate => &mut self.candidate,
        }
    }

    /// Calls that are not timed, and whose end is held back for a while: who answers then has not looked.
    fn held_back(&mut self, shapes: &[&Problem], random: &mut Random) -> Result<(), Stop> {
        for problem in shapes {
            let call = Call::draw(problem, random);
            let truth = Truth::draw(&call, random);
            for whose in [Whose::Champion, Whose::Candidate] {
                let hold = self.options.hold;
                let arm = self.arm(whose);
                let given = arm.answer(&call, hold);
                let checked = given.and_then(|given| Ok(arm.check(&call, &truth, &given)?));
                checked.map_err(|stop| of(whose, stop))?;
            }
        }
        Ok(())
    }

    /// Two turns with the same values, then the check of both.
    fn half(
        &mut self,
        shapes: &[&Problem],
        order: [Whose; 2],
        random: &mut Random,
    ) -> Result<(), Stop> {
        let values = Random::new(random.bits(), "values");
        let mut all = Vec::new();
        for whose in order {
            let passes = self
                .turn(shapes, whose, values.clone())
                .map_err(|stop| of(whose, stop))?;
            all.push((whose, passes));
        }
        let mut values = values;
        for pass in 0..self.options.passes {
            for (at, problem) in order_of(shapes, &mut values).into_iter().enumerate() {
                let call = Call::draw(problem, &mut values);
                let truth = Truth::draw(&call, random);
                for (whose, passes) in &all {
                    let given = &passes[pass][at];
                    let checked = self.arm(*whose).check(&call, &truth, given);
                    checked.map_err(|refusal| of(*whose, refusal.into()))?;
                }
            }
        }
        Ok(())
    }

    /// One arm's passes, timed call by call.
    fn turn(
        &mut self,
        shapes: &[&Problem],
        whose: Whose,
        mut values: Random,
    ) -> Result<Vec<Vec<Given>>, Stop> {
        let roofline = self.options.roofline;
        let watched = self
            .candidate
            .candidate
            .tree
            .filter(|_| whose == Whose::Champion);
        let before = watched.map(|tree| tree.burnt());
        let begin = Instant::now();
        let mut passes = Vec::new();
        for _ in 0..self.options.passes {
            let mut pass = Vec::new();
            for problem in order_of(shapes, &mut values) {
                let call = Call::draw(problem, &mut values);
                let given = self.arm(whose).answer(&call, Duration::ZERO)?;
                is_possible(problem, &given, roofline)?;
                pass.push(given);
            }
            self.arm(whose).sample(&pass);
            passes.push(pass);
        }
        if let (Some(tree), Some(before)) = (watched, before) {
            self.turns += begin.elapsed().as_secs_f64();
            self.busy += tree.burnt().since(before);
        }
        Ok(passes)
    }

    /// Whether the candidate kept still in the champion's turns.
    fn idle(&self) -> Result<(), Refusal> {
        let most = IDLE_SECONDS + IDLE_SHARE * self.turns;
        if self.busy <= most {
            return Ok(());
        }
        Err(Refusal::OutOfTurn {
            busy: self.busy,
            turns: self.turns,
            most,
        })
    }

    fn libraries(&mut self) -> Result<(), Stop> {
        if self.options.forbidden.is_empty() {
            return Ok(());
        }
        let unseen = match self.candidate.candidate.tree.map(|tree| tree.mapped()) {
            Some(Mapped::Files(files)) => return Ok(none_of(&self.options.forbidden, files)?),
            Some(Mapped::Unreadable) => {
                "libraries: the system does not show which files the candidate has mapped"
            }
            None => "libraries: the candidate's processes could not be told from others",
        };
        if !self.unchecked.iter().any(|known| known == unseen) {
            self.unchecked.push(unseen.to_owned());
        }
        Ok(())
    }

    /// Whether the candidate is about as right as the champion, problem by problem.
    fn precision(&self) -> Result<(), Refusal> {
        for problem in self.candidate.problems() {
            let errors = (
                self.candidate.error_of(problem),
                self.champion.error_of(problem),
            );
            let (Some(error), Some(champion)) = errors else {
                continue;
            };
            let most = (champion * self.options.precision_ratio).max(ROUNDINGS);
            let is_as_right = error <= most;
            if !is_as_right {
                return Err(Refusal::LessPrecise {
                    problem: problem.clone(),
                    error,
                    champion,
                    most,
                });
            }
        }
        Ok(())
    }

    fn finish(self, sandbox: &Sandbox) -> Result<Times, Stop> {
        self.champion
            .candidate
            .dismiss()
            .map_err(Stop::of_champion)?;
        self.candidate.candidate.dismiss()?;
        Ok(Times {
            champion: self.champion.samples,
            candidate: self.candidate.samples,
            floor_seconds: None,
            calls: self.candidate.calls,
            checked_in_full: self.candidate.in_full,
            largest_error: self.candidate.largest_error,
            unchecked: self.unchecked,
            seal: sandbox.level(),
        })
    }
}

fn of(whose: Whose, stop: Stop) -> Stop {
    match whose {
        Whose::Champion => stop.of_champion(),
        Whose::Candidate => stop,
    }
}

/// A pass's order.
fn order_of<'a>(shapes: &[&'a Problem], values: &mut Random) -> Vec<&'a Problem> {
    let mut order = shapes.to_vec();
    values.shuffle(&mut order);
    order
}

/// Whether no file's name holds a forbidden word.
fn none_of(forbidden: &[String], files: impl IntoIterator<Item = String>) -> Result<(), Refusal> {
    for file in files {
        let name = file.rsplit('/').next().unwrap_or_default();
        if let Some(word) = forbidden.iter().find(|word| name.contains(word.as_str())) {
            return Err(Refusal::Library {
                name: word.clone(),
                file,
            });
        }
    }
    Ok(())
}
