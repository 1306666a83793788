//! Two servers against each other on a terminal.

use endpoint::report::{Against, Ratio, Speed};

use super::text::wrapped;
use crate::{
    quantity,
    terminal::{Paint, Style},
};

/// The table of ratios, or why there is none.
pub(super) fn lines(against: &Against, paint: Paint) -> Vec<String> {
    let mut lines = vec![paint.paint(Style::Heading, "FIRST AGAINST SECOND")];
    if !against.ratios.is_empty() {
        lines.push(
            "                                 first   second           the first is so many times as fast"
                .to_owned(),
        );
    }
    let mut place = String::new();
    for ratio in &against.ratios {
        let here = title(ratio);
        if here != place {
            lines.push(format!("  {here}"));
            place = here;
        }
        lines.push(row(ratio));
    }
    if against.refusal.is_none() {
        lines.push(String::new());
        lines.extend(wrapped(&against.verdict));
    }
    lines.extend(wrapped(&against.agreement.finding));
    lines
}

fn title(ratio: &Ratio) -> String {
    match ratio.clients {
        Some(1) => "1 client".to_owned(),
        Some(n) => format!("{n} clients at once"),
        None => format!("depth {}", ratio.depth),
    }
}

fn row(ratio: &Ratio) -> String {
    let of = |value: Option<f64>| value.map_or("none".to_owned(), quantity::digits);
    let speed = match &ratio.speed {
        Speed::Unknown { why } => format!("unknown: {why}"),
        Speed::Known {
            ratio,
            interval: None,
            pairs,
        } => format!("{ratio:.2}  (no interval from {pairs} of both)"),
        Speed::Known {
            ratio: times,
            interval: Some(i),
            ..
        } => {
            let doubt = if ratio.speed.is_shown() {
                ""
            } else {
                ": no difference shown"
            };
            format!("{times:.2}  ({:.2} to {:.2}{doubt})", i.low, i.high)
        }
    };
    format!(
        "    {:<27}{:>8}{:>9} {:<9} {speed}",
        ratio.what.name(),
        of(ratio.first),
        of(ratio.second),
        ratio.what.unit()
    )
}
