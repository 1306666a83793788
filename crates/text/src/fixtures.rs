//! Small vocabularies of our own for the unit tests, where every id can be worked out by hand.

use crate::bpe::byte_character;
use crate::vocabulary::{SpecialIds, TokenType, Vocabulary, VocabularyKind};

/// Byte-level BPE: ids 0 to 255 are the bytes, then one token per merge, then the control tokens.
pub(crate) fn byte_pairs(merges: &[(&str, &str)], control: &[&str]) -> Vocabulary {
    let mut tokens: Vec<String> = (0..=255)
        .map(|byte| byte_character(byte).to_string())
        .collect();
    tokens.extend(merges.iter().map(|(left, right)| format!("{left}{right}")));
    let mut types = vec![TokenType::Normal; tokens.len()];
    tokens.extend(control.iter().map(|&text| text.to_owned()));
    types.resize(tokens.len(), TokenType::Control);
    Vocabulary {
        kind: VocabularyKind::BytePair,
        tokens: tokens.into_iter().map(String::into_bytes).collect(),
        scores: Vec::new(),
        types,
        merges: merges
            .iter()
            .map(|(left, right)| format!("{left} {right}").into_bytes())
            .collect(),
        pre: Some("gpt-2".to_owned()),
        special: SpecialIds::default(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
    }
}

/// SentencePiece: `<unk>`, `<s>`, `</s>`, then byte `b` at id `3 + b`, then the pieces from id 259 on.
pub(crate) fn sentence_pieces(pieces: &[(&str, f32)]) -> Vocabulary {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(pieces.iter().map(|&(text, _)| text.to_owned()));
    let mut types = vec![TokenType::Unknown, TokenType::Control, TokenType::Control];
    types.resize(259, TokenType::Byte);
    types.resize(tokens.len(), TokenType::Normal);
    let mut scores = vec![0.0; 259];
    scores.extend(pieces.iter().map(|&(_, score)| score));
    Vocabulary {
        kind: VocabularyKind::SentencePiece,
        tokens: tokens.into_iter().map(String::into_bytes).collect(),
        scores,
        types,
        merges: Vec::new(),
        pre: None,
        special: SpecialIds::default(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
    }
}

/// RWKV: `<s>`, then byte `b` at id `1 + b`, then the words from id 257 on, all spelt as Python prints bytes.
pub(crate) fn world(words: &[&[u8]]) -> Vocabulary {
    let bytes = (0..=255).map(|byte: u8| vec![byte]);
    let tokens = bytes.chain(words.iter().map(|word| word.to_vec()));
    let mut tokens: Vec<Vec<u8>> = tokens.map(|token| escaped(&token)).collect();
    tokens.insert(0, b"<s>".to_vec());
    let mut types = vec![TokenType::Normal; tokens.len()];
    types[0] = TokenType::Control;
    Vocabulary {
        kind: VocabularyKind::LongestMatch,
        tokens,
        scores: Vec::new(),
        types,
        merges: Vec::new(),
        pre: None,
        special: SpecialIds::default(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
    }
}

fn escaped(token: &[u8]) -> Vec<u8> {
    let spelt = token.iter().map(|&byte| match byte {
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    spelt.collect::<String>().into_bytes()
}
