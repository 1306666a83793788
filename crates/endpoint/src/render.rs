//! The report as one HTML file: no script that runs, nothing fetched, light or dark as the reader's system says.
//!
//! 1. One server and two are shown by the same charts ([`svg`]), which take a list of servers; two add how they stand to each other
//!    ([`versus`]).
//! 2. Every picture says in words what it shows, for those who do not see it; every sample stands in a table ([`samples`]).
//! 3. The whole report is in the file as JSON too, so that whoever gets the file can compute with it.
//!
//! Names of models, addresses and all that servers said are foreign: they are escaped, and lose their control characters.

mod samples;
mod sections;
mod svg;
mod versus;

use page::{Page, escape, turns};

use crate::{Report, report::Figure};

const STYLE: &str = include_str!("render/report.css");

/// What is shown, with the name that tells two servers apart.
#[derive(Clone, Copy)]
struct Shown<'r> {
    /// `First`, `Second`, or nothing where there is one.
    name: &'static str,
    report: &'r Report,
}

/// The whole file.
#[must_use]
pub fn html(report: &Report) -> String {
    let shown: Vec<Shown<'_>> = match &report.against {
        None => vec![Shown { name: "", report }],
        Some(against) => vec![
            Shown {
                name: "First",
                report,
            },
            Shown {
                name: "Second",
                report: &against.report,
            },
        ],
    };
    let title = match &report.against {
        None => escape(short(&report.model)),
        Some(against) => format!(
            "{} against {}",
            escape(short(&report.model)),
            escape(short(&against.report.model))
        ),
    };
    let mut body = header(&shown, &title);
    if let Some(against) = &report.against {
        body += &versus::html(against);
    }
    body += &sections::all(&shown);
    body += &samples::html(&shown);
    body += HOW_TO_READ;
    Page {
        title: &format!("{title}: what a client sees"),
        style: STYLE,
        main: &body,
        footer: &format!(
            "Sprag {}, schema {}, {} rounds in {:.0} s. This file holds the report as JSON, in the element \
             <code>sprag-report</code>.",
            escape(&report.sprag),
            escape(&report.schema),
            report.rounds,
            report.elapsed_s
        ),
        data: &format!(
            "<script type=\"application/json\" id=\"sprag-report\">{}</script>",
            json(report)
        ),
    }
    .html()
}

fn header(shown: &[Shown<'_>], title: &str) -> String {
    let mut out = format!("<header><h1>{title}</h1>");
    for server in shown {
        let report = server.report;
        let name = match server.name {
            "" => String::new(),
            name => format!("<b>{name}</b>: "),
        };
        out += &format!(
            "<p class=\"soft small\">{name}{} at {}; {} requests, {} failed; tokens are {}; the first request took {}</p>",
            escape(&report.model),
            escape(&report.address),
            report.requests,
            report.failures.len(),
            counting(report),
            duration(report.first_request_ms)
        );
    }
    let date = shown.first().map_or("", |s| &s.report.date);
    out + &format!("<p class=\"soft small\">{}</p></header>", escape(date))
}

/// A model that goes by its path, by its file's name.
fn short(model: &str) -> &str {
    match model.rsplit_once(['/', '\\']) {
        Some((folder, file)) if !file.is_empty() && folder.contains(['/', '\\']) => file,
        _ => model,
    }
}

fn counting(report: &Report) -> &'static str {
    match (report.counted_by_server, report.is_scale_measured) {
        (true, _) => "the server's count",
        (false, true) => "counted by events, a prompt's by its length",
        (false, false) => "estimated",
    }
}

const HOW_TO_READ: &str = "<section class=\"card small\"><h2>How to read this</h2>\
<dl><dt>new prompt</dt><dd>begins as no prompt before it did, so the server has to read all of it</dd>\
<dt>seen prefix</dt><dd>begins as the prompt before, with a new end</dd>\
<dt>the same again</dt><dd>all of it was seen just before</dd>\
<dt>next turn</dt><dd>the conversation so far, its answer, and a short message more</dd>\
<dt>first event</dt><dd>whatever the server sends first; many send a role before they have computed anything</dd>\
<dt>first text</dt><dd>the first text, shown or thought</dd>\
<dt>first visible</dt><dd>the first text that a reader sees: no role, no thought, no blank</dd>\
<dt>prompt, tokens/s</dt><dd>tokens of a new prompt over the time to its first text, each less that of a prompt of a few words</dd>\
<dt>answer, tokens/s</dt><dd>tokens after the first over their time</dd>\
<dt>read again</dt><dd>tokens that the server had seen and computed again: as it says itself, else from its time, which is an estimate</dd>\
<dt>goodput</dt><dd>the share of requests within both limits, those that failed counted as outside</dd></dl>\
<p>Figures are medians, dots are single requests. Intervals are at 95%: of a median by the sign test, of a ratio by drawing from the pairs \
that were measured next to each other.</p></section>";

/// As JSON that no `</script>` within a foreign text can end.
fn json(report: &Report) -> String {
    // Maps with text keys and finite numbers: there is nothing that could fail.
    let json = serde_json::to_string(report).unwrap_or_else(|_| "null".to_owned());
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '&' | '\u{2028}' | '\u{2029}' => out += &format!("\\u{:04x}", u32::from(c)),
            c if turns(c) => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// Three digits that matter, and all before the point.
fn digits(x: f64) -> String {
    let decimals = match x.abs() {
        a if a >= 99.95 => 0,
        a if a >= 9.995 => 1,
        _ => 2,
    };
    format!("{x:.decimals$}")
}

/// `12.5 ms`, or `1.25 s` from a second on.
fn duration(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{} ms", digits(ms))
    } else {
        format!("{} s", digits(ms / 1000.0))
    }
}

fn median(figure: &Option<Figure>) -> Option<f64> {
    figure.as_ref().map(|f| f.median)
}

#[cfg(test)]
mod tests;
