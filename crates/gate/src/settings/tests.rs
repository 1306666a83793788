//! Defaults are valid, files change only what they name, and nonsense is named.

use super::*;

#[test]
fn every_default_is_valid() {
    for kind in [Kind::Score, Kind::Timing, Kind::Cases] {
        for unit in [1, 4] {
            Settings::with_unit(kind, Better::Higher, unit)
                .check()
                .unwrap();
        }
    }
}

#[test]
fn a_file_changes_what_it_names_and_nothing_else() {
    let file: SettingsFile = serde_json::from_str(r#"{"q": 0.05}"#).unwrap();
    let settings = file.over(Kind::Score, Better::Lower).unwrap();
    let expected = Settings {
        q: 0.05,
        ..Settings::of(Kind::Score, Better::Lower)
    };
    assert_eq!(settings, expected);

    let alone: SettingsFile = serde_json::from_str(r#"{"unit": 1}"#).unwrap();
    let settings = alone.over(Kind::Score, Better::Lower).unwrap();
    assert_eq!(
        settings.epoch_races, 24,
        "each change is raced alone: more races an epoch"
    );

    assert!(serde_json::from_str::<SettingsFile>(r#"{"alpha": 0.05}"#).is_err());
}

#[test]
fn nonsense_is_named() {
    for q in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        let settings = Settings {
            q,
            ..Settings::of(Kind::Score, Better::Lower)
        };
        let words = settings.check().unwrap_err().to_string();
        assert!(
            words.starts_with("gate setting `q`: expected from 0.0001 to 0.5, got "),
            "{words}"
        );
    }
}

#[test]
fn a_strict_race_that_cannot_be_won_is_refused() {
    let settings = Settings {
        strict: true,
        race_runs: 10,
        ..Settings::of(Kind::Timing, Better::Lower)
    };
    assert_eq!(
        settings.check(),
        Err(SettingsError::RaceTooShort {
            needed: 15,
            came: 10
        })
    );
}

#[test]
fn a_ledger_older_than_a_setting_keeps_its_rule() {
    let mut written = serde_json::to_value(Settings::of(Kind::Timing, Better::Lower)).unwrap();
    assert_eq!(written["drop_runs"], 3);
    written.as_object_mut().unwrap().remove("drop_runs");
    let read: Settings = serde_json::from_value(written).unwrap();
    assert_eq!(read.drop_runs, 1);
}
