//! What limits the trust in a server's figures, and what they amount to, in words.

use super::Made;
use crate::{
    Report,
    report::{Figure, Phase, Prompt},
};

/// A share of seen tokens from which on they count as read again.
const ANEW: f64 = 0.5;
/// A share of a new prompt's tokens from which on it counts as seen, if the server says that it did not compute them.
const NOT_NEW: f64 = 0.1;

pub(super) fn warnings(report: &Report, made: &[Made], is_streamed: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if !report.failures.is_empty() {
        warnings.push(format!(
            "{} of {} requests failed; the figures are of the others",
            report.failures.len(),
            report.requests
        ));
    }
    if !report.counted_by_server {
        warnings.push(
            format!(
                "the server's count of tokens is missing from its streams or cannot be true: events with text are counted \
                 instead, and a prompt's tokens follow from its characters ({})",
                if report.is_scale_measured {
                    "as the server counted two prompts that were not streamed"
                } else {
                    "as English mostly takes"
                }
            ),
        );
    }
    if !is_streamed {
        warnings.push(
            "the server sends answers in one piece: the time to the first text is that of the whole answer".to_owned(),
        );
    }
    let short = made
        .iter()
        .filter(|m| m.prompt == Prompt::New && m.exchange.failure.is_none())
        .filter(|m| 2 * m.exchange.answer_tokens(m.asked).0 < m.asked as u64)
        .count();
    if short > 0 {
        warnings.push(format!(
            "{short} answers were shorter than half of the {} tokens asked for; decode is timed over what came",
            report.answer
        ));
    }
    let far = report.depths.iter().find_map(|d| {
        let new = d.phases.first()?;
        let wanted = (d.depth + report.prefill) as f64;
        (new.prompt_tokens > 0.0 && (new.prompt_tokens / wanted - 1.0).abs() > 0.1).then(|| {
            format!(
                "prompts at depth {} have {:.0} tokens, not {wanted:.0}",
                d.depth, new.prompt_tokens
            )
        })
    });
    warnings.extend(far);
    warnings.extend(of_caches(report));
    let tagged = made
        .iter()
        .any(|m| m.exchange.visible.trim_start().starts_with("<think>"));
    if tagged {
        warnings.push(
            "answers begin with <think>: the server does not set thoughts apart, so they count as visible".to_owned(),
        );
    }
    warnings
}

/// Where what the server says of its cache does not fit.
fn of_caches(report: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    let phases = || report.depths.iter().flat_map(|d| &d.phases);
    let known = phases()
        .filter(|p| p.prompt == Prompt::New)
        .find_map(|p| Some((p, p.cached_tokens.as_ref()?.median)))
        .filter(|(p, cached)| *cached > NOT_NEW * p.prompt_tokens);
    if let Some((phase, cached)) = known {
        warnings.push(format!(
            "the server says that it had {cached:.0} of a new prompt's {:.0} tokens in its cache: another client, or a server behind the \
             same gateway, had sent them",
            phase.prompt_tokens
        ));
    }
    let denied = phases().any(|p| {
        let seen = p.seen_tokens.unwrap_or(0.0);
        let (Some(said), Some(timed)) = (&p.read_again_tokens, &p.read_again_by_time) else {
            return false;
        };
        said.median > ANEW * seen && timed.median < ANEW / 2.0 * seen
    });
    if denied {
        warnings.push(
            "the server says that it computed seen tokens again, but was too fast for that: its count of cached tokens is doubtful".to_owned(),
        );
    }
    warnings
}

pub(super) fn verdict(report: &Report) -> String {
    let Some(first) = report.depths.first() else {
        return "Nothing was measured.".to_owned();
    };
    let speed = |f: &Option<Figure>| f.as_ref().map(|f| f.median);
    let mut said = match (
        speed(&first.prefill_tokens_per_s),
        speed(&first.decode_tokens_per_s),
    ) {
        (Some(prefill), Some(decode)) => format!(
            "At depth {} a client sees {prefill:.0} tokens/s of prompt and {decode:.1} tokens/s of answer.",
            first.depth
        ),
        (Some(prefill), None) => {
            format!(
                "At depth {} a client sees {prefill:.0} tokens/s of prompt.",
                first.depth
            )
        }
        (None, Some(decode)) => {
            format!(
                "At depth {} a client sees {decode:.1} tokens/s of answer.",
                first.depth
            )
        }
        (None, None) => format!("At depth {} no request was answered.", first.depth),
    };
    if let Some((deep, ratio)) = report.depths.iter().skip(1).rev().find_map(|d| {
        Some((
            d.depth,
            speed(&d.decode_tokens_per_s)? / speed(&first.decode_tokens_per_s)?,
        ))
    }) {
        said += &format!(
            " At depth {deep} answers run at {:.0}% of that.",
            ratio * 100.0
        );
    }
    if let Some((depth, phase, again)) = read_again(report) {
        said += &format!(
            " At depth {depth}, {} has {:.0} of {:.0} seen tokens computed again{}.",
            phase.prompt.name(),
            again.median,
            phase.seen_tokens.unwrap_or(0.0),
            if phase.read_again_tokens.is_some() {
                ", says the server"
            } else {
                ", as its time suggests"
            }
        );
    }
    said
}

/// A time is no count: one request that was too fast for it refutes it.
fn is_most(phase: &Phase, again: &Figure) -> bool {
    let most = ANEW * phase.seen_tokens.unwrap_or(f64::INFINITY);
    let told = phase.read_again_tokens.is_some();
    again.median > most && (told || again.samples.iter().all(|&tokens| tokens > most))
}

/// At the deepest place where most of what was seen is computed again: the kind with the most of it.
fn read_again(report: &Report) -> Option<(usize, &Phase, &Figure)> {
    report.depths.iter().rev().find_map(|d| {
        let worst = d
            .phases
            .iter()
            .filter_map(|p| Some((p, p.read_again()?)))
            .filter(|(p, again)| is_most(p, again))
            .max_by(|a, b| a.1.median.total_cmp(&b.1.median))?;
        Some((d.depth, worst.0, worst.1))
    })
}
