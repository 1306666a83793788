//! A quick run of the whole measurement: the figures are plausible, not exact, because the machine may be busy.

use silicon::probe::Machine;
use silicon::roofline::{Bandwidth, Depth, Pattern, Roofline, RooflineError, Stores, measure};

#[test]
fn a_quick_run_is_plausible_and_survives_json() {
    let machine = Machine::probe();
    let threads = machine.cores.usable.min(4);
    let mut steps = Vec::new();
    let roofline = measure(&machine, threads, Depth::Quick, |progress| {
        steps.push(progress)
    })
    .unwrap();
    assert_eq!(steps.len(), steps[0].of);
    assert!(
        steps
            .iter()
            .enumerate()
            .all(|(index, step)| step.done == index)
    );

    let dram = &roofline.dram;
    assert!(dram.working_set_bytes >= 64 << 20);
    assert!(
        dram.all_threads_gb_s.median > 0.05 && dram.all_threads_gb_s.median < 20_000.0,
        "{dram:?}"
    );
    assert!(dram.one_thread_gb_s.interval.is_some());
    // A full run's, and the single figures' below.
    assert_eq!(
        (&dram.triad_gb_s, &dram.triad_streaming_stores_gb_s),
        (&None, &None)
    );
    for peak in &roofline.compute {
        assert!(peak.one_thread_gop_s.median > 0.01, "{peak:?}");
        // 64 TOP/s per core is far beyond any: a larger figure means that the compiler removed the work.
        assert!(peak.one_thread_gop_s.samples.max() < 64_000.0, "{peak:?}");
    }
    let latency = roofline
        .latency
        .last()
        .expect("the memory's latency is always measured");
    assert!(
        latency.load_ns.median > 0.5 && latency.load_ns.median < 100_000.0,
        "{latency:?}"
    );

    let text = serde_json::to_string(&roofline).unwrap();
    let back: Roofline = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (back.schema, back.compute.len()),
        (roofline.schema, roofline.compute.len())
    );

    // A report that an earlier version kept lacks what was added since.
    let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
    let fields = old["dram"].as_object_mut().unwrap();
    fields
        .remove("triad_gb_s")
        .expect("the triad has its field");
    fields
        .remove("triad_streaming_stores_gb_s")
        .expect("streaming stores have their field");
    let old: Roofline = serde_json::from_value(old).unwrap();
    assert_eq!((old.schema, old.dram.triad_gb_s), (1, None));
}

#[test]
fn single_figures_are_taken_or_refused_with_the_range() {
    let machine = Machine::probe();
    let mut bandwidth = Bandwidth::prepare(&machine, 1, Depth::Quick).unwrap();
    for pattern in [Pattern::Read, Pattern::Triad(Stores::Ordinary)] {
        let rate = bandwidth.figure(pattern, Some(64 << 10), 1).unwrap();
        assert!(rate.expect("every processor has it").median > 0.05);
        for bytes in [0, 3071, usize::MAX] {
            assert!(matches!(
                bandwidth.figure(pattern, Some(bytes), 1),
                Err(RooflineError::Size { .. })
            ));
        }
    }
}

#[test]
fn thread_counts_out_of_range_are_refused() {
    let machine = Machine::probe();
    for threads in [0, 100_000] {
        assert!(matches!(
            measure(&machine, threads, Depth::Quick, |_| ()),
            Err(RooflineError::Threads { .. })
        ));
    }
}

#[test]
fn too_little_memory_is_refused() {
    let mut machine = Machine::probe();
    machine.memory.available_bytes = silicon::Fact::known(1 << 20, "test");
    assert!(matches!(
        measure(&machine, 1, Depth::Quick, |_| ()),
        Err(RooflineError::Memory { .. })
    ));
}
