//! What each server did, section by section; two stand beside each other in every picture.

use page::escape;

use super::{
    Shown, digits, duration, median,
    svg::{self, Bar, Curve, Stack},
};
use crate::report::{Depth, Figure, Phase, Prompt};

/// Failures that are told one by one; the file's JSON has all.
const TOLD_FAILURES: usize = 20;

pub(super) fn all(shown: &[Shown<'_>]) -> String {
    let mut out = String::new();
    for server in shown {
        out += &verdict(server);
    }
    out += r#"<div class="pair">"#;
    out += &rates(shown);
    out += &firsts(shown);
    out += &seen(shown);
    out += &clients(shown);
    out += "</div>";
    for server in shown {
        out += &trust(server);
    }
    out
}

/// `First: `, where there are two.
fn prefix(server: &Shown<'_>) -> String {
    match server.name {
        "" => String::new(),
        name => format!("{name}: "),
    }
}

/// Which colour is whose, where there are two.
fn whose(shown: &[Shown<'_>]) -> &'static str {
    match shown.len() {
        1 => "",
        _ => {
            "<p class=\"soft small legend\"><span><span class=\"key a\"></span>first server</span><span><span class=\"key b\"></span>second \
             server</span></p>"
        }
    }
}

fn verdict(server: &Shown<'_>) -> String {
    let stopped = server
        .report
        .stopped
        .as_ref()
        .map_or_else(String::new, |why| {
            format!(
                "<p class=\"alarm\">Not everything was measured: {}.</p>",
                escape(why)
            )
        });
    format!(
        "<section class=\"card\"><h2>{}What a client sees</h2><p class=\"verdict\">{}</p>{stopped}</section>",
        prefix(server),
        escape(&server.report.verdict)
    )
}

/// Of each depth in the order of the first server, what each server has there.
fn depths<'r>(shown: &[Shown<'r>]) -> Vec<(usize, usize, &'r Depth)> {
    let mut found: Vec<(usize, usize, &Depth)> = Vec::new();
    for (index, server) in shown.iter().enumerate() {
        found.extend(server.report.depths.iter().map(|d| (d.depth, index, d)));
    }
    found.sort_by_key(|(depth, index, _)| (*depth, *index));
    found
}

fn bar(label: String, figure: &Option<Figure>, unit: &str, server: usize) -> Bar {
    Bar {
        label,
        value: median(figure),
        told: figure.as_ref().map_or_else(
            || "not measured".to_owned(),
            |f| format!("{} {unit}{}", digits(f.median), interval(f)),
        ),
        samples: figure.as_ref().map_or_else(Vec::new, |f| f.samples.clone()),
        server,
    }
}

/// ` (1.2 to 1.4)`, where there are samples enough for an interval.
fn interval(figure: &Figure) -> String {
    figure.interval.map_or_else(String::new, |i| {
        format!(" ({} to {})", digits(i.low), digits(i.high))
    })
}

fn rates(shown: &[Shown<'_>]) -> String {
    let mut out = format!(
        "<section class=\"card\"><h2>Speed</h2><p class=\"soft small\">Tokens per second of a new prompt and of its answer; dots are single \
         requests.</p>{}",
        whose(shown)
    );
    type Of = fn(&Depth) -> &Option<Figure>;
    let kinds: [(&str, &str, Of); 2] = [
        ("Prompt", "tokens/s", |d| &d.prefill_tokens_per_s),
        ("Answer", "tokens/s", |d| &d.decode_tokens_per_s),
    ];
    for (name, unit, of) in kinds {
        let bars: Vec<Bar> = depths(shown)
            .into_iter()
            .map(|(depth, server, d)| {
                let label = format!("{}depth {depth}", prefix(&shown[server]));
                bar(label, of(d), unit, server)
            })
            .collect();
        let title = format!("{name}, tokens per second");
        out += &format!("<h3>{name}</h3>{}", svg::bars(&title, &bars));
        let curves: Vec<Curve> = shown
            .iter()
            .enumerate()
            .map(|(server, s)| Curve {
                name: format!("{}over depth", prefix(s)),
                points: s
                    .report
                    .depths
                    .iter()
                    .filter_map(|d| Some((d.depth as f64, median(of(d))?)))
                    .collect(),
                server,
            })
            .filter(|c| c.points.len() > 1)
            .collect();
        if !curves.is_empty() {
            out += &svg::curves(&title, "depth, tokens", &curves);
        }
    }
    out + "</section>"
}

/// The time to the first text of every kind of prompt, in its parts.
fn firsts(shown: &[Shown<'_>]) -> String {
    let mut out = String::from(
        "<section class=\"card\"><h2>Until the first text</h2><p class=\"soft small\">Medians; all bars of a depth have one \
         scale.</p><p class=\"soft small legend\"><span><span class=\"key\"></span>until the first event</span><span><span class=\"key t\"></span>until \
         the first text</span><span><span class=\"key c\"></span>thinking, until the first visible text</span></p>",
    );
    for (depth, servers) in by_depth(shown) {
        let stacks: Vec<Stack> = by_kind(&servers)
            .into_iter()
            .filter_map(|(server, phase)| {
                let text = median(&phase.first_text_ms)?;
                let event = median(&phase.first_event_ms).unwrap_or(text).min(text);
                let thinking = median(&phase.thinking_ms).unwrap_or(0.0);
                let thought = match (thinking > 0.0, &phase.first_visible_ms) {
                    (false, _) => String::new(),
                    (true, Some(visible)) => {
                        format!(", visible after {}", duration(visible.median))
                    }
                    (true, None) => format!(", then {} of thoughts only", duration(thinking)),
                };
                Some(Stack {
                    label: format!("{}{}", prefix(&shown[server]), phase.prompt.name()),
                    parts: vec![
                        (event, "wait"),
                        (text - event, "text"),
                        (thinking, "thought"),
                    ],
                    told: duration(text) + &thought,
                })
            })
            .collect();
        if !stacks.is_empty() {
            let title = format!("Time to the first text at depth {depth}");
            out += &format!("<h3>Depth {depth}</h3>{}", svg::stacks(&title, &stacks));
        }
    }
    out + "</section>"
}

/// What became of the tokens that a server had seen.
fn seen(shown: &[Shown<'_>]) -> String {
    let mut out = String::from(
        "<section class=\"card\"><h2>Seen tokens, read again</h2><p class=\"soft small\">Tokens of a prompt: those that were new, those that the \
         server had seen and did not compute again, and those that it computed again though it had seen them.</p><p class=\"soft small \
         legend\"><span><span class=\"key\"></span>new</span><span><span class=\"key c\"></span>seen, kept</span><span><span class=\"key l\"></span>seen, \
         read again</span></p>",
    );
    let mut has_any = false;
    for (depth, servers) in by_depth(shown) {
        let stacks: Vec<Stack> = by_kind(&servers)
            .into_iter()
            .filter(|(_, phase)| phase.prompt != Prompt::New)
            .filter_map(|(server, phase)| {
                let (seen, again) = (phase.seen_tokens?, phase.read_again());
                let wasted = again.map_or(0.0, |f| f.median).min(seen);
                let source = match (again, &phase.read_again_tokens) {
                    (None, _) => "unknown".to_owned(),
                    (Some(f), Some(_)) => format!("{:.0} of {seen:.0}, says the server", f.median),
                    (Some(f), None) => format!("{:.0} of {seen:.0}, by its time", f.median),
                };
                Some(Stack {
                    label: format!("{}{}", prefix(&shown[server]), phase.prompt.name()),
                    parts: vec![
                        (phase.new_tokens.max(0.0), "new"),
                        (seen - wasted, "cache"),
                        (wasted, "again"),
                    ],
                    told: source,
                })
            })
            .collect();
        if !stacks.is_empty() {
            out += &format!(
                "<h3>Depth {depth}</h3>{}",
                svg::stacks(&format!("Tokens read again at depth {depth}"), &stacks)
            );
            has_any = true;
        }
    }
    if has_any {
        out + "</section>"
    } else {
        // A report of an earlier version, or of nothing that was seen.
        String::new()
    }
}

type OfServers<'r> = Vec<(usize, &'r Depth)>;

fn by_depth<'r>(shown: &[Shown<'r>]) -> Vec<(usize, OfServers<'r>)> {
    let mut found: Vec<(usize, OfServers<'r>)> = Vec::new();
    for (depth, server, d) in depths(shown) {
        match found.last_mut() {
            Some(last) if last.0 == depth => last.1.push((server, d)),
            _ => found.push((depth, vec![(server, d)])),
        }
    }
    found
}

/// Phases of one kind beside each other.
fn by_kind<'r>(servers: &OfServers<'r>) -> Vec<(usize, &'r Phase)> {
    let kinds = [
        Prompt::New,
        Prompt::SeenPrefix,
        Prompt::Again,
        Prompt::NextTurn,
    ];
    let of = |kind: Prompt| {
        servers.iter().filter_map(move |&(server, d)| {
            Some((server, d.phases.iter().find(|p| p.prompt == kind)?))
        })
    };
    kinds.into_iter().flat_map(of).collect()
}

fn clients(shown: &[Shown<'_>]) -> String {
    if shown.iter().all(|s| s.report.clients.is_empty()) {
        return String::new();
    }
    let (mut rows, mut curves, mut bars) = (String::new(), Vec::new(), Vec::new());
    for (index, server) in shown.iter().enumerate() {
        let found = &server.report.clients;
        for c in found {
            let of = |figure: &Option<Figure>| {
                median(figure).map_or_else(|| "none".to_owned(), duration)
            };
            rows += &format!(
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{:.0}% of {}</td></tr>",
                server.name,
                c.clients,
                digits(c.tokens_per_s),
                of(&c.first_text_ms),
                of(&c.token_ms),
                c.goodput * 100.0,
                c.requests
            );
            bars.push(Bar {
                label: format!("{}{} at once", prefix(server), c.clients),
                value: Some(c.tokens_per_s),
                told: format!("{} tokens/s", digits(c.tokens_per_s)),
                samples: c
                    .turns_tokens_per_s
                    .as_ref()
                    .filter(|f| f.samples.len() > 1)
                    .map_or_else(Vec::new, |f| f.samples.clone()),
                server: index,
            });
        }
        curves.push(Curve {
            name: format!("{}tokens/s of all over clients", prefix(server)),
            points: found
                .iter()
                .map(|c| (c.clients as f64, c.tokens_per_s))
                .collect(),
            server: index,
        });
    }
    curves.retain(|c| c.points.len() > 1);
    let title = "Tokens per second of all clients together";
    let mut out = format!(
        "<section class=\"card\"><h2>Several clients at once</h2><p class=\"soft small\">Each sends new prompts; tokens per second of all \
         together. Goodput is the share of requests with a first text within {} and {} a token.</p>{}{}",
        duration(shown[0].report.limit_first_ms),
        duration(shown[0].report.limit_token_ms),
        whose(shown),
        svg::bars(title, &bars)
    );
    if !curves.is_empty() {
        out += &svg::curves(title, "clients", &curves);
    }
    out + &format!(
        "<div class=\"scroll\"><table><tr><th></th><th class=\"n\">clients</th><th class=\"n\">tokens/s</th><th class=\"n\">first text</th>\
         <th class=\"n\">a token</th><th class=\"n\">goodput</th></tr>{rows}</table></div></section>"
    )
}

/// Warnings and failures.
fn trust(server: &Shown<'_>) -> String {
    let report = server.report;
    if report.warnings.is_empty() && report.failures.is_empty() {
        return String::new();
    }
    let mut items: String = report
        .warnings
        .iter()
        .map(|w| format!("<li>{}</li>", escape(w)))
        .collect();
    for failed in report.failures.iter().take(TOLD_FAILURES) {
        items += &format!(
            "<li>failed, {}: {}</li>",
            escape(&failed.during),
            escape(&failed.cause.to_string())
        );
    }
    if let Some(more @ 1..) = report.failures.len().checked_sub(TOLD_FAILURES) {
        items += &format!("<li>and {more} more failed requests</li>");
    }
    format!(
        "<section class=\"card warn small\"><h2>{}What limits the trust in these figures</h2><ul>{items}</ul></section>",
        prefix(server)
    )
}
