//! Every sample in the order of measurement, in tables.

use super::{Shown, digits};
use crate::report::Figure;

pub(super) fn html(shown: &[Shown<'_>]) -> String {
    let mut out = String::new();
    for server in shown {
        let mut rows = String::new();
        let mut row = |place: &str, what: &str, figure: &Option<Figure>| {
            if let Some(figure) = figure {
                let all: Vec<String> = figure.samples.iter().map(|&x| digits(x)).collect();
                rows += &format!(
                    "<tr><td>{place}</td><td>{what}</td><td class=\"n\">{}</td><td class=\"wide\">{}</td></tr>",
                    digits(figure.median),
                    all.join(" ")
                );
            }
        };
        let report = server.report;
        row("a few words", "first text, ms", &report.floor_ms);
        for depth in &report.depths {
            let place = format!("depth {}", depth.depth);
            row(&place, "prompt, tokens/s", &depth.prefill_tokens_per_s);
            row(&place, "answer, tokens/s", &depth.decode_tokens_per_s);
            row(&place, "longest silence, ms", &depth.longest_gap_ms);
            for phase in &depth.phases {
                let place = format!("depth {}, {}", depth.depth, phase.prompt.name());
                row(&place, "first event, ms", &phase.first_event_ms);
                row(&place, "first text, ms", &phase.first_text_ms);
                row(&place, "first visible, ms", &phase.first_visible_ms);
                row(&place, "thinking, ms", &phase.thinking_ms);
                row(&place, "cached tokens", &phase.cached_tokens);
                row(&place, "read again, told", &phase.read_again_tokens);
                row(&place, "read again, by time", &phase.read_again_by_time);
            }
        }
        for c in &report.clients {
            let place = format!("{} clients", c.clients);
            row(&place, "tokens/s of all, by turn", &c.turns_tokens_per_s);
            row(&place, "first text, ms", &c.first_text_ms);
            row(&place, "a token, ms", &c.token_ms);
        }
        let name = match server.name {
            "" => String::new(),
            name => format!(" of the {} server", name.to_lowercase()),
        };
        out += &format!(
            "<section class=\"card small\"><details><summary>All samples{name}</summary><div class=\"scroll\"><table><tr><th>where</th><th>what</th>\
             <th class=\"n\">median</th><th>in the order of measurement</th></tr>{rows}</table></div></details></section>"
        );
    }
    out
}
