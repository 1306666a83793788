//! Two runs side by side in a terminal.

use std::fmt::Write as _;

use page::plain;

use super::{terminal::Style, terminal::signed};
use crate::{
    diff::{Comparison, Diff, LevelPair, PartPair, Side},
    numbers::significant,
};

/// Parts listed.
const PARTS: usize = 8;

/// The comparison as text of at most `width` columns (at least 60).
#[must_use]
pub fn diff(diff: &Diff, color: bool, width: usize) -> String {
    let style = Style {
        color,
        width: width.max(60),
    };
    let mut out = String::new();
    side(&mut out, "first", &diff.first, &style);
    side(&mut out, "second", &diff.second, &style);
    if !diff.differences.is_empty() {
        let text = format!("they differ in {}", diff.differences.join("; "));
        style.paragraph(&mut out, 2, &plain(&text));
    }
    for comparison in [&diff.prefill, &diff.decode] {
        regime(&mut out, comparison, &style);
    }
    out
}

fn side(out: &mut String, which: &str, side: &Side, style: &Style) {
    let text = format!(
        "{which:<7} {}  {}; {}; sprag {}",
        side.date, side.model, side.machine, side.sprag
    );
    style.paragraph(out, 0, &plain(&text));
}

fn regime(out: &mut String, comparison: &Comparison, style: &Style) {
    let title = comparison.regime.name().to_uppercase();
    let heads = format!(
        "  {:<17}{:>10}{:>10}  {:<26}{:>10}",
        "", "first", "second", "second is times as fast", "own share"
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\n{}  ms/token\n{}",
        style.bold(&title),
        style.dim(&heads)
    );
    for level in &comparison.levels {
        let _ = writeln!(out, "{}", level_line(level).trim_end());
    }
    if !comparison.parts.is_empty() {
        let title = "parts in the step, second less first, ms/token";
        let _ = writeln!(out, "  {}", style.dim(title));
    }
    for part in comparison.parts.iter().take(PARTS) {
        let _ = writeln!(out, "{}", part_line(part));
    }
    out.push('\n');
    style.paragraph(out, 2, &plain(&comparison.verdict));
}

fn level_line(level: &LevelPair) -> String {
    let ms = |ms: Option<f64>| ms.map_or_else(|| "unknown".to_owned(), significant);
    let speed_up = level.speed_up.map_or_else(String::new, |ratio| {
        let range = level.interval.map_or_else(String::new, |i| {
            format!(" [{}, {}]", significant(i.low), significant(i.high))
        });
        significant(ratio) + &range
    });
    let own = level
        .own
        .map_or_else(String::new, |own| format!("x{}", significant(own)));
    format!(
        "  {:<17}{:>10}{:>10}  {speed_up:<26}{own:>10}",
        level.layer.name(),
        ms(level.first_ms),
        ms(level.second_ms)
    )
}

fn part_line(part: &PartPair) -> String {
    let ms = |ms: Option<f64>| ms.map_or_else(|| "none".to_owned(), significant);
    format!(
        "    {:>9}  {} ({} and {})",
        signed(part.difference_ms()),
        plain(&part.name),
        ms(part.first_ms),
        ms(part.second_ms)
    )
}
