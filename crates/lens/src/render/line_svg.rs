//! Curves as an SVG: one or several lines over a common axis, with ticks at round numbers.

use page::escape;

use crate::numbers::significant;

const WIDTH: f64 = 520.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;
/// Ticks on an axis, about.
const TICKS: f64 = 5.0;

/// How an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// Powers of two with a binary prefix; only for values above 0.
    Bytes,
}

/// One line.
pub(super) struct Line {
    pub name: String,
    /// Of the style sheet.
    pub class: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// A chart.
pub(super) struct Chart<'c> {
    /// What it shows, for those who can't see it.
    pub label: &'c str,
    pub x: (&'c str, Scale),
    /// From zero.
    pub y: &'c str,
    pub lines: Vec<Line>,
    /// Places on the x axis that are marked, with a word.
    pub marks: Vec<(f64, String)>,
    pub height: f64,
}

impl Chart<'_> {
    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.lines.iter().flat_map(|line| &line.points)
    }

    /// An `<svg>` element with its legend; empty where no line has two points.
    pub fn html(&self) -> String {
        let is_line = |line: &Line| line.points.len() > 1;
        let finite = self.points().all(|(x, y)| x.is_finite() && y.is_finite());
        if !self.lines.iter().any(is_line) || !finite {
            return String::new();
        }
        let most_y = self.points().map(|p| p.1).fold(0.0, f64::max);
        let (low, high) = self
            .points()
            .map(|p| self.along(p.0))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
                (low.min(x), high.max(x))
            });
        let axes = Axes {
            low: if self.x.1 == Scale::Linear { 0.0 } else { low },
            high,
            most: if most_y > 0.0 { 1.05 * most_y } else { 1.0 },
            height: self.height,
        };
        let mut out = format!(
            r#"<svg class="roof" viewBox="0 0 {WIDTH} {}" role="img" aria-label="{}">"#,
            self.height,
            escape(&format!("{}: {}", self.label, self.in_words()))
        );
        out += &self.grid(&axes);
        for (place, word) in &self.marks {
            let (x, _) = axes.at(self.along(*place), 0.0);
            out += &format!(
                r#"<line class="drop" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{:.1}"/><text class="tick" x="{:.1}" y="{:.1}">{}</text>"#,
                self.height - BOTTOM,
                x + 3.0,
                TOP + 9.0,
                escape(word)
            );
        }
        for line in &self.lines {
            let points: Vec<String> = line
                .points
                .iter()
                .map(|&(x, y)| {
                    let (x, y) = axes.at(self.along(x), y);
                    format!("{x:.1},{y:.1}")
                })
                .collect();
            out += &format!(
                r#"<polyline class="line {}" points="{}"><title>{}</title></polyline>"#,
                line.class,
                points.join(" "),
                escape(&line.name)
            );
        }
        out += "</svg>";
        if self.lines.len() > 1 {
            let keys = self.lines.iter().map(|line| {
                format!(
                    r#"<span class="key {}"></span>{}"#,
                    line.class,
                    escape(&line.name)
                )
            });
            out += &format!(
                "<p class=\"soft small keys\">{}</p>",
                keys.collect::<String>()
            );
        }
        out
    }

    /// The ends of each line.
    fn in_words(&self) -> String {
        let told = self.lines.iter().filter_map(|line| {
            let (first, last) = (line.points.first()?, line.points.last()?);
            Some(format!(
                "{} from {} to {}",
                line.name,
                significant(first.1),
                significant(last.1)
            ))
        });
        told.collect::<Vec<_>>().join("; ")
    }

    fn along(&self, x: f64) -> f64 {
        match self.x.1 {
            Scale::Linear => x,
            Scale::Bytes => x.max(1.0).log2(),
        }
    }

    fn grid(&self, axes: &Axes) -> String {
        let (bottom, right) = (self.height - BOTTOM, WIDTH - RIGHT);
        let mut out = String::new();
        let ticks: Vec<(f64, String)> = match self.x.1 {
            Scale::Linear => round_numbers(axes.low, axes.high)
                .map(|x| (x, trimmed(x)))
                .collect(),
            Scale::Bytes => {
                let (first, last) = (axes.low.ceil() as u32, axes.high.floor() as u32);
                let step = (last.saturating_sub(first) / 6).max(1) as usize;
                (first..=last)
                    .step_by(step)
                    .map(|power| (f64::from(power), binary(power)))
                    .collect()
            }
        };
        for (x, text) in ticks {
            let (x, _) = axes.at(x, 0.0);
            out += &format!(
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
                bottom + 14.0
            );
        }
        for y in round_numbers(0.0, axes.most) {
            let (_, at) = axes.at(axes.low, y);
            out += &format!(
                r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 5.0,
                at + 4.0,
                trimmed(y)
            );
        }
        let middle = (LEFT + right) / 2.0;
        let across = (TOP + bottom) / 2.0;
        out + &format!(
            r#"<text class="tick" x="{middle:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="tick" transform="translate(13 {across:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
            self.height - 6.0,
            escape(self.x.0),
            escape(self.y)
        )
    }
}

struct Axes {
    low: f64,
    high: f64,
    most: f64,
    height: f64,
}

impl Axes {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let width = (self.high - self.low).max(f64::MIN_POSITIVE);
        (
            LEFT + (x - self.low) / width * (WIDTH - LEFT - RIGHT),
            self.height - BOTTOM - y / self.most * (self.height - TOP - BOTTOM),
        )
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn round_numbers(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let rough = ((high - low) / TICKS).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|n| n * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(move |n| n as f64 * step)
}

/// Without zeros behind the point.
fn trimmed(x: f64) -> String {
    let text = format!("{x:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// A power of two with a binary prefix.
pub(super) fn binary(power: u32) -> String {
    const PREFIXES: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let prefix = PREFIXES.get((power / 10) as usize).unwrap_or(&"");
    format!("{} {prefix}", 1u64 << (power % 10))
}

#[cfg(test)]
mod tests {
    use super::{Chart, Line, Scale, binary, round_numbers, trimmed};

    #[test]
    fn ticks_are_at_round_numbers() {
        let ticks: Vec<String> = round_numbers(0.0, 283.0).map(trimmed).collect();
        assert_eq!(ticks, ["0", "100", "200"]);
        let ticks: Vec<String> = round_numbers(0.0, 0.9).map(trimmed).collect();
        assert_eq!(ticks, ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(binary(14), "16 KiB");
        assert_eq!(binary(30), "1 GiB");
    }

    #[test]
    fn nothing_is_drawn_of_a_point_or_of_what_is_no_number() {
        let chart = |points: Vec<(f64, f64)>| Chart {
            label: "speed",
            x: ("time", Scale::Linear),
            y: "tokens/s",
            lines: vec![Line {
                name: "a<b".into(),
                class: "stream",
                points,
            }],
            marks: Vec::new(),
            height: 200.0,
        };
        assert_eq!(chart(vec![(1.0, 2.0)]).html(), "");
        assert_eq!(chart(vec![(1.0, 2.0), (2.0, f64::NAN)]).html(), "");
        let svg = chart(vec![(0.0, 10.0), (10.0, 5.0)]).html();
        assert!(svg.contains("a&lt;b from 10.0 to 5.00"), "{svg}");
        assert!(svg.contains(r#"points="58.0,"#), "{svg}");
    }
}
