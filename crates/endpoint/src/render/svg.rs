//! The pictures: bars with their samples, bars of parts, curves, and ratios with their intervals.
//!
//! All are as wide as a phone and grow with the page up to a limit, so that their letters stay readable on both. Colours are those of
//! the page's style sheet; a second server differs by its marks too, for those who see no difference of colour.

use page::escape;

use super::digits;

const WIDTH: f64 = 360.0;
const ROW: f64 = 40.0;
const BAR: f64 = 14.0;
/// About the width of a character.
const LETTER: f64 = 6.6;

/// One bar, with single requests as dots on it.
pub(super) struct Bar {
    pub label: String,
    pub value: Option<f64>,
    /// The value in words.
    pub told: String,
    pub samples: Vec<f64>,
    /// 0 for the first server, 1 for the second.
    pub server: usize,
}

/// One bar of several parts, each a length and a class.
pub(super) struct Stack {
    pub label: String,
    pub parts: Vec<(f64, &'static str)>,
    pub told: String,
}

/// Points of one server over something that grows.
pub(super) struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub server: usize,
}

/// A ratio with its interval.
pub(super) struct Span {
    pub label: String,
    /// Low, middle, high.
    pub span: Option<(f64, f64, f64)>,
    pub told: String,
    pub is_shown: bool,
}

fn open(class: &str, height: f64, title: &str, told: impl Iterator<Item = String>) -> String {
    let told: Vec<String> = told.collect();
    let label = escape(&format!("{title}: {}", told.join("; ")));
    format!(
        r#"<svg class="{class}" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{label}">"#
    )
}

/// The line above a bar: what it is, and how much.
fn caption(y: f64, label: &str, told: &str) -> String {
    let room = ((WIDTH / LETTER) as usize).saturating_sub(told.chars().count() + 1);
    let short: String = if label.chars().count() > room {
        let kept: String = label.chars().take(room.saturating_sub(1)).collect();
        format!("{kept}\u{2026}")
    } else {
        label.to_owned()
    };
    format!(
        r#"<text class="name" x="0" y="{y:.1}">{}</text><text class="value" x="{WIDTH}" y="{y:.1}" text-anchor="end">{}</text>"#,
        escape(&short),
        escape(told)
    )
}

/// Bars from a common zero.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    let all = bars
        .iter()
        .flat_map(|b| b.samples.iter().copied().chain(b.value));
    let longest = all.fold(f64::MIN_POSITIVE, f64::max);
    let told = bars.iter().map(|b| format!("{} {}", b.label, b.told));
    let mut out = open("bars", ROW * bars.len() as f64, title, told);
    for (index, bar) in bars.iter().enumerate() {
        let top = ROW * index as f64;
        let (y, middle) = (top + 17.0, top + 17.0 + BAR / 2.0);
        out += &caption(top + 12.0, &bar.label, &bar.told);
        // Dots at the end need their radius.
        let x = |value: f64| value / longest * (WIDTH - 4.0);
        match bar.value {
            Some(value) => {
                out += &format!(
                    r#"<rect class="server{}" x="0" y="{y:.1}" width="{:.1}" height="{BAR}" rx="3"/>"#,
                    bar.server,
                    x(value).max(1.5)
                );
            }
            None => {
                out += &format!(
                    r#"<rect class="unknown" x="0.5" y="{y:.1}" width="{:.1}" height="{BAR}" rx="3"/>"#,
                    WIDTH - 1.0
                );
            }
        }
        for &sample in &bar.samples {
            out += &format!(
                r#"<circle class="dot" cx="{:.1}" cy="{middle:.1}" r="3"/>"#,
                x(sample)
            );
        }
    }
    out + "</svg>"
}

/// Bars of parts from a common zero.
pub(super) fn stacks(title: &str, stacks: &[Stack]) -> String {
    let length = |s: &Stack| s.parts.iter().map(|p| p.0).sum::<f64>();
    let longest = stacks.iter().map(length).fold(f64::MIN_POSITIVE, f64::max);
    let told = stacks.iter().map(|s| format!("{} {}", s.label, s.told));
    let mut out = open("bars", ROW * stacks.len() as f64, title, told);
    for (index, stack) in stacks.iter().enumerate() {
        let top = ROW * index as f64;
        out += &caption(top + 12.0, &stack.label, &stack.told);
        let mut from = 0.0;
        for &(length, class) in stack.parts.iter().filter(|p| p.0 > 0.0) {
            let width = (length / longest * WIDTH).max(1.0);
            out += &format!(
                r#"<rect class="{class}" x="{from:.1}" y="{:.1}" width="{width:.1}" height="{BAR}"/>"#,
                top + 17.0
            );
            from += width;
        }
    }
    out + "</svg>"
}

const LEFT: f64 = 46.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const HEIGHT: f64 = 160.0;
const BOTTOM: f64 = 36.0;

/// Curves over a common axis, both from zero; marks below are at the points.
pub(super) fn curves(title: &str, across: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|c| c.points.iter().copied());
    let most = |of: fn((f64, f64)) -> f64| points().map(of).fold(f64::MIN_POSITIVE, f64::max);
    let (right, top) = (most(|p| p.0), most(|p| p.1) * 1.05);
    let x = |at: f64| LEFT + at / right * (WIDTH - LEFT - RIGHT);
    let y = |at: f64| HEIGHT - BOTTOM - at / top * (HEIGHT - BOTTOM - TOP);
    let told = curves.iter().map(|c| {
        let each = c.points.iter();
        let each: Vec<String> = each
            .map(|p| format!("{} at {}", digits(p.1), p.0))
            .collect();
        format!("{} {}", c.name, each.join(", "))
    });
    let mut out = open("curves", HEIGHT, title, told);
    for step in 0..=2 {
        let value = top / 1.05 * f64::from(step) / 2.0;
        out += &format!(
            r#"<line class="grid" x1="{LEFT}" x2="{0:.1}" y1="{1:.1}" y2="{1:.1}"/><text class="tick" x="{2:.1}" y="{3:.1}" text-anchor="end">{4}</text>"#,
            WIDTH - RIGHT,
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            if step == 0 {
                "0".to_owned()
            } else {
                digits(value)
            },
        );
    }
    out += &ticks(points().map(|p| p.0), x);
    out += &format!(
        r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
        WIDTH - RIGHT,
        HEIGHT - 4.0,
        escape(across)
    );
    for curve in curves {
        let path: Vec<String> = curve
            .points
            .iter()
            .map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1)))
            .collect();
        out += &format!(
            r#"<polyline class="line server{}" points="{}"/>"#,
            curve.server,
            path.join(" ")
        );
        for point in &curve.points {
            out += &mark(curve.server, x(point.0), y(point.1));
        }
    }
    out + "</svg>"
}

/// Marks of the axis below, but those that would stand in another.
fn ticks(values: impl Iterator<Item = f64>, x: impl Fn(f64) -> f64) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let (mut out, mut end) = (String::new(), f64::NEG_INFINITY);
    for value in values {
        let (at, half) = (x(value), value.to_string().len() as f64 * LETTER / 2.0);
        if at - half < end {
            continue;
        }
        end = at + half + LETTER;
        out += &format!(
            r#"<text class="tick" x="{at:.1}" y="{:.1}" text-anchor="middle">{value}</text>"#,
            HEIGHT - BOTTOM + 15.0
        );
    }
    out
}

/// A circle for the first server, a square for the second.
fn mark(server: usize, x: f64, y: f64) -> String {
    if server == 0 {
        format!(r#"<circle class="mark server0" cx="{x:.1}" cy="{y:.1}" r="4"/>"#)
    } else {
        format!(
            r#"<rect class="mark server{server}" x="{:.1}" y="{:.1}" width="8" height="8"/>"#,
            x - 4.0,
            y - 4.0
        )
    }
}

/// Ratios on a logarithmic axis about 1.
pub(super) fn spans(title: &str, spans: &[Span]) -> String {
    let far = spans
        .iter()
        .filter_map(|s| s.span)
        .flat_map(|(low, middle, high)| [low, middle, high])
        .filter(|&r| r > 0.0)
        .map(|r| r.ln().abs())
        .fold(0.1, f64::max);
    let x = |ratio: f64| WIDTH / 2.0 + ratio.max(1e-9).ln() / far * (WIDTH / 2.0 - 8.0);
    let height = ROW * spans.len() as f64 + 18.0;
    let told = spans.iter().map(|s| format!("{} {}", s.label, s.told));
    let mut out = open("spans", height, title, told);
    for (index, span) in spans.iter().enumerate() {
        let top = ROW * index as f64;
        let y = top + 24.0;
        out += &caption(top + 12.0, &span.label, &span.told);
        out += &format!(
            r#"<line class="grid" x1="{0:.1}" x2="{0:.1}" y1="{1:.1}" y2="{2:.1}"/>"#,
            WIDTH / 2.0,
            y - 7.0,
            y + 7.0
        );
        let Some((low, middle, high)) = span.span else {
            continue;
        };
        let class = if span.is_shown { "shown" } else { "doubt" };
        out += &format!(
            r#"<line class="span {class}" x1="{:.1}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><circle class="span {class}" cx="{:.1}" cy="{y:.1}" r="4.5"/>"#,
            x(low).clamp(2.0, WIDTH - 2.0),
            x(high).clamp(2.0, WIDTH - 2.0),
            x(middle)
        );
    }
    out += &format!(
        r#"<text class="tick" x="0" y="{0:.1}">second faster</text><text class="tick" x="{1:.1}" y="{0:.1}" text-anchor="middle">equal</text><text class="tick" x="{WIDTH}" y="{0:.1}" text-anchor="end">first faster</text></svg>"#,
        height - 4.0,
        WIDTH / 2.0
    );
    out
}
