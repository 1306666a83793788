//! The roofline as an SVG: each part at its operations per byte and the operations per second that it reaches alone, under the roofs of
//! bandwidth and arithmetic. Both axes logarithmic.

use page::escape;

use crate::{
    numbers::amount,
    report::{Part, Waterfall},
};

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;
/// Parts that are named, by share of the step.
const NAMED: usize = 5;

struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    /// Whole decades around the points and the roofs.
    fn around(points: &[(f64, f64, &Part)], peak: f64) -> Self {
        let decades = |values: &mut dyn Iterator<Item = f64>, most: f64| {
            let (low, high) = values.fold((f64::INFINITY, most), |(low, high), v| {
                (low.min(v), high.max(v))
            });
            (low.min(most / 10.0).log10().floor(), high.log10().ceil())
        };
        Self {
            x: decades(&mut points.iter().map(|p| p.0), 100.0),
            y: decades(&mut points.iter().map(|p| p.1), peak * 1.2),
        }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let part =
            |value: f64, (low, high): (f64, f64)| (value.log10() - low) / (high - low).max(1.0);
        (
            LEFT + part(x, self.x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - part(y, self.y) * (HEIGHT - TOP - BOTTOM),
        )
    }
}

/// An `<svg>` element; empty where no part computes anything.
pub(super) fn svg(fall: &Waterfall) -> String {
    let mut points: Vec<(f64, f64, &Part)> = Vec::new();
    for part in &fall.parts {
        let bytes = part.streamed_bytes + part.activation_bytes;
        let ops = part.work.ops();
        if bytes > 0.0 && ops > 0.0 && part.gop_s > 0.0 {
            points.push((ops / bytes, part.gop_s, part));
        }
    }
    let ceilings = &fall.ceilings;
    let peak = ceilings.int8_gop_s.max(ceilings.f32_gflop_s);
    if points.is_empty() || !peak.is_finite() {
        return String::new();
    }
    points.sort_by(|a, b| b.2.share.total_cmp(&a.2.share));
    let axes = Axes::around(&points, peak);
    // A stranger's report may hold any numbers.
    let decades = [axes.x.0, axes.x.1, axes.y.0, axes.y.1];
    let can_be_drawn = decades.iter().all(|decade| decade.abs() <= 40.0);
    if !can_be_drawn {
        return String::new();
    }
    let label = format!("Roofline of the parts of {}", fall.regime.name());
    let mut out = format!(
        r#"<svg class="roof" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">"#
    );
    out += &grid(&axes);
    out += &format!(
        r#"<clipPath id="frame-{0}"><rect x="{LEFT}" y="{TOP}" width="{1}" height="{2}"/></clipPath><g clip-path="url(#frame-{0})">"#,
        fall.regime.name(),
        WIDTH - LEFT - RIGHT,
        HEIGHT - TOP - BOTTOM
    );
    out += &roof(&axes, ceilings.stream_gb_s, ceilings.int8_gop_s, "stream");
    out += &roof(&axes, ceilings.cache_gb_s, ceilings.f32_gflop_s, "cached");
    out += "</g>";
    let mut tags: Vec<Tag> = Vec::new();
    for (x, y, part) in &points {
        out += &circle(&axes, *x, *y, part);
        if tags.len() < NAMED
            && let Some(tag) = Tag::beside(axes.at(*x, *y), part, &tags)
        {
            tags.push(tag);
        }
    }
    for tag in &tags {
        out += &format!(
            r#"<text class="tag" x="{:.1}" y="{:.1}">{}</text>"#,
            tag.x,
            tag.y + 4.0,
            tag.text
        );
    }
    out + "</svg>"
}

fn grid(axes: &Axes) -> String {
    let mut out = String::new();
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for decade in axes.x.0 as i32..=axes.x.1 as i32 {
        let (x, _) = axes.at(10f64.powi(decade), 1.0);
        out += &format!(r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom}"/>"#);
        out += &format!(
            r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 14.0,
            power(decade)
        );
    }
    for decade in axes.y.0 as i32..=axes.y.1 as i32 {
        let (_, y) = axes.at(1.0, 10f64.powi(decade));
        out += &format!(r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#);
        out += &format!(
            r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 5.0,
            y + 4.0,
            power(decade)
        );
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    out += &format!(
        r#"<text class="tick" x="{middle:.1}" y="{:.1}" text-anchor="middle">operations per byte</text>"#,
        HEIGHT - 6.0
    );
    let across = (TOP + bottom) / 2.0;
    out + &format!(
        r#"<text class="tick" transform="translate(13 {across:.1}) rotate(-90)" text-anchor="middle">10^9 operations/s</text>"#
    )
}

fn power(decade: i32) -> String {
    match decade {
        -3..=4 => format!("{}", 10f64.powi(decade)),
        _ => format!("1e{decade}"),
    }
}

/// Rises with the bandwidth, flat at the peak.
fn roof(axes: &Axes, gb_s: f64, gop_s: f64, class: &str) -> String {
    let low = 10f64.powf(axes.x.0);
    let knee = gop_s / gb_s;
    let points = [
        (low, low * gb_s),
        (knee, gop_s),
        (10f64.powf(axes.x.1).max(knee), gop_s),
    ];
    let path: Vec<String> = points
        .iter()
        .map(|&(x, y)| {
            let (x, y) = axes.at(x, y);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    format!(
        r#"<polyline class="line {class}" points="{}"/>"#,
        path.join(" ")
    )
}

/// A part's name beside its circle.
struct Tag {
    x: f64,
    /// Middle of the line.
    y: f64,
    width: f64,
    text: String,
}

impl Tag {
    /// Right, left, below or above, wherever it is free; none where nothing is.
    fn beside((cx, cy): (f64, f64), part: &Part, taken: &[Self]) -> Option<Self> {
        let (radius, text) = (radius(part) + 4.0, &part.name);
        // About 6.6 units a character at this size.
        let width = 6.6 * text.chars().count() as f64;
        let places = [
            (cx + radius, cy),
            (cx - radius - width, cy),
            (cx - width / 2.0, cy + radius + 8.0),
            (cx - width / 2.0, cy - radius - 8.0),
        ];
        let inside = |x: f64, y: f64| {
            x > LEFT && x + width < WIDTH - RIGHT && y > TOP + 8.0 && y < HEIGHT - BOTTOM - 8.0
        };
        let free = |x: f64, y: f64| {
            taken
                .iter()
                .all(|t| x > t.x + t.width || t.x > x + width || (t.y - y).abs() > 14.0)
        };
        let (x, y) = places
            .into_iter()
            .find(|&(x, y)| inside(x, y) && free(x, y))?;
        let text = escape(text);
        Some(Self { x, y, width, text })
    }
}

fn radius(part: &Part) -> f64 {
    3.0 + 14.0 * part.share.max(0.0).sqrt()
}

fn circle(axes: &Axes, x: f64, y: f64, part: &Part) -> String {
    let (cx, cy) = axes.at(x, y);
    let hint = format!(
        "{}: {}, {}; {:.0}% of its ceiling, {:.0}% of the step",
        escape(&part.name),
        amount(part.gb_s * 1e9, "B/s"),
        amount(part.gop_s * 1e9, "OP/s"),
        100.0 * part.roofline_share,
        100.0 * part.share
    );
    let radius = radius(part);
    format!(
        r#"<circle class="part" cx="{cx:.1}" cy="{cy:.1}" r="{radius:.1}"><title>{hint}</title></circle>"#
    )
}
