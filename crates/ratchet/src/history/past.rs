//! What proposers may know of earlier experiments: a public score, rounded to what its noise supports, and pass or fail.
//!
//! Nothing of the hidden split, and no figure of a race: who hears how close a race was can climb on its noise. Scores of two epochs were
//! given by different judges, so only today's are told.

use gate::{Better, Gate, Reading};

use super::{Experiment, History, Screen};
use crate::{
    proposer::{Past, Standing},
    record::Void,
};

impl History {
    /// What a proposer may know, oldest first: of the public split alone, and rounded to what its noise supports.
    #[must_use]
    pub fn past(&self, better: Better) -> Vec<Past> {
        let epoch = self.epoch();
        self.experiments
            .values()
            .map(|experiment| {
                let comparable = experiment.epoch == epoch;
                let screen = self.screen_of(experiment).filter(|_| comparable);
                let cost = screen.and_then(|screen| cost(screen, better));
                Past {
                    experiment: experiment.number,
                    proposer: experiment.proposal.proposer.clone(),
                    title: experiment.proposal.title.clone(),
                    knobs: experiment.proposal.knobs.clone(),
                    score: cost.map_or_else(String::new, |cost| {
                        match screen.and_then(|s| s.reading.as_ref()) {
                            // Better.cost turns a cost back into the metric; a log-ratio is none.
                            Some(Reading::Block { .. }) => format!(
                                "{:+}% against the first champion",
                                round(-100.0 * cost, 0.1)
                            ),
                            _ => format!("score {}", better.cost(cost)),
                        }
                    }),
                    cost,
                    comparable,
                    verdict: if self.pending.contains(&experiment.number) {
                        "being measured".to_owned()
                    } else {
                        verdict(experiment)
                    },
                    is_pending: self.pending.contains(&experiment.number),
                    beside: experiment.beside.clone(),
                    standing: experiment.standing,
                }
            })
            .collect()
    }

    /// The screen that counts for an experiment: its own, or the one of the candidate whose verdict it shares.
    fn screen_of<'a>(&'a self, experiment: &'a Experiment) -> Option<&'a Screen> {
        match &experiment.void {
            Some(Void::Repeated { of }) => self.experiments.get(of)?.screen.as_ref(),
            _ => experiment.screen.as_ref(),
        }
    }

    /// The step in which scores are shown to proposers: the largest power of ten below the noise.
    pub(super) fn resolution(&self) -> f64 {
        let sigma: f64 = self
            .gate
            .as_ref()
            .and_then(Gate::noise)
            .map_or(0.0, |noise| noise.screen.sigma);
        if sigma > 0.0 {
            10f64.powf(sigma.log10().floor())
        } else {
            0.0
        }
    }
}

/// What a screen says to proposers: lower is better.
fn cost(screen: &Screen, better: Better) -> Option<f64> {
    let cost = match screen.reading.as_ref()? {
        Reading::Score { public, .. } => better.cost(*public),
        Reading::Block { log_ratio } => -(screen.level + log_ratio),
        Reading::Cases { public, .. } => {
            better.cost(public.iter().sum::<f64>() / public.len().max(1) as f64)
        }
    };
    cost.is_finite().then(|| round(cost, screen.step))
}

/// What became of an experiment, as a proposer may know it: pass or fail, and what failed; no figure of a race or of the hidden split.
fn verdict(experiment: &Experiment) -> String {
    if let Some(void) = &experiment.void {
        return void.to_string();
    }
    match experiment
        .screen
        .as_ref()
        .and_then(|screen| Some((screen, screen.figures.loss.as_ref()?)))
    {
        Some((screen, loss)) => {
            let asked = screen.figures.asked.as_str();
            loss.told(asked != "public")
        }
        None => match experiment.standing {
            Standing::Void => "not measured".to_owned(),
            Standing::Refused => "not better by enough on its one public reading".to_owned(),
            Standing::Kept => "kept for now; a race will tell".to_owned(),
            Standing::Dropped => "its race was lost".to_owned(),
            Standing::Merged => "its race was won".to_owned(),
        },
    }
}

fn round(value: f64, step: f64) -> f64 {
    if step > 0.0 {
        let digits = (-step.log10()).round().clamp(0.0, 15.0) as usize;
        let rounded = format!("{:.digits$}", (value / step).round() * step);
        rounded
            .parse()
            .ok()
            .filter(|rounded: &f64| rounded.is_finite())
            .unwrap_or(value)
    } else {
        value
    }
}
