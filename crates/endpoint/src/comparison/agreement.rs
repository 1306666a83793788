//! Whether two servers did the same work: token counts of the same prompts, and how far their answers go together.

use measure::Samples;

use super::{Agreement, Answers, BEGINNING, Counts, LITTLE, MANY, Refusal};
use crate::{
    exchange::shown,
    plan::{Made, Side},
    report::Prompt,
};

/// Characters that are shown of each answer where they part.
const GOES_ON: usize = 60;

pub(super) fn of(first: &Side<'_>, second: &Side<'_>) -> (Agreement, Option<Refusal>) {
    let probes = first.probes.iter().zip(&second.probes);
    let mut prompts: Vec<Counts> = probes
        .map(|(a, b)| Counts {
            depth: None,
            first: a.tokens,
            second: b.tokens,
        })
        .collect();
    let mut answers = Vec::new();
    for (a, b) in pairs(first, second, Prompt::New) {
        prompts.push(Counts {
            depth: Some(a.depth),
            first: a.exchange.prompt_tokens(),
            second: b.exchange.prompt_tokens(),
        });
        answers.extend(compared(a, b));
    }
    let refusal = refusal(&prompts, &answers);
    let finding = finding(&prompts, &answers, refusal);
    let agreement = Agreement {
        prompts,
        answers,
        finding,
    };
    (agreement, refusal)
}

/// Whole answers of both to a kind of prompt in the same steps.
pub(super) fn pairs<'s>(
    first: &'s Side<'_>,
    second: &'s Side<'_>,
    prompt: Prompt,
) -> impl Iterator<Item = (&'s Made, &'s Made)> {
    let is_whole = move |m: &&Made| m.prompt == prompt && m.exchange.failure.is_none();
    first.made.iter().filter(is_whole).filter_map(move |a| {
        let mut others = second.made.iter().filter(is_whole);
        Some((a, others.find(|b| b.block == a.block)?))
    })
}

/// `None` where neither says a word.
fn compared(a: &Made, b: &Made) -> Option<Answers> {
    let mut answers = alike(&a.exchange.text(), &b.exchange.text())?;
    answers.depth = a.depth;
    let tokens = |m: &Made| m.exchange.usage.map(|u| u.completion_tokens);
    answers.first_tokens = tokens(a).filter(|&n| n > 0);
    answers.second_tokens = tokens(b).filter(|&n| n > 0);
    Some(answers)
}

/// How far two texts go together, blanks at their ends aside.
pub(super) fn alike(first: &str, second: &str) -> Option<Answers> {
    let (first, second) = (first.trim(), second.trim());
    let common = first.chars().zip(second.chars());
    let agreed_characters = common.take_while(|(a, b)| a == b).count();
    let words = |text: &str| text.split_whitespace().count();
    let common = first.split_whitespace().zip(second.split_whitespace());
    let goes_on = |text: &str| {
        let rest: String = text.chars().skip(agreed_characters).take(GOES_ON).collect();
        shown(&rest)
    };
    let longest = words(first).max(words(second));
    (longest > 0).then(|| Answers {
        depth: 0,
        words: longest,
        agreed_words: common.take_while(|(a, b)| a == b).count(),
        characters: first.chars().count().max(second.chars().count()),
        agreed_characters,
        first_tokens: None,
        second_tokens: None,
        first_goes_on: goes_on(first),
        second_goes_on: goes_on(second),
    })
}

/// Sums over the prompts that both counted; `None` if there is none.
fn totals(prompts: &[Counts]) -> Option<(u64, u64)> {
    let both = prompts.iter().filter_map(|c| c.first.zip(c.second));
    both.reduce(|sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)))
}

pub(super) fn refusal(prompts: &[Counts], answers: &[Answers]) -> Option<Refusal> {
    if let Some((first, second)) = totals(prompts)
        && first.abs_diff(second) as f64 > LITTLE * first.max(second) as f64
    {
        return Some(Refusal::PromptTokens { first, second });
    }
    if answers.is_empty() {
        return Some(Refusal::NoAnswers);
    }
    let words = if answers.len() < MANY { 1 } else { BEGINNING };
    let begins_alike = |a: &Answers| a.agreed_words >= words.min(a.words);
    (!answers.iter().any(begins_alike)).then_some(Refusal::Answers {
        prompts: answers.len(),
        words,
    })
}

pub(super) fn finding(prompts: &[Counts], answers: &[Answers], refusal: Option<Refusal>) -> String {
    match refusal {
        Some(Refusal::PromptTokens { first, second }) => {
            format!(
                "Not the same tokenizer or template, so not the same work, and no ratio is given: the same prompts are {first} tokens to the \
             first server and {second} to the second"
            ) + &also(answers)
                + "."
        }
        Some(Refusal::Answers { prompts, words: 1 }) => format!(
            "Not the same model, and no ratio is given: of {prompts} pairs of answers none begins with the same word."
        ),
        Some(Refusal::Answers { prompts, words }) => format!(
            "Not the same model, and no ratio is given: of {prompts} pairs of answers none begins with the same {words} words."
        ),
        Some(Refusal::NoAnswers) => {
            "No prompt was answered by both servers, so nothing can be compared.".to_owned()
        }
        None => format!("{}; {}.", of_counts(prompts), of_answers(answers)),
    }
}

fn also(answers: &[Answers]) -> String {
    match median(answers, |a| a.agreed_words as f64) {
        Some(words) => format!(", and their answers agree for {words:.0} words"),
        None => String::new(),
    }
}

fn of_counts(prompts: &[Counts]) -> String {
    let counted = prompts
        .iter()
        .filter(|c| c.first.and(c.second).is_some())
        .count();
    match totals(prompts) {
        Some((first, second)) if first == second => {
            format!("The same {counted} prompts are the same number of tokens to both servers")
        }
        Some((first, second)) => format!(
            "The same {counted} prompts are {first} tokens to the first server and {second} to the second, which is little enough"
        ),
        None => {
            let counts = |by: fn(&Counts) -> Option<u64>| prompts.iter().any(|c| by(c).is_some());
            let who = match (counts(|c| c.first), counts(|c| c.second)) {
                (true, _) => "the second server does not",
                (false, true) => "the first server does not",
                (false, false) => "neither server",
            };
            let verb = if who.starts_with("neither") {
                "counts"
            } else {
                "count"
            };
            format!("Whether both read the same tokens is unknown, since {who} {verb} them")
        }
    }
}

fn of_answers(answers: &[Answers]) -> String {
    let same = answers.iter().filter(|a| a.are_same()).count();
    if same == answers.len() {
        return match same {
            1 => "their answers are the same word for word".to_owned(),
            _ => format!("all {same} pairs of answers are the same word for word"),
        };
    }
    let agreed = median(answers, |a| a.agreed_words as f64).unwrap_or(0.0);
    let words = median(answers, |a| a.words as f64).unwrap_or(0.0);
    let most = answers.iter().map(|a| a.agreed_words).max().unwrap_or(0);
    let most = match same {
        0 => format!("{most} at most"),
        n => format!("{n} of them to the end"),
    };
    format!(
        "their answers agree for {agreed:.0} of {words:.0} words (median of {} pairs, {most})",
        answers.len()
    )
}

fn median(answers: &[Answers], of: impl Fn(&Answers) -> f64) -> Option<f64> {
    let all = answers.iter().map(of).collect();
    Samples::new(all).ok().map(|s| s.median())
}
