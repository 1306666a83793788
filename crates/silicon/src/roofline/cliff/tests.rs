//! Cliffs of made-up curves.

use super::slopes;

#[test]
fn two_cliffs_and_a_gentle_slope() {
    let curve = [
        (16, 400.0),
        (32, 395.0),
        (64, 200.0),
        (128, 120.0),
        (256, 118.0),
        (512, 110.0),
        (1024, 40.0),
        (2048, 12.0),
        (4096, 12.0),
    ];
    let found = slopes(&curve);
    assert_eq!(
        found,
        [((32, 395.0), (128, 120.0)), ((512, 110.0), (2048, 12.0))]
    );
}

#[test]
fn a_fall_at_the_end_counts_and_noise_does_not() {
    assert_eq!(slopes(&[(1, 100.0), (2, 89.0), (4, 95.0)]), []);
    assert_eq!(slopes(&[(1, 100.0), (2, 50.0)]), [((1, 100.0), (2, 50.0))]);
    assert_eq!(slopes(&[]), []);
    assert_eq!(slopes(&[(1, 1.0)]), []);
}
