//! What a person sees at the end of a run: a few lines with the curve, and a page.

use std::{fmt::Write as _, path::Path};

use page::{Page, escape};
use train::{Trainer, trainer::Evaluation};

use super::{Report, journal::Line};
use crate::quantity;

/// Columns of the terminal's curve.
const COLUMNS: usize = 60;

/// The end of a run in words.
pub(super) fn text(report: &Report<'_>, lines: &[Line], page: &Path) -> String {
    let mut out = String::new();
    let losses: Vec<f64> = lines.iter().filter_map(|line| line.loss).collect();
    if let (Some(first), Some(last)) = (losses.first(), losses.last()) {
        let _ = writeln!(
            out,
            "loss      {first:.3} {} {last:.3} nats per token",
            curve(&losses)
        );
    }
    let _ = writeln!(
        out,
        "held out  {:.4} bits per byte of {}",
        report.validation.bits_per_byte,
        quantity::bytes(report.validation.bytes as u64),
    );
    if let Some(hidden) = &report.hidden {
        let _ = writeln!(
            out,
            "unseen    {:.4} bits per byte of {}, looked at once",
            hidden.bits_per_byte,
            quantity::bytes(hidden.bytes as u64),
        );
    }
    let _ = writeln!(
        out,
        "speed     {} tokens/s: {} tokens in {} steps, {}",
        quantity::digits(report.tokens_per_second),
        quantity::count(report.progress.tokens),
        report.progress.steps,
        quantity::duration_ms(report.progress.elapsed.as_secs_f64() * 1e3),
    );
    match (&report.gguf, report.no_gguf_because) {
        (Some(path), _) => {
            let _ = writeln!(
                out,
                "model     {} (sprag run {} --raw -p TEXT)",
                path.display(),
                path.display()
            );
        }
        (None, Some(obstacle)) => {
            let _ = writeln!(
                out,
                "model     in its checkpoint alone: no architecture of GGUF has {obstacle}"
            );
        }
        (None, None) => {}
    }
    let _ = write!(out, "report    {}", page.display());
    out
}

/// Means of equal parts as bars, the highest full.
fn curve(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let means = means(values, COLUMNS);
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |mean: &f64| {
        let part = (mean - least) / (most - least).max(1e-12);
        BARS[((part * 7.0).round() as usize).min(7)]
    };
    means.iter().map(bar).collect()
}

/// Means of at most `parts` equal parts, in order.
fn means(values: &[f64], parts: usize) -> Vec<f64> {
    let parts = parts.min(values.len());
    let part = |i: usize| &values[values.len() * i / parts..values.len() * (i + 1) / parts];
    (0..parts)
        .map(|i| part(i).iter().sum::<f64>() / part(i).len() as f64)
        .collect()
}

const STYLE: &str = "\
svg{width:100%;height:auto}.step{fill:none;stroke:#8a94a6;stroke-width:1.5}.held{fill:none;stroke:#c4572a;stroke-width:2.5}\
.axis{stroke:#8884;stroke-width:1}text{font:12px system-ui,sans-serif;fill:currentColor}td{padding-right:1.5em}";

/// The page of a run.
pub(super) fn page(trainer: &Trainer, lines: &[Line], validation: Evaluation) -> String {
    let progress = trainer.progress();
    let settings = toml::to_string(trainer.settings()).unwrap_or_default();
    let rate = progress.tokens as f64 / progress.elapsed.as_secs_f64().max(1e-9);
    let rows = [
        (
            "held-out text",
            format!(
                "{:.4} bits per byte of {}",
                validation.bits_per_byte,
                quantity::bytes(validation.bytes as u64)
            ),
        ),
        ("parameters", quantity::count(trainer.parameters() as u64)),
        (
            "learned from",
            quantity::bytes(trainer.splits().train.text_bytes() as u64),
        ),
        ("tokens seen", quantity::count(progress.tokens)),
        ("steps", progress.steps.to_string()),
        ("speed", format!("{} tokens/s", quantity::digits(rate))),
        ("memory", quantity::bytes(trainer.memory_bytes() as u64)),
    ];
    let mut table = String::from("<table>");
    for (name, value) in rows {
        let _ = write!(table, "<tr><td>{name}</td><td>{}</td></tr>", escape(&value));
    }
    table.push_str("</table>");
    let settings: String = settings.lines().map(|line| escape(line) + "\n").collect();
    let main = format!(
        "<h1>A training run</h1>{table}<h2>Loss</h2><p class=\"soft\">By step: <b>grey</b> the text it learns from, in bits per token; \
         <b>orange</b> the held-out text, in bits per byte (the same where tokens are bytes).</p>{}<h2>Settings</h2><pre>{settings}</pre>",
        chart(lines)
    );
    let page = Page {
        title: "Sprag: a training run",
        style: STYLE,
        main: &main,
        footer: "Written by sprag train.",
        data: "",
    };
    page.html()
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 40.0;
const BELOW: f64 = 24.0;

/// Both curves over steps; the axis of bits begins at the lowest whole number.
fn chart(lines: &[Line]) -> String {
    let bits = |nats: f64| nats / std::f64::consts::LN_2;
    let steps: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| Some((line.step as f64, bits(line.loss?))))
        .collect();
    let held: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| Some((line.step as f64, line.bits_per_byte?)))
        .collect();
    let Some(last) = lines.last().map(|line| line.step.max(1) as f64) else {
        return "<p>No step was made.</p>".to_owned();
    };
    let xs: Vec<f64> = steps.iter().map(|point| point.0).collect();
    let ys: Vec<f64> = steps.iter().map(|point| point.1).collect();
    let smooth: Vec<(f64, f64)> = means(&xs, 300).into_iter().zip(means(&ys, 300)).collect();
    let all = || smooth.iter().chain(&held).map(|point| point.1);
    let least = all().fold(f64::INFINITY, f64::min).floor();
    let most = all()
        .fold(f64::NEG_INFINITY, f64::max)
        .ceil()
        .max(least + 1.0);
    let x = |step: f64| LEFT + (WIDTH - LEFT - 8.0) * step / last;
    let y = |bits: f64| 8.0 + (HEIGHT - BELOW - 8.0) * (most - bits) / (most - least);
    let mut out = format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="bits per token by step">"#
    );
    let apart = ((most - least) / 6.0).ceil().max(1.0);
    let mut mark = least;
    while mark <= most {
        let at = y(mark);
        let _ = write!(
            out,
            r#"<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{at:.1}" y2="{at:.1}"/><text x="{}" y="{:.1}" text-anchor="end">{mark}</text>"#,
            LEFT - 6.0,
            at + 4.0
        );
        mark += apart;
    }
    for (class, points) in [("step", &smooth), ("held", &held)] {
        let points: Vec<String> = points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        let _ = write!(
            out,
            r#"<polyline class="{class}" points="{}"/>"#,
            points.join(" ")
        );
    }
    let below = HEIGHT - 5.0;
    let _ = write!(
        out,
        r#"<text x="{LEFT}" y="{below}">0</text><text x="{WIDTH}" y="{below}" text-anchor="end">step {last}</text></svg>"#
    );
    out
}
