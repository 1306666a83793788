//! How two servers stand to each other: ratios with their intervals, and how far their answers go together.

use page::escape;

use super::{
    digits,
    svg::{self, Span},
};
use crate::report::{Against, Ratio, Speed};

/// Pairs of answers in the table; the file's JSON has all.
const SHOWN_ANSWERS: usize = 24;

pub(super) fn html(against: &Against) -> String {
    let mut out = format!(
        "<section class=\"card\"><h2>First against second</h2><p class=\"verdict{}\">{}</p>",
        if against.refusal.is_some() {
            " alarm"
        } else {
            ""
        },
        escape(&against.verdict)
    );
    if against.refusal.is_none() {
        out += &format!("<p>{}</p>", escape(&against.agreement.finding));
    }
    if !against.ratios.is_empty() {
        out += "<p class=\"soft small\">How many times as fast the first server is, with a 95% interval over pairs measured next to each other; \
                where the line crosses the middle, no difference is shown.</p><div class=\"pair\">";
        let mut places: Vec<String> = against.ratios.iter().map(place).collect();
        places.dedup();
        for here in places {
            let of_place = against.ratios.iter().filter(|r| place(r) == here);
            let spans: Vec<Span> = of_place.map(span).collect();
            let title = format!("Speed of the first over the second, {here}");
            out += &format!("<div><h3>{here}</h3>{}</div>", svg::spans(&title, &spans));
        }
        out += "</div>";
        out += &table(&against.ratios);
    }
    out + &answers(against) + "</section>"
}

fn place(ratio: &Ratio) -> String {
    match ratio.clients {
        Some(1) => "1 client".to_owned(),
        Some(n) => format!("{n} clients at once"),
        None => format!("Depth {}", ratio.depth),
    }
}

fn span(ratio: &Ratio) -> Span {
    let (span, told) = match &ratio.speed {
        Speed::Unknown { why } => (None, format!("unknown: {why}")),
        Speed::Known {
            ratio, interval, ..
        } => match interval {
            Some(i) => (
                Some((i.low, *ratio, i.high)),
                format!("{ratio:.2} ({:.2} to {:.2})", i.low, i.high),
            ),
            None => (Some((*ratio, *ratio, *ratio)), format!("{ratio:.2}")),
        },
    };
    Span {
        label: ratio.what.name().to_owned(),
        span,
        told,
        is_shown: ratio.speed.is_shown(),
    }
}

fn table(ratios: &[Ratio]) -> String {
    let of = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), digits);
    let mut rows = String::new();
    for ratio in ratios {
        let pairs = match &ratio.speed {
            Speed::Known { pairs, .. } => *pairs,
            Speed::Unknown { .. } => 0,
        };
        rows += &format!(
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{pairs}</td></tr>",
            place(ratio),
            ratio.what.name(),
            of(ratio.first),
            of(ratio.second),
            ratio.what.unit(),
            span(ratio).told
        );
    }
    format!(
        "<details><summary>As a table</summary><div class=\"scroll\"><table><tr><th></th><th></th><th class=\"n\">first</th><th class=\"n\">second</th>\
         <th></th><th class=\"n\">times as fast</th><th class=\"n\">pairs</th></tr>{rows}</table></div></details>"
    )
}

fn answers(against: &Against) -> String {
    let found = &against.agreement.answers;
    if found.is_empty() {
        return String::new();
    }
    let count = |n: Option<u64>| n.map_or_else(|| "not told".to_owned(), |n| n.to_string());
    let mut rows = String::new();
    for a in found.iter().take(SHOWN_ANSWERS) {
        let parts = if a.are_same() {
            "<td class=\"wide\" colspan=\"2\">the same to the end</td>".to_owned()
        } else {
            format!(
                "<td class=\"wide\">{}</td><td class=\"wide\">{}</td>",
                escape(&a.first_goes_on),
                escape(&a.second_goes_on)
            )
        };
        rows += &format!(
            "<tr><td class=\"n\">{}</td><td class=\"n\">{} of {}</td><td class=\"n\">{} of {}</td><td class=\"n\">{}, {}</td>{parts}</tr>",
            a.depth,
            a.agreed_words,
            a.words,
            a.agreed_characters,
            a.characters,
            count(a.first_tokens),
            count(a.second_tokens)
        );
    }
    let more = match found.len().saturating_sub(SHOWN_ANSWERS) {
        0 => String::new(),
        n => format!("<p class=\"soft small\">and {n} more in the JSON</p>"),
    };
    format!(
        "<details><summary>How far the answers agree</summary><div class=\"scroll\"><table><tr><th class=\"n\">depth</th><th class=\"n\">words</th>\
         <th class=\"n\">characters</th><th class=\"n\">tokens, as counted</th><th>the first goes on</th><th>the second goes on</th></tr>{rows}</table></div>{more}</details>"
    )
}
