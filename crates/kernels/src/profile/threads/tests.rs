//! Which processor a thread gets, whatever the cores.

use super::Pinning::{Compact, None, Spread};

#[test]
fn threads_share_cores_last_or_first() {
    let smt = [vec![0, 4], vec![1, 5], vec![2]];
    assert_eq!(Spread.processors(&smt, 5), [0, 1, 2, 4, 5]);
    assert_eq!(Compact.processors(&smt, 5), [0, 4, 1, 5, 2]);
    assert_eq!(Spread.processors(&smt, 2), [0, 1]);
    assert_eq!(Compact.processors(&smt, 2), [0, 4]);
    assert!(None.processors(&smt, 2).is_empty());
}

#[test]
fn more_threads_than_processors_begin_again() {
    let cores = [vec![3], vec![7]];
    assert_eq!(Spread.processors(&cores, 5), [3, 7, 3, 7, 3]);
    assert_eq!(Compact.processors(&cores, 3), [3, 7, 3]);
}

#[test]
fn unknown_cores_bind_nothing() {
    assert!(Spread.processors(&[], 4).is_empty());
    assert!(Compact.processors(&[vec![]], 4).is_empty());
}
