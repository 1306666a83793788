//! Every triad computes b + 3 c everywhere; arrays never start at the same place in a page.

use super::{LEAST_BYTES, Stores, all, third};

/// Bytes that start at a cache line.
#[repr(align(64))]
struct Lines([u8; 2048]);

#[test]
fn every_form_computes_the_same() {
    let array = |value: fn(usize) -> f64| {
        let mut lines = Lines([0; 2048]);
        for (at, chunk) in lines.0.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *chunk = value(at).to_ne_bytes();
        }
        lines
    };
    let (b, c) = (array(|at| at as f64), array(|at| 0.5 - at as f64));
    let wanted = array(|at| at as f64 + 3.0 * (0.5 - at as f64));
    for stores in [Stores::Ordinary, Stores::Streaming] {
        for triad in all(stores) {
            let mut a = Lines([0xFF; 2048]);
            triad(&mut a.0, &b.0, &c.0);
            assert_eq!(a.0, wanted.0, "{stores:?}");
        }
    }
    assert!(!all(Stores::Ordinary).is_empty());
}

#[test]
fn the_arrays_fit_and_start_apart() {
    for kib in [3, 4, 16, 32, 64, 100, 1 << 10, 1 << 20] {
        let share = kib << 10;
        let third = third(share);
        assert!(third > 0 && 3 * third <= share && 3 * third + 6 * 1024 >= share.min(LEAST_BYTES));
        let starts = [0, third % 4096, 2 * third % 4096];
        assert!(
            starts[1] != 0 && starts[2] != 0 && starts[1] != starts[2],
            "{kib} KiB"
        );
    }
    assert_eq!(third(LEAST_BYTES - 1), 0);
}
