//! The scores that numpy computed in other ways (`reference.py`).

use serde::Deserialize;
use serde_json::Value;

use super::workshop::Draft;

#[derive(Deserialize)]
struct Reference {
    text: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    about: Value,
    window: usize,
    stream: Vec<u32>,
    bits_per_byte: f64,
}

#[test]
fn numpy_says_the_same() {
    let reference: Reference = serde_json::from_str(include_str!("reference.json")).unwrap();
    assert_eq!(reference.cases.len(), 3);
    for case in reference.cases {
        let model = Draft::about(case.about).model();
        let mut stream = Vec::new();
        for document in reference.text.split('\0') {
            stream.push(0);
            stream.extend(model.tokenize(document.as_bytes()).unwrap());
        }
        assert_eq!(stream, case.stream);
        let score = model
            .score(reference.text.as_bytes(), case.window, 2)
            .unwrap();
        let difference = (score.bits_per_byte() - case.bits_per_byte).abs();
        assert!(
            difference <= 1e-10,
            "{} and {}",
            score.bits_per_byte(),
            case.bits_per_byte
        );
        assert_eq!(score.bytes, reference.text.replace('\0', "").len());
        assert_eq!(
            score.tokens,
            stream.iter().filter(|&&token| token != 0).count()
        );
    }
}
