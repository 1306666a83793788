//! A server's report on a terminal.

use endpoint::{
    Report,
    report::{Clients, Depth, Figure, Phase, Prompt},
};

use super::versus;
use crate::{
    quantity,
    terminal::{Paint, Style},
};

/// The whole report, of one server or of two.
pub(super) fn text(report: &Report, paint: Paint) -> String {
    let mut lines = Vec::new();
    match &report.against {
        None => lines.extend(one(report, "", paint)),
        Some(against) => {
            lines.extend(one(report, "FIRST: ", paint));
            lines.push(String::new());
            lines.extend(one(&against.report, "SECOND: ", paint));
            lines.push(String::new());
            lines.extend(versus::lines(against, paint));
        }
    }
    lines.join("\n") + "\n"
}

fn one(report: &Report, title: &str, paint: Paint) -> Vec<String> {
    let mut lines = vec![
        paint.paint(Style::Heading, &format!("{title}{}", report.model)),
        format!("  {}", report.address),
        format!(
            "  {} requests in {:.0} s; tokens are {}; the first request took {}",
            report.requests,
            report.elapsed_s,
            match (report.counted_by_server, report.is_scale_measured) {
                (true, _) => "the server's count",
                (false, true) => "counted by events, a prompt's by its length",
                (false, false) => "estimated",
            },
            quantity::duration_ms(report.first_request_ms)
        ),
    ];
    if let Some(floor) = &report.floor_ms {
        lines.push(format!(
            "  a prompt of a few words: first text after {}",
            spread(floor)
        ));
    }
    for depth in &report.depths {
        lines.push(String::new());
        lines.extend(at_depth(depth, report.prefill, paint));
    }
    if !report.clients.is_empty() {
        lines.push(String::new());
        lines.push(paint.paint(Style::Heading, "SEVERAL CLIENTS, each with new prompts"));
        lines.push(format!(
            "  clients  tokens/s of all   first text              a token                 within {} and {} a token",
            quantity::duration_ms(report.limit_first_ms),
            quantity::duration_ms(report.limit_token_ms)
        ));
        lines.extend(report.clients.iter().map(clients));
    }
    lines.push(String::new());
    lines.extend(wrapped(&report.verdict));
    if let Some(stopped) = &report.stopped {
        lines.extend(wrapped(&format!("Not everything was measured: {stopped}.")));
    }
    for warning in &report.warnings {
        lines.extend(wrapped(&format!("Note: {warning}.")));
    }
    for failed in report.failures.iter().take(SHOWN_FAILURES) {
        lines.extend(wrapped(&format!(
            "Failed, {}: {}",
            failed.during, failed.cause
        )));
    }
    if report.failures.len() > SHOWN_FAILURES {
        lines.push(format!(
            "  and {} more (--json lists them)",
            report.failures.len() - SHOWN_FAILURES
        ));
    }
    lines
}

/// A first event before this share of the time to the first text is told apart from it.
const APART: f64 = 0.9;
/// Failed requests that are told one by one.
const SHOWN_FAILURES: usize = 5;

fn at_depth(depth: &Depth, prefill: usize, paint: Paint) -> Vec<String> {
    let title = match depth.depth {
        0 => format!("{prefill} TOKENS OF PROMPT"),
        depth => format!("{prefill} TOKENS OF PROMPT BEHIND {depth} OTHERS"),
    };
    let mut lines = vec![paint.paint(Style::Heading, &title)];
    let rate = |name: &str, figure: &Option<Figure>, unit: &str| {
        figure.as_ref().map(|f| {
            format!(
                "  {name:<17}{:>9} {unit:<10}{}",
                quantity::digits(f.median),
                range(f)
            )
        })
    };
    lines.extend(rate("prompt", &depth.prefill_tokens_per_s, "tokens/s"));
    lines.extend(rate("answer", &depth.decode_tokens_per_s, "tokens/s"));
    lines.extend(rate("longest silence", &depth.longest_gap_ms, "ms"));
    lines.extend(depth.phases.iter().flat_map(firsts));
    lines.push(
        "                    tokens      new   first text                of a new prompt's time, tokens read again"
            .to_owned(),
    );
    lines.extend(depth.phases.iter().map(phase));
    lines
}

/// The first event, text and visible text of a new prompt, where they are not one.
fn firsts(phase: &Phase) -> Option<String> {
    let event = phase.first_event_ms.as_ref()?.median;
    let text = phase.first_text_ms.as_ref()?.median;
    let of = |ms: f64| quantity::duration_ms(ms);
    if phase.prompt != Prompt::New || (event >= APART * text && phase.thinking_ms.is_none()) {
        return None;
    }
    let visible = match (&phase.first_visible_ms, &phase.thinking_ms) {
        (Some(visible), Some(thinking)) => format!(
            ", first visible text {} after {} of thinking",
            of(visible.median),
            of(thinking.median)
        ),
        (None, Some(thinking)) => {
            format!(", no visible text in {} of thinking", of(thinking.median))
        }
        _ => String::new(),
    };
    let only = match phase.thought_only {
        0 => String::new(),
        n => format!(
            "\n{:19}{n} of {} answers were thoughts only",
            "", phase.requests
        ),
    };
    Some(format!(
        "  {:<17}first event {}, first text {}{visible}{only}",
        "firsts",
        of(event),
        of(text)
    ))
}

fn phase(phase: &Phase) -> String {
    let mut line = format!(
        "  {:<16}{:>8.0} {:>8.0}   {:<26}",
        phase.prompt.name(),
        phase.prompt_tokens,
        phase.new_tokens,
        phase
            .first_text_ms
            .as_ref()
            .map_or("none".to_owned(), spread)
    );
    if let Some(share) = phase.share_of_new {
        line += &format!("{:.0}%", share * 100.0);
    }
    if let (Some(again), Some(seen)) = (phase.read_again(), phase.seen_tokens) {
        let source = match phase.read_again_tokens {
            Some(_) => "the server says",
            None => "by its time",
        };
        line += &format!(", {:.0} of {seen:.0} seen ({source})", again.median);
    }
    if phase.failed > 0 {
        line += &format!("  {} of {} failed", phase.failed, phase.requests);
    }
    line.trim_end().to_owned()
}

fn clients(found: &Clients) -> String {
    let of = |figure: &Option<Figure>| figure.as_ref().map_or("none".to_owned(), spread);
    format!(
        "  {:>7}  {:>15}   {:<24}{:<24}{:.0}% of {}",
        found.clients,
        quantity::digits(found.tokens_per_s),
        of(&found.first_text_ms),
        of(&found.token_ms),
        found.goodput * 100.0,
        found.requests
    )
}

/// The median, and from where to where the samples go.
fn spread(figure: &Figure) -> String {
    format!("{} {}", quantity::duration_ms(figure.median), range(figure))
}

fn range(figure: &Figure) -> String {
    let ends = figure.samples.iter().copied();
    let low = ends.clone().min_by(f64::total_cmp);
    let high = ends.max_by(f64::total_cmp);
    match (low, high) {
        (Some(low), Some(high)) if high > low => {
            format!("({} to {})", quantity::digits(low), quantity::digits(high))
        }
        _ => String::new(),
    }
}

/// In lines of a terminal's width.
pub(super) fn wrapped(text: &str) -> Vec<String> {
    let lines = lens::render::wrap(text, 98);
    lines.iter().map(|line| format!("  {line}")).collect()
}

#[cfg(test)]
mod tests;
