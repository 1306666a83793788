//! From exchanges to figures.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    Made, Options, Side,
    side::{Crowd, Floor},
    words::{verdict, warnings},
};
use crate::{
    Exchange, Report,
    report::{Clients, Depth, Figure, Phase, Prompt, SCHEMA},
    text::Scale,
};

/// All that came from one server.
pub(super) fn report(side: Side<'_>, used: Scale, elapsed_s: f64) -> Report {
    let options = side.options;
    let own = side.scale();
    let floor = side.floor(used);
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        sprag: env!("CARGO_PKG_VERSION").to_owned(),
        date: DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true),
        elapsed_s,
        address: side.server.base().to_owned(),
        model: side.server.model().to_owned(),
        prefill: options.prefill,
        answer: options.answer,
        rounds: options.rounds,
        limit_first_ms: options.limit_first_ms,
        limit_token_ms: options.limit_token_ms,
        counted_by_server: side.is_counted,
        is_scale_measured: own.is_some(),
        characters_per_token: 1.0 / own.unwrap_or(used).per_character,
        first_request_ms: side.first_request_ms,
        floor_ms: Figure::of(side.floor_ms),
        depths: Vec::new(),
        clients: crowds(&side.crowds, options),
        requests: side.requests,
        failures: side.failures,
        stopped: side.stopped,
        warnings: Vec::new(),
        verdict: String::new(),
        against: None,
    };
    for &depth in &options.depths {
        let here: Vec<&Made> = side.made.iter().filter(|m| m.depth == depth).collect();
        if !here.is_empty() {
            report.depths.push(of_depth(depth, &here, floor));
        }
    }
    report.warnings = warnings(&report, &side.made, side.is_streamed);
    report.verdict = verdict(&report);
    report
}

fn of_depth(depth: usize, made: &[&Made], floor: Floor) -> Depth {
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
    let above = |p: &Phase| p.first_text_ms.as_ref().map(|f| f.median - floor.ms);
    let new_ms = phases.first().and_then(above).filter(|&ms| ms > 0.0);
    let beyond = phases
        .first()
        .map_or(0.0, |p| p.prompt_tokens - floor.tokens);
    for phase in &mut phases[1..] {
        let own = above(phase);
        phase.share_of_new = own.zip(new_ms).map(|(own, new)| (own / new).max(0.0));
        phase.read_again_by_time = new_ms.and_then(|new_ms| {
            let each = whole(made, phase.prompt).filter_map(|m| {
                let ms = m.exchange.first_text_ms? - floor.ms;
                // The few words were computed in their time, but for the template that all prompts share.
                let computed = floor.tokens - floor.head_tokens + ms / new_ms * beyond;
                let unseen = prompt_tokens(m) - m.seen_tokens;
                Some((computed - unseen).clamp(0.0, m.seen_tokens))
            });
            Figure::of(each.collect())
        });
    }
    Depth {
        depth,
        phases,
        prefill_tokens_per_s: of_new(&|m| m.prefill_tokens_per_s(floor)),
        decode_tokens_per_s: of_new(&Made::decode_tokens_per_s),
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

impl Made {
    /// Tokens of the prompt over the time to the first text, each less that of a prompt of a few words.
    pub(crate) fn prefill_tokens_per_s(&self, floor: Floor) -> Option<f64> {
        let ms = self.exchange.first_text_ms? - floor.ms;
        let tokens = prompt_tokens(self) - floor.tokens;
        (ms > 0.0 && tokens > 0.0).then(|| tokens / ms * 1e3)
    }

    /// Tokens after the first over their time.
    pub(crate) fn decode_tokens_per_s(&self) -> Option<f64> {
        Some(1e3 / self.exchange.token_ms(self.asked)?)
    }
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
        new_tokens: median(&|m| prompt_tokens(m) - m.seen_tokens),
        seen_tokens: figure(&|m| Some(m.seen_tokens)).map(|f| f.median),
        first_event_ms: figure(&|m| m.exchange.first_event_ms),
        first_text_ms: figure(&|m| m.exchange.first_text_ms),
        first_visible_ms: figure(&|m| m.exchange.first_visible_ms),
        thinking_ms: figure(&|m| m.exchange.thinking_ms()),
        thought_only: whole
            .iter()
            .filter(|m| m.exchange.first_visible_ms.is_none() && !m.exchange.thought.is_empty())
            .count(),
        cached_tokens: figure(&cached),
        read_again_tokens: match prompt {
            Prompt::New => None,
            _ => figure(&|m| Some((m.seen_tokens - cached(m)?).max(0.0))),
        },
        read_again_by_time: None,
        share_of_new: None,
    })
}

/// Of a prompt, what the server says that it did not compute again.
fn cached(made: &Made) -> Option<f64> {
    Some(made.exchange.usage?.cached_tokens? as f64)
}

/// By number of clients, in the order in which they were asked for.
fn crowds(crowds: &[Crowd], options: &Options) -> Vec<Clients> {
    let mut found: Vec<Clients> = Vec::new();
    for &clients in &options.clients {
        let turns: Vec<&Crowd> = crowds.iter().filter(|c| c.clients == clients).collect();
        if !turns.is_empty() && found.iter().all(|f| f.clients != clients) {
            found.push(of_clients(clients, &turns, options));
        }
    }
    found
}

fn of_clients(clients: usize, turns: &[&Crowd], options: &Options) -> Clients {
    let all: Vec<&Exchange> = turns.iter().flat_map(|t| &t.exchanges).collect();
    let whole: Vec<&Exchange> = all
        .iter()
        .copied()
        .filter(|e| e.failure.is_none())
        .collect();
    let tokens: u64 = turns.iter().map(|t| t.tokens(options.answer)).sum();
    let seconds: f64 = turns.iter().map(|t| t.seconds).sum();
    let keeps_limits = |e: &&&Exchange| {
        e.first_text_ms.is_some_and(|ms| ms <= options.limit_first_ms)
            // An answer of one token has no time between tokens to keep.
            && e.token_ms(options.answer).is_none_or(|ms| ms <= options.limit_token_ms)
    };
    let good = whole.iter().filter(keeps_limits).count();
    let token_ms = whole.iter().filter_map(|e| e.token_ms(options.answer));
    Clients {
        clients,
        requests: all.len(),
        failed: all.len() - whole.len(),
        tokens_per_s: if seconds > 0.0 {
            tokens as f64 / seconds
        } else {
            0.0
        },
        turns_tokens_per_s: Figure::of(
            turns
                .iter()
                .filter_map(|t| t.tokens_per_s(options.answer))
                .collect(),
        ),
        first_text_ms: Figure::of(whole.iter().filter_map(|e| e.first_text_ms).collect()),
        token_ms: Figure::of(token_ms.collect()),
        goodput: good as f64 / all.len().max(1) as f64,
    }
}

impl Crowd {
    /// Tokens of its whole answers.
    fn tokens(&self, asked: usize) -> u64 {
        let whole = self.exchanges.iter().filter(|e| e.failure.is_none());
        whole.map(|e| e.answer_tokens(asked).0).sum()
    }

    /// `None` where there was no whole answer.
    pub(crate) fn tokens_per_s(&self, asked: usize) -> Option<f64> {
        let tokens = self.tokens(asked);
        (tokens > 0 && self.seconds > 0.0).then(|| tokens as f64 / self.seconds)
    }

    /// Median over its whole answers.
    pub(crate) fn first_text_ms(&self) -> Option<f64> {
        let whole = self.exchanges.iter().filter(|e| e.failure.is_none());
        let all = whole.filter_map(|e| e.first_text_ms).collect();
        Figure::of(all).map(|f| f.median)
    }
}
