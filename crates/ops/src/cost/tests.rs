//! Sums of costs, and what happens when dimensions are absurd.

use super::*;

const ONE: Cost = Cost {
    read_bytes: 1,
    written_bytes: 2,
    f32_flops: 3,
    int8_ops: 4,
    int16_ops: 5,
    bf16_flops: 6,
};

#[test]
fn costs_add_multiply_and_sum() {
    let three = Cost {
        read_bytes: 3,
        written_bytes: 6,
        f32_flops: 9,
        int8_ops: 12,
        int16_ops: 15,
        bf16_flops: 18,
    };
    assert_eq!(ONE + ONE + ONE, three);
    assert_eq!(ONE * 3, three);
    assert_eq!([ONE; 3].into_iter().sum::<Cost>(), three);
    assert_eq!([ONE; 3].iter().sum::<Cost>(), three);
    assert_eq!(three.bytes(), 9);
}

#[test]
fn absurd_costs_saturate() {
    let huge = Cost {
        read_bytes: u64::MAX,
        ..ONE
    };
    assert_eq!((huge + ONE).read_bytes, u64::MAX);
    assert_eq!((huge * 2).read_bytes, u64::MAX);
    assert_eq!(huge.bytes(), u64::MAX);
    assert_eq!(product(&[usize::MAX, 3]), u64::MAX);
    assert_eq!(f32_bytes(&[3, 5]), 60);
}
