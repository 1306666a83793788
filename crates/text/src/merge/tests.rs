//! The two ways of merging must agree on every word, whichever side of the limit it falls.

use super::{Joined, merge, merge_by_heap, merge_by_scan};

/// A toy grammar with ties and chains: small sums merge, with a priority that is not monotone.
fn join(left: u32, right: u32) -> Joined<u32> {
    let sum = left + right;
    (sum < 9 && (left ^ right) % 3 != 2).then_some(((sum * 7) % 5, sum))
}

#[test]
fn scan_and_heap_agree() {
    let mut state = 12345_u32;
    for length in 0..=48 {
        for _ in 0..40 {
            let word: Vec<u32> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) % 5
                })
                .collect();
            let (mut scanned, mut heaped) = (word.clone(), word.clone());
            merge_by_scan(&mut scanned, join);
            merge_by_heap(&mut heaped, join);
            assert_eq!(scanned, heaped, "{word:?}");
        }
    }
}

#[test]
fn ties_go_to_the_left() {
    let mut word = vec![1, 1, 1];
    merge(&mut word, |a, b| (a == 1 && b == 1).then_some((0, 2)));
    assert_eq!(word, [2, 1]);
    let mut long = vec![1; 101];
    merge(&mut long, |a, b| (a == 1 && b == 1).then_some((0, 2)));
    assert_eq!((long.len(), long[0], long[50]), (51, 2, 1));
}

#[test]
fn a_long_run_is_not_quadratic() {
    let mut word = vec![1_u32; 1 << 20];
    merge(&mut word, |a, b| (a == b && a < 64).then_some((a, a * 2)));
    assert_eq!(word, vec![64; (1 << 20) / 64]);
}
