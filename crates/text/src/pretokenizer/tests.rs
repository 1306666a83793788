//! Each expression against words cut by hand, and the invariant that no text is lost.

use super::Pretokenizer;

fn words(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    Pretokenizer::by_name(name)
        .unwrap()
        .split(text, &mut |word| found.push(word.to_owned()));
    assert_eq!(found.concat(), text);
    assert!(found.iter().all(|word| !word.is_empty()));
    found
}

#[test]
fn gpt2_splits_contractions_spaces_and_runs() {
    assert_eq!(
        words("gpt-2", "I've  don't 'RE 123abc!?\n\n x  "),
        [
            "I", "'ve", " ", " don", "'t", " '", "RE", " 123", "abc", "!?", "\n\n", " x", "  "
        ]
    );
}

#[test]
fn smollm_isolates_every_digit_first() {
    assert_eq!(words("smollm", "a 12  3"), ["a", " ", "1", "2", "  ", "3"]);
    assert_eq!(words("smollm", "½٣x"), ["½", "٣", "x"]);
}

#[test]
fn llama_groups_digits_in_threes_and_newlines_with_what_precedes() {
    assert_eq!(
        words("llama-bpe", "I'LL 12345 ok;\r\n\r\n  \n \t!x(y"),
        [
            "I",
            "'LL",
            " ",
            "123",
            "45",
            " ok",
            ";\r\n\r\n",
            "  \n",
            " ",
            "\t",
            "!x",
            "(y"
        ]
    );
    assert_eq!(words("llama-bpe", "a "), ["a", " "]);
}

#[test]
fn qwen35_keeps_marks_with_their_letters() {
    let accented = "e\u{301}a";
    assert_eq!(words("qwen2", accented), ["e", "\u{301}a"]);
    assert_eq!(words("qwen35", accented), [accented]);
    assert_eq!(words("qwen35", "12\u{301}!"), ["1", "2", "\u{301}", "!"]);
}

#[test]
fn default_isolates_punctuation_and_triples_of_digits() {
    assert_eq!(
        words("default", "a+b 1234٣"),
        ["a", "+", "b", " ", "123", "4٣"]
    );
    assert_eq!(words("falcon", "`1234"), ["`", "123", "4"]);
    assert_eq!(words("default", "`x"), ["`", "x"]);
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let message = Pretokenizer::by_name("mystery").unwrap_err().to_string();
    assert!(
        message.contains("`mystery`") && message.contains("smollm, ") && message.contains("qwen35"),
        "{message}"
    );
}

/// What the regular expression gives, by an engine that has set differences (Python's `regex`).
#[test]
fn kimi_cuts_at_case_and_around_han() {
    assert_eq!(
        words(
            "kimi-k2",
            "I'm HelloWorld's JSONData, isn't IT'S 12345 你好,世界 abc中文def  \n\n x"
        ),
        [
            "I'm",
            " Hello",
            "World's",
            " JSONData",
            ",",
            " isn't",
            " IT'S",
            " ",
            "123",
            "45",
            " ",
            "你好",
            ",",
            "世界",
            " abc",
            "中文",
            "def",
            "  \n\n",
            " x"
        ]
    );
    // A letter without case ends a word or begins the next one.
    assert_eq!(words("kimi-k2", "ABあC aあB"), ["ABあ", "C", " aあ", "B"]);
    assert_eq!(words("kimi-k2", "ǅa ʰA"), ["ǅa", " ʰ", "A"]);
    // Marks are letters, and may stand before a word too.
    assert_eq!(
        words("kimi-k2", "e\u{301}A\u{301}b\u{301}"),
        ["e\u{301}", "A\u{301}b\u{301}"]
    );
    assert_eq!(
        words("kimi-k2", "\u{301}A!\u{301}"),
        ["\u{301}", "A", "!\u{301}"]
    );
    assert_eq!(words("kimi-k2", "々〇⺀x ⺀"), ["々〇⺀", "x", " ⺀"]);
}
