//! A conversation: what its user waits for, and what is computed again.

use page::{escape, plain};

use super::terminal::Style;
use crate::{
    numbers::significant,
    report::{Application, Reading, Turn},
};

fn name(index: usize) -> String {
    format!("question {}", index + 1)
}

fn cell(reading: &Reading) -> String {
    reading.value().map_or_else(|| "-".to_owned(), significant)
}

fn rate(turn: &Turn) -> String {
    let per_token = turn.ms_per_token.value().filter(|ms| *ms > 0.0);
    per_token.map_or_else(|| "-".to_owned(), |ms| significant(1e3 / ms))
}

/// What the table does not say, a sentence each.
fn sentences(application: &Application) -> Vec<String> {
    let mut all = Vec::new();
    if !application.own_template {
        all.push("The model has no chat template: the turns were written in ChatML, which it may never have seen.".to_owned());
    }
    let [first, second, ..] = &application.turns[..] else {
        return all;
    };
    all.push(if second.again_tokens > 0 {
        format!(
            "The second question computes {} tokens again that the session had seen: a recurrent state cannot be cut back to where two prompts part.",
            second.again_tokens
        )
    } else if second.parted_tokens > 1 {
        format!(
            "The second question keeps {} of its {} tokens; {} more that the session had seen are written in other tokens now, and computed again.",
            second.kept_tokens, second.prompt_tokens, second.parted_tokens
        )
    } else {
        format!(
            "The second question keeps {} of its {} tokens; nothing is computed twice.",
            second.kept_tokens, second.prompt_tokens
        )
    });
    for (index, turn) in [first, second].into_iter().enumerate() {
        if let Reading::Unknown { reason, .. } = &turn.first_visible_ms {
            all.push(format!("{}: {reason}.", name(index)));
        }
    }
    all
}

pub(super) fn terminal(out: &mut String, application: &Application, style: &Style) {
    let title = style.bold("CONVERSATION");
    out.push_str(&format!("\n{title}  as sprag chat has it; milliseconds\n"));
    let line = |cells: [String; 9], label: &str| {
        let [
            prompt,
            kept,
            again,
            template,
            tokenise,
            prefill,
            first,
            visible,
            rate,
        ] = cells;
        let mut line = format!("  {label:<12}{prompt:>7}{kept:>7}{again:>7}");
        if style.is_wide() {
            line += &format!("{template:>11}{tokenise:>11}{prefill:>10}");
        }
        line += &format!("{first:>13}");
        if style.is_wide() {
            line += &format!("{visible:>10}");
        }
        line + &format!("{rate:>10}")
    };
    let heads = [
        "prompt",
        "kept",
        "again",
        "template",
        "tokenise",
        "prefill",
        "first token",
        "visible",
        "tokens/s",
    ];
    let heads = line(heads.map(str::to_owned), "");
    out.push_str(&format!("{}\n", style.dim(&heads)));
    for (index, turn) in application.turns.iter().enumerate() {
        out.push_str(&format!("{}\n", line(cells(turn), &name(index))));
    }
    for sentence in sentences(application) {
        style.paragraph(out, 2, &plain(&sentence));
    }
}

fn cells(turn: &Turn) -> [String; 9] {
    [
        turn.prompt_tokens.to_string(),
        turn.kept_tokens.to_string(),
        turn.again_tokens.to_string(),
        significant(turn.template_ms.typical),
        significant(turn.tokenise_ms.typical),
        significant(turn.prefill_ms.typical),
        significant(turn.first_token_ms.typical),
        cell(&turn.first_visible_ms),
        rate(turn),
    ]
}

pub(super) fn html(application: &Application) -> String {
    let mut rows = String::new();
    for (index, turn) in application.turns.iter().enumerate() {
        let cells = cells(turn).map(|cell| format!("<td class=\"n\">{cell}</td>"));
        rows += &format!("<tr><td>{}</td>{}</tr>", name(index), cells.concat());
    }
    let told: String = sentences(application)
        .iter()
        .map(|s| format!("<p class=\"soft small\">{}</p>", escape(s)))
        .collect();
    format!(
        "<section class=\"card\"><h2>Conversation</h2><p class=\"soft small\">What somebody who talks with the model waits for, in milliseconds; \
         tokens of the prompt, those kept from the turn before, and those computed again</p><div class=\"scroll\"><table><tr><th></th>\
         <th class=\"n\">prompt</th><th class=\"n\">kept</th><th class=\"n\">again</th><th class=\"n\">template</th><th class=\"n\">tokenise</th>\
         <th class=\"n\">prefill</th><th class=\"n\">first token</th><th class=\"n\">visible</th><th class=\"n\">tokens/s</th></tr>{rows}</table>\
         </div>{told}</section>"
    )
}
