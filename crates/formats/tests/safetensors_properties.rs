//! Whatever the bytes are, the parser answers; and what follows the format is read as it was written.

use formats::safetensors::Checkpoint;
use proptest::collection::vec;
use proptest::prelude::*;

/// Touches everything that a checkpoint offers; panics only if the parser let something invalid through.
fn exercise(bytes: Vec<u8>) {
    let len = bytes.len();
    match Checkpoint::from_bytes(bytes) {
        Ok(checkpoint) => {
            let used: usize = checkpoint
                .tensors()
                .iter()
                .map(|t| checkpoint.bytes(t).len())
                .sum();
            assert!(used <= len);
            for tensor in checkpoint.tensors() {
                assert_eq!(checkpoint.tensor(tensor.name()), Some(tensor));
                let elements: usize = tensor.shape().iter().product();
                assert_eq!(tensor.byte_len() * 8, elements * tensor.element().bits());
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                !message.is_empty()
                    && message.len() < 1000
                    && !message.chars().any(char::is_control)
            );
        }
    }
}

/// A file of vectors, each with a format and a length, in this order in the head and in the reverse order in the data.
fn file(tensors: &[(usize, usize)]) -> (Vec<u8>, Vec<Vec<u8>>) {
    const FORMATS: [(&str, usize); 4] = [("F32", 4), ("BF16", 2), ("F64", 8), ("U8", 1)];
    let mut data = Vec::new();
    let mut entries = Vec::new();
    let mut contents = Vec::new();
    for (index, &(format, len)) in tensors.iter().enumerate().rev() {
        let (name, size) = FORMATS[format % FORMATS.len()];
        let bytes: Vec<u8> = (0..len * size).map(|at| (at * 31 + index) as u8).collect();
        let (start, end) = (data.len(), data.len() + bytes.len());
        entries.push(format!(
            r#""t{index}":{{"dtype":"{name}","shape":[{len}],"data_offsets":[{start},{end}]}}"#
        ));
        data.extend(&bytes);
        contents.push(bytes);
    }
    entries.reverse();
    contents.reverse();
    let head = format!("{{{}}}", entries.join(","));
    (
        [
            &(head.len() as u64).to_le_bytes()[..],
            head.as_bytes(),
            &data,
        ]
        .concat(),
        contents,
    )
}

#[test]
fn every_truncation_is_an_error() {
    let (whole, _) = file(&[(0, 3), (1, 5), (3, 2)]);
    for len in 0..whole.len() {
        assert!(
            Checkpoint::from_bytes(whole[..len].to_vec()).is_err(),
            "{len}"
        );
        exercise(whole[..len].to_vec());
    }
}

#[test]
fn every_single_byte_may_change_without_a_panic() {
    let (whole, _) = file(&[(0, 3), (1, 5), (3, 2)]);
    for at in 0..whole.len() {
        for byte in [0, 1, b'"', b'{', b'9', b'-', 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            exercise(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_follows_the_format_is_read_as_it_was_written(tensors in vec((0usize..4, 0usize..40), 0..12)) {
        let (bytes, contents) = file(&tensors);
        let checkpoint = Checkpoint::from_bytes(bytes).expect("valid");
        prop_assert_eq!(checkpoint.tensors().len(), tensors.len());
        for (index, content) in contents.iter().enumerate() {
            let tensor = checkpoint.tensor(&format!("t{index}")).expect("there");
            prop_assert_eq!(checkpoint.bytes(tensor), &content[..]);
        }
    }

    #[test]
    fn several_bytes_may_change_without_a_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        tensors in vec((0usize..4, 0usize..9), 0..4),
    ) {
        let (mut bytes, _) = file(&tensors);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(bytes);
    }

    #[test]
    fn any_head_does_not_panic(head in "[\\{\\}\\[\\]\",:0-9a-z_ ]{0,80}", data in 0usize..20) {
        let bytes = [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &vec![0; data]].concat();
        exercise(bytes);
    }
}
