//! Streams repeat, differ by seed and label, and fill their range.

use super::*;

#[test]
fn a_stream_is_its_seed_and_label() {
    let draw = |seed, label| {
        let mut random = Random::new(seed, label);
        [random.bits(), random.bits(), random.bits()]
    };
    assert_eq!(draw(1, "a"), draw(1, "a"));
    assert_ne!(draw(1, "a"), draw(2, "a"));
    assert_ne!(draw(1, "a"), draw(1, "b"));
}

#[test]
fn every_number_below_the_bound_comes() {
    let mut random = Random::new(7, "below");
    let mut seen = [0; 5];
    (0..500).for_each(|_| seen[random.below(5)] += 1);
    assert!(seen.iter().all(|&times| times > 60), "{seen:?}");
    assert_eq!(random.below(0), 0);
    assert!((0..100).all(|_| (0.0..1.0).contains(&random.unit())));
}

#[test]
fn an_order_holds_everything_once() {
    let mut items: Vec<usize> = (0..40).collect();
    Random::new(3, "order").shuffle(&mut items);
    assert_ne!(items, (0..40).collect::<Vec<_>>());
    items.sort_unstable();
    assert_eq!(items, (0..40).collect::<Vec<_>>());
}
