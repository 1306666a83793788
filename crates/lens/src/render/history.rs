//! Earlier runs of the same work on this machine, as two curves with this run at their ends.

use page::escape;

use super::line_svg::{Chart, Line, Scale};
use crate::report::{Regime, Report};

/// A section; nothing where there is no earlier run.
pub(super) fn html(report: &Report) -> String {
    let Some(words) = report.among_earlier() else {
        return String::new();
    };
    let charts: String = [Regime::Prefill, Regime::Decode]
        .into_iter()
        .map(|regime| {
            let earlier = report.history.iter().map(|run| run.speed(regime));
            let all = earlier.chain([report.regime(regime).speed()]);
            let points = all
                .enumerate()
                .filter_map(|(index, speed)| Some((index as f64 + 1.0, speed?)));
            let chart = Chart {
                label: "Runs of this work on this machine",
                x: ("run", Scale::Linear),
                y: match regime {
                    Regime::Prefill => "prefill, tokens/s",
                    Regime::Decode => "decode, tokens/s",
                },
                lines: vec![Line {
                    name: regime.name().to_owned(),
                    class: "stream",
                    points: points.collect(),
                }],
                marks: Vec::new(),
                height: 170.0,
            };
            format!("<div>{}</div>", chart.html())
        })
        .collect();
    format!(
        "<section class=\"card\"><h2>Earlier runs</h2><p class=\"soft small\">{}</p><div class=\"pair\">{charts}</div></section>",
        escape(&words)
    )
}
