//! Every reading behind every figure, folded away at the end of the page.
//!
//! The report as JSON is walked as it is, so that a figure that is new in the report is here too. A figure is an object with a list of
//! numbers called `samples`; its name is its path, with the names of parts and levels in place of their positions.

use serde_json::Value;

use page::escape;

use crate::{numbers::significant, report::Report};

/// Fields by which an element of a list is called, in this order.
const NAMES: [&str; 3] = ["layer", "name", "instruction"];

/// The section; nothing where the report cannot be written as JSON.
pub(super) fn html(report: &Report) -> String {
    let Ok(value) = serde_json::to_value(report) else {
        return String::new();
    };
    let mut figures = Vec::new();
    find(&value, &mut String::new(), &mut figures);
    let rows: String = figures
        .iter()
        .map(|(path, samples)| {
            let texts: Vec<String> = samples.iter().map(|sample| significant(*sample)).collect();
            format!(
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"wide\">{}</td></tr>",
                escape(path),
                samples.len(),
                texts.join(" ")
            )
        })
        .collect();
    format!(
        "<section class=\"card small\"><details><summary>Raw samples behind {} figures</summary><p class=\"soft\">In the order they were \
         taken, to three digits; a figure's unit is the end of its name. All digits are in the JSON report (sprag lens --json).</p>\
         <div class=\"scroll\"><table><tr><th>figure</th><th class=\"n\">samples</th><th>readings</th></tr>{rows}</table></div></details></section>",
        figures.len()
    )
}

/// Adds what is under `value`, whose path is `path`.
fn find(value: &Value, path: &mut String, figures: &mut Vec<(String, Vec<f64>)>) {
    let length = path.len();
    match value {
        Value::Object(fields) => {
            if let Some(samples) = fields.get("samples").and_then(numbers) {
                figures.push((path.clone(), samples));
                return;
            }
            for (name, field) in fields {
                if !path.is_empty() {
                    path.push_str(" / ");
                }
                path.push_str(name);
                find(field, path, figures);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                let called = NAMES.iter().find_map(|name| item.get(name)?.as_str());
                let called = called.map_or_else(|| position.to_string(), str::to_owned);
                path.push_str(" / ");
                path.push_str(&called);
                find(item, path, figures);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// A list of numbers, at least one.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(Value::as_f64).collect()
}
