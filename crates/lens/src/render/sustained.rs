//! A sustained run: whether the speed lasts, and what it draws.

use silicon::Fact;

use page::{escape, plain};

use super::{
    line_svg::{Chart, Line, Scale},
    terminal::Style,
};
use crate::{
    numbers::significant,
    report::{Energy, Second, Sustained},
};

/// Blocks of a curve in a terminal, and how many stand side by side.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const COLUMNS: usize = 60;
/// Points of a curve: more cannot be told apart.
const POINTS: usize = 600;
/// Sources that cannot be read, and are told with their remedy in the terminal.
const TOLD: usize = 2;

/// One of the curves.
type Sensed = fn(&Second) -> Option<f64>;

/// What happened, a sentence each.
fn sentences(run: &Sustained) -> Vec<String> {
    let share = 100.0 * run.last_tokens_per_s / run.best_tokens_per_s.max(f64::MIN_POSITIVE);
    let mut all = vec![format!(
        "The last {:.0} s reach {} tokens/s, {share:.0}% of the best {:.0} s ({}).",
        run.last_s,
        significant(run.last_tokens_per_s),
        run.best_s,
        significant(run.best_tokens_per_s)
    )];
    if run.elapsed_s + 1.0 < run.asked_s {
        all.push(format!(
            "It was stopped after {:.0} of {:.0} s.",
            run.elapsed_s, run.asked_s
        ));
    }
    let ends = |of: Sensed| {
        let mut known = run.seconds.iter().filter_map(of);
        let first = known.next()?;
        Some((first, known.next_back().unwrap_or(first)))
    };
    let mut told = Vec::new();
    if let Some((first, last)) = ends(|s| s.clock_ghz) {
        told.push(format!("clock {first:.2} GHz, then {last:.2} (measured)"));
    }
    if let Some((first, last)) = ends(|s| s.celsius) {
        told.push(format!("hottest sensor {first:.0}, then {last:.0} degrees"));
    }
    if let Fact::Known { value, .. } = &run.throttled {
        told.push(format!("throttled {value} times"));
    }
    if !told.is_empty() {
        all.push(format!("{}.", told.join("; ")));
    }
    all.extend(run.unknown.iter().map(|why| format!("{why}.")));
    all
}

/// What it took, or why that is not known; a sentence each.
fn energy_sentences(energy: &Energy) -> Vec<String> {
    let per_token = |joules: &Fact<f64>| {
        let joules = joules.value().filter(|_| energy.tokens > 0)?;
        Some(1e3 * joules / energy.tokens as f64)
    };
    let mut all = Vec::new();
    for used in &energy.used {
        let name = &used.scope.name;
        all.push(match (per_token(&used.gross_j), per_token(&used.net_j)) {
            (Some(gross), Some(net)) => format!(
                "{name}: {} mJ a token, {} beyond what it takes idle.",
                significant(gross),
                significant(net)
            ),
            (Some(gross), None) => format!("{name}: {} mJ a token.", significant(gross)),
            (None, _) => match &used.gross_j {
                Fact::Unknown { reason } => format!("{name} is unavailable: {reason}."),
                Fact::Known { .. } => format!("{name}: no token was decoded."),
            },
        });
    }
    for what in &energy.unreadable {
        all.push(format!(
            "Energy of {} is unavailable: {}: {}.",
            what.scope, what.why.reason, what.why.remedy
        ));
    }
    all
}

pub(super) fn terminal(out: &mut String, run: &Sustained, style: &Style) {
    let title = style.bold("SUSTAINED");
    out.push_str(&format!(
        "\n{title}  decoding behind {} tokens for {:.0} s\n",
        run.depth, run.elapsed_s
    ));
    if style.color && run.seconds.len() > 1 {
        let columns = COLUMNS.min(run.seconds.len());
        let most = run.seconds.iter().map(|s| s.tokens_per_s);
        let most = most.fold(f64::MIN_POSITIVE, f64::max);
        let curve: String = (0..columns)
            .map(|column| {
                let from = column * run.seconds.len() / columns;
                let to = (column + 1) * run.seconds.len() / columns;
                let stretch = &run.seconds[from..to];
                let mean = stretch.iter().map(|s| s.tokens_per_s).sum::<f64>()
                    / stretch.len().max(1) as f64;
                BLOCKS[((mean / most * 7.0).round() as usize).min(7)]
            })
            .collect();
        out.push_str(&format!("  {}\n", style.paint("36", &curve)));
    }
    for sentence in sentences(run) {
        style.paragraph(out, 2, &plain(&sentence));
    }
    energy(out, &run.energy, style);
}

/// What it took, with the sources that cannot be read.
pub(super) fn energy(out: &mut String, energy: &Energy, style: &Style) {
    let all = energy_sentences(energy);
    let most = energy.used.len() + TOLD;
    for sentence in all.iter().take(most) {
        style.paragraph(out, 2, &plain(sentence));
    }
    if all.len() > most {
        let more = all.len() - most;
        style.paragraph(out, 2, &format!("{more} more sources are in the report"));
    }
}

pub(super) fn energy_html(energy: &Energy) -> String {
    let told = energy_sentences(energy);
    let told: String = told
        .iter()
        .map(|s| format!("<p class=\"soft small\">{}</p>", escape(s)))
        .collect();
    format!("<section class=\"card\"><h2>Energy</h2>{told}</section>")
}

pub(super) fn html(run: &Sustained) -> String {
    let line = |name: &str, class, of: Sensed| Line {
        name: name.to_owned(),
        class,
        points: run
            .seconds
            .chunks(run.seconds.len().div_ceil(POINTS).max(1))
            .filter_map(|stretch| {
                let known: Vec<f64> = stretch.iter().filter_map(of).collect();
                let mean = known.iter().sum::<f64>() / known.len() as f64;
                (!known.is_empty()).then_some((stretch.last()?.at_s, mean))
            })
            .collect(),
    };
    let curves: [(&str, Sensed); 4] = [
        ("tokens/s", |s| Some(s.tokens_per_s)),
        ("clock, GHz", |s| s.clock_ghz),
        ("hottest, °C", |s| s.celsius),
        ("power, W", |s| s.power_w),
    ];
    let charts: String = curves
        .into_iter()
        .enumerate()
        .map(|(index, (name, of))| {
            let chart = Chart {
                label: "Over a sustained run",
                x: ("seconds", Scale::Linear),
                y: name,
                lines: vec![line(name, "stream", of)],
                marks: Vec::new(),
                height: if index == 0 { 260.0 } else { 150.0 },
            };
            chart.html()
        })
        .collect();
    let told: String = sentences(run)
        .iter()
        .chain(&energy_sentences(&run.energy))
        .map(|s| format!("<p class=\"soft small\">{}</p>", escape(s)))
        .collect();
    format!(
        "<section class=\"card\"><h2>Sustained</h2><p class=\"soft small\">Decoding behind {} tokens for {:.0} s, second by second</p>{charts}{told}</section>",
        run.depth, run.elapsed_s
    )
}
