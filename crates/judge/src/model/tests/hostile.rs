//! Files that nobody should accept: each is refused for its own reason, and nothing panics.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Flaw, Model};
use super::workshop::{Draft, Tensor, container, small};

fn refused(file: &[u8]) -> Flaw {
    Model::read(file).map_or_else(|flaw| flaw, |model| panic!("{model:?}"))
}

fn with(field: &str, value: Value) -> Flaw {
    let mut draft = Draft::of(&small());
    draft.about["model"][field] = value;
    refused(&draft.bytes())
}

#[test]
fn a_head_that_does_not_hold() {
    let whole = Draft::of(&small()).bytes();
    assert!(Model::read(&whole).is_ok());
    for length in [0, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let flaw = refused(&whole[..length]);
        assert!(matches!(flaw, Flaw::Head { .. }), "{length}: {flaw}");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert!(matches!(refused(&longer), Flaw::Head { .. }));
    for length in [u64::MAX, 1 << 40, 4 << 20] {
        let mut wrong = whole.clone();
        wrong[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(refused(&wrong), Flaw::Head { .. }));
    }
    for head in [
        "",
        "[]",
        "{",
        "{\"about\":{}}",
        "nonsense",
        "{\"about\":{\"dtype\":\"U9\",\"shape\":[],\"data_offsets\":[0,1]}}",
    ] {
        assert!(
            matches!(refused(&container(head, b"a")), Flaw::Head { .. }),
            "{head}"
        );
    }
    let deep = "[".repeat(1 << 20);
    assert!(matches!(refused(&container(&deep, b"")), Flaw::Head { .. }));
}

#[test]
fn shapes_and_offsets_that_overflow() {
    let entry = |dtype: &str, shape: &[u64], from: u64, to: u64| {
        json!({"about": {"dtype": dtype, "shape": shape, "data_offsets": [from, to]}}).to_string()
    };
    for head in [
        entry("F32", &[1 << 32, 1 << 32], 0, 4),
        entry("F32", &[1 << 62], 0, 0),
        entry("U8", &[u64::MAX], 0, u64::MAX),
        entry("U8", &[4], 4, 8),
        entry("U8", &[4], 8, 4),
        entry("U8", &[u64::MAX], 1, 0),
        entry("U8", &[5], 0, 5),
        entry("F4", &[1], 0, 4),
    ] {
        assert!(
            matches!(refused(&container(&head, b"{  }")), Flaw::Head { .. }),
            "{head}"
        );
    }
    // With the head's length and 8 for that length's own place, each of these ends beyond 2^64.
    for short in 0..200 {
        let head = entry("U8", &[u64::MAX - short], 0, u64::MAX - short);
        assert!(matches!(
            refused(&container(&head, b"data")),
            Flaw::Head { .. }
        ));
    }
}

#[test]
fn two_tensors_may_not_share_bytes() {
    let head = json!({
        "about": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
        "weights.a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
    });
    assert!(matches!(
        refused(&container(&head.to_string(), b"data")),
        Flaw::Head { .. }
    ));
}

#[test]
fn every_tensor_is_there_once_and_no_other() {
    let draft = Draft::of(&small());
    for name in draft.tensors.keys() {
        let mut less = draft.clone();
        less.tensors.remove(name);
        let flaw = refused(&less.bytes());
        assert!(
            matches!(&flaw, Flaw::Missing { name: missing, .. } if missing[8..] == *name),
            "{flaw}"
        );
        for shape in [
            vec![256],
            vec![1, 1, 256],
            vec![257, 16],
            vec![0, 16],
            vec![8, 8],
        ] {
            let mut other = draft.clone();
            let values = vec![0.0; shape.iter().product()];
            other
                .tensors
                .insert(name.clone(), Tensor::f32(shape, &values));
            let flaw = refused(&other.bytes());
            assert!(matches!(flaw, Flaw::Tensor { .. }), "{flaw}");
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let flaw = refused(
                &draft
                    .clone()
                    .fill(name, |_, column| if column == 7 { value } else { 0.0 })
                    .bytes(),
            );
            assert!(matches!(flaw, Flaw::NotFinite { at: 7, .. }), "{flaw}");
        }
    }
    for name in ["blk.1.attn_q.weight", "blk.0.attn_q_norm.weight", "other"] {
        let mut more = draft.clone();
        more.tensors
            .insert(name.to_owned(), Tensor::f32(vec![1, 16], &[0.0; 16]));
        let flaw = refused(&more.bytes());
        assert!(
            matches!(
                &flaw,
                Flaw::LeftOver {
                    expected: 12,
                    came: 13,
                    ..
                }
            ),
            "{flaw}"
        );
    }
    let mut half = draft.clone();
    if let Some(tensor) = half.tensors.get_mut("output.weight") {
        tensor.dtype = "F16";
        tensor.bytes.truncate(256 * 16 * 2);
    }
    assert!(matches!(refused(&half.bytes()), Flaw::Tensor { .. }));
}

#[test]
fn a_configuration_is_within_bounds() {
    for (field, values) in [
        (
            "vocabulary",
            vec![json!(255), json!(257), json!(1_u64 << 40), json!(u64::MAX)],
        ),
        ("layers", vec![json!(0), json!(257), json!(u64::MAX)]),
        ("width", vec![json!(0), json!(8193), json!(1_u64 << 63)]),
        ("mixers", vec![json!([]), json!(vec!["full"; 257])]),
        ("heads", vec![json!(0), json!(u64::MAX), json!(8192)]),
        ("kv_heads", vec![json!(0), json!(2), json!(u64::MAX)]),
        (
            "head_dim",
            vec![json!(0), json!(8), json!(24), json!(528), json!(u64::MAX)],
        ),
        ("window", vec![json!(65537), json!(u64::MAX)]),
        ("hidden", vec![json!(0), json!(65537), json!(u64::MAX)]),
        ("soft_cap", vec![json!(0), json!(-1), json!(1e300)]),
        ("rope_base", vec![json!(0), json!(-1), json!(1e300)]),
        ("eps", vec![json!(0), json!(-1e-6), json!(2)]),
    ] {
        for value in values {
            let flaw = with(field, value.clone());
            assert!(
                matches!(flaw, Flaw::Field { .. }),
                "{field} {value}: {flaw}"
            );
        }
    }
    assert!(matches!(
        with("mixers", json!(["window"])),
        Flaw::Field {
            field: "window",
            ..
        }
    ));
}

#[test]
fn a_configuration_says_everything_and_nothing_else() {
    let is_about = |flaw: Flaw| assert!(matches!(flaw, Flaw::About { .. }), "{flaw}");
    for field in ["layers", "soft_cap", "eps", "tied", "mlp"] {
        let mut draft = Draft::of(&small());
        draft.about["model"].as_object_mut().unwrap().remove(field);
        is_about(refused(&draft.bytes()));
    }
    for field in ["schema", "model", "positions", "tokenizer"] {
        let mut draft = Draft::of(&small());
        draft.about.as_object_mut().unwrap().remove(field);
        is_about(refused(&draft.bytes()));
    }
    is_about(with("dropout", json!(0)));
    is_about(with("layers", json!(-1)));
    is_about(with("layers", json!(1.5)));
    is_about(with("layers", json!("1")));
    is_about(with("mixers", json!(["mamba"])));
    is_about(with("mlp", json!("gelu")));
    is_about(with("tied", json!(null)));
    for (field, value) in [
        ("schema", json!("sprag.model/2")),
        ("more", json!(1)),
        ("tokenizer", json!({"merges": [[1]]})),
    ] {
        let mut draft = Draft::of(&small());
        draft.about[field] = value;
        is_about(refused(&draft.bytes()));
    }
    let long = with(&"x".repeat(100_000), json!(0)).to_string();
    assert!(long.len() < 400, "{long}");
    // JSON has no such number; written as text it overflows f64.
    let json = Draft::of(&small())
        .about
        .to_string()
        .replace("10000.0", "1e999");
    let head =
        json!({"about": {"dtype": "U8", "shape": [json.len()], "data_offsets": [0, json.len()]}});
    is_about(refused(&container(&head.to_string(), json.as_bytes())));
}

#[test]
fn merges_that_are_none() {
    let about = |merges: Value, vocabulary: usize| {
        let mut model = small();
        model["vocabulary"] = json!(vocabulary);
        let about = json!({"schema": "sprag.model/1", "model": model, "positions": 9, "tokenizer": {"merges": merges}});
        Model::read(&Draft::about(about).bytes())
    };
    assert!(about(json!([[97, 98], [256, 99]]), 258).is_ok());
    assert!(about(json!([[97, 98], [97, 98]]), 258).is_ok());
    for (merges, vocabulary) in [
        (json!([[97, 256]]), 257),
        (json!([[257, 97], [256, 97]]), 258),
        (json!([[97, 0]]), 257),
        (json!([[u32::MAX, 97]]), 257),
    ] {
        let flaw = about(merges.clone(), vocabulary).unwrap_err();
        assert!(matches!(flaw, Flaw::Merge { .. }), "{merges}: {flaw}");
    }
    assert!(matches!(
        about(json!([[97, 98]]), 256),
        Err(Flaw::Field {
            field: "vocabulary",
            ..
        })
    ));
    assert!(matches!(
        about(json!([[u64::MAX, 98]]), 257),
        Err(Flaw::About { .. })
    ));
}

#[test]
fn weights_that_overflow_give_no_score() {
    let draft = Draft::of(&small())
        .fill(
            "output.weight",
            |row, _| if row == 97 { f32::MAX } else { f32::MIN },
        )
        .fill("output_norm.weight", |_, _| f32::MAX);
    // f64 holds what f32 does not, as long as nothing is squared: the score is finite and bad.
    assert!(
        draft
            .model()
            .score(b"text", 8, 1)
            .is_ok_and(|score| score.bits_per_byte() > 1e6)
    );
    let mut model = small();
    model["mixers"] = json!(["gated_delta"]);
    let draft = Draft::of(&model)
        .fill("blk.0.delta_a_log", |_, _| f32::MAX)
        .fill("blk.0.delta_dt_bias", |_, _| f32::MIN);
    assert!(matches!(
        draft.model().score(b"text", 8, 1),
        Err(Flaw::Score { .. })
    ));
}

#[test]
fn work_is_bounded() {
    let mut model = small();
    for (field, value) in [
        ("layers", 64),
        ("heads", 512),
        ("kv_heads", 1),
        ("width", 1),
    ] {
        model[field] = json!(value);
    }
    let model = Draft::of(&model).model();
    assert!(model.score(b"text", 1024, 1).is_ok());
    let flaw = model.score(&[97; 1 << 16], 1 << 16, 2).unwrap_err();
    assert!(matches!(flaw, Flaw::Large { .. }), "{flaw}");
    assert_eq!(model.score(b"\0\0", 8, 1), Err(Flaw::Empty));
}

/// One layer of each kind, so that there is something to break.
fn valid() -> Vec<u8> {
    let mut model = small();
    for (field, value) in [
        ("layers", json!(2)),
        ("mixers", json!(["gated_delta", "window"])),
        ("window", json!(2)),
        ("width", json!(2)),
        ("hidden", json!(1)),
    ] {
        model[field] = value;
    }
    Draft::of(&model).bytes()
}

fn some_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// Places and what is put there.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in some_bytes(300)) {
        prop_assert!(Model::read(&bytes).is_err());
    }

    #[test]
    fn a_random_head_never_panics(head in "\\{(\"about\":)?[\\[\\]{}\":,a-z0-9]{0,80}\\}?", data in some_bytes(20)) {
        prop_assert!(Model::read(&container(&head, &data)).is_err());
    }

    #[test]
    fn a_broken_file_never_panics(changes in changes(), cut: Option<prop::sample::Index>) {
        let mut bytes = valid();
        // Most bytes are weights; the head and the configuration are what can break more than a number.
        let front = 4000.min(bytes.len());
        for (at, value) in changes {
            let at = at.index(front);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(model) = Model::read(&bytes) {
            let _ = model.score(b"some text\0more", 6, 2);
        }
    }
}
