//! What a run may spend beside its time: units that a sealed server hands out, and joules that the machine counts.
//!
//! 1. The server is a sealed process of its own that sees what the judge sees. The run asks it on its standard output, a line a question,
//!    and is answered on its standard input.
//! 2. The engine stands between the two and counts: the server's word for how much it gives is believed, the run's is never asked for.
//! 3. When all is given, every question is answered with nothing; a run that has not ended some time later is ended.
//!    So is one that sits on what it got, where the track says how long that is good for: going through it again is not counted.
//! 4. Joules are the machine's own counters, gross: a track that limits them measures alone.
//! 5. A candidate that is screened and hopeless by the champion's curves is ended early (`curve`).

use std::{
    io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gate::Better;
use sandbox::{Capture, End, Job, Outcome, Running, SandboxError, Stdin};

use super::{
    Loss, Points, Workshop,
    cell::{self, Extra},
    curve::{self, Hopeless},
    judge,
    taking::{Taking, Trouble, last_words, tail},
    workshop::not_begun,
};
use crate::track::file::{Budget, Curve, Run};

mod energy;
#[cfg(test)]
mod tests;

use energy::Energy;
pub(crate) use energy::counters;

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How often a run's curve is read.
const LOOK_AT_CURVE: Duration = Duration::from_millis(500);
/// The longest question.
const MOST_QUESTION: u64 = 64 << 10;
/// The longest first line of an answer: two numbers.
const MOST_HEADER: u64 = 64;
/// How long a server may live on when its run has ended in time.
const FAREWELL: Duration = Duration::from_secs(10);

/// What a run has spent of its budget.
#[derive(Debug, Default)]
pub(super) struct Spent {
    pub(super) units: Option<u64>,
    pub(super) joules: Option<f64>,
    /// What it said of its progress.
    pub(super) curve: Points,
    broken: Option<Broken>,
}

/// Why a run was ended, by whose fault.
#[derive(Debug, PartialEq)]
enum Broken {
    Run(String),
    Hopeless(Hopeless),
    Server(String),
    Counter(String),
}

impl Spent {
    /// Whether the run kept its budget.
    pub(super) fn checked(self, outcome: &Outcome) -> Result<(), Trouble> {
        Err(match self.broken {
            None => return Ok(()),
            Some(Broken::Run(how)) => Trouble::Loss(Loss::Ended {
                step: "run".to_owned(),
                how,
                tail: tail(outcome),
            }),
            Some(Broken::Hopeless(Hopeless {
                done,
                value,
                champion,
            })) => Trouble::Loss(Loss::Hopeless {
                done,
                value,
                champion,
            }),
            Some(Broken::Server(how)) => Trouble::Loss(Loss::Server { how }),
            Some(Broken::Counter(how)) => Trouble::Fault(how),
        })
    }
}

impl Workshop<'_> {
    /// Runs the candidate's program within its budget.
    pub(super) fn spend(
        &self,
        rules: &Run,
        mut job: Job,
        folder: &Path,
        taking: &mut Taking,
    ) -> Result<(Outcome, Spent), Trouble> {
        if rules.budget.is_none() && rules.joules.is_none() && rules.curve.is_none() {
            return Ok((self.step("run", &job, taking)?, Spent::default()));
        }
        let meter = rules.budget.as_ref().map(Meter::new);
        let mut server = match &rules.budget {
            Some(budget) => Some(self.server(budget, rules.time, taking)?),
            None => None,
        };
        if server.is_some() {
            job.stdin = Stdin::Piped;
            job.stdout = Capture::Piped;
        }
        let mut energy = rules
            .joules
            .zip(self.energy.as_ref())
            .map(|(most, sources)| Energy::start(sources, most));
        let mut watch = rules.curve.as_ref().map(|rules| Watch {
            rules,
            folder,
            // A race is lost by its readings, and the champion by nothing that it says.
            pace: if taking.is_screen() { &self.pace } else { &[] },
            better: self.track.file.judge.better,
            next: Instant::now() + LOOK_AT_CURVE,
        });
        let mut run = self
            .sandbox
            .start(&job)
            .map_err(|error| not_begun("run", error))?;
        let wire = server
            .as_mut()
            .and_then(|server| Wire::between(&mut run, server));
        let (outcome, broken, stopped) = thread::scope(|scope| {
            let relay = meter
                .as_ref()
                .zip(wire)
                .map(|(meter, wire)| scope.spawn(move || wire.hand_on(meter)));
            let (mut broken, mut stopped) = (None, false);
            while !run.is_over() {
                if broken.is_none() && !stopped {
                    stopped = (self.stop)();
                    broken = energy
                        .as_mut()
                        .and_then(Energy::over)
                        .or_else(|| meter.as_ref().and_then(Meter::over))
                        .or_else(|| watch.as_mut().and_then(Watch::over));
                    if stopped || broken.is_some() {
                        run.stop();
                    }
                }
                thread::sleep(LOOK);
            }
            // The last tick may be a while ago, and a short run has had none.
            broken = broken.or_else(|| energy.as_mut().and_then(Energy::check));
            let outcome = run.end();
            // Whatever the server says from here on is said to nobody, and its end is no fault.
            let heard = relay
                .as_ref()
                .is_some_and(thread::ScopedJoinHandle::is_finished);
            let server = server.map(|server| {
                server.stop();
                server.end()
            });
            let relayed = relay.map(|relay| {
                relay
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            if let Some(Err(fault)) = relayed
                && heard
                && broken.is_none()
            {
                broken = Some(fault.with_words(server));
            }
            (outcome, broken, stopped)
        });
        let outcome = outcome?;
        taking.inside += outcome.wall;
        if stopped && outcome.end == End::Stopped {
            return Err(Trouble::Stopped);
        }
        let spent = Spent {
            units: meter.map(|meter| meter.given()),
            joules: energy.as_mut().and_then(Energy::used),
            curve: watch.map_or_else(Points::new, |watch| watch.points()),
            broken,
        };
        Ok((outcome, spent))
    }

    fn server(&self, budget: &Budget, time: Duration, taking: &Taking) -> Result<Running, Trouble> {
        let folder = self.sealed_folder("server")?;
        let seed = self.key.seed(&format!("server/{}", taking.label));
        let extra = Extra {
            writable: vec![folder.clone()],
            environment: vec![
                (judge::SEED.to_owned(), seed.to_string()),
                (judge::MEASUREMENT.to_owned(), taking.label.clone()),
            ],
            data: true,
            ..Extra::default()
        };
        let mut job = cell::sealed(self, &budget.server, &folder, time + FAREWELL, extra);
        job.stdin = Stdin::Piped;
        job.stdout = Capture::Piped;
        Ok(self.seal_of(&budget.server).start(&job)?)
    }
}

impl Broken {
    /// With what a server said before it failed.
    fn with_words(self, server: Option<Result<Outcome, SandboxError>>) -> Self {
        match (self, server) {
            (Self::Server(how), Some(Ok(outcome))) => {
                Self::Server(format!("{how}{}", last_words(&outcome)))
            }
            (other, _) => other,
        }
    }
}

/// A run's curve while it runs.
struct Watch<'a> {
    rules: &'a Curve,
    folder: &'a Path,
    /// The champion's.
    pace: &'a [Points],
    better: Better,
    next: Instant,
}

impl Watch<'_> {
    fn points(&self) -> Points {
        curve::read(self.folder, self.rules)
    }

    /// Why the run has to end now, if it has to.
    fn over(&mut self) -> Option<Broken> {
        if self.pace.is_empty() || Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + LOOK_AT_CURVE;
        curve::hopeless(&self.points(), self.pace, self.rules, self.better).map(Broken::Hopeless)
    }
}

/// What is given, seen by the thread that hands it on and by the one that watches.
struct Meter<'a> {
    rules: &'a Budget,
    left: AtomicU64,
    /// When the run last got some.
    last_given: Mutex<Option<Instant>>,
}

impl<'a> Meter<'a> {
    fn new(rules: &'a Budget) -> Self {
        Self {
            rules,
            left: AtomicU64::new(rules.most),
            last_given: Mutex::default(),
        }
    }

    fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    fn given(&self) -> u64 {
        self.rules.most.saturating_sub(self.left())
    }

    fn last_given(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_given
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The run has got so many units, and this is left.
    fn give(&self, units: u64, left: u64) {
        self.left.store(left, Ordering::Relaxed);
        if units > 0 {
            *self.last_given() = Some(Instant::now());
        }
    }

    /// Why the run has to end now, if it has to.
    fn over(&self) -> Option<Broken> {
        let Budget {
            most,
            unit,
            finish,
            expires,
            ..
        } = self.rules;
        let since = (*self.last_given())?.elapsed();
        if self.left() == 0 {
            return (since >= *finish).then(|| {
                Broken::Run(format!(
                    "had got all {most} {unit} and did not end within {} after that",
                    humantime::format_duration(*finish)
                ))
            });
        }
        let expires = expires.filter(|expires| since >= *expires)?;
        Some(Broken::Run(format!(
            "neither asked for more nor ended within {} after it had got {} of {most} {unit}, which expire then",
            humantime::format_duration(expires),
            self.given(),
        )))
    }
}

/// The four ends of the two conversations.
struct Wire<Q, A, S, B> {
    questions: Q,
    answers: A,
    to_server: S,
    from_server: B,
}

impl Wire<BufReader<PipeReader>, PipeWriter, PipeWriter, BufReader<PipeReader>> {
    fn between(run: &mut Running, server: &mut Running) -> Option<Self> {
        Some(Self {
            questions: BufReader::new(run.stdout()?),
            answers: run.stdin()?,
            to_server: server.stdin()?,
            from_server: BufReader::new(server.stdout()?),
        })
    }
}

impl<Q: BufRead, A: Write, S: Write, B: BufRead> Wire<Q, A, S, B> {
    /// Hands questions and answers on until the run asks no more, or does not listen any more.
    fn hand_on(mut self, meter: &Meter<'_>) -> Result<(), Broken> {
        while let Some(question) = self.question()? {
            let left = meter.left();
            if left == 0 {
                if self.answers.write_all(b"0 0 0\n").is_err() {
                    break;
                }
                continue;
            }
            let (units, bytes) = self.ask(left, &question)?;
            let unit = &meter.rules.unit;
            let left = left.checked_sub(units).ok_or_else(|| {
                Broken::Server(format!("it gave {units} {unit} when {left} were left"))
            })?;
            if writeln!(self.answers, "{units} {bytes} {left}").is_err()
                || !self.hand_over(bytes)?
            {
                break;
            }
            meter.give(units, left);
        }
        Ok(())
    }

    /// The run's next line; `None` when it asks no more.
    fn question(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let mut line = Vec::new();
        let read = (&mut self.questions)
            .take(MOST_QUESTION)
            .read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.last() == Some(&b'\n') => Ok(Some(line)),
            Ok(n) if n as u64 == MOST_QUESTION => Err(Broken::Run(format!(
                "asked the server with a line of more than {MOST_QUESTION} bytes"
            ))),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Units and bytes of the server's answer.
    fn ask(&mut self, left: u64, question: &[u8]) -> Result<(u64, u64), Broken> {
        let asked = write!(self.to_server, "{left} ").and_then(|()| {
            self.to_server.write_all(question)?;
            self.to_server.flush()
        });
        let mut line = String::new();
        let heard = asked.and_then(|()| {
            (&mut self.from_server)
                .take(MOST_HEADER)
                .read_line(&mut line)
        });
        if let Err(error) = heard {
            return Err(Broken::Server(format!("it gave no answer: {error}")));
        }
        let mut words = line.split_ascii_whitespace().map(str::parse);
        match (words.next(), words.next(), words.next()) {
            (Some(Ok(units)), Some(Ok(bytes)), None) if line.ends_with('\n') => Ok((units, bytes)),
            _ if line.is_empty() => Err(Broken::Server("it ended instead of an answer".to_owned())),
            _ => Err(Broken::Server(format!(
                "expected a line with units and bytes such as \"4096 8192\", came {line:?}"
            ))),
        }
    }

    /// Hands the answer itself over; false when the run does not listen.
    fn hand_over(&mut self, mut bytes: u64) -> Result<bool, Broken> {
        while bytes > 0 {
            let piece = match self.from_server.fill_buf() {
                Ok(piece) if !piece.is_empty() => piece,
                _ => {
                    return Err(Broken::Server(format!(
                        "it ended {bytes} bytes before the end of its answer"
                    )));
                }
            };
            let n = piece
                .len()
                .min(usize::try_from(bytes).unwrap_or(usize::MAX));
            if self.answers.write_all(&piece[..n]).is_err() {
                return Ok(false);
            }
            self.from_server.consume(n);
            bytes -= n as u64;
        }
        Ok(self.answers.flush().is_ok())
    }
}
