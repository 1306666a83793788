//! The levels sum to no more than q for each merge and one, and never come back.

use super::*;
use crate::settings::{Better, Kind};

#[test]
fn the_first_levels_are_those_of_the_formula() {
    let mut settings = Settings::of(Kind::Score, Better::Lower);
    settings.ends_with_first_epoch = true;
    let mut spending = Spending::new(&settings);
    assert_eq!(spending.open(), (1, 0.1 / 12.0));
    spending.won();
    assert_eq!(spending.open(), (2, 0.1 / 12.0 * 2.0));
    for _ in 2..12 {
        spending.open();
    }
    assert!(spending.ended());
    assert_eq!(spending.spent().next_level, None);
}

#[test]
fn without_a_merge_a_whole_life_spends_at_most_q() {
    let mut spending = Spending::new(&Settings::of(Kind::Timing, Better::Lower));
    let mut before = 0.0;
    for _ in 0..100_000 {
        spending.open();
        let now = spending.spent().alpha;
        assert!(before < now && now <= 0.1);
        before = now;
    }
    assert!(0.0999 <= before, "and nearly all of it: {before}");
}
