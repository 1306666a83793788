//! Splits by document, and what a run's text is known by.

use super::{Part, Splits, divided};
use crate::{BytePairs, DataError, Document, Tokenizer};

fn documents(count: usize) -> Vec<Document> {
    let one = |i: usize| Document {
        name: i.to_string(),
        text: format!("document {i} says something of its own."),
    };
    (0..count).map(one).collect()
}

fn parts(count: usize, held_out: usize) -> Vec<(Part, String)> {
    divided(documents(count).into_iter().map(Ok), held_out)
        .map(|one| one.map(|(part, document)| (part, document.name)))
        .collect::<Result<_, _>>()
        .expect("documents")
}

fn bytes(some: &[Document]) -> usize {
    some.iter().map(|one| one.text.len()).sum()
}

#[test]
fn the_last_documents_are_held_out_in_two_halves() {
    for (count, held_out, train, public) in [
        (5, 2, 3, 1),
        (5, 3, 2, 2),
        (5, 1, 4, 1),
        (5, 0, 4, 1),
        (5, 4, 1, 2),
        (5, 5, 1, 2),
        (5, 99, 1, 2),
        (2, 1, 1, 1),
        (2, usize::MAX, 1, 1),
    ] {
        let found = parts(count, held_out);
        let names: Vec<String> = found.iter().map(|one| one.1.clone()).collect();
        let all: Vec<String> = (0..count).map(|i| i.to_string()).collect();
        assert_eq!(names, all);
        let number = |part| found.iter().filter(|one| one.0 == part).count();
        assert_eq!(
            (number(Part::Train), number(Part::Public)),
            (train, public),
            "{count} documents, {held_out} held out"
        );
        assert!(found.is_sorted_by_key(|one| one.0));
    }
}

#[test]
fn a_single_document_is_cut_before_its_last_tenth() {
    let one = Document {
        name: "one".to_owned(),
        text: "é".repeat(15),
    };
    let found: Vec<_> = divided([Ok(one)], 4).map(|one| one.unwrap()).collect();
    let lengths: Vec<_> = found.iter().map(|one| (one.0, one.1.text.len())).collect();
    assert_eq!(lengths, [(Part::Train, 26), (Part::Public, 4)]);
}

#[test]
fn no_documents_bad_ones_and_zero_bytes_are_errors() {
    let mut none = divided([], 1);
    assert!(matches!(none.next(), Some(Err(DataError::Empty))));
    assert!(none.next().is_none());
    let zero = Document {
        name: "zero".to_owned(),
        text: "a\0".to_owned(),
    };
    let mut found = divided(documents(3).into_iter().chain([zero]).map(Ok), 1);
    assert!(found.next().unwrap().is_ok() && found.next().unwrap().is_ok());
    let error = found.next().unwrap().expect_err("a zero byte").to_string();
    assert_eq!(error, "zero: byte 1 is zero; give plain UTF-8 text");
    assert!(found.next().is_none());
}

#[test]
fn splits_hold_the_parts() {
    let all = documents(6);
    let splits = Splits::of(&all, 3, 16, &Tokenizer::Bytes).unwrap();
    assert_eq!(splits.train.text_bytes(), bytes(&all[..3]));
    assert_eq!(splits.public.text_bytes(), bytes(&all[3..5]));
    let hidden = splits.hidden.as_ref().expect("a hidden half");
    assert_eq!(hidden.text_bytes(), bytes(&all[5..]));
    assert_eq!(splits.train.tokens(), bytes(&all[..3]) + 3);
    let one = Splits::of(&all, 1, 16, &Tokenizer::Bytes).unwrap();
    assert!(one.hidden.is_none());
    let single = Splits::of(&all[..1], 2, 2, &Tokenizer::Bytes).unwrap();
    assert!(single.hidden.is_none());
    assert_eq!(
        single.train.text_bytes() + single.public.text_bytes(),
        bytes(&all[..1])
    );
}

#[test]
fn too_little_text_is_refused_by_part() {
    for count in [1, 2] {
        let error = Splits::of(&documents(count), 1, 4096, &Tokenizer::Bytes);
        let error = error.expect_err("less than a window").to_string();
        assert!(error.contains("4097 are needed"), "{error}");
    }
    let none = Splits::of(&[], 1, 4096, &Tokenizer::Bytes).expect_err("no text");
    assert!(matches!(none, DataError::Empty), "{none}");
    let error = Splits::of(&documents(2), 1, usize::MAX, &Tokenizer::Bytes);
    assert!(error.is_err());
    let mut blank = documents(4);
    blank[2].text.clear();
    let error = Splits::of(&blank, 2, 4, &Tokenizer::Bytes).expect_err("no public text");
    assert!(
        error
            .to_string()
            .starts_with("the held-out text has 1 tokens"),
        "{error}"
    );
    blank.swap(2, 3);
    let error = Splits::of(&blank, 2, 4, &Tokenizer::Bytes).expect_err("no hidden text");
    assert!(error.to_string().starts_with("the hidden half"), "{error}");
}

#[test]
fn the_fingerprint_is_of_texts_parts_and_tokenizer() {
    let all = documents(6);
    let of = |documents: &[Document], held_out, tokenizer: &Tokenizer| {
        Splits::of(documents, held_out, 16, tokenizer)
            .unwrap()
            .fingerprint()
    };
    let pairs = |merges| Tokenizer::Pairs(BytePairs::new(merges).unwrap());
    let first = of(&all, 3, &Tokenizer::Bytes);
    assert_eq!(first.len(), 64);
    assert_eq!(first, of(&all.clone(), 3, &Tokenizer::Bytes));
    let mut others = vec![
        first.clone(),
        of(&all, 2, &Tokenizer::Bytes),
        of(&all[..5], 3, &Tokenizer::Bytes),
        of(&all, 3, &pairs(vec![])),
        of(&all, 3, &pairs(vec![[97, 98]])),
        of(&all, 3, &pairs(vec![[98, 97]])),
    ];
    let mut changed = all.clone();
    changed[5].text.push('!');
    others.push(of(&changed, 3, &Tokenizer::Bytes));
    let differing: std::collections::HashSet<&String> = others.iter().collect();
    // Bytes and no merges are the same tokens.
    assert_eq!(differing.len(), others.len() - 1);
}
