//! From exchanges to figures, warnings and a verdict.

use super::{Made, Options};
use crate::{
    Exchange, Report,
    report::{Clients, Depth, Figure, Phase, Prompt},
};

/// A share of a new prompt's time from which on a seen one counts as read anew.
const ANEW: f64 = 0.5;

pub(super) fn fill(report: &mut Report, made: &[Made], options: &Options, is_streamed: bool) {
    let floor = report.floor_ms.as_ref().map_or(0.0, |f| f.median);
    for &depth in &options.depths {
        let here: Vec<&Made> = made.iter().filter(|m| m.depth == depth).collect();
        if here.is_empty() {
            continue;
        }
        report.depths.push(of_depth(depth, &here, floor));
    }
    report.warnings = warnings(report, made, is_streamed);
    report.verdict = verdict(report);
}

fn of_depth(depth: usize, made: &[&Made], floor: f64) -> Depth {
    let new: Vec<&Made> = whole(made, Prompt::New).collect();
    let of_new =
        |f: &dyn Fn(&Made) -> Option<f64>| Figure::of(new.iter().filter_map(|m| f(m)).collect());
    let kinds = [
        Prompt::New,
        Prompt::SeenPrefix,
        Prompt::Again,
        Prompt::NextTurn,
    ];
    let mut phases: Vec<Phase> = kinds
        .into_iter()
        .filter_map(|kind| phase(kind, made))
        .collect();
    let above = |p: &Phase| p.first_text_ms.as_ref().map(|f| f.median - floor);
    let new_ms = phases.first().and_then(above).filter(|&ms| ms > 0.0);
    for phase in &mut phases[1..] {
        let own = above(phase);
        phase.share_of_new = own.zip(new_ms).map(|(own, new)| (own / new).max(0.0));
    }
    Depth {
        depth,
        phases,
        prefill_tokens_per_s: of_new(&|m| {
            let ms = m.exchange.first_text_ms? - floor;
            (ms > 0.0).then(|| prompt_tokens(m) / ms * 1e3)
        }),
        decode_tokens_per_s: of_new(&|m| Some(1e3 / m.exchange.token_ms(m.asked)?)),
        longest_gap_ms: of_new(&|m| m.exchange.longest_gap_ms()),
        answer_tokens: of_new(&|m| Some(m.exchange.answer_tokens(m.asked).0 as f64))
            .map(|f| f.median),
    }
}

fn whole<'m>(made: &[&'m Made], prompt: Prompt) -> impl Iterator<Item = &'m Made> {
    made.iter()
        .copied()
        .filter(move |m| m.prompt == prompt && m.exchange.failure.is_none())
}

fn prompt_tokens(made: &Made) -> f64 {
    made.exchange
        .prompt_tokens()
        .map_or(made.tokens, |n| n as f64)
}

fn phase(prompt: Prompt, made: &[&Made]) -> Option<Phase> {
    let requests = made.iter().filter(|m| m.prompt == prompt).count();
    if requests == 0 {
        return None;
    }
    let whole: Vec<&Made> = whole(made, prompt).collect();
    let figure =
        |f: &dyn Fn(&Made) -> Option<f64>| Figure::of(whole.iter().filter_map(|m| f(m)).collect());
    let median = |f: &dyn Fn(&Made) -> f64| figure(&|m| Some(f(m))).map_or(0.0, |f| f.median);
    Some(Phase {
        prompt,
        requests,
        failed: requests - whole.len(),
        prompt_tokens: median(&prompt_tokens),
        new_tokens: match prompt {
            Prompt::New => median(&prompt_tokens),
            _ => median(&|m| m.new_tokens),
        },
        first_event_ms: figure(&|m| m.exchange.first_event_ms),
        first_text_ms: figure(&|m| m.exchange.first_text_ms),
        first_visible_ms: figure(&|m| m.exchange.first_visible_ms),
        cached_tokens: figure(&|m| Some(m.exchange.usage?.cached_tokens? as f64)),
        share_of_new: None,
    })
}

pub(super) fn clients(
    clients: usize,
    exchanges: &[Exchange],
    seconds: f64,
    options: &Options,
) -> Clients {
    let whole: Vec<&Exchange> = exchanges.iter().filter(|e| e.failure.is_none()).collect();
    let tokens: u64 = whole
        .iter()
        .map(|e| e.answer_tokens(options.answer).0)
        .sum();
    let keeps_limits = |e: &&&Exchange| {
        e.first_text_ms.is_some_and(|ms| ms <= options.limit_first_ms)
            // An answer of one token has no time between tokens to keep.
            && e.token_ms(options.answer).is_none_or(|ms| ms <= options.limit_token_ms)
    };
    let good = whole.iter().filter(keeps_limits).count();
    Clients {
        clients,
        requests: exchanges.len(),
        failed: exchanges.len() - whole.len(),
        tokens_per_s: if seconds > 0.0 {
            tokens as f64 / seconds
        } else {
            0.0
        },
        first_text_ms: Figure::of(whole.iter().filter_map(|e| e.first_text_ms).collect()),
        token_ms: Figure::of(
            whole
                .iter()
                .filter_map(|e| e.token_ms(options.answer))
                .collect(),
        ),
        goodput: good as f64 / exchanges.len().max(1) as f64,
    }
}

fn warnings(report: &Report, made: &[Made], is_streamed: bool) -> Vec<String> {
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
    warnings
}

fn verdict(report: &Report) -> String {
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
    let anew = report.depths.iter().rev().find_map(|d| {
        let worst = d.phases[1..]
            .iter()
            .filter(|p| p.new_tokens < ANEW / 2.0 * p.prompt_tokens)
            .filter_map(|p| Some((p.share_of_new.filter(|&s| s > ANEW)?, p)))
            .max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some((d.depth, worst))
    });
    if let Some((depth, (share, phase))) = anew {
        said += &format!(
            " At depth {depth}, {} takes {:.0}% of a new prompt's time, though {:.0} of its {:.0} tokens had been read before: they are read again.",
            phase.prompt.name(),
            share * 100.0,
            phase.prompt_tokens - phase.new_tokens,
            phase.prompt_tokens
        );
    }
    said
}
