//! The order of rows, and what has a place; that the file runs is the command's test.

use super::{Architecture, architecture, tensors::source_row};
use crate::{Configuration, Mixer};

#[test]
fn pairs_lie_side_by_side() {
    let rows: Vec<usize> = (8..16).map(|row| source_row(row, 8)).collect();
    assert_eq!(rows, [8, 12, 9, 13, 10, 14, 11, 15]);
}

#[test]
fn what_gguf_lacks_is_named() {
    let plain = Configuration::default();
    assert_eq!(architecture(&plain), Ok(Architecture::Llama));
    let of = |mixers: &[Mixer], head_norms: bool, output_gate: bool| {
        architecture(&Configuration {
            mixers: mixers.to_vec(),
            head_norms,
            output_gate,
            ..plain.clone()
        })
    };
    let (full, delta) = (Mixer::Full, Mixer::GatedDelta);
    assert_eq!(of(&[full], true, false), Ok(Architecture::Qwen3));
    assert_eq!(
        of(&[full], true, true),
        Ok(Architecture::Qwen35 { interval: 1 })
    );
    assert_eq!(
        of(&[delta, delta, full], true, true),
        Ok(Architecture::Qwen35 { interval: 3 })
    );
    assert_eq!(
        of(&[delta], false, false),
        Ok(Architecture::Qwen35 { interval: 7 })
    );
    assert_eq!(
        of(&[full, Mixer::Window], false, false),
        Err("windowed attention")
    );
    for (mixers, norms, gate, words) in [
        (&[delta, full][..], false, false, "head_norms"),
        (&[full][..], false, true, "output gate"),
        (&[full, delta][..], true, true, "elsewhere"),
    ] {
        let error = of(mixers, norms, gate).expect_err("no place");
        assert!(error.contains(words), "{error}");
    }
    let shared = Configuration {
        value_residual: true,
        ..plain
    };
    assert!(architecture(&shared).is_err());
}
