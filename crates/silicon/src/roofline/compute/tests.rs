//! Every kernel of this processor runs, and its rate is finite and above zero.

use super::{Kernel, Precision, clock_now_ghz, core_clock_ghz, kernels, portable};

/// Everything that could be chosen on this processor or a lesser one.
fn all() -> Vec<Kernel> {
    let mut all = kernels();
    #[cfg(target_arch = "x86_64")]
    all.extend(super::x86::variants());
    all.extend([portable::F32, portable::INT8, portable::INT16]);
    all
}

#[test]
fn every_kernel_runs_for_any_count() {
    let listed = kernels();
    for kernel in all() {
        for iterations in [0, 1, 1000] {
            (kernel.run)(iterations);
        }
        assert!(kernel.ops_per_iteration > 0.0, "{}", kernel.instruction);
    }
    assert!(
        listed
            .iter()
            .any(|kernel| kernel.precision == Precision::F32)
    );
    assert!(
        listed
            .iter()
            .any(|kernel| kernel.precision == Precision::Int8)
    );
    assert!(
        listed
            .iter()
            .any(|kernel| kernel.precision == Precision::Int16)
    );
}

#[test]
fn twice_the_work_takes_longer() {
    // Far less than a check of the rate, but enough to catch a loop that the compiler removed.
    for kernel in all() {
        let ns = |iterations| {
            let fastest = (0..5).map(|_| {
                let clock = measure::Stopwatch::start();
                (kernel.run)(iterations);
                clock.elapsed_ns()
            });
            fastest.fold(f64::MAX, f64::min)
        };
        assert!(ns(64_000) > 4.0 * ns(4_000), "{}", kernel.instruction);
    }
}

#[test]
fn the_core_clock_is_plausible_where_it_is_known() {
    if let Some(ghz) = core_clock_ghz().unwrap().value() {
        // Busy machines show less; none shows more.
        assert!(ghz.median > 0.05 && ghz.median < 10.0, "{ghz:?}");
    }
}

#[test]
fn the_clock_now_is_cheap_and_plausible() {
    let now = clock_now_ghz();
    match now.value() {
        Some(ghz) => assert!(*ghz > 0.05 && *ghz < 10.0, "{ghz}"),
        None => assert!(!now.why().is_empty()),
    }
    let fastest = (0..5).map(|_| {
        let clock = measure::Stopwatch::start();
        let _ = clock_now_ghz();
        clock.elapsed_ms()
    });
    // About 1 ms at 3 GHz; a limit of 20 only catches a loop that has become another one.
    assert!(fastest.fold(f64::MAX, f64::min) < 20.0);
}
