//! Tests of the typed access, of opening real paths, and of the writer's promise.

use std::fs;
use std::path::PathBuf;

use half::{bf16, f16};

use super::*;

fn sample() -> Gguf {
    let tokens: TextArray = [&b"a"[..], b"", b"\xe2\x96", "▁the".as_bytes()]
        .iter()
        .collect();
    let metadata = [
        ("name", Value::Str(Text::from("small"))),
        ("bytes", Value::Str(Text::from(&b"\xff"[..]))),
        ("count", Value::I32(30)),
        ("negative", Value::I64(-1)),
        ("big", Value::U64(1 << 40)),
        ("eps", Value::F32(1e-5)),
        ("wide", Value::F64(1e-5)),
        ("flag", Value::Bool(true)),
        ("tokens", Value::Array(Array::Str(tokens))),
        ("types", Value::Array(Array::I32(vec![1, 3, 6, 1]))),
        ("heads", Value::Array(Array::U64(vec![1, 0, 4]))),
    ];
    let q2_k = TensorType::from_id(10);
    let tensors = [
        TensorData {
            name: "embed",
            tensor_type: Dtype::F16.into(),
            shape: &[4, 3],
            bytes: &[0; 24],
        },
        TensorData {
            name: "old",
            tensor_type: q2_k,
            shape: &[256],
            bytes: &[0; 84],
        },
    ];
    Gguf::from_bytes(encode(&metadata, &tensors).expect("valid")).expect("opens")
}

#[test]
fn integers_of_any_type_are_taken_where_they_fit() {
    let gguf = sample();
    let metadata = gguf.metadata();
    assert_eq!(metadata.u32("count").expect("fits"), 30);
    assert_eq!(metadata.usize("count").expect("fits"), 30);
    assert_eq!(metadata.u64("big").expect("fits"), 1 << 40);
    assert_eq!(
        metadata.i32s("types").expect("is i32").as_ref(),
        &[1, 3, 6, 1]
    );
    assert_eq!(metadata.u32s("heads").expect("fits").as_ref(), &[1, 0, 4]);
    assert_eq!(metadata.f32("wide").expect("rounds"), 1e-5);
    assert_eq!(metadata.opt_u32("absent").expect("absent is fine"), None);
    for key in ["negative", "big", "eps", "name"] {
        let error = metadata.u32(key).expect_err("does not fit u32");
        assert!(matches!(error.fault(), Fault::WrongType { .. }), "{error}");
        assert!(
            metadata.opt_u32(key).is_err(),
            "present and wrong is an error for `opt_` too"
        );
    }
}

#[test]
fn a_getter_names_file_key_and_types() {
    let gguf = sample();
    let missing = gguf
        .metadata()
        .u32("llama.block_count")
        .expect_err("absent")
        .to_string();
    assert!(
        missing.contains("(bytes in memory)") && missing.contains("\"llama.block_count\""),
        "{missing}"
    );
    let wrong = gguf
        .metadata()
        .f32("name")
        .expect_err("a string")
        .to_string();
    assert!(
        wrong.contains("the string \"small\"") && wrong.contains("a float"),
        "{wrong}"
    );
    let wrong = gguf
        .metadata()
        .f32s("tokens")
        .expect_err("strings")
        .to_string();
    assert!(wrong.contains("an array of 4 string"), "{wrong}");
    let invalid = gguf.metadata().str("bytes").expect_err("not UTF-8");
    assert!(
        matches!(invalid.fault(), Fault::NotUtf8 { at: 0, .. }),
        "{invalid}"
    );
}

#[test]
fn token_strings_need_not_be_utf8() {
    let gguf = sample();
    let tokens = gguf.metadata().strs("tokens").expect("strings");
    assert_eq!(tokens.len(), 4);
    assert_eq!(tokens.bytes(1), Some(&b""[..]));
    assert_eq!(tokens.bytes(2), Some(&b"\xe2\x96"[..]));
    assert!(tokens.str(2).expect("in range").is_err());
    assert_eq!(tokens.str(3), Some(Ok("▁the")));
    assert_eq!(tokens.bytes(4), None);
    assert_eq!(tokens.bytes(usize::MAX), None);
}

#[test]
fn a_tensor_that_is_not_read_is_still_listed() {
    let gguf = sample();
    let old = gguf.tensor("old").expect("listed");
    assert_eq!(
        (old.tensor_type().name(), old.byte_len(), old.dtype()),
        ("Q2_K", Some(84), None)
    );
    let error = gguf.dtype(old).expect_err("not read").to_string();
    assert!(error.contains("Q2_K") && error.contains("Q4_K"), "{error}");
    assert!(gguf.require("embed", &[4, 3]).is_ok());
    assert!(matches!(
        gguf.require("embed", &[3, 4])
            .expect_err("transposed")
            .fault(),
        Fault::WrongShape { .. }
    ));
    assert!(matches!(
        gguf.require("none", &[1]).expect_err("absent").fault(),
        Fault::MissingTensor { .. }
    ));
}

#[test]
fn every_number_format_is_known_by_its_number() {
    for id in 0..64 {
        assert_eq!(TensorType::from_id(id).id(), id);
    }
    for dtype in Dtype::ALL {
        assert_eq!(
            TensorType::from_id(TensorType::from(dtype).id()).name(),
            dtype.name()
        );
    }
    for (id, value_type) in (0..).zip(ValueType::ALL) {
        assert_eq!(
            (value_type.id(), ValueType::from_id(id)),
            (id, Some(value_type))
        );
    }
}

#[test]
fn counts_beyond_any_model_are_refused() {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(70_000u64.to_le_bytes());
    bytes.resize(bytes.len() + 70_000 * 14, 0);
    let error = Gguf::from_bytes(bytes).expect_err("too many");
    assert!(
        matches!(error.fault(), Fault::TooMany { count: 70_000, .. }),
        "{error}"
    );
}

#[test]
fn a_non_finite_scale_is_found_in_every_format() {
    for dtype in Dtype::ALL {
        let block = dtype.block_bytes();
        // Offsets of the block's floats, and whether they are f16.
        let places: &[usize] = match dtype {
            Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K => &[0, 2],
            Dtype::Q6K => &[208],
            _ => &[0],
        };
        // All codes set: no false alarm from integers. Floats hold zero.
        let mut clean = vec![0xff; 3 * block];
        let float_len = if dtype == Dtype::F32 { 4 } else { 2 };
        for start in (0..clean.len()).step_by(block) {
            places
                .iter()
                .for_each(|&at| clean[start + at..start + at + float_len].fill(0));
        }
        assert_eq!(first_non_finite(dtype, &clean), None, "{dtype}");
        for &at in places {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut bytes = clean.clone();
                let value = match dtype {
                    Dtype::F32 => bad.to_le_bytes().to_vec(),
                    Dtype::Bf16 => bf16::from_f32(bad).to_le_bytes().to_vec(),
                    _ => f16::from_f32(bad).to_le_bytes().to_vec(),
                };
                bytes[2 * block + at..][..value.len()].copy_from_slice(&value);
                assert_eq!(first_non_finite(dtype, &bytes), Some(2), "{dtype} at {at}");
            }
        }
    }
}

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("formats-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_written_file_opens_mapped_and_replaces_the_old_one() {
    let folder = Folder::new("write");
    let path = folder.0.join("model.gguf");
    for fill in [1, 2] {
        let bytes = [fill; 36];
        let tensor = TensorData {
            name: "w",
            tensor_type: Dtype::Q4_0.into(),
            shape: &[32, 2],
            bytes: &bytes,
        };
        write(&path, &[("n", Value::U32(1))], &[tensor]).expect("writes");
        let gguf = Gguf::open(&path).expect("opens");
        assert_eq!(gguf.path(), Some(&*path));
        assert_eq!((gguf.version(), gguf.alignment()), (3, 32));
        assert_eq!(
            gguf.file_len() as u64,
            fs::metadata(&path).expect("exists").len()
        );
        assert_eq!(gguf.bytes(&gguf.tensors()[0]), bytes);
    }
    assert_eq!(
        fs::read_dir(&folder.0).expect("readable").count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn an_invalid_file_is_not_written() {
    let folder = Folder::new("invalid");
    let path = folder.0.join("model.gguf");
    let none: [(&str, Value); 0] = [];
    let tensor = TensorData {
        name: "w",
        tensor_type: Dtype::F32.into(),
        shape: &[2],
        bytes: &[0; 8],
    };
    let twice = write(&path, &none, &[tensor, tensor]).expect_err("the name appears twice");
    assert!(matches!(twice, WriteError::Invalid(_)), "{twice}");
    let short = TensorData {
        bytes: &[0; 7],
        ..tensor
    };
    assert!(matches!(
        write(&path, &none, &[short]),
        Err(WriteError::WrongSize {
            expected: Some(8),
            ..
        })
    ));
    let alignment = write(&path, &[("general.alignment", Value::U32(3))], &[]);
    assert!(matches!(alignment, Err(WriteError::BadAlignment { .. })));
    assert!(matches!(
        write(&folder.0.join("no/such/folder"), &none, &[]),
        Err(WriteError::Io { .. })
    ));
    assert_eq!(
        fs::read_dir(&folder.0).expect("readable").count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn paths_that_are_no_files_say_so() {
    let folder = Folder::new("paths");
    let error = Gguf::open(&folder.0).expect_err("a directory");
    assert!(matches!(error.fault(), Fault::Directory), "{error}");
    let absent = folder.0.join("absent.gguf");
    let error = Gguf::open(&absent).expect_err("absent");
    assert!(
        matches!(error.fault(), Fault::Io { .. }) && error.to_string().contains("absent.gguf"),
        "{error}"
    );
    assert!(std::error::Error::source(&error).is_some());
    #[cfg(unix)]
    {
        let error = Gguf::open(std::path::Path::new("/dev/null")).expect_err("a device");
        assert!(matches!(error.fault(), Fault::NotRegular), "{error}");
    }
}

#[test]
fn an_open_file_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Gguf>();
}

#[test]
fn a_derived_file_makes_its_tensors_and_is_saved_as_it_is() {
    let folder = Folder::new("derived");
    let specs = [
        TensorSpec {
            name: "a".to_owned(),
            dtype: Dtype::F32,
            shape: vec![3],
        },
        TensorSpec {
            name: "b".to_owned(),
            dtype: Dtype::Q8_0,
            shape: vec![32, 2],
        },
    ];
    let metadata = [("general.architecture", Value::Str(Text::from("llama")))];
    let make = |name: &str| match name {
        "a" => Ok(vec![1; 12]),
        _ => Ok(vec![2; 68]),
    };
    let gguf = Gguf::derived(Path::new("elsewhere"), &metadata, &specs, make).expect("valid");
    let b = gguf.tensor("b").expect("there");
    assert!(gguf.bytes(b).is_empty() && gguf.is_derived());
    assert_eq!(*gguf.weights(b).expect("made"), [2; 68]);
    let path = folder.0.join("out.gguf");
    let mut heard = 0;
    save(&gguf, &path, &mut |done| {
        heard = done;
        true
    })
    .expect("written");
    let saved = Gguf::open(&path).expect("opens");
    assert_eq!(saved.file_len(), gguf.file_len());
    assert!(heard > 80 && heard <= saved.file_len() as u64);
    assert_eq!(saved.bytes(&saved.tensors()[1]), [2; 68]);
    assert_eq!(
        saved.metadata().str("general.architecture").expect("there"),
        "llama"
    );

    let stopped = save(&gguf, &folder.0.join("other.gguf"), &mut |_| false);
    assert!(matches!(stopped, Err(WriteError::Stopped)));
    assert_eq!(std::fs::read_dir(&folder.0).expect("readable").count(), 1);

    let failing = |name: &str| match name {
        "a" => Ok(vec![1; 11]),
        _ => Err("no such weights".into()),
    };
    let gguf = Gguf::derived(Path::new("elsewhere"), &metadata, &specs, failing).expect("valid");
    for tensor in gguf.tensors() {
        let told = gguf.weights(tensor).expect_err("can't be made").to_string();
        assert!(told.starts_with("elsewhere: tensor"), "{told}");
    }
    assert!(matches!(
        save(&gguf, &path, &mut |_| true),
        Err(WriteError::Weights(_))
    ));
    let twice = [specs[0].clone(), specs[0].clone()];
    assert!(Gguf::derived(Path::new("x"), &metadata, &twice, failing).is_err());
}
