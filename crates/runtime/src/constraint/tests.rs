//! Documents byte by byte: what is let through, what is refused, and what hostile schemas cost.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use text::{SpecialIds, TokenType, Tokenizer, Vocabulary, VocabularyKind};

use super::*;

/// `<unk>`, `<s>`, `</s>` (which ends), then byte b at id 3 + b, as far as `has` says so.
fn bytes(has: impl Fn(u8) -> bool) -> Tokenizer {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    let mut types = vec![TokenType::Unknown, TokenType::Control, TokenType::Control];
    types.extend((0..=255).map(|byte| {
        if has(byte) {
            TokenType::Byte
        } else {
            TokenType::Unused
        }
    }));
    let vocabulary = Vocabulary {
        kind: VocabularyKind::SentencePiece,
        scores: vec![0.0; tokens.len()],
        tokens: tokens.into_iter().map(String::into_bytes).collect(),
        types,
        merges: Vec::new(),
        pre: None,
        special: SpecialIds {
            bos: Some(1),
            eos: Some(2),
            unk: Some(0),
            ..SpecialIds::default()
        },
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
    };
    Tokenizer::from_vocabulary(vocabulary).expect("a sound vocabulary")
}

fn all() -> Constrainer {
    Constrainer::new(&bytes(|_| true)).expect("a vocabulary of all bytes")
}

const END: u32 = 2;

fn token(byte: u8) -> u32 {
    3 + u32::from(byte)
}

fn constraint(schema: &str) -> Constraint {
    all()
        .json_schema(schema)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(schema: &str) -> ConstraintError {
    all().json_schema(schema).expect_err("a schema to refuse")
}

/// How many bytes of `text` are let through, and how far the document is then.
fn take(constraint: &Constraint, text: &str) -> (usize, Document) {
    let mut constraint = constraint.clone();
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if constraint.is_at_end() {
            return (at, Document::Complete);
        }
        constraint.advance_mask().expect("a step");
        assert!(
            !constraint.allows(0) && !constraint.allows(1),
            "control tokens are no text"
        );
        let may_end = constraint.document() == Document::Complete;
        assert_eq!(constraint.allows(END), may_end, "at byte {at} of {text}");
        if !constraint.allows(token(byte)) {
            return (at, Document::Unfinished);
        }
        constraint.feed(token(byte)).expect("an allowed token");
    }
    (text.len(), constraint.document())
}

#[test]
fn documents_of_the_schema_pass_and_others_stop_where_they_part() {
    let person = r##"{"type": "object", "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 130},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
            "next": {"$ref": "#/$defs/link"}},
        "required": ["name", "age"], "additionalProperties": false,
        "$defs": {"link": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"to": {"$ref": "#/$defs/link"}},
            "required": ["to"], "additionalProperties": false}]}}}"##;
    let person = constraint(person);
    for text in [
        r#"{"name":"Zoë \u00e9\n","age":7}"#,
        "{ \"name\": \"\u{1f980}\",\n  \"age\": 130,\n  \"tags\": [\"a\", \"b\"]\n}",
        r#"{"name":"x","age":0,"next":{"to":{"to":null}}}"#,
    ] {
        let text = &text.replace("\\u00e9", "\\\"");
        assert_eq!(
            take(&person, text),
            (text.len(), Document::Complete),
            "{text}"
        );
    }
    for (text, passes) in [
        (r#"[]"#, 0),
        (r#"{"age":7"#, 2),
        (r#"{"name":"","age":7}"#, 9),
        (r#"{"name":"123456789""#, 17),
        (r#"{"name":"x","age":131}"#, 20),
        (r#"{"name":"x","age":-1}"#, 18),
        (r#"{"name":"x","age":1,"tags":["c"]}"#, 29),
        (r#"{"name":"x","age":1,"tags":["a","b","#, 35),
        (r#"{"name":"x","age":1,"other":1}"#, 21),
        ("{  ", 2),
        ("{\"name\":\"a\u{1}\"", 10),
    ] {
        let got = take(&person, text);
        assert_eq!(got, (passes, Document::Unfinished), "{text}");
    }
}

#[test]
fn any_object_is_an_object() {
    let any = all().json_object().expect("a schema that works");
    for text in ["{}", r#"{"a":[1,-2.5e3,true,null,{"b":"\\\" ü"}],"":{}}"#] {
        assert_eq!(take(&any, text), (text.len(), Document::Complete), "{text}");
    }
    for text in ["[1]", "1", " {}", "{1", "{\"a\" 1}", "{\"a\":01}"] {
        assert_eq!(take(&any, text).1, Document::Unfinished, "{text}");
    }
    assert_eq!(take(&any, "{} "), (2, Document::Complete));
}

#[test]
fn it_starts_over_and_refuses_what_is_not_allowed() {
    let mut constraint = constraint(r#"{"const": 17}"#);
    for _ in 0..2 {
        for byte in *b"17" {
            constraint.advance_mask().expect("a step");
            assert!(matches!(
                constraint.feed(token(b'9')),
                Err(ConstraintError::NotAllowed { .. })
            ));
            assert!(!constraint.allows(1 << 20), "beyond the vocabulary");
            constraint.feed(token(byte)).expect("an allowed token");
        }
        assert!(constraint.is_at_end());
        assert_eq!(constraint.document(), Document::Complete);
        constraint.reset().expect("no limits");
        assert_eq!(constraint.document(), Document::Unfinished);
    }
}

#[test]
fn refusals_name_the_place_and_the_remedy() {
    for (schema, says) in [
        (
            "{\"type\": \"object\",\n  \"x\": }",
            "the schema is not JSON: expected value (line 2, column 8); correct it there",
        ),
        (
            "",
            "the schema is not JSON: EOF while parsing a value (line 1, column 0)",
        ),
        ("[1]", "the schema is an array; a JSON schema is an object"),
        (
            r#"{"properties": {"a": {"not": {"type": "null"}, "if": {}}}}"#,
            r#"the schema uses "if", "not", which cannot be kept"#,
        ),
        (
            r#"{"type": "array", "uniqueItems": true}"#,
            r#"the schema uses "uniqueItems""#,
        ),
        (
            r#"{"oneOf": [{"type": "string"}, {"enum": ["a", "b"]}]}"#,
            r#"the schema uses "oneOf" with alternatives that may overlap"#,
        ),
        ("false", "no document can satisfy the schema: it is `false`"),
        (
            r#"{"type": "integer", "minimum": 5, "maximum": 4}"#,
            "no document can satisfy the schema: ",
        ),
        (
            r#"{"type": "strnig"}"#,
            "the schema cannot be used: Invalid type: strnig",
        ),
        (
            r##"{"$ref": "#/$defs/gone"}"##,
            "the schema cannot be used: ",
        ),
        (
            r#"{"$ref": "https://example.com/s.json"}"#,
            "the schema cannot be used: ",
        ),
        (
            r#"{"type": "string", "pattern": "("}"#,
            "the schema cannot be used: regex parse error: unclosed group",
        ),
    ] {
        let error = refusal(schema).to_string();
        assert!(error.starts_with(says), "{schema}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
    let large = refusal(&format!("{{\"title\": \"{}\"}}", "x".repeat(1 << 18)));
    assert!(
        matches!(large, ConstraintError::TooLarge { what: "bytes", .. }),
        "{large}"
    );
}

#[test]
fn a_vocabulary_that_cannot_write_json_is_refused() {
    let error = Constrainer::new(&bytes(|byte| byte != b'{')).expect_err("no brace");
    assert!(
        matches!(error, ConstraintError::Vocabulary { .. }),
        "{error}"
    );
}

/// A schema cannot switch the library's own options on.
#[test]
fn options_in_a_schema_do_nothing() {
    let overlapping = r#""oneOf": [{"type": "string"}, {"enum": ["a"]}]"#;
    let error = refusal(&format!(
        r#"{{"x-guidance": {{"coerce_one_of": true}}, {overlapping}}}"#
    ));
    assert!(
        matches!(error, ConstraintError::Unsupported { .. }),
        "{error}"
    );
}

fn nested(open: &str, close: &str, times: usize) -> String {
    format!("{}true{}", open.repeat(times), close.repeat(times))
}

/// Each is compiled or refused, and walked for a while; none may take long, use much, or crash.
#[test]
fn hostile_schemas_cost_little() {
    // Each reference leads to another that was not seen yet: what the compiler recurses along.
    let chain = |links: usize| {
        let links = (0..links).map(|i| {
            format!(
                r##""d{i}": {{"allOf": [{{"$ref": "#/$defs/d{0}"}}, {{"items": {{"$ref": "#/$defs/d{0}"}}}}]}},"##,
                i + 1
            )
        });
        let links: String = links.collect();
        format!(r##"{{"$defs": {{{links} "d250": {{}}, "d3000": {{}}}}, "$ref": "#/$defs/d0"}}"##)
    };
    let wide: String = (0..400)
        .map(|i| format!(r#""p{i}": {{"type": "string"}},"#))
        .collect();
    let pairs = r#"{"anyOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "null"}}}]}"#;
    let names: String = (0..9000).map(|i| format!("\"name{i}\",")).collect();
    let schemas = [
        nested("[", "]", 100_000),
        nested(r#"{"items":"#, "}", 120),
        nested(r#"{"anyOf":["#, "]}", 60),
        chain(3000),
        chain(250),
        r##"{"$ref": "#"}"##.to_owned(),
        r##"{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}"##.to_owned(),
        r##"{"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}"##.to_owned(),
        r##"{"anyOf": [{"$ref": "#"}, {"items": {"$ref": "#"}}]}"##.to_owned(),
        format!(r#"{{"allOf": [{}]}}"#, vec![pairs; 20].join(",")),
        format!(r#"{{"properties": {{{wide} "z": {{}}}}}}"#),
        format!(r#"{{"enum": [{names} 1]}}"#),
        r#"{"type": "string", "pattern": "^(((a{1,100}){1,100}){1,100}){1,100}$"}"#.to_owned(),
        r#"{"type": "string", "pattern": "^(a|b|ab)*(a|c)*[^x]{1,500}(x+x+)+y$"}"#.to_owned(),
        r#"{"type": "string", "pattern": ".*a.{40}"}"#.to_owned(),
        r#"{"type": "string", "minLength": 1000000000}"#.to_owned(),
        r#"{"type": "string", "maxLength": 18446744073709551615}"#.to_owned(),
        r#"{"type": "array", "minItems": 1000000000, "items": {"type": "null"}}"#.to_owned(),
        r#"{"type": "array", "maxItems": 1000000, "items": {"type": "object"}}"#.to_owned(),
        r#"{"type": "object", "minProperties": 100000}"#.to_owned(),
        r#"{"type": "number", "multipleOf": 1e-300, "minimum": -1e308, "maximum": 1e308}"#.to_owned(),
        r#"{"type": "integer", "multipleOf": 982451653}"#.to_owned(),
        r#"{"type": "integer", "minimum": -1e400}"#.to_owned(),
    ];
    for tokenizer in vocabularies() {
        let constrainer = Constrainer::new(&tokenizer).expect("a vocabulary that can write JSON");
        for schema in &schemas {
            let shown: String = schema.chars().take(60).collect();
            let began = Instant::now();
            let outcome = match constrainer.json_schema(schema) {
                Ok(mut constraint) => walk(&mut constraint, &tokenizer, 17, 200),
                Err(error) => error.to_string(),
            };
            let spent = began.elapsed();
            let outcome: String = outcome.chars().take(100).collect();
            println!("{spent:>10.1?}  {shown}: {outcome:?}");
            assert!(spent < Duration::from_secs(60), "{shown}: {spent:?}");
        }
    }
}

/// All bytes, and a real model's vocabulary where `scripts/test` has pulled one.
fn vocabularies() -> Vec<Tokenizer> {
    let mut all = vec![bytes(|_| true)];
    if let Some(folder) = std::env::var_os("SPRAG_TEST_MODELS") {
        let path = std::path::PathBuf::from(folder).join("SmolLM2-135M-Instruct.Q4_1.gguf");
        let gguf = formats::gguf::Gguf::open(&path).expect("a model file");
        all.push(Tokenizer::from_gguf(gguf.metadata()).expect("a tokenizer"));
    }
    all
}

/// Chooses at random until the end, `most` tokens, or an error; the text or the error.
fn walk(constraint: &mut Constraint, tokenizer: &Tokenizer, seed: u64, most: usize) -> String {
    let mut random = seed;
    let mut out = Vec::new();
    for _ in 0..most {
        if constraint.is_at_end() {
            break;
        }
        if let Err(error) = constraint.advance_mask() {
            return error.to_string();
        }
        let ids = 0..tokenizer.vocab_size() as u32;
        let allowed: Vec<u32> = ids.filter(|&token| constraint.allows(token)).collect();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let chosen = allowed[(random >> 33) as usize % allowed.len()];
        constraint.feed(chosen).expect("an allowed token");
        if tokenizer.is_end_of_generation(chosen) {
            break;
        }
        assert!(!tokenizer.is_control(chosen), "control tokens are no text");
        out.extend(tokenizer.bytes_of(chosen));
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn threads_may_share_and_take_them() {
    fn shared<T: Send + Sync>() {}
    fn taken<T: Send>() {}
    shared::<Constrainer>();
    taken::<Constraint>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is chosen among the allowed bytes becomes a document that parses and is as the schema says.
    #[test]
    fn random_walks_end_in_valid_documents(seed: u64) {
        let schema = r#"{"type": "object", "properties": {
                "kind": {"enum": ["\"q\"", "ü", null, 1.5]},
                "count": {"type": "integer", "minimum": -20, "maximum": 300},
                "note": {"type": "string", "maxLength": 5},
                "items": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3}},
            "required": ["kind", "count", "note", "items"], "additionalProperties": false}"#;
        let mut constraint = constraint(schema);
        let text = walk(&mut constraint, &bytes(|_| true), seed, 2000);
        prop_assert_eq!(constraint.document(), Document::Complete, "{}", &text);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        prop_assert!(value["kind"].is_null() || value["kind"] == "\"q\"" || value["kind"] == "ü" || value["kind"] == 1.5);
        prop_assert!((-20.0..=300.0).contains(&value["count"].as_f64().expect("a number")));
        // -0 is an integer in JSON.
        prop_assert!(value["count"].as_f64().expect("a number").fract() == 0.0);
        prop_assert!(value["note"].as_str().expect("a string").chars().count() <= 5);
        let items = value["items"].as_array().expect("an array");
        prop_assert!((1..=3).contains(&items.len()) && items.iter().all(serde_json::Value::is_boolean));
    }
}
