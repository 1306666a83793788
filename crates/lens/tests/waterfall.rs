//! Waterfalls of tiny models: complete and consistent, whatever the machine. No assertion on speed.

use std::path::PathBuf;

use kernels::RuntimeProfile;
use lens::{
    Options, Report, measure, render,
    report::{Layer, Reading, Waterfall},
};
use runtime::Engine;

fn engine(name: &str) -> Engine {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../fixtures/models/{name}.gguf"));
    let profile = RuntimeProfile {
        threads: 2,
        prefill_chunk: 64,
        ..RuntimeProfile::default()
    };
    Engine::open(&path, profile, &mut |_, _| {}).expect("the fixture's model")
}

fn options() -> Options {
    Options {
        depth: 40,
        prefill_tokens: 100,
        spec_bandwidth_gb_s: Some(50.0),
        quick: true,
        scaling: false,
    }
}

fn report(name: &str) -> Report {
    measured(name, false)
}

fn measured(name: &str, scaling: bool) -> Report {
    let engine = engine(name);
    let options = Options {
        scaling,
        ..options()
    };
    let mut heard = Vec::new();
    let report = measure(&engine, &options, &mut |step, share| {
        heard.push((step.to_owned(), share))
    })
    .expect("a report");
    assert!(
        heard.iter().all(|(_, share)| (0.0..=1.0).contains(share)),
        "{heard:?}"
    );
    assert_eq!(heard.last().map(|(step, _)| step.as_str()), Some("done"));
    report
}

fn check(fall: &Waterfall) {
    let layers: Vec<Layer> = fall.levels.iter().map(|l| l.layer).collect();
    assert_eq!(
        layers,
        [
            Layer::Presented,
            Layer::Silicon,
            Layer::Kernels,
            Layer::Step,
            Layer::User
        ]
    );
    for level in &fall.levels {
        match &level.ms_per_token {
            Reading::Known { figure } => {
                assert!(
                    figure.typical > 0.0 && figure.typical.is_finite(),
                    "{level:?}"
                );
                assert!(!figure.samples.is_empty());
            }
            // A random model may end its turn at once; the arithmetic of this machine may not be presented.
            Reading::Unknown { reason, .. } => {
                assert!(
                    matches!(level.layer, Layer::Presented | Layer::User),
                    "{level:?}"
                );
                assert!(!reason.is_empty());
            }
        }
        let Some(loss) = &level.loss else { continue };
        let causes: f64 = loss.causes.iter().map(|c| c.ms).sum();
        assert!(
            (causes + loss.unexplained_ms - loss.ms).abs() <= 1e-9 * loss.ms.abs().max(1.0),
            "{loss:?}"
        );
        if level.layer > Layer::Silicon {
            assert!(!loss.causes.is_empty());
        }
    }
    let shares: f64 = fall.parts.iter().map(|p| p.share).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    assert!(
        fall.parts
            .iter()
            .any(|p| p.name == "output" && p.streamed_bytes > 0.0)
    );
    let streamed: f64 = fall.parts.iter().map(|p| p.streamed_bytes).sum();
    assert!((streamed - fall.demand.streamed_bytes).abs() <= 1e-6 * streamed);
}

/// The fixture was made for fewer tokens than the greater depths have.
fn check_scaling(report: &Report) {
    let scaling = report.scaling.as_ref().expect("it was asked for");
    let shapes: Vec<_> = scaling
        .points
        .iter()
        .map(|p| (p.depth, p.sequences, p.tokens))
        .collect();
    assert_eq!(
        shapes,
        [(0, 1, 1), (0, 2, 1), (0, 4, 1), (0, 8, 1), (0, 1, 64)]
    );
    assert_eq!(scaling.skipped.len(), 2, "{:?}", scaling.skipped);
    assert!(scaling.skipped[0].starts_with("depth 4096: the model was made for"));
    for point in &scaling.points {
        assert!(point.share > 0.0 && point.share.is_finite(), "{point:?}");
        assert!(point.tokens_per_s > 0.0 && !point.step_ms.samples.is_empty());
    }
    let [one, .., eight, prompt] = &scaling.points[..] else {
        panic!("five points");
    };
    // Weights are read once, products made for each.
    assert!((eight.work.ops() / one.work.ops() - 8.0).abs() < 1e-6);
    assert!(one.work.int16_ops > 0.0, "attention's");
    assert!(
        eight.streamed_bytes > one.streamed_bytes
            && eight.streamed_bytes < 2.0 * one.streamed_bytes
    );
    for point in &scaling.points {
        let split = point.split().expect("a step taken apart");
        let all = split.silicon
            + split.kernels
            + split.uneven
            + split.barriers
            + split.in_step
            + split.unexplained;
        assert!((all - 1.0).abs() < 1e-9, "{split:?}");
        let fall = point.fall.as_ref().expect("a waterfall");
        let layers: Vec<Layer> = fall.levels.iter().map(|l| l.layer).collect();
        assert_eq!(layers.last(), Some(&Layer::Step), "nobody generates");
        assert_eq!(fall.depth, point.depth);
    }
    // A chunk of a prompt makes logits of its last token only.
    assert!(prompt.work.f32_flops < 64.0 * one.work.f32_flops);
}

#[test]
fn a_dense_model() {
    let report = measured("llama", true);
    check(&report.prefill);
    check(&report.decode);
    check_scaling(&report);
    check_model(&report, false);
    assert_eq!(
        (
            report.prefill.tokens,
            report.prefill.chunk,
            report.decode.depth
        ),
        (100, 64, 40)
    );
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["schema"], "sprag.lens/1");
    for field in [
        "sprag", "date", "model", "machine", "profile", "spec", "roofline", "prefill", "decode",
        "warnings", "timer",
    ] {
        assert!(!json[field].is_null(), "{field}");
    }
    assert_eq!(json["decode"]["levels"][3]["layer"], "step");
    assert!(
        json["decode"]["levels"][3]["ms_per_token"]["samples"]
            .as_array()
            .is_some_and(|a| !a.is_empty())
    );
    let html = render::html(&report);
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
}

/// What a token moves and what a conversation keeps, of a model that remembers all or forgets.
fn check_model(report: &Report, is_hybrid: bool) {
    let anatomy = report.anatomy.as_ref().expect("an anatomy");
    let [first, .., last] = &anatomy.traffic[..] else {
        panic!("two depths");
    };
    assert_eq!(first.depth, 0);
    assert!(last.kv_bytes > first.kv_bytes && last.held_bytes >= first.held_bytes);
    assert_eq!(first.weight_bytes, last.weight_bytes);
    assert_eq!(first.state_bytes > 0, is_hybrid);
    let own = anatomy.traffic.iter().find(|t| t.depth == 40);
    let own = own.expect("the report's own depth");
    let streamed = (own.weight_bytes + own.kv_bytes + own.state_bytes) as f64;
    let demand = report.decode.demand.streamed_bytes;
    assert!(
        (streamed - demand).abs() <= 1e-6 * demand,
        "{streamed} {demand}"
    );
    let read: f64 = anatomy.formats.iter().map(|f| f.streamed_bytes).sum();
    assert!(read > 0.0 && read <= own.weight_bytes as f64);
    assert!(anatomy.formats[0].bits >= anatomy.formats[0].nominal_bits);
    let twin = anatomy.twin.as_ref();
    assert_eq!(twin.is_some(), is_hybrid);
    if let Some(twin) = twin {
        let deep = twin.traffic.last().expect("the same depths");
        assert_eq!((deep.depth, deep.state_bytes), (last.depth, 0));
        assert!(deep.kv_bytes > last.kv_bytes && deep.held_bytes > 0);
    }
    let talk = report.application.as_ref().expect("a conversation");
    let [one, two] = &talk.turns[..] else {
        panic!("two turns");
    };
    assert_eq!((one.kept_tokens, one.again_tokens), (0, 0));
    assert!(two.prompt_tokens > one.prompt_tokens);
    if is_hybrid {
        assert!(two.kept_tokens == 0 && two.again_tokens > 0, "{two:?}");
    } else {
        assert!(two.kept_tokens > 0 && two.again_tokens == 0, "{two:?}");
    }
    assert!(one.first_token_ms.typical >= one.prefill_ms.typical);
}

#[test]
fn a_hybrid_model() {
    let report = report("qwen35");
    check_model(&report, true);
    check(&report.prefill);
    check(&report.decode);
    for part in ["delta_rule", "delta_prepare", "attention"] {
        assert!(report.decode.parts.iter().any(|p| p.name == part), "{part}");
    }
}

#[test]
fn a_timeline_holds_every_node_of_every_thread_once_and_in_order() {
    let engine = engine("llama");
    let timeline = lens::timeline(&engine, &options()).expect("a timeline");
    let json = serde_json::to_value(&timeline).expect("JSON");
    let events = json["traceEvents"].as_array().expect("events");
    let nodes = engine.model().program.nodes().len();
    // A prompt of 100 in chunks of 64, and four tokens.
    for (process, steps) in [(1, 2), (2, 4)] {
        for thread in 0..2 {
            let spans: Vec<_> = events
                .iter()
                .filter(|e| e["ph"] == "X" && e["pid"] == process && e["tid"] == thread)
                .collect();
            assert_eq!(spans.len(), nodes * steps, "{process} {thread}");
            let mut last_end = 0.0;
            for span in spans {
                let (start, length) = (span["ts"].as_f64(), span["dur"].as_f64());
                let (start, length) = start.zip(length).expect("times");
                assert!(start >= last_end - 1e-3 && length >= 0.0, "{span}");
                last_end = start + length;
            }
        }
    }
    let names: Vec<_> = events.iter().filter(|e| e["ph"] == "M").collect();
    assert_eq!(names.len(), 2 * (1 + 2));
    assert!(
        events
            .iter()
            .any(|e| e["name"] == "ffn_down" && e["args"]["layer"] == 1)
    );
}
