//! The splitter on the texts that fool simpler ones.

use super::{Source, lines_with_macro, lines_with_word};

fn code(text: &str) -> String {
    Source::split(text).code
}

#[test]
fn comments_and_strings_are_not_code() {
    for hidden in [
        "// word",
        "/// word",
        "//! word",
        "/* word */",
        "/* a /* nested */ word */",
        "let s = \"word\";",
        "let s = \"\\\"word\";",
        "let s = r\"word\";",
        "let s = r#\"a \" word\"#;",
        "let s = br##\"a \"# word\"##;",
        "let s = c\"word\";",
        "let s = \"two\nlines word\";",
    ] {
        assert_eq!(
            lines_with_word(&code(hidden), "word").count(),
            0,
            "{hidden}"
        );
    }
}

#[test]
fn code_after_a_literal_or_comment_is_code() {
    for shown in [
        "let s = \"a\"; word",
        "let s = r#\"a\"#; word",
        "let c = '\"'; word",
        "let c = '\\''; word",
        "let c = '\\\\'; word",
        "let c = b'\"'; word",
        "let c = 'é'; word",
        "fn f<'a>(x: &'a str) { word }",
        "'outer: loop { word }",
        "/* a /* nested */ b */ word",
        "// a\nword",
        "let r#type = 1; word",
        "let bar = \"x\"; word",
    ] {
        assert_eq!(lines_with_word(&code(shown), "word").count(), 1, "{shown}");
    }
}

#[test]
fn halves_keep_length_and_lines() {
    let text = "//! é\nlet s = \"ü\n\"; /* x\n*/ let c = 'ß';\n";
    let source = Source::split(text);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.comments.len(), text.len());
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert!(source.comments.contains("//! é"));
}

#[test]
fn unclosed_literals_end_with_the_file() {
    for text in ["\"open", "r#\"open", "/* open", "'", "'\\", "b", "\"\\"] {
        assert_eq!(Source::split(text).code.len(), text.len(), "{text}");
    }
}

#[test]
fn words_have_edges() {
    assert_eq!(
        lines_with_word("a\nkeyword words word_ word", "word").collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(
        lines_with_macro("print!(1)\nprint != 2\neprint!(3)", "print").collect::<Vec<_>>(),
        [1]
    );
}
