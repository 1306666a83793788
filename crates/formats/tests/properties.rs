//! Whatever the bytes are, the parser answers; and what the writer wrote, the parser reads back.

use formats::gguf::{Array, Gguf, TensorData, Text, TextArray, Value, encode};
use ops::Dtype;
use proptest::collection::vec;
use proptest::prelude::*;

/// Touches everything that a file offers; panics only if the parser let something invalid through.
fn exercise(bytes: Vec<u8>) {
    let gguf = match Gguf::from_bytes(bytes) {
        Ok(gguf) => gguf,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for (key, value) in gguf.metadata().iter() {
        assert!(gguf.metadata().get(key).is_some());
        assert!(!value.to_string().is_empty());
        if let Some(texts) = value.as_array().and_then(Array::as_texts) {
            assert_eq!(texts.iter().count(), texts.len());
        }
    }
    for tensor in gguf.tensors() {
        assert_eq!(gguf.tensor(tensor.name()), Some(tensor));
        assert_eq!(gguf.bytes(tensor).len(), tensor.byte_len().unwrap_or(0));
        // A damaged weight is an error and never a panic.
        let _ = gguf.check_finite(tensor);
    }
}

/// One file with every value type and several number formats.
fn sample() -> Vec<u8> {
    let metadata = [
        ("general.architecture", Value::Str(Text::from("llama"))),
        ("u8", Value::U8(1)),
        ("i8", Value::I8(-1)),
        ("u16", Value::U16(2)),
        ("i16", Value::I16(-2)),
        ("u32", Value::U32(3)),
        ("i32", Value::I32(-3)),
        ("u64", Value::U64(4)),
        ("i64", Value::I64(-4)),
        ("f32", Value::F32(0.5)),
        ("f64", Value::F64(0.25)),
        ("bool", Value::Bool(true)),
        (
            "tokens",
            Value::Array(Array::Str(["a", "", "bc"].iter().collect())),
        ),
        ("scores", Value::Array(Array::F32(vec![0.0, -1.0, -2.0]))),
        ("types", Value::Array(Array::I32(vec![1, 1, 6]))),
        ("pattern", Value::Array(Array::Bool(vec![true, false]))),
    ];
    let tensors = [
        TensorData {
            name: "a.weight",
            tensor_type: Dtype::F32.into(),
            shape: &[5, 2],
            bytes: &[1; 40],
        },
        TensorData {
            name: "b.weight",
            tensor_type: Dtype::Q4_1.into(),
            shape: &[64],
            bytes: &[2; 40],
        },
        TensorData {
            name: "c.weight",
            tensor_type: Dtype::Q6K.into(),
            shape: &[256, 1, 2],
            bytes: &[3; 420],
        },
    ];
    encode(&metadata, &tensors).expect("the sample is valid")
}

#[test]
fn every_truncation_is_an_error() {
    let whole = sample();
    // The last tensor's padding may be missing: some writers leave it out.
    let needed = whole.len() - (420usize.next_multiple_of(32) - 420);
    for len in 0..needed {
        let error = Gguf::from_bytes(whole[..len].to_vec()).expect_err("a part is missing");
        assert!(!error.to_string().is_empty());
    }
    assert!(Gguf::from_bytes(whole[..needed].to_vec()).is_ok());
}

#[test]
fn every_single_byte_may_change_without_a_panic() {
    let whole = sample();
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            exercise(bytes);
        }
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        (-1e30f32..1e30).prop_map(Value::F32),
        (-1e300f64..1e300).prop_map(Value::F64),
        any::<bool>().prop_map(Value::Bool),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Str(Text::from(&bytes[..]))),
    ]
}

fn array() -> impl Strategy<Value = Value> {
    prop_oneof![
        vec(any::<u8>(), 0..9).prop_map(Array::U8),
        vec(any::<i8>(), 0..9).prop_map(Array::I8),
        vec(any::<u16>(), 0..9).prop_map(Array::U16),
        vec(any::<i16>(), 0..9).prop_map(Array::I16),
        vec(any::<u32>(), 0..9).prop_map(Array::U32),
        vec(any::<i32>(), 0..9).prop_map(Array::I32),
        vec(any::<u64>(), 0..9).prop_map(Array::U64),
        vec(any::<i64>(), 0..9).prop_map(Array::I64),
        vec(-1e30f32..1e30, 0..9).prop_map(Array::F32),
        vec(-1e300f64..1e300, 0..9).prop_map(Array::F64),
        vec(any::<bool>(), 0..9).prop_map(Array::Bool),
        vec(vec(any::<u8>(), 0..9), 0..9)
            .prop_map(|texts| Array::Str(texts.iter().collect::<TextArray>())),
    ]
    .prop_map(Value::Array)
}

/// Number format, shape in (blocks of the contiguous dimension, other dimensions).
fn tensor() -> impl Strategy<Value = (Dtype, Vec<usize>, u8)> {
    let dtype = (0..Dtype::ALL.len()).prop_map(|index| Dtype::ALL[index]);
    (dtype, vec(1usize..4, 1..=4), any::<u8>()).prop_map(|(dtype, mut shape, fill)| {
        shape[0] *= dtype.block_len();
        (dtype, shape, fill)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn several_bytes_may_change_without_a_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let len = bytes.len() - cut.index(bytes.len()).saturating_sub(bytes.len() / 2);
        bytes.truncate(len);
        exercise(bytes);
    }

    #[test]
    fn any_bytes_after_a_header_do_not_panic(tail in vec(any::<u8>(), 0..200), tensors in 0u64..4, pairs in 0u64..4) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(pairs.to_le_bytes());
        bytes.extend(tail);
        exercise(bytes);
    }

    #[test]
    fn what_was_written_is_read_back(
        values in vec(prop_oneof![scalar(), array()], 0..12),
        tensors in vec(tensor(), 0..5),
        alignment in 0u32..9,
    ) {
        let mut metadata = vec![("general.alignment".to_owned(), Value::U32(1 << alignment))];
        metadata.extend(values.into_iter().enumerate().map(|(index, value)| (format!("key.{index}"), value)));
        let owned: Vec<_> = tensors
            .iter()
            .enumerate()
            .map(|(index, (dtype, shape, fill))| {
                let len = dtype.bytes_for(shape.iter().product()).expect("whole blocks");
                (format!("tensor.{index}"), *dtype, shape, vec![*fill; len])
            })
            .collect();
        let written: Vec<_> = owned
            .iter()
            .map(|(name, dtype, shape, bytes)| TensorData { name, tensor_type: (*dtype).into(), shape, bytes })
            .collect();
        let gguf = Gguf::from_bytes(encode(&metadata, &written).expect("valid")).expect("opens");
        let read: Vec<_> = gguf.metadata().iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        prop_assert_eq!(read, metadata);
        prop_assert_eq!(gguf.tensors().len(), written.len());
        for (tensor, source) in gguf.tensors().iter().zip(&written) {
            prop_assert_eq!(tensor.name(), source.name);
            prop_assert_eq!(tensor.tensor_type(), source.tensor_type);
            prop_assert_eq!(tensor.shape(), source.shape);
            prop_assert_eq!(gguf.bytes(tensor), source.bytes);
            prop_assert_eq!(tensor.elements(), tensor.row_len() * tensor.rows());
        }
    }
}
