//! The report's pictures: every experiment's screen, and the readings of a race.

use gate::{Decision, Reading};
use page::escape;
use ratchet::{History, Place, history::Race, proposer::Standing};

use super::super::look::word;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// A frame of values with its ticks.
struct Frame {
    low: f64,
    high: f64,
    last: f64,
    height: f64,
}

impl Frame {
    fn of(values: &[f64], count: usize, height: f64) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let room = ((high - low) * 0.08).max(high.abs().max(1e-12) * 1e-6);
        Self {
            low: low - room,
            high: high + room,
            last: count.max(2) as f64,
            height,
        }
    }

    fn x(&self, number: f64) -> f64 {
        LEFT + (number - 0.5) / self.last * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        TOP + (1.0 - share.clamp(0.0, 1.0)) * (self.height - TOP - BOTTOM)
    }

    /// Lines at round values, and numbers below.
    fn grid(&self, what: &str) -> String {
        let step = 10f64.powf(((self.high - self.low) / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .iter()
            .map(|n| n * step)
            .find(|s| (self.high - self.low) / s <= 6.0)
            .unwrap_or(step * 10.0);
        let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let mut out = String::new();
        let mut value = (self.low / step).ceil() * step;
        while value <= self.high {
            let y = self.y(value);
            out += &format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            );
            out += &format!(
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
                LEFT - 6.0,
                y + 4.0
            );
            value += step;
        }
        let apart = (self.last / 10.0).ceil().max(1.0);
        let mut number = apart;
        while number <= self.last {
            out += &format!(
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{number}</text>",
                self.x(number),
                self.height - BOTTOM + 16.0
            );
            number += apart;
        }
        out + &format!(
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            self.height - 4.0,
            escape(what)
        )
    }

    fn svg(&self, label: &str, inside: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">{inside}</svg>",
            self.height,
            escape(label)
        )
    }
}

/// A reading as the chart shows it: a score, the mean of the cases, or the gain of a block in per cent.
fn value(reading: &Reading) -> f64 {
    match reading {
        Reading::Score { public, .. } => *public,
        Reading::Block { log_ratio } => 100.0 * (log_ratio.exp() - 1.0),
        Reading::Cases { public, .. } => public.iter().sum::<f64>() / public.len().max(1) as f64,
    }
}

fn hidden(reading: &Reading) -> f64 {
    match reading {
        Reading::Score { hidden, .. } => hidden.unwrap_or(f64::NAN),
        Reading::Cases { hidden, .. } => hidden.iter().sum::<f64>() / hidden.len().max(1) as f64,
        block => value(block),
    }
}

/// Every experiment's screen, coloured by what became of it, with the champion's noise as a band.
pub fn experiments(history: &History, place: &Place) -> String {
    let points: Vec<(u64, f64, Standing, &str)> = history
        .experiments
        .values()
        .filter_map(|e| {
            let reading = e.screen.as_ref()?.reading.as_ref()?;
            Some((
                e.number,
                value(reading),
                e.standing,
                e.proposal.title.as_str(),
            ))
        })
        .filter(|(_, value, _, _)| value.is_finite())
        .collect();
    if points.is_empty() {
        return "<p class=\"soft\">No experiment was measured yet.</p>".to_owned();
    }
    let timing = place.track.kind() == gate::Kind::Timing;
    let gate = history.gate.as_ref();
    let noise = gate.and_then(gate::Gate::noise).map_or(0.0, |noise| {
        noise.screen.sigma * if timing { 100.0 } else { 1.0 }
    });
    let reference = if timing {
        Some(0.0)
    } else {
        gate.and_then(gate::Gate::public_reference)
    };
    let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
    values.extend(reference.iter().flat_map(|r| [r - noise, r + noise]));
    let last = history.experiments.keys().next_back().copied().unwrap_or(1);
    let frame = Frame::of(&values, last as usize, HEIGHT);
    let mut inside = frame.grid(if timing {
        "experiment; gain of one block over the champion of its time, per cent"
    } else {
        "experiment"
    });
    if let Some(reference) = reference {
        let (top, bottom) = (frame.y(reference + noise), frame.y(reference - noise));
        inside += &format!(
            "<rect class=\"band\" x=\"{LEFT}\" width=\"{:.1}\" y=\"{top:.1}\" height=\"{:.1}\"/>",
            WIDTH - LEFT - RIGHT,
            (bottom - top).max(0.0)
        );
        let y = frame.y(reference);
        inside += &format!(
            "<line class=\"champion\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            WIDTH - RIGHT
        );
    }
    for (number, value, standing, title) in &points {
        inside += &format!(
            "<circle class=\"point {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4.5\"><title>{}</title></circle>",
            word(*standing),
            frame.x(*number as f64),
            frame.y(*value),
            super::safe(&format!("{number}: {title}"))
        );
    }
    let keys = "<p class=\"small keys\"><span class=\"dot merged\"></span>merged &nbsp; <span class=\"dot kept\"></span>kept for now &nbsp; \
                <span class=\"dot dropped\"></span>kept, then dropped &nbsp; <span class=\"dot refused\"></span>refused &nbsp; line and band: the champion and one sigma</p>";
    frame.svg("Each experiment's screening reading", &inside) + keys
}

/// The readings of one race beside the champion's.
pub fn race(history: &History, race: &Race) -> String {
    let theirs: Vec<f64> = race
        .readings
        .iter()
        .filter_map(|(reading, _)| reading.as_ref().map(hidden))
        .filter(|v| v.is_finite())
        .collect();
    if theirs.len() < 2 {
        return String::new();
    }
    let timing = matches!(
        race.readings.first(),
        Some((Some(Reading::Block { .. }), _))
    );
    let champion: Vec<f64> = if timing {
        vec![0.0]
    } else {
        history
            .champion_runs
            .iter()
            .filter(|(at, _, _)| *at <= race.at)
            .map(|(_, reading, _)| hidden(reading))
            .filter(|v| v.is_finite())
            .collect()
    };
    let mut values = theirs.clone();
    values.extend(&champion);
    let frame = Frame::of(&values, theirs.len(), 180.0);
    let mut inside = frame.grid(if timing {
        "block; gain over the champion, per cent"
    } else {
        "reading of the race"
    });
    if !champion.is_empty() {
        let mean = champion.iter().sum::<f64>() / champion.len() as f64;
        let y = frame.y(mean);
        inside += &format!(
            "<line class=\"champion\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            WIDTH - RIGHT
        );
    }
    let class = if matches!(race.end, Some(Decision::RaceWon { .. })) {
        "merged"
    } else {
        "dropped"
    };
    for (i, value) in theirs.iter().enumerate() {
        inside += &format!(
            "<circle class=\"point {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4.5\"/>",
            frame.x(i as f64 + 1.0),
            frame.y(*value)
        );
    }
    frame.svg("The readings of the race", &inside)
}
