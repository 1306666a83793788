//! The longest match against a search of the whole vocabulary, escapes, and vocabularies that must be refused.

use super::{LONGEST_TOKEN, escapes};
use crate::fixtures::world;
use crate::{Specials, TokenType, Tokenizer, TokenizerError};

fn ids(words: &[&[u8]], text: &str) -> Vec<u32> {
    let tokenizer = Tokenizer::from_vocabulary(world(words)).unwrap();
    let ids = tokenizer.encode(text, Specials::Plain);
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|&id| tokenizer.bytes_of(id))
        .copied()
        .collect();
    assert_eq!(bytes, text.as_bytes(), "decoding gives the text back");
    ids
}

/// The id of a byte.
fn byte(byte: u8) -> u32 {
    u32::from(byte) + 1
}

#[test]
fn the_longest_token_wins_and_a_path_without_end_goes_back() {
    let words: &[&[u8]] = &[b"ab", b"abcdef", b"abc", b"de", "é".as_bytes()];
    assert_eq!(ids(words, "abcdef"), [258]);
    // `abcde` is a path to `abcdef`, but no token.
    assert_eq!(ids(words, "abcde"), [259, 260]);
    assert_eq!(ids(words, "abd"), [257, byte(b'd')]);
    assert_eq!(ids(words, "aé"), [byte(b'a'), 261]);
    assert_eq!(ids(words, "è"), [byte(0xC3), byte(0xA8)]);
    assert_eq!(ids(words, ""), [0; 0]);
}

#[test]
fn tokens_cut_through_characters() {
    let words: &[&[u8]] = &[b" \xE6", b"\x89\xE6", b"\xE6\xBC\xA2\xE5"];
    assert_eq!(ids(words, " 漢"), [257, byte(0xBC), byte(0xA2)]);
    assert_eq!(ids(words, "漢字"), [259, byte(0xAD), byte(0x97)]);
}

#[test]
fn every_match_is_the_longest_of_all_tokens() {
    let mut state = 7_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % below
    };
    for _ in 0..40 {
        let mut words: Vec<Vec<u8>> = (0..60)
            .map(|_| {
                (0..2 + random(7))
                    .map(|_| b"ab\xC3\xA9"[random(4)])
                    .collect()
            })
            .collect();
        words.sort_by_key(|word| (word.len() % 3, word.clone()));
        words.dedup();
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let text: String = (0..200).map(|_| ['a', 'b', 'é', 'c'][random(4)]).collect();
        let (mut rest, mut want) = (text.as_bytes(), Vec::new());
        while let [first, ..] = rest {
            let longest = (257..)
                .zip(&words)
                .filter(|(_, word)| rest.starts_with(word));
            let (id, length) = longest
                .map(|(id, word)| (id, word.len()))
                .max_by_key(|&(_, length)| length)
                .unwrap_or((byte(*first), 1));
            want.push(id);
            rest = &rest[length..];
        }
        assert_eq!(ids(&words, &text), want);
    }
}

/// A million places, each at the end of the longest possible chain, and each with the longest possible comparison.
#[test]
fn the_worst_text_takes_a_bounded_time() {
    let runs: Vec<Vec<u8>> = (2..=LONGEST_TOKEN)
        .map(|length| vec![b'a'; length])
        .collect();
    let words: Vec<&[u8]> = runs.iter().map(Vec::as_slice).collect();
    let text = "ab".repeat(200_000);
    assert_eq!(ids(&words, &text).len(), text.len());
    let mut almost = vec![b'a'; LONGEST_TOKEN - 1];
    almost.push(b'c');
    let text = "a".repeat(400_000);
    assert_eq!(ids(&[&almost], &text).len(), text.len());
}

#[test]
fn escapes_are_python_s() {
    let found = escapes::unescaped(0, br#"a\t\n\r\\\'\"\x00\xff\xAb\\x41"#).unwrap();
    assert_eq!(found, b"a\t\n\r\\'\"\x00\xff\xab\\x41");
    assert_eq!(
        escapes::unescaped(0, "é\\xc3".as_bytes()).unwrap(),
        b"\xC3\xA9\xC3"
    );
    for (bad, at) in [
        (&b"ab\\"[..], 2),
        (b"\\x", 0),
        (b"a\\x4", 1),
        (b"\\x4g", 0),
        (b"\\x+f", 0),
        (b"\\\\\\q", 2),
        (b"\\0", 0),
        (b"\\\xC3", 0),
    ] {
        let found = escapes::unescaped(7, bad);
        assert!(
            matches!(found, Err(TokenizerError::BadEscape { id: 7, offset, .. }) if offset == at),
            "{bad:?}"
        );
    }
    let told = escapes::unescaped(7, &[b"\x1b[2J\\", &b"x"[..]].concat())
        .unwrap_err()
        .to_string();
    assert!(
        !told.contains('\u{1b}') && told.contains("token 7"),
        "{told}"
    );
    let long = [vec![b'y'; 10_000], b"\\".to_vec()].concat();
    assert!(escapes::unescaped(7, &long).unwrap_err().to_string().len() < 400);
}

#[test]
fn text_spells_neither_control_nor_unused_tokens() {
    let mut vocabulary = world(&[b"[PAD9]", b"<x>"]);
    vocabulary.types[257] = TokenType::Unused;
    vocabulary.types[258] = TokenType::UserDefined;
    let tokenizer = Tokenizer::from_vocabulary(vocabulary).unwrap();
    let plain = |text: &str| tokenizer.encode(text, Specials::Plain);
    assert_eq!(plain("<s>"), [byte(b'<'), byte(b's'), byte(b'>')]);
    assert_eq!(plain("[PAD9]").len(), 6);
    assert_eq!(plain("<x>"), [258]);
    assert_eq!(
        tokenizer.encode("a<s>\n", Specials::Parse),
        [byte(b'a'), 0, byte(b'\n')]
    );
    assert_eq!(tokenizer.decode(&[0, 257, 258, byte(b'!')]), "<x>!");
    assert_eq!(tokenizer.bytes_of(257), b"");
}

#[test]
fn a_prompt_gets_no_begin_token_unless_the_file_says_so() {
    let mut vocabulary = world(&[b"\n\n"]);
    vocabulary.special.bos = Some(0);
    vocabulary.special.eos = Some(0);
    vocabulary.special.eot = Some(257);
    let tokenizer = Tokenizer::from_vocabulary(vocabulary.clone()).unwrap();
    assert_eq!(tokenizer.encode_prompt("\n\n", Specials::Plain), [257]);
    assert_eq!(tokenizer.end_of_generation(), [0, 257]);
    assert!(!tokenizer.is_control(257), "an end of turn may be text");
    assert_eq!(tokenizer.token_id("\n\n"), Some(257));
    assert_eq!(tokenizer.pretokenizer(), None);
    vocabulary.add_bos = Some(true);
    let tokenizer = Tokenizer::from_vocabulary(vocabulary).unwrap();
    assert_eq!(tokenizer.encode_prompt("\n\n", Specials::Plain), [0, 257]);
}

#[test]
fn hostile_vocabularies_are_refused() {
    let good = world(&[b"ab"]);
    let mut escape = good.clone();
    escape.tokens[257] = b"ab\\xg0".to_vec();
    let found = Tokenizer::from_vocabulary(escape);
    assert!(matches!(
        found,
        Err(TokenizerError::BadEscape {
            id: 257,
            offset: 2,
            ..
        })
    ));

    // Spelt differently, and the same.
    let mut twice = good.clone();
    twice.tokens[257] = b"\\x61".to_vec();
    let found = Tokenizer::from_vocabulary(twice);
    assert!(matches!(
        found,
        Err(TokenizerError::DuplicateToken {
            first: 98,
            second: 257,
            ..
        })
    ));
    let mut controls = good.clone();
    controls.tokens[257] = b"\\x1b".to_vec();
    let told = Tokenizer::from_vocabulary(controls)
        .unwrap_err()
        .to_string();
    assert!(!told.contains('\u{1b}'), "{told:?}");

    let mut long = good.clone();
    long.tokens[257] = vec![b'a'; LONGEST_TOKEN];
    assert!(Tokenizer::from_vocabulary(long.clone()).is_ok());
    long.tokens[257].push(b'a');
    let found = Tokenizer::from_vocabulary(long);
    assert!(matches!(
        found,
        Err(TokenizerError::TokenTooLong {
            id: 257,
            found: 257,
            limit: 256
        })
    ));

    let mut gap = good.clone();
    gap.tokens[1 + 0x80] = b"other".to_vec();
    let found = Tokenizer::from_vocabulary(gap.clone());
    assert!(matches!(
        found,
        Err(TokenizerError::NoByteFallback { byte: 0x80 })
    ));
    gap.special.unk = Some(0);
    let tokenizer = Tokenizer::from_vocabulary(gap).unwrap();
    assert_eq!(tokenizer.encode("\u{80}", Specials::Plain), [byte(0xC2), 0]);

    let mut control = good.clone();
    control.types[1 + 0x80] = TokenType::Control;
    assert!(
        Tokenizer::from_vocabulary(control).is_err(),
        "a control token is no byte"
    );
    let mut none = good;
    none.tokens.clear();
    none.types.clear();
    assert!(matches!(
        Tokenizer::from_vocabulary(none),
        Err(TokenizerError::NoByteFallback { byte: 0 })
    ));
}
