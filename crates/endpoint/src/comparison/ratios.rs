//! Ratios of the two servers' medians over the steps that both did.

use measure::{Pairs, Samples};

use super::{Missing, Ratio, Speed, What, agreement::pairs};
use crate::{
    plan::{Crowd, Floor, Made, Side},
    report::Prompt,
    text::Scale,
};

const CONFIDENCE: f64 = 0.95;

pub(super) fn of(first: &Side<'_>, second: &Side<'_>, scale: Scale) -> Vec<Ratio> {
    let floors = [first, second].map(|side| side.floor(scale));
    let mut ratios = Vec::new();
    let mut depths = first.options.depths.clone();
    depths.dedup();
    for depth in depths {
        let mut push = |what, prompt, of: &dyn Fn(&Made, Floor) -> Option<f64>| {
            let both = pairs(first, second, prompt).filter(|(a, _)| a.depth == depth);
            let values = both.filter_map(|(a, b)| of(a, floors[0]).zip(of(b, floors[1])));
            ratios.push(ratio(what, depth, None, values.collect()));
        };
        let first_text = |m: &Made, _: Floor| m.exchange.first_text_ms;
        push(What::Prefill, Prompt::New, &|m, floor| {
            m.prefill_tokens_per_s(floor)
        });
        push(What::Decode, Prompt::New, &|m, _| m.decode_tokens_per_s());
        push(What::NewFirstText, Prompt::New, &first_text);
        if depth > 0 {
            push(What::SeenPrefixFirstText, Prompt::SeenPrefix, &first_text);
        }
        push(What::AgainFirstText, Prompt::Again, &first_text);
        push(What::NextTurnFirstText, Prompt::NextTurn, &first_text);
    }
    let depth = first.options.depths.first().copied().unwrap_or(0);
    let asked = first.options.answer;
    for &clients in &first.options.clients {
        let turns = || {
            first.crowds.iter().filter_map(move |a| {
                let mut others = second.crowds.iter();
                let same = |b: &&_| same_turn(a, b) && a.clients == clients;
                Some((a, others.find(same)?))
            })
        };
        let tokens = turns()
            .filter_map(|(a, b)| a.tokens_per_s(asked).zip(b.tokens_per_s(asked)))
            .collect();
        let texts = turns()
            .filter_map(|(a, b)| a.first_text_ms().zip(b.first_text_ms()))
            .collect();
        ratios.push(ratio(What::ClientsTokens, depth, Some(clients), tokens));
        ratios.push(ratio(What::ClientsFirstText, depth, Some(clients), texts));
    }
    ratios
}

fn same_turn(a: &Crowd, b: &Crowd) -> bool {
    (a.clients, a.turn) == (b.clients, b.turn)
}

pub(super) fn ratio(
    what: What,
    depth: usize,
    clients: Option<usize>,
    values: Vec<(f64, f64)>,
) -> Ratio {
    let (first, second): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
    let samples = Samples::new(first).ok().zip(Samples::new(second).ok());
    Ratio {
        what,
        depth,
        clients,
        first: samples.as_ref().map(|s| s.0.median()),
        second: samples.as_ref().map(|s| s.1.median()),
        speed: match samples {
            None => Speed::Unknown {
                why: Missing::NoPair,
            },
            Some((first, second)) => speed(what, first, second),
        },
    }
}

fn speed(what: What, first: Samples, second: Samples) -> Speed {
    let (over, under) = if what.is_rate() {
        (first, second)
    } else {
        (second, first)
    };
    let Ok(both) = Pairs::new(over, under) else {
        return Speed::Unknown {
            why: Missing::Clock,
        };
    };
    Speed::Known {
        ratio: both.a().median() / both.b().median(),
        interval: both.ratio_of_medians(CONFIDENCE).ok().map(|r| r.interval),
        pairs: both.a().len(),
    }
}

/// The two speeds at the first depth that has one of them, and that of the most clients.
pub(super) fn verdict(ratios: &[Ratio]) -> String {
    let is_known = |r: &&Ratio| matches!(r.speed, Speed::Known { .. });
    let is_one = |r: &&Ratio| matches!(r.what, What::Prefill | What::Decode);
    let depth = ratios.iter().filter(is_one).find(is_known).map(|r| r.depth);
    let find = |what: What| {
        let known = ratios.iter().filter(is_known);
        known
            .into_iter()
            .find(|r| r.what == what && Some(r.depth) == depth)
    };
    let mut said = Vec::new();
    if let Some(prefill) = find(What::Prefill) {
        said.push(format!("takes prompts in at {}", times(&prefill.speed)));
    }
    if let Some(decode) = find(What::Decode) {
        said.push(format!("writes answers at {}", times(&decode.speed)));
    }
    if said.is_empty() {
        return "No figure was measured on both servers.".to_owned();
    }
    let mut verdict = format!(
        "At depth {} the first server {}.",
        depth.unwrap_or(0),
        said.join(" and ")
    );
    let known = ratios
        .iter()
        .filter(|r| r.what == What::ClientsTokens && matches!(r.speed, Speed::Known { .. }));
    let most = known
        .filter_map(|r| Some((r.clients?, r)))
        .max_by_key(|r| r.0);
    if let Some((clients @ 2.., all)) = most {
        verdict += &format!(
            " With {clients} clients at once it writes at {}.",
            times(&all.speed)
        );
    }
    verdict
}

/// `1.43 times the second's speed (1.38 to 1.47)`.
fn times(speed: &Speed) -> String {
    match speed {
        Speed::Unknown { why } => format!("an unknown ratio to the second's speed ({why})"),
        Speed::Known {
            ratio,
            interval: None,
            pairs,
        } => {
            format!(
                "{ratio:.2} times the second's speed (steps that both did: {pairs}, too few for an interval)"
            )
        }
        Speed::Known {
            ratio,
            interval: Some(i),
            ..
        } => {
            let doubt = if speed.is_shown() {
                ""
            } else {
                ", no difference shown"
            };
            format!(
                "{ratio:.2} times the second's speed ({:.2} to {:.2}{doubt})",
                i.low, i.high
            )
        }
    }
}
