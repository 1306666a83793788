//! Steps at several depths and with several sequences, as a table.

use page::{escape, plain};

use super::{
    html::{all_causes, parts},
    line_svg::{Chart, Line, Scale},
    terminal::Style,
};
use crate::{
    numbers::significant,
    report::{Bound, MOST_UNEXPLAINED, Point, Scaling, Split},
};

/// What a point's step is.
fn work(point: &Point) -> String {
    match (point.tokens, point.sequences) {
        (1, 1) => "1 sequence".to_owned(),
        (1, n) => format!("{n} sequences"),
        (tokens, _) => format!("prompt of {tokens}"),
    }
}

fn limit(point: &Point) -> &'static str {
    match point.bound {
        Bound::Compute => "arithmetic",
        _ => "memory",
    }
}

/// Heading, share, and what it is.
type Piece = (&'static str, fn(&Split) -> f64, &'static str);

/// The pieces of a step; where there is no room, the first alone.
const PIECES: [Piece; 6] = [
    (
        "silicon",
        |s| s.silicon,
        "what the measured silicon needs for it",
    ),
    (
        "kernels",
        |s| s.kernels,
        "the kernels beyond that, each part alone",
    ),
    (
        "uneven",
        |s| s.uneven,
        "threads that wait for another one's share",
    ),
    (
        "barriers",
        |s| s.barriers,
        "barriers, and the fork-join of the step",
    ),
    (
        "in step",
        |s| s.in_step,
        "kernels in the step against alone, and interruptions",
    ),
    ("rest", |s| s.unexplained, "unexplained"),
];

fn is_too_much(split: &Split) -> bool {
    // What is no number is too much.
    let is_little = split.unexplained.abs() <= MOST_UNEXPLAINED;
    !is_little
}

pub(super) fn terminal(out: &mut String, scaling: &Scaling, style: &Style) {
    let title = style.bold("SCALING");
    out.push_str(&format!(
        "\n{title}  one step; tokens/s of all its tokens together\n"
    ));
    let mut heads = format!(
        "  {:>5}  {:<13}{:>8}{:>9}",
        "depth", "", "ms/step", "tokens/s"
    );
    let pieces = if style.is_wide() {
        &PIECES[..]
    } else {
        &PIECES[..1]
    };
    for (name, ..) in pieces {
        heads += &format!("{name:>9}");
    }
    out.push_str(&format!(
        "{}  {}\n",
        style.dim(&heads),
        style.dim("held by")
    ));
    let mut depth = None;
    for point in &scaling.points {
        let at = if depth == Some(point.depth) {
            String::new()
        } else {
            point.depth.to_string()
        };
        depth = Some(point.depth);
        let mut line = format!(
            "  {at:>5}  {:<13}{:>8}{:>9}",
            work(point),
            significant(point.step_ms.typical),
            significant(point.tokens_per_s)
        );
        match point.split() {
            Some(split) => {
                for (_, share, _) in pieces {
                    line += &format!("{:>8.0}%", 100.0 * share(&split));
                }
                if is_too_much(&split) {
                    line = style.paint("31", &line);
                }
            }
            None => {
                let rest = 9 * (pieces.len() - 1);
                line += &format!("{:>8.0}%{:rest$}", 100.0 * point.share, "");
            }
        }
        out.push_str(&format!("{line}  {}\n", limit(point)));
    }
    for why in &scaling.skipped {
        style.paragraph(out, 2, &format!("left out: {}", plain(why)));
    }
}

/// Tokens per second over the depth, a line for each number of sequences.
fn curves(scaling: &Scaling) -> String {
    let mut counts: Vec<usize> = scaling.points.iter().map(|p| p.sequences).collect();
    counts.sort_unstable();
    counts.dedup();
    const CLASSES: [&str; 4] = ["stream", "cached", "third", "fourth"];
    let lines = counts.iter().zip(CLASSES).map(|(&count, class)| Line {
        name: match count {
            1 => "1 sequence".to_owned(),
            n => format!("{n} sequences"),
        },
        class,
        points: scaling
            .points
            .iter()
            .filter(|p| p.tokens == 1 && p.sequences == count)
            .map(|p| (p.depth as f64, p.tokens_per_s))
            .collect(),
    });
    let chart = Chart {
        label: "Speed of decoding by depth",
        x: ("tokens in the context", Scale::Linear),
        y: "tokens/s of all",
        lines: lines.collect(),
        marks: Vec::new(),
        height: 260.0,
    };
    chart.html()
}

/// A curve over the depth, and each point's step taken apart.
pub(super) fn html(scaling: &Scaling) -> String {
    let mut rows = String::new();
    for point in &scaling.points {
        let split = point.split();
        let pieces: String = PIECES
            .iter()
            .enumerate()
            .map(|(index, (_, share, _))| {
                let share = match (&split, index) {
                    (Some(split), _) => Some(share(split)),
                    (None, 0) => Some(point.share),
                    (None, _) => None,
                };
                let text = share.map_or_else(String::new, |x| format!("{:.0}%", 100.0 * x));
                let is_alarm = index + 1 == PIECES.len() && split.as_ref().is_some_and(is_too_much);
                let class = if is_alarm { "n alarm" } else { "n" };
                format!("<td class=\"{class}\">{text}</td>")
            })
            .collect();
        rows += &format!(
            "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>{pieces}<td>{}</td></tr>",
            point.depth,
            work(point),
            significant(point.step_ms.typical),
            significant(point.tokens_per_s),
            limit(point)
        );
    }
    let heads: String = PIECES
        .iter()
        .map(|(name, _, what)| format!("<th class=\"n\" title=\"{what}\">{name}</th>"))
        .collect();
    let meanings: Vec<String> = PIECES
        .iter()
        .map(|(name, _, what)| format!("{name}: {what}"))
        .collect();
    let skipped: String = scaling
        .skipped
        .iter()
        .map(|why| format!("<p class=\"soft small\">left out: {}</p>", escape(why)))
        .collect();
    let details: String = scaling
        .points
        .iter()
        .filter_map(|point| {
            let fall = point.fall.as_ref()?;
            Some(format!(
                "<details><summary>depth {}, {}: causes and parts</summary>{}{}</details>",
                point.depth,
                work(point),
                all_causes(fall),
                parts(fall)
            ))
        })
        .collect();
    format!(
        "<section class=\"card\"><h2>Other depths, several sequences</h2>{}<p class=\"soft small\">One step at each point; tokens per second of \
         all its tokens together, and where its time goes. {}.</p><div class=\"scroll\"><table><tr><th class=\"n\">depth</th><th>step</th>\
         <th class=\"n\">ms</th><th class=\"n\">tokens/s</th>{heads}<th>held by</th></tr>{rows}</table></div>{skipped}{details}</section>",
        curves(scaling),
        meanings.join("; ")
    )
}
