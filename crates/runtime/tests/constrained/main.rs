//! Constrained generation: whatever a model would like to say, what it says parses and satisfies the schema.
//!
//! A tiny model with random weights says anything, which makes it the harder test; a real one shows that sense survives. The real
//! one is found as in `oracle.rs`, and skipped without SPRAG_TEST_MODELS.

mod validate;

use std::path::PathBuf;
use std::time::Instant;

use kernels::RuntimeProfile;
use runtime::{
    Constrainer, Constraint, Document, Engine, Finish, Generation, GenerationOptions, Sampler,
    SamplingOptions, generate_constrained,
};
use serde_json::Value;
use text::Specials;

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../../../models/tests/draft/mod.rs"]
mod draft;

use draft::Draft;
use validate::is_valid;

/// Every string, number and list is bounded, so that even a random model comes to an end.
const SCHEMAS: [(&str, &str); 6] = [
    (
        "nested objects",
        r#"{"type": "object", "properties": {
            "name": {"type": "string", "maxLength": 20},
            "address": {"type": "object", "properties": {
                "city": {"type": "string", "maxLength": 20},
                "zip": {"type": "integer", "minimum": 10000, "maximum": 99999}},
                "required": ["city", "zip"], "additionalProperties": false}},
            "required": ["name", "address"], "additionalProperties": false}"#,
    ),
    (
        "arrays with limits",
        r#"{"type": "array", "minItems": 2, "maxItems": 4, "items":
            {"type": "array", "maxItems": 2, "items": {"type": "boolean"}}}"#,
    ),
    (
        "enums of all kinds",
        r#"{"type": "object", "properties": {
            "colour": {"enum": ["red", "grün", "\"blue\"", "tab\t", "\ud83e\udd80"]},
            "level": {"enum": [1, 2.5, -3, null, true]},
            "unit": {"const": "m/s"}},
            "required": ["colour", "level", "unit"], "additionalProperties": false}"#,
    ),
    (
        "numbers",
        r#"{"type": "object", "properties": {
            "small": {"type": "integer", "minimum": -5, "maximum": 5},
            "large": {"type": "integer", "minimum": 1000000, "maximum": 1000999},
            "no": {"type": ["null", "boolean"]}},
            "required": ["small", "large", "no"], "additionalProperties": false}"#,
    ),
    (
        "strings",
        r#"{"type": "object", "properties": {
            "é \"key\"": {"type": "string", "minLength": 3, "maxLength": 12},
            "二": {"type": "string", "maxLength": 1}},
            "required": ["é \"key\"", "二"], "additionalProperties": false}"#,
    ),
    (
        "alternatives and references",
        r##"{"type": "object", "properties": {
            "shape": {"$ref": "#/$defs/shape"},
            "others": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/shape"}}},
            "required": ["shape", "others"], "additionalProperties": false,
            "$defs": {"shape": {"oneOf": [
                {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"$ref": "#/$defs/length"}},
                    "required": ["kind", "radius"], "additionalProperties": false},
                {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"$ref": "#/$defs/length"}},
                    "required": ["kind", "side"], "additionalProperties": false}]},
                "length": {"type": "integer", "minimum": 1, "maximum": 99}}}"##,
    ),
];

fn tiny() -> Engine {
    let profile = RuntimeProfile {
        threads: 1,
        prefill_chunk: 64,
        ..RuntimeProfile::default()
    };
    Engine::from_gguf(Draft::of("llama").build(), profile, &mut |_, _| {}).expect("a model we run")
}

fn real() -> Option<Engine> {
    let file = "SmolLM2-135M-Instruct.Q4_1.gguf";
    let Some(folder) = std::env::var_os("SPRAG_TEST_MODELS") else {
        eprintln!("SKIPPED: SPRAG_TEST_MODELS is not set; scripts/test sets it and pulls {file}");
        return None;
    };
    let path = PathBuf::from(folder).join(file);
    Some(Engine::open(&path, RuntimeProfile::default(), &mut |_, _| {}).expect("a model we run"))
}

/// Greedy first, then a distribution as wide as the model's own, then a narrow one.
fn ways(seeds: u64) -> Vec<SamplingOptions> {
    let wide = |seed| SamplingOptions {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed,
        ..SamplingOptions::default()
    };
    let narrow = SamplingOptions {
        repeat_penalty: 1.3,
        ..SamplingOptions::default()
    };
    let mut ways = vec![SamplingOptions::greedy(), narrow];
    ways.extend((0..seeds).map(wide));
    ways
}

fn answer(
    engine: &Engine,
    prompt: &[u32],
    sampling: SamplingOptions,
    constraint: &mut Constraint,
    max_tokens: usize,
) -> Generation {
    let mut session = engine.session(Some(512)).expect("memory");
    let mut sampler = Sampler::new(sampling).expect("valid options");
    let options = GenerationOptions {
        max_tokens: Some(max_tokens),
        ..GenerationOptions::default()
    };
    generate_constrained(
        &mut session,
        prompt,
        &mut sampler,
        constraint,
        &options,
        &mut |_| true,
    )
    .expect("a prompt that fits and a schema that can be kept")
}

fn check(schema: &Value, generation: &Generation, what: &str) {
    let text = &generation.text;
    assert_eq!(generation.finish, Finish::EndOfGeneration, "{what}: {text}");
    assert_eq!(
        generation.document,
        Some(Document::Complete),
        "{what}: {text}"
    );
    let value: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
    assert!(is_valid(schema, schema, &value), "{what}: {text}");
}

#[test]
fn a_random_model_writes_valid_documents() {
    let engine = tiny();
    let constrainer = Constrainer::new(engine.tokenizer()).expect("a vocabulary");
    for (name, text) in SCHEMAS {
        let schema: Value = serde_json::from_str(text).expect("JSON");
        let mut constraint = constrainer.json_schema(text).expect("a schema");
        for sampling in ways(6) {
            let what = format!("{name}, {sampling:?}");
            let got = answer(&engine, &[40, 41, 42], sampling, &mut constraint, 500);
            check(&schema, &got, &what);
        }
    }
}

#[test]
fn a_limit_inside_a_document_is_told() {
    let engine = tiny();
    let (_, text) = SCHEMAS[0];
    let constrainer = Constrainer::new(engine.tokenizer()).expect("a vocabulary");
    let mut constraint = constrainer.json_schema(text).expect("a schema");
    for most in [0, 1, 5] {
        let got = answer(
            &engine,
            &[40, 41, 42],
            SamplingOptions::greedy(),
            &mut constraint,
            most,
        );
        assert_eq!(
            (got.finish, got.document),
            (Finish::Length, Some(Document::Unfinished))
        );
        assert_eq!(got.tokens.len(), most);
    }
    // An integer can end here and can go on.
    let mut open = constrainer
        .json_schema(r#"{"type": "integer", "minimum": 1}"#)
        .expect("a schema");
    let got = answer(
        &engine,
        &[40, 41, 42],
        SamplingOptions::greedy(),
        &mut open,
        1,
    );
    assert_eq!(got.document, Some(Document::Complete), "{}", got.text);
    assert!(got.text.parse::<u8>().is_ok(), "{}", got.text);
}

/// A stop string is cut out of the text, so that even the last brace leaves no whole document.
#[test]
fn a_stop_string_inside_a_document_is_told() {
    let engine = tiny();
    let constrainer = Constrainer::new(engine.tokenizer()).expect("a vocabulary");
    let mut constraint = constrainer.json_schema(SCHEMAS[3].1).expect("a schema");
    for stop in ["\"large\"", "}"] {
        let mut session = engine.session(Some(512)).expect("memory");
        let mut sampler = Sampler::new(SamplingOptions::greedy()).expect("valid options");
        let options = GenerationOptions {
            stop: vec![stop.to_owned()],
            ..GenerationOptions::default()
        };
        let got = generate_constrained(
            &mut session,
            &[40, 41, 42],
            &mut sampler,
            &mut constraint,
            &options,
            &mut |_| true,
        )
        .expect("a prompt that fits");
        assert_eq!(got.finish, Finish::Stop(stop.to_owned()), "{}", got.text);
        assert_eq!(got.document, Some(Document::Unfinished));
    }
}

#[test]
fn a_real_model_writes_valid_documents() {
    let Some(engine) = real() else { return };
    let constrainer = Constrainer::new(engine.tokenizer()).expect("a vocabulary");
    for (name, text) in SCHEMAS {
        let schema: Value = serde_json::from_str(text).expect("JSON");
        let mut constraint = constrainer.json_schema(text).expect("a schema");
        let asked = format!(
            "<|im_start|>user\nAnswer with a JSON document of this schema: {text}<|im_end|>\n<|im_start|>assistant\n"
        );
        let prompt = engine.tokenizer().encode(&asked, Specials::Parse);
        // The schema is long for the context of these sessions; its end matters least.
        let prompt = &prompt[prompt.len().saturating_sub(64)..];
        for sampling in ways(2) {
            let what = format!("{name}, {sampling:?}");
            let got = answer(&engine, prompt, sampling, &mut constraint, 300);
            println!("{name}: {}", got.text);
            check(&schema, &got, &what);
        }
    }
}

/// Any object: a model that knows when to stop, or a limit that is told.
#[test]
fn a_real_model_writes_objects() {
    let Some(engine) = real() else { return };
    let constrainer = Constrainer::new(engine.tokenizer()).expect("a vocabulary");
    let mut constraint = constrainer.json_object().expect("JSON");
    let asked = "<|im_start|>user\nDescribe the city of Paris as a JSON object with name, country and population.<|im_end|>\n<|im_start|>assistant\n";
    let prompt = engine.tokenizer().encode(asked, Specials::Parse);
    for sampling in ways(2) {
        let got = answer(&engine, &prompt, sampling, &mut constraint, 300);
        println!("{:?}: {}", got.document, got.text);
        if got.document == Some(Document::Complete) {
            let value: Value = serde_json::from_str(&got.text).expect("JSON");
            assert!(value.is_object());
        } else {
            assert_eq!(got.finish, Finish::Length);
        }
    }
}

/// What a step costs, over the choices of real documents: `scripts/test -p runtime --test constrained -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, to be run by hand in a release build"]
fn what_a_constraint_costs() {
    let Some(engine) = real() else { return };
    let prompt = engine.tokenizer().encode("JSON:", Specials::Plain);
    let began = Instant::now();
    let constrainer = Constrainer::new(engine.tokenizer()).expect("a vocabulary");
    println!("vocabulary: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    for (name, text) in SCHEMAS
        .into_iter()
        .chain([("any object", r#"{"type": "object"}"#)])
    {
        let began = Instant::now();
        let mut constraint = constrainer.json_schema(text).expect("a schema");
        let built_ms = began.elapsed().as_secs_f64() * 1e3;
        let got = answer(
            &engine,
            &prompt,
            SamplingOptions::greedy(),
            &mut constraint,
            200,
        );
        let tokens = got.tokens.len();
        println!(
            "{name}: built in {built_ms:.1} ms; {tokens} tokens, mask and choice {:.3} ms each",
            got.timings.sample_ms / tokens as f64
        );
    }
}
