//! What an engine may say, and what it may not.

use super::*;

fn variables(changed: &[(&'static str, Option<&str>)]) -> Result<Told, JudgeError> {
    let plain = [
        (ARTEFACT, "/a"),
        (SPLIT, "hidden"),
        (SEED, "18446744073709551615"),
    ];
    Told::from(|name| match changed.iter().find(|(key, _)| *key == name) {
        Some((_, value)) => value.map(OsString::from),
        None => plain
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.into()),
    })
}

#[test]
fn all_of_it_is_read() {
    let told = variables(&[(CHAMPION, Some("/c"))]).unwrap();
    assert_eq!(told.champion, Some("/c".into()));
    assert_eq!((told.split, told.seed), (Split::Hidden, u64::MAX));
    assert_eq!(variables(&[]).unwrap().champion, None);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (name, value) in [
        (ARTEFACT, None),
        (ARTEFACT, Some("relative")),
        (CHAMPION, Some("")),
        (SPLIT, Some("train")),
        (SEED, Some("-1")),
        (SEED, Some("18446744073709551616")),
        (SEED, None),
    ] {
        let error = variables(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn an_answer_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let refused = crate::Refusal::Talk(crate::Fault::Unasked);
    deliver(&Answer::Refused { refused }, |_| Some(file.clone().into())).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(
        read["refused"]
            .as_str()
            .unwrap()
            .contains("before it was asked")
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("no/such/folder");
    let refused = crate::Refusal::Talk(crate::Fault::Unasked);
    assert!(
        deliver(&Answer::Refused { refused }, |_| Some(
            nowhere.clone().into()
        ))
        .is_err()
    );
}
