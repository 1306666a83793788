//! Opens every hostile file of `attacks/` and uses all that it holds; each must end in its one expected error.
//!
//! The files are made here, so that each byte has a reason, and kept in the repository, so that the fuzzer starts
//! from them and other parsers can be tried on them. `BLESS_ATTACKS=1 cargo test -p formats --test attacks`
//! writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use formats::gguf::{Fault, Foreign, Gguf, GgufError, Value, ValueType, encode};

mod raw;

use raw::Raw;

const F32: u32 = 0;
const Q8_0: u32 = 8;
const UNKNOWN_TYPE: u32 = 9999;

struct Attack {
    name: &'static str,
    bytes: Vec<u8>,
    expected: fn(&Fault) -> bool,
}

macro_rules! attack {
    ($name:literal, $bytes:expr, $expected:pat) => {
        Attack {
            name: $name,
            bytes: $bytes.into(),
            expected: |fault| matches!(fault, $expected),
        }
    };
}

fn attacks() -> Vec<Attack> {
    let mut all = foreign();
    all.extend(heads());
    all.extend(metadata());
    all.extend(tensors());
    all.extend(weights());
    all
}

fn foreign() -> Vec<Attack> {
    let safetensors = [&8u64.to_le_bytes()[..], b"{\"a\":{}}"].concat();
    vec![
        attack!("empty", *b"", Fault::Empty),
        attack!(
            "zeros",
            [0; 64],
            Fault::NotGguf {
                foreign: Foreign::Zeros,
                ..
            }
        ),
        attack!(
            "zip",
            *b"PK\x03\x04\x14\0\0\0",
            Fault::NotGguf {
                foreign: Foreign::Zip,
                ..
            }
        ),
        attack!(
            "gzip",
            [0x1f, 0x8b, 8, 0],
            Fault::NotGguf {
                foreign: Foreign::Gzip,
                ..
            }
        ),
        attack!(
            "html",
            *b"\n<!DOCTYPE html><title>404",
            Fault::NotGguf {
                foreign: Foreign::Html,
                ..
            }
        ),
        attack!(
            "lfs-pointer",
            *b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            Fault::NotGguf {
                foreign: Foreign::LfsPointer,
                ..
            }
        ),
        attack!(
            "safetensors",
            safetensors,
            Fault::NotGguf {
                foreign: Foreign::Safetensors,
                ..
            }
        ),
        attack!(
            "ggjt",
            *b"tjgg\x03\0\0\0",
            Fault::NotGguf {
                foreign: Foreign::LegacyGgml,
                ..
            }
        ),
        attack!(
            "noise",
            *b"\xfe\x12lorem",
            Fault::NotGguf {
                foreign: Foreign::Unknown,
                ..
            }
        ),
    ]
}

fn heads() -> Vec<Attack> {
    vec![
        attack!("half-magic", *b"GGU", Fault::Truncated { .. }),
        attack!("magic-only", *b"GGUF", Fault::Truncated { .. }),
        attack!(
            "half-header",
            *b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0",
            Fault::Truncated { .. }
        ),
        attack!(
            "version-1",
            Raw::header(1, 0, 0),
            Fault::OldVersion { version: 1 }
        ),
        attack!(
            "version-9",
            Raw::header(9, 0, 0),
            Fault::NewVersion { version: 9 }
        ),
        attack!(
            "big-endian",
            Raw::header(3u32.swap_bytes(), 0, 0),
            Fault::BigEndian { version: 3 }
        ),
        attack!(
            "tensor-count-huge",
            Raw::header(3, u64::MAX, 0),
            Fault::CountBeyondFile { .. }
        ),
        attack!(
            "metadata-count-huge",
            Raw::header(3, 0, 1 << 62),
            Fault::CountBeyondFile { .. }
        ),
        attack!(
            "metadata-count-one-more",
            Raw::header(3, 0, 2).key("a").u32(4).u32(1).zeros(14),
            Fault::EmptyName { .. }
        ),
    ]
}

fn metadata() -> Vec<Attack> {
    let one = || Raw::header(3, 0, 1);
    let id = ValueType::id;
    vec![
        attack!(
            "key-length-huge",
            one().u64(u64::MAX).zeros(16),
            Fault::NameTooLong { .. }
        ),
        attack!(
            "key-past-end",
            one().u64(1000).zeros(16),
            Fault::Truncated { .. }
        ),
        attack!(
            "key-not-utf8",
            one().u64(2).bytes(b"\xff\xfe").u32(0).zeros(8),
            Fault::NotUtf8 { .. }
        ),
        attack!(
            "key-twice",
            Raw::header(3, 0, 2)
                .key("a")
                .u32(id(ValueType::U32))
                .u32(1)
                .key("a")
                .u32(id(ValueType::U32))
                .u32(2),
            Fault::DuplicateKey { .. }
        ),
        attack!(
            "key-control-characters",
            one().key("\u{1b}[2J\u{7}evil\n").u32(99).zeros(8),
            Fault::UnknownValueType { .. }
        ),
        attack!(
            "value-type-unknown",
            one().key("a").u32(13).zeros(16),
            Fault::UnknownValueType { id: 13, .. }
        ),
        attack!(
            "value-past-end",
            one().key("abcd").u32(id(ValueType::U64)).zeros(3),
            Fault::Truncated { .. }
        ),
        attack!(
            "string-length-huge",
            one().key("a").u32(id(ValueType::Str)).u64(u64::MAX),
            Fault::Truncated { need: u64::MAX, .. }
        ),
        attack!(
            "bool-two",
            one().key("a").u32(id(ValueType::Bool)).bytes(&[2]),
            Fault::BadBool { byte: 2, .. }
        ),
        attack!(
            "bool-array-two",
            one().array("a", ValueType::Bool, 3).bytes(&[0, 1, 2]),
            Fault::BadBool { byte: 2, .. }
        ),
        attack!(
            "array-type-unknown",
            one()
                .key("a")
                .u32(id(ValueType::Array))
                .u32(77)
                .u64(1)
                .zeros(8),
            Fault::UnknownValueType { id: 77, .. }
        ),
        attack!(
            "array-count-huge",
            one().array("a", ValueType::F64, 1 << 61).zeros(16),
            Fault::CountBeyondFile { .. }
        ),
        attack!(
            "array-past-end",
            one().array("a", ValueType::U16, 5).zeros(8),
            Fault::CountBeyondFile { .. }
        ),
        attack!(
            "array-nested",
            one().array("a", ValueType::Array, 1).zeros(64),
            Fault::NestedArray { .. }
        ),
        attack!(
            "strings-count-huge",
            one().array("a", ValueType::Str, u64::MAX).zeros(16),
            Fault::CountBeyondFile { .. }
        ),
        attack!(
            "strings-past-end",
            one().array("a", ValueType::Str, 2).u64(9).u64(0),
            Fault::Truncated { .. }
        ),
        attack!(
            "strings-length-huge",
            one().array("a", ValueType::Str, 1).u64(u64::MAX - 7),
            Fault::Truncated { .. }
        ),
        attack!(
            "alignment-zero",
            one()
                .key("general.alignment")
                .u32(id(ValueType::U32))
                .u32(0),
            Fault::BadAlignment { .. }
        ),
        attack!(
            "alignment-not-power",
            one()
                .key("general.alignment")
                .u32(id(ValueType::U32))
                .u32(48),
            Fault::BadAlignment { .. }
        ),
        attack!(
            "alignment-string",
            one()
                .key("general.alignment")
                .u32(id(ValueType::Str))
                .key("32"),
            Fault::BadAlignment { .. }
        ),
    ]
}

fn tensors() -> Vec<Attack> {
    let one = || Raw::header(3, 1, 0);
    let two = || Raw::header(3, 2, 0);
    vec![
        attack!(
            "tensor-name-twice",
            two()
                .tensor("w", &[8], F32, 0)
                .tensor("w", &[8], F32, 32)
                .data(64),
            Fault::DuplicateTensor { .. }
        ),
        attack!(
            "tensor-name-empty",
            one().tensor("", &[8], F32, 0).data(64),
            Fault::EmptyName { .. }
        ),
        attack!(
            "tensor-name-huge",
            one().u64(1 << 40).zeros(64),
            Fault::NameTooLong { .. }
        ),
        attack!(
            "tensor-table-cut",
            one().key("w").u32(2).u64(4).u64(4).u32(0),
            Fault::Truncated { .. }
        ),
        attack!(
            "tensor-no-dims",
            one().tensor("w", &[], F32, 0).data(64),
            Fault::BadDims { dims: 0, .. }
        ),
        attack!(
            "tensor-five-dims",
            one().tensor("w", &[1; 5], F32, 0).data(64),
            Fault::BadDims { dims: 5, .. }
        ),
        attack!(
            "tensor-dims-huge",
            one().key("w").u32(u32::MAX).zeros(64),
            Fault::BadDims { dims: u32::MAX, .. }
        ),
        attack!(
            "tensor-zero-dim",
            one().tensor("w", &[8, 0], F32, 0).data(64),
            Fault::EmptyTensor { .. }
        ),
        attack!(
            "tensor-shape-overflow",
            one().tensor("w", &[1 << 33; 2], F32, 0).data(64),
            Fault::TensorOverflow { .. }
        ),
        attack!(
            "tensor-bytes-overflow",
            one().tensor("w", &[1 << 62], F32, 0).data(64),
            Fault::TensorOverflow { .. }
        ),
        attack!(
            "tensor-offset-overflow",
            one().tensor("w", &[8], F32, u64::MAX - 31).data(64),
            Fault::TensorOverflow { .. }
        ),
        attack!(
            "tensor-wraps-to-small",
            one()
                .tensor("w", &[1 << 32, 1 << 32, 1, 1], Q8_0, 0)
                .data(64),
            Fault::TensorOverflow { .. }
        ),
        attack!(
            "tensor-partial-block",
            one().tensor("w", &[33, 32], Q8_0, 0).data(2048),
            Fault::PartialBlock { block_len: 32, .. }
        ),
        attack!(
            "tensor-misaligned",
            one().tensor("w", &[8], F32, 4).data(64),
            Fault::Misaligned { offset: 4, .. }
        ),
        attack!(
            "tensor-past-end",
            one().tensor("w", &[17], F32, 0).data(64),
            Fault::OutOfFile { .. }
        ),
        attack!(
            "tensor-data-missing",
            one().tensor("w", &[8], F32, 0),
            Fault::OutOfFile { .. }
        ),
        attack!(
            "tensors-overlap",
            two()
                .tensor("a", &[16], F32, 0)
                .tensor("b", &[8], F32, 32)
                .data(64),
            Fault::Overlap { .. }
        ),
        attack!(
            "tensors-overlap-reversed",
            two()
                .tensor("a", &[8], F32, 32)
                .tensor("b", &[16], F32, 0)
                .data(64),
            Fault::Overlap { .. }
        ),
        attack!(
            "tensors-of-unknown-type-overlap",
            two()
                .tensor("a", &[8], UNKNOWN_TYPE, 0)
                .tensor("b", &[8], UNKNOWN_TYPE, 0)
                .data(64),
            Fault::Overlap { .. }
        ),
    ]
}

fn weights() -> Vec<Attack> {
    let one = |tensor_type, len, bytes: &[u8]| {
        Raw::header(3, 1, 0)
            .tensor("w", &[len], tensor_type, 0)
            .data_of(bytes)
    };
    let nan_f32 = [1f32, f32::NAN].map(f32::to_le_bytes).concat();
    let mut infinite_scale = [0; 2 * 34];
    infinite_scale[34..36].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
    vec![
        attack!(
            "type-unknown",
            one(UNKNOWN_TYPE, 8, &[0; 32]),
            Fault::UnsupportedType {
                id: UNKNOWN_TYPE,
                ..
            }
        ),
        attack!(
            "type-unsupported",
            one(10, 256, &[0; 84]),
            Fault::UnsupportedType { name: "Q2_K", .. }
        ),
        attack!(
            "weight-nan",
            one(F32, 2, &nan_f32),
            Fault::NotFinite { block: 1, .. }
        ),
        attack!(
            "scale-infinite",
            one(Q8_0, 64, &infinite_scale),
            Fault::NotFinite { block: 1, .. }
        ),
    ]
}

/// What an engine would do: open the file, then look at every value and every weight.
fn use_all(path: &Path) -> Result<(), GgufError> {
    let gguf = Gguf::open(path)?;
    for (key, value) in gguf.metadata().iter() {
        if let Value::Str(_) = value {
            gguf.metadata().str(key)?;
        }
    }
    gguf.tensors()
        .iter()
        .try_for_each(|tensor| gguf.check_finite(tensor))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks")
}

#[test]
fn every_attack_ends_in_its_error() {
    let bless = std::env::var_os("BLESS_ATTACKS").is_some();
    for attack in attacks() {
        let path = folder().join(attack.name).with_extension("gguf");
        if bless {
            fs::write(&path, &attack.bytes).expect("the attack is written");
        }
        let found = fs::read(&path).expect("the attack is in the folder");
        assert!(
            found == attack.bytes,
            "{} differs from what the test makes; see this file's head",
            attack.name
        );
        let error = use_all(&path).expect_err(attack.name);
        assert!((attack.expected)(error.fault()), "{}: {error}", attack.name);
        let message = error.to_string();
        assert!(
            !message.chars().any(char::is_control),
            "{}: {message:?}",
            attack.name
        );
        assert!(
            message.contains(attack.name) && message.len() < 1000,
            "{message}"
        );
    }
}

#[test]
fn every_file_of_the_folder_is_known_and_explained() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("the README is there");
    let known: Vec<&str> = attacks().iter().map(|attack| attack.name).collect();
    for name in &known {
        assert_eq!(
            readme.matches(&format!("`{name}`")).count(),
            1,
            "one line of the README explains {name}"
        );
    }
    for entry in fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("the entry is readable").path();
        // Other formats' attacks have tests of their own.
        if path.is_dir() {
            continue;
        }
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a plain name");
        assert!(
            stem == "README" || known.contains(&stem),
            "{stem} is not made by this test"
        );
    }
}

#[test]
fn the_builder_of_attacks_can_build_a_valid_file() {
    let raw = Raw::header(3, 1, 1)
        .key("a")
        .u32(ValueType::U32.id())
        .u32(7)
        .tensor("w", &[8], F32, 0)
        .data(32);
    let bytes: Vec<u8> = raw.into();
    let gguf = Gguf::from_bytes(bytes.clone()).expect("valid");
    let tensor = &gguf.tensors()[0];
    let tensor = formats::gguf::TensorData {
        name: "w",
        tensor_type: tensor.tensor_type(),
        shape: tensor.shape(),
        bytes: gguf.bytes(tensor),
    };
    let metadata: Vec<_> = gguf.metadata().iter().collect();
    assert_eq!(encode(&metadata, &[tensor]).expect("encodes"), bytes);
}
