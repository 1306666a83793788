//! Reports for people: [`terminal()`] and [`html()`], which show the same figures, [`card()`], a picture of them, and [`diff()`]; everything foreign (names of models and machines) is
//! stripped of control characters or escaped.

mod anatomy;
mod application;
mod card;
mod diff;
mod history;
mod html;
mod line_svg;
mod roofline_svg;
mod samples;
mod scaling;
mod silicon;
mod sustained;
mod terminal;
mod waterfall_svg;

pub use card::card;
pub use diff::diff;
pub use html::html;
pub use terminal::terminal;

use page::plain;

use crate::report::{Layer, Loss, Profile, Waterfall};

/// Text in lines of at most `width` characters, but for longer words; at least one line.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// A regime as a heading.
fn title(fall: &Waterfall) -> &'static str {
    match fall.regime {
        crate::report::Regime::Prefill => "Prefill",
        crate::report::Regime::Decode => "Decode",
    }
}

/// Said where products with BF16 weights are not those of f32.
fn float_products(profile: &Profile) -> String {
    match profile.float_products.as_str() {
        "f32" => String::new(),
        other => format!(", BF16 products {}", plain(other)),
    }
}

/// What a regime ran, in words.
fn task(fall: &Waterfall) -> String {
    match fall.regime {
        crate::report::Regime::Prefill => format!(
            "a prompt of {} tokens, {} at a time",
            fall.tokens, fall.chunk
        ),
        crate::report::Regime::Decode => format!("one token behind {} others", fall.depth),
    }
}

/// What stands beside what the causes leave over.
fn unexplained(fall: &Waterfall, loss: &Loss) -> &'static str {
    if fall.is_explained(loss) {
        "unexplained"
    } else {
        "unexplained, more than 5% of the step: the causes do not tell it all"
    }
}

/// The losses with the level that they lead to.
fn losses(fall: &Waterfall) -> impl Iterator<Item = (Layer, &Loss)> {
    fall.levels
        .iter()
        .filter_map(|level| Some((level.layer, level.loss.as_ref()?)))
}

#[cfg(test)]
mod tests;
