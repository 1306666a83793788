//! What a running engine tells a person: a line for each experiment, race and promotion, and a live line of what it does now.

use std::time::Duration;

use gate::{Decision, Event, Want};
use indicatif::ProgressBar;
use ratchet::{Ended, History, Observer, Place, Record, proposer::Standing};

use crate::{
    progress,
    terminal::{Style, Terminal, complain, harmless},
};

/// Characters of a title in a line.
const TITLE: usize = 60;

/// Prints what an engine tells.
pub struct Observe<'t> {
    terminal: &'t Terminal,
    bar: ProgressBar,
    track: String,
    metric: String,
    json: bool,
    begun: usize,
}

impl<'t> Observe<'t> {
    /// For this track.
    pub fn new(place: &Place, json: bool, terminal: &'t Terminal) -> Self {
        let bar = progress::bar(terminal, 0, "{spinner} {msg} {elapsed}");
        if terminal.errors {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self {
            terminal,
            bar,
            track: place.track.name().to_owned(),
            metric: place.track.file.judge.metric.clone(),
            json,
            begun: 0,
        }
    }

    /// Something other than what an engine tells.
    pub fn doing(&self, what: &str) {
        self.bar.reset_elapsed();
        self.bar.set_message(what.to_owned());
    }

    /// The live line goes.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| complain(text));
    }

    fn note(&self, text: &str) {
        self.line(&self.terminal.talk().paint(Style::Faint, text));
    }

    fn measured(&self, event: &Event, decisions: &[Decision], history: &History) {
        match event {
            Event::Screen { candidate, .. } => self.experiment(*candidate, history),
            Event::Champion(_) => self.note(&format!(
                "      champion measured ({})",
                history.champion_runs.len()
            )),
            Event::Same(_) => self.note(&format!(
                "      champion against itself ({})",
                history.same_blocks.len()
            )),
            _ => {}
        }
        for decision in decisions {
            match decision {
                Decision::Kept { .. } | Decision::Refused { .. } => {}
                Decision::RaceWon { .. } => self.line(
                    &self
                        .terminal
                        .talk()
                        .paint(Style::Heading, &format!("      {decision}")),
                ),
                other => {
                    let kind = history.gate.as_ref().map(|gate| gate.settings().kind);
                    let told = other.told(kind.unwrap_or(gate::Kind::Score));
                    self.line(&format!("      {told}"));
                }
            }
        }
    }

    fn experiment(&self, number: u64, history: &History) {
        let Some(experiment) = history.experiments.get(&number) else {
            return;
        };
        let title: String = harmless(&experiment.proposal.title)
            .chars()
            .take(TITLE)
            .collect();
        let score = experiment
            .screen
            .as_ref()
            .and_then(|screen| screen.reading.as_ref());
        let score = score.map_or_else(String::new, |reading| {
            format!("{} ", reading_words(reading, &self.metric))
        });
        let verdict = experiment.words.last().map_or("", String::as_str);
        let mark = match experiment.standing {
            Standing::Kept | Standing::Merged => "+",
            _ => "-",
        };
        self.line(&format!(
            "{number:5} {mark} {} {title}\n        {score}{}",
            experiment.proposal.proposer,
            harmless(verdict)
        ));
    }

    /// The words at the end.
    pub fn summary(&self, ended: &Ended, history: &History) -> String {
        let why = match ended {
            Ended::Time => "the time is over".to_owned(),
            Ended::Experiments => "the experiments that were asked for are done".to_owned(),
            Ended::Asked => "stopped as asked".to_owned(),
            Ended::Complete => "the track has ended with its first epoch".to_owned(),
            Ended::NoProposals { why } => why.clone(),
        };
        super::look::summary(history, &why)
    }
}

/// A reading as one figure.
pub fn reading_words(reading: &gate::Reading, metric: &str) -> String {
    match reading {
        gate::Reading::Score { public, .. } => format!("{metric} {public:.6}"),
        gate::Reading::Block { log_ratio } => {
            format!("{:+.1}% in one block", 100.0 * (log_ratio.exp() - 1.0))
        }
        gate::Reading::Cases { public, .. } => {
            let mean = public.iter().sum::<f64>() / public.len().max(1) as f64;
            format!("{metric} {mean:.4} over {} cases", public.len())
        }
    }
}

impl Observer for Observe<'_> {
    fn measuring(&mut self, want: &Want, experiment: Option<u64>) {
        let what = match experiment {
            Some(number) => format!("experiment {number}: measuring"),
            None => want.to_string(),
        };
        self.doing(&what);
    }

    fn proposing(&mut self, experiment: u64, proposer: &str) {
        self.doing(&format!("experiment {experiment}: {proposer} proposes"));
    }

    fn recorded(&mut self, record: &Record, experiment: Option<u64>, history: &History) {
        if self.json {
            let line = serde_json::json!({ "schema": "sprag.ratchet/1", "experiment": experiment, "record": record });
            let text = line.to_string();
            self.bar.suspend(|| {
                // A reader that left hears nothing more; the ledger has it all.
                let _left = crate::terminal::say(&format!("{text}\n"));
            });
            return;
        }
        match record {
            Record::Session { level, .. } => {
                self.note(&format!("track {}: candidates are {level}", self.track));
            }
            Record::Void { why } => {
                if let Some(number) = experiment {
                    self.line(&format!(
                        "{number:5} . not measured: {}",
                        harmless(&why.to_string())
                    ));
                }
            }
            Record::Failed { measurement, why } => self.line(&format!(
                "      {measurement} failed and is taken again with another seed: {}",
                harmless(why)
            )),
            Record::LeftOut { run, .. } => {
                if let Some(number) = experiment {
                    self.note(&format!(
                        "      measured without experiment {number} ({})",
                        run + 1
                    ));
                }
            }
            Record::Measured {
                event, decisions, ..
            } => self.measured(event, decisions, history),
            Record::Promoted { to, members, .. } => {
                self.begun += 1;
                let numbers: Vec<String> = members.iter().map(u64::to_string).collect();
                self.line(&format!(
                    "      the champion is now {} ({} {})",
                    to.short(),
                    if members.len() == 1 {
                        "experiment"
                    } else {
                        "experiments"
                    },
                    numbers.join(", ")
                ));
            }
            _ => {}
        }
    }
}
