//! The report in a terminal, readable from 60 columns on. Unicode blocks and colours, or plain ASCII.

use std::fmt::Write as _;

use super::{
    anatomy, application, losses, plain, scaling, silicon, sustained, task, unexplained, wrap,
};
use crate::{
    numbers::{amount, significant},
    report::{Layer, Level, Loss, Reading, Report, Waterfall},
};

/// Causes shown per loss; the rest is in the JSON.
const CAUSES: usize = 4;
/// Below this share of the slowest level a cause is not shown.
const SMALL: f64 = 0.01;
/// Columns of a level's name and figures, before the bar; those of the range where there is room for it.
const FIGURES: usize = 48;
const RANGE: usize = 18;

pub(super) struct Style {
    pub color: bool,
    pub width: usize,
}

impl Style {
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Whether the widest tables fit.
    pub fn is_wide(&self) -> bool {
        self.width >= 100
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Text in lines behind an indent.
    pub fn paragraph(&self, out: &mut String, indent: usize, text: &str) {
        for line in wrap(text, self.width.saturating_sub(indent)) {
            out.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
}

/// The report as text of at most `width` columns (at least 60).
#[must_use]
pub fn terminal(report: &Report, color: bool, width: usize) -> String {
    let style = Style {
        color,
        width: width.max(60),
    };
    let mut out = String::new();
    header(&mut out, report, &style);
    for fall in [&report.prefill, &report.decode] {
        waterfall(&mut out, fall, &style);
    }
    if style.is_wide() {
        out.push('\n');
        style.paragraph(&mut out, 2, &style.dim(&report.ranges_in_words()));
    }
    silicon::terminal(&mut out, &report.roofline, &style);
    if let Some(found) = &report.application {
        application::terminal(&mut out, found, &style);
    }
    if let Some(found) = &report.anatomy {
        anatomy::terminal(&mut out, report, found, &style);
    }
    if let Some(found) = &report.scaling {
        scaling::terminal(&mut out, found, &style);
    }
    match (&report.sustained, &report.energy) {
        (Some(run), _) => sustained::terminal(&mut out, run, &style),
        (None, Some(energy)) => {
            out.push_str(&format!("\n{}\n", style.bold("ENERGY")));
            sustained::energy(&mut out, energy, &style);
        }
        (None, None) => {}
    }
    if !report.warnings.is_empty() {
        out.push_str(&format!("\n{}\n", style.bold("warnings")));
        for warning in &report.warnings {
            style.paragraph(&mut out, 2, &plain(warning));
        }
    }
    out
}

fn header(out: &mut String, report: &Report, style: &Style) {
    let model = &report.model;
    let formats: Vec<_> = model
        .formats
        .iter()
        .take(3)
        .map(|f| format!("{} {}", plain(&f.name), amount(f.bytes as f64, "B")))
        .collect();
    out.push_str(&format!("{}\n", style.bold(&plain(&model.name))));
    let what = format!(
        "{}, {} parameters; {}",
        plain(&model.architecture),
        amount(model.parameters as f64, "").trim(),
        formats.join(", ")
    );
    style.paragraph(out, 2, &what);
    let machine = &report.machine;
    let cpu = machine
        .cpu
        .name
        .value()
        .map_or_else(|| "unnamed processor".to_owned(), |name| plain(name));
    let virtual_machine = if machine.is_virtual() == Some(true) {
        ", virtual machine"
    } else {
        ""
    };
    let profile = &report.profile;
    style.paragraph(
        out,
        2,
        &format!(
            "{cpu}{virtual_machine}; {} threads, {}, KV {}{}",
            profile.threads,
            plain(&profile.isa),
            plain(&profile.kv_type),
            super::float_products(profile)
        ),
    );
}

fn waterfall(out: &mut String, fall: &Waterfall, style: &Style) {
    out.push_str(&format!(
        "\n{}  {}\n",
        style.bold(&fall.regime.name().to_uppercase()),
        task(fall)
    ));
    let mut heads = format!(
        "  {:<17}{:>10}{:>11}{:>9}",
        "", "ms/token", "tokens/s", "factor"
    );
    if style.is_wide() {
        heads += &format!("{:>RANGE$}", "19 in 20");
    }
    out.push_str(&format!("{}\n", style.dim(&heads)));
    let longest = fall
        .levels
        .iter()
        .filter_map(|l| l.ms_per_token.value())
        .fold(0.0, f64::max);
    for level in &fall.levels {
        level_line(out, level, longest, style);
    }
    for level in &fall.levels {
        if let Reading::Unknown { reason, remedy } = &level.ms_per_token {
            let dot = if remedy.is_empty() { "" } else { ": " };
            style.paragraph(
                out,
                2,
                &format!(
                    "{} is unknown: {}{dot}{}",
                    level.layer.name(),
                    plain(reason),
                    plain(remedy)
                ),
            );
        }
    }
    for (layer, loss) in losses(fall) {
        causes(out, (fall, layer, loss), longest, style);
    }
    out.push('\n');
    style.paragraph(out, 2, &plain(&fall.verdict));
}

fn level_line(out: &mut String, level: &Level, longest: f64, style: &Style) {
    let name = level.layer.name();
    let Some(ms) = level.ms_per_token.value() else {
        out.push_str(&format!("  {name:<17}{:>10}\n", "unknown"));
        return;
    };
    let rate = level.tokens_per_s.map_or_else(|| "-".into(), significant);
    let factor = level
        .loss
        .as_ref()
        .map_or_else(String::new, |loss| format!("x{}", significant(loss.factor)));
    let range = match (&level.ms_per_token, style.is_wide()) {
        (Reading::Known { figure }, true) => {
            let range = figure.range.map_or_else(String::new, |range| {
                format!("{} to {}", significant(range.low), significant(range.high))
            });
            format!("{range:>RANGE$}")
        }
        _ => String::new(),
    };
    let columns = style.width.saturating_sub(FIGURES + range.len() + 2);
    let before = level
        .loss
        .as_ref()
        .map_or(ms, |loss| (ms - loss.ms).min(ms));
    let cells = |ms: f64| {
        if longest > 0.0 {
            (ms / longest * columns as f64).round() as usize
        } else {
            0
        }
    };
    let (all, kept) = (cells(ms).max(1), cells(before));
    let (block, lost) = if style.color {
        ("\u{2588}", "\u{2593}")
    } else {
        ("#", "+")
    };
    let kept = kept.min(all);
    let bar = style.paint("36", &block.repeat(kept)) + &style.paint("33", &lost.repeat(all - kept));
    out.push_str(&format!(
        "  {name:<17}{:>10}{rate:>11}{factor:>9}{range} {bar}\n",
        significant(ms)
    ));
}

fn causes(
    out: &mut String,
    (fall, layer, loss): (&Waterfall, Layer, &Loss),
    longest: f64,
    style: &Style,
) {
    let title = format!(
        "{} -> {}: {} ms",
        loss.from.name(),
        layer.name(),
        signed(loss.ms)
    );
    out.push_str(&format!("  {}\n", style.dim(&title)));
    let worth = |ms: f64| ms.abs() >= SMALL * longest;
    for cause in loss.causes.iter().filter(|c| worth(c.ms)).take(CAUSES) {
        line(out, cause.ms, &plain(&cause.name), style);
    }
    let hidden = loss
        .causes
        .iter()
        .filter(|c| worth(c.ms))
        .skip(CAUSES)
        .chain(loss.causes.iter().filter(|c| !worth(c.ms)));
    let (count, sum) = hidden.fold((0, 0.0), |(n, sum), c| (n + 1, sum + c.ms));
    match count {
        0 => {}
        1 => line(out, sum, "1 smaller cause", style),
        _ => line(out, sum, &format!("{count} smaller causes"), style),
    }
    let mut rest = String::new();
    line(
        &mut rest,
        loss.unexplained_ms,
        unexplained(fall, loss),
        style,
    );
    if fall.is_explained(loss) {
        out.push_str(&rest);
    } else {
        let _ = writeln!(out, "{}", style.paint("31", rest.trim_end()));
    }
}

fn line(out: &mut String, ms: f64, text: &str, style: &Style) {
    let room = style.width.saturating_sub(16);
    let cut: String = if text.chars().count() > room {
        text.chars()
            .take(room.saturating_sub(3))
            .chain("...".chars())
            .collect()
    } else {
        text.to_owned()
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "    {:>9}  {cut}", signed(ms));
}

/// With its sign, so that gains are told from losses.
pub(super) fn signed(ms: f64) -> String {
    let text = significant(ms.abs());
    let zero = text.chars().all(|c| c == '0' || c == '.');
    match (zero, ms < 0.0) {
        (true, _) => "0".to_owned(),
        (false, true) => format!("-{text}"),
        (false, false) => format!("+{text}"),
    }
}
