//! Whatever happens to a track, in any order: nothing panics, what is refused changes nothing, error is only ever spent, and the
//! events alone, through JSON, give the same gate and the same decisions.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use gate::{Better, Decision, Event, Gate, Kind, Reading, Settings, Want};
use proptest::collection::vec;
use proptest::prelude::*;

/// What an engine, or a broken one, does next.
#[derive(Clone, Debug)]
enum Act {
    /// Answers what is wanted with this number; `None` is a crash.
    Answer(Option<f64>),
    /// Withdraws the tip's member of this place.
    Withdraw(usize),
    /// Applies something, wanted or not.
    Any(Event),
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => -1.0..1.0,
        4 => Just(0.0),
        2 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::MAX),
    ]
}

fn reading_of(kind: Kind, value: f64) -> Reading {
    match kind {
        Kind::Score => Reading::Score {
            public: value,
            hidden: Some(value * 0.9),
        },
        Kind::Timing => Reading::Block { log_ratio: value },
        Kind::Cases => Reading::Cases {
            public: (0..5).map(|case| value * f64::from(case)).collect(),
            hidden: (0..20).map(|case| value + f64::from(case)).collect(),
        },
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Score), Just(Kind::Timing), Just(Kind::Cases)]
}

fn event() -> impl Strategy<Value = Event> {
    let reading = || (kind(), number()).prop_map(|(kind, value)| reading_of(kind, value));
    prop_oneof![
        Just(Event::Session),
        reading().prop_map(Event::Champion),
        reading().prop_map(Event::Same),
        (0..40_u64, reading()).prop_map(|(candidate, r)| Event::Screen {
            candidate,
            reading: Some(r)
        }),
        (0..9_u64, 0..9_u32, reading()).prop_map(|(race, index, r)| Event::Race {
            race,
            index,
            reading: Some(r)
        }),
        (0..40_u64).prop_map(|candidate| Event::Withdraw {
            candidate,
            why: "by chance".into()
        }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        30 => number().prop_map(|value| Act::Answer(Some(value))),
        1 => Just(Act::Answer(None)),
        1 => (0..4_usize).prop_map(Act::Withdraw),
        4 => event().prop_map(Act::Any),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (
        kind(),
        prop_oneof![Just(1_u32), Just(4)],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(kind, unit, ends, higher)| {
            let better = if higher {
                Better::Higher
            } else {
                Better::Lower
            };
            Settings {
                ends_with_first_epoch: ends,
                epoch_races: 3,
                ..Settings::with_unit(kind, better, unit)
            }
        })
}

fn event_of(gate: &Gate, act: Act, candidate: &mut u64) -> Option<Event> {
    let kind = gate.settings().kind;
    Some(match act {
        Act::Any(event) => event,
        Act::Withdraw(place) => Event::Withdraw {
            candidate: *gate.tip().get(place)?,
            why: "invalid".into(),
        },
        Act::Answer(value) => {
            let reading = value.map(|value| reading_of(kind, value));
            match gate.next() {
                Want::Champion { .. } => Event::Champion(reading?),
                Want::Same => Event::Same(reading?),
                Want::Race { race, index } => Event::Race {
                    race,
                    index,
                    reading,
                },
                Want::Proposal | Want::End => {
                    *candidate += 1;
                    Event::Screen {
                        candidate: *candidate,
                        reading,
                    }
                }
            }
        }
    })
}

fn json(decisions: &[Decision]) -> String {
    serde_json::to_string(decisions).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_history_can_be_replayed(settings in settings(), acts in vec(act(), 0..250), cut in 0.0..1.0) {
        let mut gate = Gate::new(settings.clone()).unwrap();
        let mut candidate = 1000;
        let mut ledger: Vec<(String, String)> = Vec::new();
        let mut halfway = None;
        let cut = (acts.len() as f64 * cut) as usize;
        for (place, act) in acts.into_iter().enumerate() {
            if place == cut {
                halfway = Some((ledger.len(), gate.clone()));
            }
            let Some(event) = event_of(&gate, act, &mut candidate) else { continue };
            let before = (gate.clone(), gate.spent());
            let allowed = gate.check(&event);
            let written = serde_json::to_string(&event).unwrap();
            match gate.apply(event) {
                Ok(decisions) => {
                    prop_assert!(allowed.is_ok());
                    for decision in &decisions {
                        prop_assert!(!decision.to_string().is_empty());
                        prop_assert!(!decision.to_string().contains("NaN"), "{}", decision);
                    }
                    ledger.push((written, json(&decisions)));
                }
                Err(refused) => {
                    // Words rather than values: a refused NaN does not equal itself.
                    prop_assert_eq!(allowed.unwrap_err().to_string(), refused.to_string());
                    prop_assert_eq!(&gate, &before.0);
                }
            }
            let spent = gate.spent();
            prop_assert!(before.1.alpha <= spent.alpha && before.1.races <= spent.races && before.1.merges <= spent.merges);
            prop_assert!(spent.alpha <= settings.q * (spent.merges as f64 + 1.0) + 1e-12);
            let _ = (gate.noise(), gate.resolvable(), gate.public_reference(), gate.next().to_string());
        }
        // From the beginning, and from the middle.
        let (skip, mut from_middle) = halfway.unwrap_or((ledger.len(), gate.clone()));
        let mut from_start = Gate::new(settings).unwrap();
        for (place, (event, decided)) in ledger.iter().enumerate() {
            let event: Event = serde_json::from_str(event).unwrap();
            if skip <= place {
                prop_assert_eq!(&json(&from_middle.apply(event.clone()).unwrap()), decided);
            }
            prop_assert_eq!(&json(&from_start.apply(event).unwrap()), decided);
        }
        prop_assert_eq!(&from_start, &gate);
        prop_assert_eq!(&from_middle, &gate);
    }

    #[test]
    fn decisions_survive_the_ledger(settings in settings(), values in vec(number(), 0..200)) {
        let mut gate = Gate::new(settings).unwrap();
        let mut candidate = 0;
        for value in values {
            let Some(event) = event_of(&gate, Act::Answer(Some(value)), &mut candidate) else { continue };
            for decision in gate.apply(event).unwrap_or_default() {
                let written = serde_json::to_string(&decision).unwrap();
                let read: Decision = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(read, decision);
            }
        }
    }
}
