//! Steps at several depths and with several sequences, as a table.

use super::{html::escape, plain, terminal::Style};
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
    split.unexplained.abs() > MOST_UNEXPLAINED
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

/// A section with a bar for each point's share.
pub(super) fn html(scaling: &Scaling) -> String {
    let allowed = |p: &Point| p.tokens_per_s / p.share.max(1e-9);
    let decode = scaling.points.iter().filter(|p| p.tokens == 1);
    let longest = decode
        .map(|p| allowed(p).max(p.tokens_per_s))
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut rows = String::new();
    for point in &scaling.points {
        let bar = if point.tokens == 1 {
            format!(
                r#"<div class="reach"><i style="width:{:.1}%"></i><b style="width:{:.1}%"></b></div>"#,
                100.0 * allowed(point) / longest,
                100.0 * point.tokens_per_s / longest
            )
        } else {
            String::new()
        };
        rows += &format!(
            "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.0}%</td><td>{}</td>\
             <td class=\"wide\">{bar}</td></tr>",
            point.depth,
            work(point),
            significant(point.step_ms.typical),
            significant(point.tokens_per_s),
            100.0 * point.share,
            limit(point)
        );
    }
    let skipped: String = scaling
        .skipped
        .iter()
        .map(|why| format!("<p class=\"soft small\">left out: {}</p>", escape(why)))
        .collect();
    format!(
        "<section class=\"card\"><h2>Other depths, several sequences</h2><p class=\"soft small\">One step at each point; tokens per second of all \
         its tokens together, and the share of what the measured silicon allows for that step.<span class=\"key k\"></span>reached when decoding\
         <span class=\"key o\"></span>what the silicon allows</p><div class=\"scroll\"><table><tr><th class=\"n\">depth</th><th>step</th>\
         <th class=\"n\">ms</th><th class=\"n\">tokens/s</th><th class=\"n\">of the silicon</th><th>held by</th><th></th></tr>{rows}</table></div>{skipped}</section>"
    )
}
