//! Spans into activities.

use kernels::cpu::Span;

use super::sum_spans;
use crate::report::Activity;

#[test]
fn busy_uneven_and_barrier_are_told_apart() {
    let span = |node, start_ns, end_ns| Span {
        node,
        start_ns,
        end_ns,
    };
    let threads = vec![
        vec![span(3, 0, 4_000_000), span(5, 7_000_000, 8_000_000)],
        vec![
            span(3, 1_000_000, 6_000_000),
            span(5, 6_500_000, 10_000_000),
        ],
    ];
    let mut seen = Vec::new();
    let inside = sum_spans(&threads, 1.0, |node, activity| seen.push((node, activity)));
    let first = Activity {
        busy_ms: 4.5,
        uneven_ms: 1.0,
        barrier_ms: 0.75,
    };
    let second = Activity {
        busy_ms: 2.25,
        uneven_ms: 1.0,
        barrier_ms: 0.0,
    };
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [3, 5]);
    for ((_, found), expected) in seen.iter().zip([first, second]) {
        assert!((found.busy_ms - expected.busy_ms).abs() < 1e-9, "{found:?}");
        assert!(
            (found.uneven_ms - expected.uneven_ms).abs() < 1e-9,
            "{found:?}"
        );
        assert!(
            (found.barrier_ms - expected.barrier_ms).abs() < 1e-9,
            "{found:?}"
        );
    }
    // From each thread's first start to the last end: 10 and 9 ms.
    assert!((inside - 9.5).abs() < 1e-9, "{inside}");
}

#[test]
fn no_threads_and_no_spans_are_nothing() {
    assert_eq!(sum_spans(&[], 1.0, |_, _| ()), 0.0);
    assert_eq!(sum_spans(&[Vec::new()], 1.0, |_, _| ()), 0.0);
}
