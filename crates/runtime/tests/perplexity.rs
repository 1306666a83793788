//! Perplexity against logits that `transformers` computed, and its refusals.

use formats::gguf::Value;
use kernels::{KvType, RuntimeProfile};
use runtime::{Engine, PerplexityOptions, RuntimeError, perplexity};

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../../models/tests/draft/mod.rs"]
mod draft;

use draft::{Draft, fixture_path};

/// Columns of the fixtures' logits.
const VOCABULARY: usize = 288;

fn engine(draft: &Draft) -> Engine {
    let profile = RuntimeProfile {
        kv_type: KvType::F32,
        threads: 2,
        ..RuntimeProfile::default()
    };
    Engine::from_gguf(draft.build(), profile, &mut |_, _| {}).expect("a model we run")
}

fn tokens(fixture: &str) -> Vec<u32> {
    let json = std::fs::read_to_string(fixture_path(&format!("{fixture}.json")))
        .expect("the fixture's description");
    let json: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    let tokens = json["tokens"].as_array().expect("an array");
    tokens
        .iter()
        .map(|t| t.as_u64().expect("a number") as u32)
        .collect()
}

/// Negative log-likelihoods of tokens 1 to 7, in nats: the stored logits begin with positions 0 to 7.
fn by_hand(fixture: &str, tokens: &[u32]) -> Vec<f64> {
    let bytes =
        std::fs::read(fixture_path(&format!("{fixture}.logits"))).expect("the fixture's logits");
    let logits: Vec<f64> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|&b| f64::from(f32::from_le_bytes(b)))
        .collect();
    let nll = |position: usize| {
        let row = &logits[position * VOCABULARY..][..VOCABULARY];
        row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[tokens[position + 1] as usize]
    };
    (0..7).map(nll).collect()
}

fn options(window: usize) -> PerplexityOptions {
    PerplexityOptions {
        window,
        windows: None,
    }
}

#[test]
fn it_equals_the_sum_over_stored_logits() {
    for fixture in ["llama", "gemma3", "qwen35"] {
        let tokens = tokens(fixture);
        let engine = engine(&Draft::of(fixture));
        let want = by_hand(fixture, &tokens);
        let mean = want.iter().sum::<f64>() / 7.0;
        let variance = want.iter().map(|x| x * x).sum::<f64>() / 7.0 - mean * mean;
        let one = PerplexityOptions {
            window: 8,
            windows: Some(1),
        };
        let got = perplexity(&engine, &tokens, one, &mut |_, _| {}).expect("a text of a window");
        assert!(
            (got.mean_nll - mean).abs() <= 1e-4 * mean,
            "{fixture}: {} for {mean}",
            got.mean_nll
        );
        assert!(
            (got.perplexity - mean.exp()).abs() <= 1e-3 * mean.exp(),
            "{fixture}"
        );
        assert!(
            (got.standard_error - (variance / 7.0).sqrt()).abs() <= 1e-3,
            "{fixture}"
        );
        assert_eq!(
            (got.scored, got.tokens, got.windows, got.bos),
            (7, 150, 1, false)
        );
    }
}

#[test]
fn windows_start_afresh_and_the_rest_is_left_out() {
    let (engine, tokens) = (engine(&Draft::of("qwen35")), tokens("qwen35"));
    let mut heard = Vec::new();
    let all = perplexity(&engine, &tokens, options(70), &mut |done, of| {
        heard.push((done, of))
    })
    .expect("two windows");
    assert_eq!(heard, [(1, 2), (2, 2)]);
    assert_eq!((all.scored, all.windows), (2 * 69, 2));
    let window = |range: std::ops::Range<usize>| {
        perplexity(&engine, &tokens[range], options(70), &mut |_, _| {})
            .expect("one window")
            .mean_nll
    };
    let mean = (window(0..70) + window(70..140)) / 2.0;
    assert!(
        (all.mean_nll - mean).abs() <= 1e-12 * mean,
        "{} for {mean}",
        all.mean_nll
    );
}

#[test]
fn bos_takes_each_windows_first_place() {
    let mut draft = Draft::of("llama");
    let with = engine(draft.set("tokenizer.ggml.add_bos_token", Value::Bool(true)));
    let without = engine(&Draft::of("llama"));
    let mut text = tokens("llama")[..64].to_vec();
    let got = perplexity(&with, &text, options(32), &mut |_, _| {}).expect("two windows");
    text[0] = 1;
    text[32] = 1;
    let want = perplexity(&without, &text, options(32), &mut |_, _| {}).expect("two windows");
    assert!(got.bos && !want.bos);
    assert_eq!(got.mean_nll.to_bits(), want.mean_nll.to_bits());
}

#[test]
fn what_can_not_be_scored_is_refused() {
    let (engine, tokens) = (engine(&Draft::of("llama")), tokens("llama"));
    let score = |tokens: &[u32], options| {
        perplexity(&engine, tokens, options, &mut |_, _| {}).map(|p| p.scored)
    };
    assert!(matches!(
        score(&tokens, options(151)),
        Err(RuntimeError::TextTooShort {
            tokens: 150,
            window: 151
        })
    ));
    assert!(matches!(
        score(&[], options(2)),
        Err(RuntimeError::TextTooShort {
            tokens: 0,
            window: 2
        })
    ));
    assert!(matches!(
        score(&tokens, options(513)),
        Err(RuntimeError::Context {
            asked: 513,
            trained: 512
        })
    ));
    for window in [0, 1] {
        let error = score(&tokens, options(window))
            .expect_err("nothing to score")
            .to_string();
        assert_eq!(
            error,
            format!("--window is {window}; expected at least 2 tokens")
        );
    }
    let none = score(
        &tokens,
        PerplexityOptions {
            window: 8,
            windows: Some(0),
        },
    )
    .expect_err("nothing to score")
    .to_string();
    assert_eq!(none, "--windows is 0; expected at least 1");
    let beyond = score(&[5, 288], options(2))
        .expect_err("a token without a row")
        .to_string();
    assert!(
        beyond.contains("token 288 is beyond the vocabulary of 288"),
        "{beyond}"
    );
    assert_eq!(score(&tokens[..2], options(2)).expect("one pair"), 1);
}
