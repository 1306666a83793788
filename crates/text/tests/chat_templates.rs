//! Templates render as transformers' Jinja environment renders them.
//!
//! `tests/chat/make.py` made the expected strings, with that library as the oracle.

use std::path::Path;

use serde_json::Value;
use text::{
    ChatTemplate, Message, SpecialIds, TemplateError, TokenType, Tokenizer, Vocabulary,
    VocabularyKind,
};

/// Just enough of a tokenizer to name the two tokens that templates know.
fn tokenizer() -> Tokenizer {
    let tokens = ["<unk>", "<bos>", "<eos>"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec();
    let types = vec![TokenType::Unknown, TokenType::Control, TokenType::Control];
    Tokenizer::from_vocabulary(Vocabulary {
        kind: VocabularyKind::SentencePiece,
        tokens,
        scores: Vec::new(),
        types,
        merges: Vec::new(),
        pre: None,
        special: SpecialIds::default(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
    })
    .expect("a vocabulary of three tokens")
}

#[test]
fn templates_render_as_transformers_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chat");
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&expected).unwrap();
    assert!(cases.len() > 50);
    let tokenizer = tokenizer();
    for case in &cases {
        let source =
            std::fs::read_to_string(folder.join(case["template"].as_str().unwrap())).unwrap();
        let mut template = ChatTemplate::from_source(&source, &tokenizer).unwrap();
        for (name, value) in case["flags"].as_object().unwrap() {
            template = template.with_flag(name, value.as_bool().unwrap());
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let turns = case["messages"].as_array().unwrap().iter();
        let messages: Vec<Message> = turns
            .map(|turn| Message::new(text(&turn["role"]), text(&turn["content"])))
            .collect();
        match template.render(&messages, case["add_generation_prompt"].as_bool().unwrap()) {
            Ok(found) => assert_eq!(Some(found.as_str()), case["text"].as_str(), "{case}"),
            Err(TemplateError::Refused { message }) => {
                assert_eq!(Some(message.as_str()), case["refused"].as_str())
            }
            Err(error) => panic!("{error}\n{case}"),
        }
    }
}
