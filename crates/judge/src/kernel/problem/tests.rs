//! Shapes in words, shapes that are none, and shapes nearby.

use proptest::prelude::*;

use super::*;

const SHAPES: [&str; 5] = [
    "matmul:4x576x192",
    "rms_norm:3x37",
    "attention:3x0x4x2x16",
    "attention:1x129x9x3x64",
    "gated_delta:5x2x4x8x16",
];

#[test]
fn words_and_back() {
    for text in SHAPES {
        assert_eq!(text.parse::<Problem>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_shape_is_said() {
    for text in [
        "",
        "matmul",
        "matmul:",
        "matmul:4x576",
        "matmul:4x576x192x1",
        "matmul:0x1x1",
        "matmul:-1x1x1",
        "matmul:4x 5x6",
        "conv:1x1",
        "attention:1x1x3x2x16",
        "attention:1x1x3x0x16",
        "gated_delta:1x2x3x8x8",
        "matmul:1x1x268435456",
        "matmul:4294967296x4294967296x4294967296",
        "rms_norm:18446744073709551615x2",
        "attention:1x18446744073709551615x1x1x1",
    ] {
        let error = text.parse::<Problem>().unwrap_err();
        assert!(
            matches!(error, JudgeError::Option { .. }),
            "{text}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn a_drawn_shape_is_one(which in 0..SHAPES.len(), multiple in 1_usize..70, seed: u64) {
        let problem: Problem = SHAPES[which].parse().unwrap();
        let near = problem.near(NonZeroUsize::new(multiple).unwrap(), &mut Random::new(seed, "test"));
        prop_assert_eq!(near.operation(), problem.operation());
        for (at, (&new, &old)) in near.dimensions().iter().zip(problem.dimensions()).enumerate() {
            prop_assert!(new <= old + old / 2);
            if problem.operation().is_free(at) {
                prop_assert!(new.is_multiple_of(multiple) || new == old);
            } else {
                prop_assert_eq!(new, old);
            }
        }
    }
}
