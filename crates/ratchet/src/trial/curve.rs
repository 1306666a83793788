//! What a run says of its progress, and when it is hopeless by the champion's.
//!
//! A run writes a line of JSON now and then into a file in its own folder: `{"done": 0.25, "value": 2.1}`, how much of its budget is behind and
//! how good it is, in the direction of the metric. A candidate whose value is worse than the worst of the champion's last runs at the same
//! place, by more than the track allows, is ended there. It says so itself, and gains nothing by saying otherwise: a verdict is the judge's. A champion
//! could keep others away by it; so curves that promise more than their own run was then judged to be worth are no pace ([`is_honest`]).

use std::{fs::OpenOptions, io::Read, path::Path};

use gate::Better;
use serde::Deserialize;

use crate::track::file::Curve;

#[cfg(test)]
mod tests;

/// Points in the order of what is done.
pub type Points = Vec<(f64, f64)>;

/// Bytes of a file that are read.
const MOST_BYTES: u64 = 1 << 20;
/// Between points that are kept of a run, so that there are 64 at most: a record holds those of several runs.
const APART: f64 = 1.0 / 63.0;

/// The points of a run so far: its first lines, as far as they are points and go forward. Nothing where there is no such file.
pub(super) fn read(folder: &Path, rules: &Curve) -> Points {
    let mut options = OpenOptions::new();
    options.read(true);
    // The run may put a link or a pipe in its place at any moment.
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let Ok(file) = options.open(folder.join(&rules.file)) else {
        return Points::new();
    };
    if !file.metadata().is_ok_and(|data| data.is_file()) {
        return Points::new();
    }
    let mut text = Vec::new();
    match file.take(MOST_BYTES).read_to_end(&mut text) {
        Ok(_) => points(&String::from_utf8_lossy(&text)),
        Err(_) => Points::new(),
    }
}

fn points(text: &str) -> Points {
    #[derive(Deserialize)]
    struct Point {
        done: f64,
        value: f64,
    }
    let mut points = Points::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let Ok(Point { done, value }) = serde_json::from_str(line) else {
            continue;
        };
        // Spread over the run: one that writes a line a step is seen to its end.
        let is_next = points.last().is_none_or(|&(last, _)| done >= last + APART);
        if is_next && (0.0..=1.0).contains(&done) && value.is_finite() {
            points.push((done, value));
        }
    }
    points
}

/// Where a run is hopeless.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hopeless {
    /// Part of its budget.
    pub(super) done: f64,
    /// What it had reached there.
    pub(super) value: f64,
    /// The worst of the champion's runs there.
    pub(super) champion: f64,
}

/// The first point at which a run is worse than all of the champion's, by more than the track allows.
pub(super) fn hopeless(
    run: &Points,
    champion: &[Points],
    rules: &Curve,
    better: Better,
) -> Option<Hopeless> {
    let sign = match better {
        Better::Lower => 1.0,
        Better::Higher => -1.0,
    };
    run.iter()
        .filter(|(done, _)| *done >= rules.from)
        .find_map(|&(done, value)| {
            let there = champion.iter().filter_map(|points| at(points, done));
            let worst = there.max_by(|a, b| (sign * a).total_cmp(&(sign * b)))?;
            let bound = worst + sign * rules.worse * worst.abs();
            (sign * value > sign * bound).then_some(Hopeless {
                done,
                value,
                champion: worst,
            })
        })
}

/// Whether the end of a curve is no better than what its run was judged to be worth, but for what the track allows.
pub(crate) fn is_honest(curve: &Points, judged: f64, rules: &Curve, better: Better) -> bool {
    let Some(&(_, end)) = curve.last() else {
        return false;
    };
    let margin = rules.worse * judged.abs();
    match better {
        Better::Lower => end >= judged - margin,
        Better::Higher => end <= judged + margin,
    }
}

/// The value of a curve at a place between its points; none before its first or behind its last.
fn at(points: &Points, done: f64) -> Option<f64> {
    let after = points.iter().position(|&(place, _)| place >= done)?;
    let (place, value) = points[after];
    if place <= done {
        return Some(value);
    }
    let (before, earlier) = points[after.checked_sub(1)?];
    let part = (done - before) / (place - before);
    Some(earlier + part * (value - earlier))
}
