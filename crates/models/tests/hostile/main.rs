//! Valid GGUF files that are no sound models: one thing changed in a fixture. Each is refused with words that name the file,
//! the field and the next step, from the header alone wherever that suffices.

#[path = "../draft/mod.rs"]
mod draft;
mod families;
mod kimi_linear;
mod metadata;
mod recurrent_gemma;
mod rwkv7;
mod tensors;

use formats::gguf::{Text, Value};
use kernels::RuntimeProfile;
use models::{Model, Placement};

use draft::Draft;

/// What becomes of a fixture.
type Change = fn(&mut Draft);

/// A change, and what the message says about it.
type Row = (Change, &'static str);

fn text(text: &str) -> Value {
    Value::Str(Text::from(text))
}

/// How messages tell what to do next.
const REMEDIES: [&str; 9] = [
    "fetch it again",
    "pull it again",
    "convert the model again",
    "convert it anew",
    "current conversion",
    "take a ",
    "merge the parts",
    "use a file with",
    "incomplete for its architecture",
];

fn check_message(error: &str, expected: &str) {
    assert!(
        error.contains(expected),
        "expected `{expected}` in: {error}"
    );
    assert!(
        error.starts_with("(bytes in memory): "),
        "no file in: {error}"
    );
    assert!(
        REMEDIES.iter().any(|remedy| error.contains(remedy)),
        "no remedy in: {error}"
    );
}

/// Both ways of building refuse, in the same words.
fn check_refused(fixture: &str, rows: &[Row]) {
    for (change, expected) in rows {
        let mut draft = Draft::of(fixture);
        change(&mut draft);
        let gguf = draft.build();
        let Err(described) = Model::describe(gguf.clone()) else {
            panic!("{fixture} is accepted; expected `{expected}`")
        };
        check_message(&described.to_string(), expected);
        let Err(loaded) = Model::from_gguf(
            gguf,
            &RuntimeProfile::default(),
            &Placement::Memory,
            &mut |_| {},
        ) else {
            panic!("{fixture} loads; expected `{expected}`")
        };
        assert_eq!(described.to_string(), loaded.to_string());
    }
}
