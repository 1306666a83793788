//! The report as one HTML file: no script, nothing fetched, light or dark as the reader's system says.

use page::{Page, escape};

use super::{
    anatomy, application, history, losses, roofline_svg, samples, scaling, silicon, silicon::known,
    sustained, task, terminal::signed, title, unexplained, waterfall_svg,
};
use crate::{
    numbers::{amount, significant},
    report::{Layer, Loss, Reading, Report, Waterfall},
};

const STYLE: &str = include_str!("report.css");

/// The whole file.
#[must_use]
pub fn html(report: &Report) -> String {
    let name = escape(&report.model.name);
    let falls = [&report.prefill, &report.decode];
    let mut body = header(report);
    body += r#"<div class="pair">"#;
    for fall in falls {
        body += &summary(fall);
    }
    body += "</div>";
    body += HOW_TO_READ;
    body += &format!("<p class=\"soft small\">{}</p>", report.ranges_in_words());
    if let Some(found) = &report.application {
        body += &application::html(found);
    }
    if let Some(found) = &report.anatomy {
        body += &anatomy::html(report, found);
    }
    if let Some(found) = &report.scaling {
        body += &scaling::html(found);
    }
    match (&report.sustained, &report.energy) {
        (Some(run), _) => body += &sustained::html(run),
        (None, Some(energy)) => body += &sustained::energy_html(energy),
        (None, None) => {}
    }
    body += &history::html(report);
    body += &warnings(report);
    for fall in falls {
        body += &details(fall);
    }
    body += &silicon::html(report);
    body += &silicon::machine(report);
    body += &samples::html(report);
    Page {
        title: &format!("{name}: from transistor to token"),
        style: STYLE,
        main: &body,
        footer: &format!(
            "Sprag {}, schema {}, {} rounds in {:.0} s.",
            escape(&report.sprag),
            escape(&report.schema),
            report.rounds,
            report.elapsed_s
        ),
        data: "",
    }
    .html()
}

fn header(report: &Report) -> String {
    let model = &report.model;
    let formats: Vec<String> = model
        .formats
        .iter()
        .take(3)
        .map(|f| format!("{} {}", escape(&f.name), amount(f.bytes as f64, "B")))
        .collect();
    format!(
        "<header><h1>{}</h1><p class=\"soft\">From transistor to token on {}, {}</p><p class=\"soft small\">{}, {} parameters, {} layers; \
         {}</p></header>",
        escape(&model.name),
        known(&report.machine.cpu.name),
        escape(&report.date),
        escape(&model.architecture),
        amount(model.parameters as f64, "").trim(),
        model.layers,
        formats.join(", ")
    )
}

fn summary(fall: &Waterfall) -> String {
    let unknown: String = fall
        .levels
        .iter()
        .filter_map(|level| match &level.ms_per_token {
            Reading::Unknown { reason, remedy } => Some(format!(
                "<p class=\"soft small\">{} is unknown: {}: {}</p>",
                level.layer.name(),
                escape(reason),
                escape(remedy)
            )),
            Reading::Known { .. } => None,
        })
        .collect();
    format!(
        "<section class=\"card\"><h2>{}</h2><p class=\"soft small\">{}; milliseconds per token</p><p class=\"verdict\">{}</p>{}{unknown}\
         <p class=\"soft small\"><span class=\"key k\"></span>carried over from the level above<span class=\"key l\"></span>lost at this \
         level</p></section>",
        title(fall),
        task(fall),
        escape(&fall.verdict),
        waterfall_svg::svg(fall, "")
    )
}

const HOW_TO_READ: &str = "<section class=\"card small\"><h2>How to read this</h2>\
<p>A token takes as long as the slowest thing it has to wait for. Each bar is the time for one token at one level of the machine; \
a level is normally slower than the one above it, and the orange part is what was lost in between.</p>\
<dl><dt>presented</dt><dd>what the data sheets allow: all bytes at the memory's rated speed, or all arithmetic at the rated peak, \
whichever takes longer</dd>\
<dt>measured silicon</dt><dd>the same sum with the bandwidth and the peak that this machine really gave just now</dd>\
<dt>kernels alone</dt><dd>every part of the model by itself, over the weights of all layers in turn</dd>\
<dt>whole step</dt><dd>the model as it runs, without anything around it</dd>\
<dt>user</dt><dd>text in, text out: with tokenising, choosing tokens and turning them into text</dd></dl>\
<p>Prefill reads a prompt, many tokens at once, and is usually held down by arithmetic. Decode writes the answer token by token; it has to \
read the whole model for each of them and is usually held down by memory. Every cause was read by an instrument of its own, named beside \
it; what the causes do not add up to is shown as unexplained. A minus is a gain. Times are taken about the lower quartile of their \
readings, alike on every level, since other programs only ever add to them; medians stand beside.</p></section>";

fn warnings(report: &Report) -> String {
    if report.warnings.is_empty() {
        return String::new();
    }
    let items: String = report
        .warnings
        .iter()
        .map(|w| format!("<li>{}</li>", escape(w)))
        .collect();
    format!(
        "<section class=\"card warn small\"><h2>What limits the trust in these figures</h2><ul>{items}</ul></section>"
    )
}

fn details(fall: &Waterfall) -> String {
    let mut out = format!(
        "<section class=\"card\"><h2>{}: where it goes</h2>",
        title(fall)
    );
    out += &levels(fall);
    out += &all_causes(fall);
    out += "<h3>The parts under their roofs</h3>";
    out += "<p class=\"soft small\"><span class=\"key s\"></span>bandwidth of the streamed bytes, then the 8-bit peak<span class=\"key \
            c\"></span>bandwidth of the caches, then the f32 peak<span class=\"key l\"></span>a part, larger with its share of the step</p>";
    out += &roofline_svg::svg(fall);
    out += &parts(fall);
    out + "</section>"
}

fn levels(fall: &Waterfall) -> String {
    let mut rows = String::new();
    for level in &fall.levels {
        let ends = |low: f64, high: f64| format!("{} to {}", significant(low), significant(high));
        let cells = match &level.ms_per_token {
            Reading::Known { figure } => [
                significant(figure.typical),
                figure
                    .range
                    .map_or_else(String::new, |r| ends(r.low, r.high)),
                significant(figure.median),
                match (figure.interval, figure.samples.len()) {
                    (Some(i), _) => ends(i.low, i.high),
                    (None, 1) => String::new(),
                    (None, n) => format!("{n} samples"),
                },
            ],
            Reading::Unknown { .. } => [
                "unknown".to_owned(),
                String::new(),
                String::new(),
                String::new(),
            ],
        };
        let figures = cells
            .map(|cell| format!("<td class=\"n\">{cell}</td>"))
            .concat();
        let rate = level.tokens_per_s.map_or_else(String::new, significant);
        let factor = level
            .loss
            .as_ref()
            .map_or_else(String::new, |l| format!("\u{d7}{}", significant(l.factor)));
        let bound = level.bound.map_or("", |b| b.name());
        rows += &format!(
            "<tr><td>{}</td>{figures}<td class=\"n\">{rate}</td><td class=\"n\">{factor}</td>\
             <td>{bound}</td><td class=\"wide\">{}</td></tr>",
            level.layer.name(),
            escape(&level.how)
        );
    }
    format!(
        "<h3>Levels</h3><div class=\"scroll\"><table><tr><th>level</th><th class=\"n\">ms/token</th><th class=\"n\">19 in 20</th><th class=\"n\">median</th><th class=\"n\">its 95% interval</th>\
         <th class=\"n\">tokens/s</th><th class=\"n\">factor</th><th>bound by</th><th>how</th></tr>{rows}</table></div>"
    )
}

/// The causes of every fall.
pub(super) fn all_causes(fall: &Waterfall) -> String {
    losses(fall)
        .map(|(layer, loss)| causes(fall, layer, loss))
        .collect()
}

fn causes(fall: &Waterfall, layer: Layer, loss: &Loss) -> String {
    let mut rows = String::new();
    for cause in &loss.causes {
        rows += &format!(
            "<tr><td class=\"n\">{}</td><td class=\"n\">\u{d7}{}</td><td>{}</td><td class=\"soft\">{}</td></tr>",
            signed(cause.ms),
            significant(cause.factor),
            escape(&cause.name),
            escape(&cause.instrument)
        );
    }
    rows += &format!(
        "<tr class=\"rest{}\"><td class=\"n\">{}</td><td></td><td>{}</td><td></td></tr>",
        if fall.is_explained(loss) {
            ""
        } else {
            " alarm"
        },
        signed(loss.unexplained_ms),
        unexplained(fall, loss)
    );
    format!(
        "<h3>{} \u{2192} {}: {} ms, \u{d7}{}</h3><div class=\"scroll\"><table><tr><th class=\"n\">ms/token</th><th class=\"n\">factor</th>\
         <th>cause</th><th>instrument</th></tr>{rows}</table></div>",
        loss.from.name(),
        layer.name(),
        signed(loss.ms),
        significant(loss.factor)
    )
}

pub(super) fn parts(fall: &Waterfall) -> String {
    let mut rows = String::new();
    for part in &fall.parts {
        rows += &format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1}%</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{:.1}</td><td class=\"n\">{}</td><td class=\"n\">{:.0}%</td></tr>",
            escape(&part.name),
            part.nodes,
            100.0 * part.share,
            significant(part.in_step.wall_ms()),
            significant(part.alone.wall_ms()),
            part.warm_ms
                .as_ref()
                .map_or_else(String::new, |warm| significant(warm.typical)),
            significant(part.ceiling_ms),
            part.bound.name(),
            part.gb_s,
            significant(part.gop_s),
            100.0 * part.roofline_share
        );
    }
    format!(
        "<div class=\"scroll\"><table><tr><th>part</th><th class=\"n\">nodes</th><th class=\"n\">share</th><th class=\"n\">in step, ms</th>\
         <th class=\"n\" title=\"over the weights of all layers in turn\">alone, cold, ms</th><th class=\"n\" title=\"one layer again and again\">warm, ms</th><th class=\"n\">ceiling, ms</th><th>bound by</th><th class=\"n\">GB/s</th><th class=\"n\">GOP/s</th>\
         <th class=\"n\">of roofline</th></tr>{rows}</table></div>"
    )
}
