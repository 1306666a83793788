//! Whole models whose score is known in closed form, and what must not change one.

use serde_json::{Value, json};

use super::super::Model;
use super::workshop::{Draft, small};

/// Everything at once, of bytes.
fn everything() -> Value {
    json!({
        "vocabulary": 256, "layers": 4, "width": 24, "mixers": ["gated_delta", "window", "full"], "heads": 4, "kv_heads": 2,
        "head_dim": 16, "window": 5, "mlp": "swiglu", "hidden": 40, "tied": false, "soft_cap": 8.0, "rope_base": 10000.0, "eps": 1e-6,
        "head_norms": true, "output_gate": true, "value_residual": true,
    })
}

fn changed(mut configuration: Value, changes: &[(&str, Value)]) -> Value {
    for (field, value) in changes {
        configuration[*field] = value.clone();
    }
    configuration
}

#[test]
fn a_model_that_knows_nothing_needs_eight_bits() {
    let model = Draft::of(&everything())
        .fill("output.weight", |_, _| 0.0)
        .model();
    let score = model.score(b"any text at all", 4, 1).unwrap();
    assert!((score.bits_per_byte() - 8.0).abs() <= 1e-12, "{score:?}");
    let two = model.score(b"two\0documents\0\0", 4, 1).unwrap();
    assert!((two.bits_per_byte() - 8.0).abs() <= 1e-12, "{two:?}");
    assert_eq!((two.bytes, two.tokens), (12, 12));
}

/// A token's row is a unit vector, and the head's weight gives c where the next byte is the same one again. Through the norm that is
/// c / sqrt(1 / 256 + eps).
fn repeats(soft_cap: &Value, c: f32) -> Model {
    let configuration = changed(
        small(),
        &[("width", json!(256)), ("soft_cap", soft_cap.clone())],
    );
    let unit = |scale: f32| move |row, column| if row == column { scale } else { 0.0 };
    Draft::of(&configuration)
        .fill("token_embd.weight", unit(1.0))
        .fill("output.weight", unit(c))
        .fill("output_norm.weight", |_, _| 1.0)
        .fill("blk.0.attn_output.weight", |_, _| 0.0)
        .fill("blk.0.ffn_down.weight", |_, _| 0.0)
        .model()
}

#[test]
fn a_model_that_repeats_itself_is_scored_in_closed_form() {
    let logit = 0.25 / (1.0_f64 / 256.0 + 1e-6).sqrt();
    for (cap, logit) in [
        (Value::Null, logit),
        (json!(2.5), 2.5 * (logit / 2.5).tanh()),
    ] {
        let score = repeats(&cap, 0.25).score(b"aab", 1024, 1).unwrap();
        let all = (logit.exp() + 255.0).ln();
        let expected = all + (all - logit) + all;
        assert!(
            (score.nats - expected).abs() <= 1e-12,
            "{score:?}, expected {expected}"
        );
        assert!((score.bits_per_byte() - expected / 2.0_f64.ln() / 3.0).abs() <= 1e-12);
    }
}

#[test]
fn the_first_byte_of_a_window_is_foretold_by_the_last_of_the_one_before() {
    // Nothing mixes tokens in this model, so where windows end cannot matter; a byte that was lost or counted twice would.
    let model = repeats(&Value::Null, 0.5);
    let text = b"aaabbbaab\0\0bbba";
    let whole = model.score(text, 1024, 1).unwrap();
    for window in 1..text.len() {
        let cut = model.score(text, window, 2).unwrap();
        assert!(
            (cut.nats - whole.nats).abs() <= 1e-12,
            "{window}: {cut:?}, {whole:?}"
        );
    }
}

#[test]
fn a_later_byte_changes_no_earlier_row() {
    let model = Draft::of(&everything()).model();
    let inputs: Vec<u32> = (0..300).map(|at| (at * 7 + at / 3) % 256).collect();
    let before = model.network.hidden(&inputs);
    for at in [0, 1, 5, 127, 128, 129, 200, 299] {
        let mut other = inputs.clone();
        other[at] ^= 1;
        let after = model.network.hidden(&other);
        for row in 0..at {
            assert_eq!(before.row(row), after.row(row), "{row} knows of {at}");
        }
        assert_ne!(before.row(at), after.row(at));
    }
}

#[test]
fn a_window_that_holds_all_is_no_window() {
    let text: Vec<u8> = (0..300_u32).map(|at| (at * 31 % 255 + 1) as u8).collect();
    let score = |window: usize, mixer: &str| {
        let configuration = changed(
            everything(),
            &[("window", json!(window)), ("mixers", json!([mixer]))],
        );
        Draft::of(&configuration)
            .model()
            .score(&text, 1024, 1)
            .map(|score| score.nats)
    };
    let full = score(1, "full").unwrap();
    assert_eq!(score(300, "window").unwrap(), full);
    // The last of 300 tokens no longer sees the first.
    let one_less = score(299, "window").unwrap();
    assert!(
        one_less != full && (one_less - full).abs() < 0.1,
        "{one_less}, {full}"
    );
    assert!((score(1, "window").unwrap() - full).abs() > 0.1);
}

#[test]
fn a_window_of_one_sees_itself_alone() {
    // Then attention is the token's own value, whatever queries and keys are.
    let configuration = changed(
        everything(),
        &[("window", json!(1)), ("mixers", json!(["window"]))],
    );
    let draft = Draft::of(&configuration);
    let other = draft
        .clone()
        .fill("blk.0.attn_q.weight", |_, _| 3.0)
        .fill("blk.2.attn_k.weight", |_, _| -1.0);
    let nats = |draft: &Draft| {
        draft
            .model()
            .score(b"some text", 1024, 1)
            .map(|score| score.nats)
    };
    assert!((nats(&draft).unwrap() - nats(&other).unwrap()).abs() <= 1e-12);
}

#[test]
fn threads_change_no_bit() {
    let model = Draft::of(&everything()).model();
    let text: Vec<u8> = (0..500_u32).map(|at| (at * at % 255 + 1) as u8).collect();
    let one = model.score(&text, 64, 1).unwrap();
    for threads in [0, 2, 3, 100] {
        assert_eq!(model.score(&text, 64, threads).unwrap(), one);
    }
}

/// Six layers with a width of 384; two threads, the default window.
fn measure(mixer: &str) {
    let configuration = changed(
        small(),
        &[
            ("layers", json!(6)),
            ("width", json!(384)),
            ("mixers", json!([mixer])),
            ("heads", json!(6)),
            ("kv_heads", json!(6)),
            ("head_dim", json!(64)),
            ("hidden", json!(1024)),
            ("window", json!(256)),
            ("mlp", json!("swiglu")),
        ],
    );
    let text: Vec<u8> = (0..8192_u32).map(|at| (at * at % 255 + 1) as u8).collect();
    let model = Draft::of(&configuration).model();
    let started = std::time::Instant::now();
    let score = model.score(&text, 1024, 2);
    let elapsed = started.elapsed();
    println!(
        "{mixer}, {} parameters: {elapsed:?}, {score:?}",
        model.parameters
    );
}

#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
fn the_time_of_8_kib_with_attention() {
    measure("window");
}

#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
fn the_time_of_8_kib_with_the_delta_rule() {
    measure("gated_delta");
}
