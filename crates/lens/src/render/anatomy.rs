//! What a token moves: bytes by depth, what the formats cost, and the dense twin.

use page::{escape, plain};

use super::terminal::Style;
use crate::{
    numbers::{amount, significant},
    report::{Anatomy, Report, Traffic},
};

fn bytes(count: u64) -> String {
    if count == 0 {
        "-".to_owned()
    } else {
        amount(count as f64, "B")
    }
}

/// The twin's time and memory beside the model's.
fn beside(anatomy: &Anatomy, own: &Traffic) -> Option<(f64, u64)> {
    let twin = anatomy.twin.as_ref()?;
    let there = twin.traffic.iter().find(|t| t.depth == own.depth)?;
    Some((there.silicon_ms, there.held_bytes))
}

/// What the table does not say, a sentence each.
fn sentences(report: &Report, anatomy: &Anatomy) -> Vec<String> {
    let mut all = Vec::new();
    let read = anatomy.traffic.first().map_or(0, |t| t.weight_bytes);
    let bits: Vec<String> = anatomy
        .formats
        .iter()
        .take(3)
        .map(|f| format!("{} {:.2} bits", f.name, f.bits))
        .collect();
    if let Some(main) = anatomy.formats.first() {
        all.push(format!(
            "On paper {} parameters of {} bits are {}; a token reads {} of weights, each with its share of the scales: {}.",
            amount(report.model.parameters as f64, "").trim(),
            main.nominal_bits,
            amount(anatomy.nominal_bytes, "B"),
            bytes(read),
            bits.join(", ")
        ));
        if let (Some(kernel), Some(silicon)) = (main.kernel_ms, main.silicon_ms) {
            let others: Vec<String> = anatomy
                .other_formats
                .iter()
                .map(|o| {
                    format!(
                        "{} would read {}, {} ms",
                        o.name,
                        amount(o.streamed_bytes, "B"),
                        significant(o.silicon_ms)
                    )
                })
                .collect();
            let cost = if kernel > silicon {
                format!(
                    "unpacking and all else that they lose cost {} ms",
                    significant(kernel - silicon)
                )
            } else {
                "unpacking costs nothing that shows".to_owned()
            };
            all.push(format!(
                "The parts that read mostly {} take {} ms alone where the silicon needs {}: {cost}. At the same bandwidth {}.",
                main.name,
                significant(kernel),
                significant(silicon),
                others.join("; ")
            ));
        }
    }
    if let Some(twin) = &anatomy.twin {
        all.push(format!(
            "The dense twin has {}, with the same weights.",
            twin.how
        ));
    }
    all
}

pub(super) fn terminal(out: &mut String, report: &Report, anatomy: &Anatomy, style: &Style) {
    let title = style.bold("MODEL");
    out.push_str(&format!(
        "\n{title}  what one token of decode moves and holds\n"
    ));
    let line = |cells: [String; 7]| {
        let [depth, weights, kv, state, activations, held, silicon] = cells;
        let mut line = format!("  {depth:>7}{weights:>9}{kv:>9}{state:>9}");
        if style.is_wide() {
            line += &format!("{activations:>12}");
        }
        line + &format!("{held:>9}{silicon:>11}")
    };
    let with_twin = anatomy.twin.is_some() && style.is_wide();
    let heads = [
        "depth",
        "weights",
        "KV",
        "state",
        "activations",
        "held",
        "silicon",
    ];
    let mut heads = line(heads.map(str::to_owned));
    if with_twin {
        heads += &format!("{:>16}{:>9}", "dense twin", "held");
    }
    out.push_str(&format!("{}\n", style.dim(&heads)));
    for own in &anatomy.traffic {
        out.push_str(&line(cells(own)));
        if with_twin && let Some((ms, held)) = beside(anatomy, own) {
            out.push_str(&format!("{:>13} ms{:>9}", significant(ms), bytes(held)));
        }
        out.push('\n');
    }
    for sentence in sentences(report, anatomy) {
        style.paragraph(out, 2, &plain(&sentence));
    }
}

fn cells(own: &Traffic) -> [String; 7] {
    [
        own.depth.to_string(),
        bytes(own.weight_bytes),
        bytes(own.kv_bytes),
        bytes(own.state_bytes),
        bytes(own.activation_bytes),
        bytes(own.held_bytes),
        format!("{} ms", significant(own.silicon_ms)),
    ]
}

pub(super) fn html(report: &Report, anatomy: &Anatomy) -> String {
    let mut rows = String::new();
    for own in &anatomy.traffic {
        let twin = beside(anatomy, own).map_or_else(String::new, |(ms, held)| {
            format!(
                "<td class=\"n\">{} ms</td><td class=\"n\">{}</td>",
                significant(ms),
                bytes(held)
            )
        });
        let cells = cells(own).map(|cell| format!("<td class=\"n\">{cell}</td>"));
        rows += &format!("<tr>{}{twin}</tr>", cells.concat());
    }
    let twin = if anatomy.twin.is_some() {
        "<th class=\"n\">dense twin, silicon</th><th class=\"n\">held</th>"
    } else {
        ""
    };
    let told: String = sentences(report, anatomy)
        .iter()
        .map(|s| format!("<p class=\"soft small\">{}</p>", escape(s)))
        .collect();
    format!(
        "<section class=\"card\"><h2>Model</h2><p class=\"soft small\">What one token of decode moves, and what its sequence holds in memory</p>\
         <div class=\"scroll\"><table><tr><th class=\"n\">depth</th><th class=\"n\">weights</th><th class=\"n\">keys and values</th>\
         <th class=\"n\">state</th><th class=\"n\">activations</th><th class=\"n\">held</th><th class=\"n\">silicon needs</th>{twin}</tr>{rows}\
         </table></div>{told}</section>"
    )
}
