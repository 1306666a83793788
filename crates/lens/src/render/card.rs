//! One picture to show around: both waterfalls, what ran on what, and the verdicts, as an SVG of 1200 by 630 that needs nothing else.

use page::{escape, plain};

use super::{waterfall_svg, wrap};
use crate::{
    numbers::amount,
    report::{Report, Waterfall},
};

const MARGIN: u32 = 48;
/// Left edges of the waterfalls, and their width.
const COLUMNS: [u32; 2] = [MARGIN, 624];
const COLUMN: u32 = 528;
/// Characters of the title, of a line across the card, and of one in a column: about what fits at their sizes.
const TITLE: usize = 54;
const LINE: usize = 110;
const NARROW: usize = 55;
/// Lines of a verdict.
const VERDICT: usize = 4;

const CSS: &str = "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1b1f27;font-size:13px}\
.title{font-size:36px;font-weight:700}.what{font-size:19px;fill:#5b6472}.regime{font-size:22px;font-weight:700}\
.verdict{font-size:16px;font-weight:600}.foot{font-size:14px;fill:#5b6472}.name{font-weight:600}.loss{font-size:12px}\
.fall text{paint-order:stroke;stroke:#fff;stroke-width:4px}.fall text.inside{fill:#fff;stroke:none}\
.kept{fill:#6f87a8}.lost{fill:#c8642c}.unknown{fill:none;stroke:#dfe3ea;stroke-dasharray:4 4}\
.drop{stroke:#5b6472;stroke-dasharray:2 3}";

/// The report as a card.
#[must_use]
pub fn card(report: &Report) -> String {
    let (model, machine, profile) = (&report.model, &report.machine, &report.profile);
    let cpu = machine.cpu.name.value();
    let cpu = cpu.map_or("an unnamed processor", String::as_str);
    let formats = model.formats.iter().take(2);
    let formats: Vec<String> = formats
        .map(|f| format!("{} {}", f.name, amount(f.bytes as f64, "B")))
        .collect();
    let is_virtual = if machine.is_virtual() == Some(true) {
        " (virtual machine)"
    } else {
        ""
    };
    let what = format!(
        "{}, {} threads, {}{} \u{b7} {}",
        cpu.trim().to_owned() + is_virtual,
        profile.threads,
        profile.isa,
        super::float_products(profile),
        formats.join(", ")
    );
    let foot = format!(
        "sprag {} \u{b7} {} \u{b7} orange: what is lost on the way to the level; sprag lens MODEL --html FILE tells why",
        report.sprag, report.date
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"630\" viewBox=\"0 0 1200 630\" role=\"img\"><title>{}: \
         from transistor to token</title><style>{CSS}</style><rect width=\"1200\" height=\"630\" fill=\"#fff\"/>",
        escape(&model.name)
    );
    out += &line("title", MARGIN, 72, &cut(&model.name, TITLE));
    out += &line("what", MARGIN, 106, &cut(&what, LINE));
    for (x, fall) in COLUMNS.into_iter().zip([&report.prefill, &report.decode]) {
        out += &column(x, fall);
    }
    out += &line("foot", MARGIN, 612, &cut(&foot, 2 * LINE));
    out + "</svg>\n"
}

fn column(x: u32, fall: &Waterfall) -> String {
    let mut out = line("regime", x, 156, super::title(fall));
    let place = format!(r#" x="{x}" y="166" width="{COLUMN}" height="320""#);
    out += &waterfall_svg::svg(fall, &place);
    let mut lines = wrap(&plain(&fall.verdict), NARROW);
    if lines.len() > VERDICT {
        lines.truncate(VERDICT);
        lines[VERDICT - 1].push('\u{2026}');
    }
    for (i, text) in lines.iter().enumerate() {
        out += &line("verdict", x, 512 + 23 * i as u32, &cut(text, NARROW + 8));
    }
    out
}

fn line(class: &str, x: u32, y: u32, text: &str) -> String {
    format!(
        r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#,
        escape(text)
    )
}

/// At most `most` characters, with an ellipsis where some are left out.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    kept + "\u{2026}"
}
