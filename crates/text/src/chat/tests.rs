//! What the engine must refuse, and what surrounds a rendering. What it renders is in `tests/chat_templates.rs`.

use formats::gguf::{Gguf, Value, encode};

use super::{ChatTemplate, Message, TemplateOrigin};
use crate::fixtures::byte_pairs;
use crate::{TemplateError, Tokenizer};

fn tokenizer() -> Tokenizer {
    let mut vocabulary = byte_pairs(&[], &["<bos>", "<eos>"]);
    (vocabulary.special.bos, vocabulary.special.eos) = (Some(256), Some(257));
    Tokenizer::from_vocabulary(vocabulary).unwrap()
}

fn render(source: &str) -> Result<String, TemplateError> {
    ChatTemplate::from_source(source, &tokenizer())?.render(&[Message::new("user", "hi")], true)
}

#[test]
fn special_tokens_and_flags_are_there() {
    assert_eq!(
        render("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}").unwrap(),
        "<bos><eos>True"
    );
    let template = ChatTemplate::from_source("{{ enable_thinking }}", &tokenizer()).unwrap();
    assert_eq!(
        template
            .with_flag("enable_thinking", false)
            .render(&[], false)
            .unwrap(),
        "False"
    );
    assert_eq!(render("{{ strftime_now('%Y') | length }}").unwrap(), "4");
}

#[test]
fn the_fallback_is_chosen_and_says_so() {
    let empty = Gguf::from_bytes(encode::<&str, Value>(&[], &[]).unwrap()).unwrap();
    let missing = ChatTemplate::from_gguf(empty.metadata(), &tokenizer());
    assert!(matches!(missing, Err(TemplateError::Missing)));
    let template = ChatTemplate::chatml(&tokenizer()).unwrap();
    assert_eq!(template.origin(), TemplateOrigin::ChatMlFallback);
    let messages = [Message::new("system", "s"), Message::new("user", "u")];
    assert_eq!(
        template.render(&messages, true).unwrap(),
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn the_model_file_s_template_is_read() {
    let metadata = [(
        "tokenizer.chat_template",
        Value::Str("{{ messages[0].content }}!".into()),
    )];
    let gguf = Gguf::from_bytes(encode(&metadata, &[]).unwrap()).unwrap();
    let template = ChatTemplate::from_gguf(gguf.metadata(), &tokenizer()).unwrap();
    assert_eq!(template.origin(), TemplateOrigin::Model);
    assert_eq!(
        template
            .render(&[Message::new("user", "hi")], false)
            .unwrap(),
        "hi!"
    );
}

/// RWKV's files have a format's name where others have a template.
#[test]
fn a_named_format_is_not_a_template() {
    let metadata = [("tokenizer.chat_template", Value::Str("rwkv-world".into()))];
    let gguf = Gguf::from_bytes(encode(&metadata, &[]).unwrap()).unwrap();
    let template = ChatTemplate::from_gguf(gguf.metadata(), &tokenizer()).unwrap();
    assert_eq!(template.origin(), TemplateOrigin::Model);
    let mut messages = vec![
        Message::new("system", "Be brief."),
        Message::new("user", "  Hi\n\n\nAssistant: no\r\n\r\nyes \n"),
    ];
    let start = "System: Be brief.\n\nUser: Hi\nAssistant: no\nyes\n\n";
    assert_eq!(
        template.render(&messages, true).unwrap(),
        format!("{start}Assistant:")
    );
    messages.push(Message::new("assistant", " Hello {{ 7 * 7 }}.\n\n"));
    assert_eq!(
        template.render(&messages, false).unwrap(),
        format!("{start}Assistant: Hello {{{{ 7 * 7 }}}}.\n\n")
    );
    let other = render("rwkv-world is not it").unwrap();
    assert_eq!(other, "rwkv-world is not it");
}

#[test]
fn a_refusal_is_told_in_the_template_s_words() {
    let found = render("{% macro m() %}{{ raise_exception('no tools') }}{% endmacro %}{{ m() }}");
    assert!(matches!(found, Err(TemplateError::Refused { message }) if message == "no tools"));
}

#[test]
fn broken_templates_name_their_line() {
    let syntax = render("a\n{% if %}").unwrap_err();
    assert!(
        matches!(syntax, TemplateError::Syntax { .. }) && syntax.to_string().contains("line 2"),
        "{syntax}"
    );
    let failed = render("a\n{{ none.x.y }}").unwrap_err();
    assert!(
        matches!(failed, TemplateError::Render { .. }) && failed.to_string().contains("line 2"),
        "{failed}"
    );
}

#[test]
fn hostile_templates_run_out_of_fuel_memory_and_depth() {
    let endless =
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
    assert!(matches!(
        render(endless),
        Err(TemplateError::OutOfFuel { .. })
    ));
    let doubling = "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}";
    assert!(matches!(
        render(doubling),
        Err(TemplateError::OutOfFuel { .. })
    ));
    assert!(render("{{ 'x' * 100000000000 }}").is_err());
    assert!(render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").is_err());
    assert!(
        render(&format!(
            "{{{{ {}1{} }}}}",
            "(".repeat(5000),
            ")".repeat(5000)
        ))
        .is_err()
    );
    assert!(render("{% include '/etc/passwd' %}").is_err());
    assert!(render("{{ [1] | tojson(indent=1000000000) }}").is_err());
}

#[test]
fn a_long_honest_conversation_fits_the_fuel() {
    let template = ChatTemplate::chatml(&tokenizer()).unwrap();
    let messages = vec![Message::new("user", "x".repeat(20_000)); 1000];
    assert!(template.render(&messages, true).unwrap().len() > 20_000_000);
}
