//! The waterfall as an SVG: one bar per level, what is carried over from the level before and what is lost on the way.

use page::escape;

use super::terminal::signed;
use crate::{
    numbers::significant,
    report::{Level, Waterfall},
};

const WIDTH: f64 = 520.0;
const ROW: f64 = 58.0;
const BAR: f64 = 22.0;
const TOP: f64 = 8.0;

/// An `<svg>` element; colours are those of what is around it, and `place` are attributes that say where it lies there.
pub(super) fn svg(fall: &Waterfall, place: &str) -> String {
    let longest = fall
        .levels
        .iter()
        .filter_map(|l| l.ms_per_token.value())
        .fold(0.0, f64::max);
    let height = TOP + ROW * fall.levels.len() as f64;
    let title = format!(
        "Waterfall of {} in milliseconds per token",
        fall.regime.name()
    );
    let mut out = format!(
        r#"<svg class="fall"{place} viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{title}">"#
    );
    let scale = |ms: f64| {
        if longest > 0.0 {
            (ms / longest * WIDTH).max(1.5)
        } else {
            0.0
        }
    };
    let mut previous: Option<(f64, f64)> = None;
    for (index, level) in fall.levels.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        out += &row(level, y, &scale);
        if let Some(ms) = level.ms_per_token.value() {
            let x = scale(ms);
            if let Some((from_x, from_y)) = previous {
                let to_y = y + 20.0;
                out += &format!(
                    r#"<line class="drop" x1="{from_x:.1}" x2="{from_x:.1}" y1="{from_y:.1}" y2="{to_y:.1}"/>"#
                );
            }
            previous = Some((x, y + 20.0 + BAR));
        }
    }
    out + "</svg>"
}

fn row(level: &Level, y: f64, scale: &impl Fn(f64) -> f64) -> String {
    let (text_y, bar_y) = (y + 13.0, y + 20.0);
    let mut out = format!(
        r#"<text class="name" x="0" y="{text_y:.1}">{}</text>"#,
        level.layer.name()
    );
    let Some(ms) = level.ms_per_token.value() else {
        out += &format!(
            r#"<text class="value" x="{WIDTH}" y="{text_y:.1}" text-anchor="end">unknown</text>"#
        );
        out += &format!(
            r#"<rect class="unknown" x="0.5" y="{bar_y:.1}" width="{:.1}" height="{BAR}" rx="3"/>"#,
            WIDTH - 1.0
        );
        return out;
    };
    let rate = level.tokens_per_s.map_or_else(String::new, |rate| {
        format!(" \u{b7} {} tokens/s", significant(rate))
    });
    out += &format!(
        r#"<text class="value" x="{WIDTH}" y="{text_y:.1}" text-anchor="end">{} ms{rate}</text>"#,
        significant(ms)
    );
    let (end, lost_ms) = (scale(ms), level.loss.as_ref().map_or(0.0, |l| l.ms));
    let kept = if lost_ms > 0.0 {
        scale(ms - lost_ms).min(end)
    } else {
        end
    };
    out += &format!(
        r#"<rect class="kept" x="0" y="{bar_y:.1}" width="{kept:.1}" height="{BAR}" rx="3"/>"#
    );
    let Some(loss) = &level.loss else {
        return out;
    };
    let hint: Vec<String> = loss
        .causes
        .iter()
        .take(6)
        .map(|c| format!("{} ms {}", signed(c.ms), escape(&c.name)))
        .collect();
    if lost_ms > 0.0 {
        let width = (end - kept).max(1.0);
        out += &format!(
            r#"<rect class="lost" x="{kept:.1}" y="{bar_y:.1}" width="{width:.1}" height="{BAR}" rx="3"><title>{}</title></rect>"#,
            hint.join("\n")
        );
    }
    let label = format!("{} ms \u{d7}{}", signed(loss.ms), significant(loss.factor));
    // About 7 units a character at this size.
    let needs = 7.0 * label.chars().count() as f64 + 12.0;
    let label_y = bar_y + 15.5;
    out += &if WIDTH - end > needs {
        format!(
            r#"<text class="loss" x="{:.1}" y="{label_y:.1}">{label}</text>"#,
            end + 7.0
        )
    } else {
        format!(
            r#"<text class="loss inside" x="{:.1}" y="{label_y:.1}" text-anchor="end">{label}</text>"#,
            end - 7.0
        )
    };
    out
}
