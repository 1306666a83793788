//! What people read, from a made-up report.

use measure::{Samples, TimerCost};
use silicon::{
    Fact,
    energy::{Covers, How, Scope, Unavailable, Unreadable, totals},
    probe::Machine,
    roofline::{Depth, Dram, Rate, Roofline, fork_join},
};

use page::plain;

use super::{card, html, terminal};
use crate::{
    attribution::tests::{fall, known, spec, unknown},
    report::{
        Bound, Earlier, Energy, EnergyUse, Figure, Format, Layer, ModelIdentity, Point, Profile,
        Reading, Regime, Report, SCHEMA, Scaling, Second, Sustained, Work,
    },
};

const HOSTILE: &str = "<script>alert('x')</script> & \"quotes\"\u{1b}[31m";

fn roofline() -> Roofline {
    let rate = || Rate {
        median: 30.0,
        interval: None,
        samples: Samples::new(vec![30.0]).expect("a sample"),
    };
    let dram = Dram {
        working_set_bytes: 1 << 30,
        wanted_bytes: 1 << 30,
        why: "a test".into(),
        asked_for_huge_pages: false,
        one_thread_gb_s: rate(),
        all_threads_gb_s: rate(),
        triad_gb_s: None,
        triad_streaming_stores_gb_s: None,
    };
    Roofline {
        schema: 1,
        depth: Depth::Quick,
        threads: 2,
        core_clock_ghz: Fact::unknown("a test"),
        compute: Vec::new(),
        dram,
        by_size: Vec::new(),
        cliffs: Vec::new(),
        latency: Vec::new(),
        fork_join: fork_join::of("a test", 2, || ()).expect("samples"),
        formulations: Vec::new(),
        elapsed_ms: 1.0,
        warnings: Vec::new(),
    }
}

fn report(name: &str) -> Report {
    let mut machine = Machine::probe();
    machine.cpu.name = Fact::known("Test Processor".to_owned(), "a test");
    machine.system.hypervisor = Fact::known(String::new(), "a test");
    let mut prefill = fall(&spec(known(40.0), known(200.0)));
    prefill.regime = Regime::Prefill;
    (prefill.tokens, prefill.chunk) = (512, 256);
    Report {
        schema: SCHEMA.into(),
        sprag: "0.0.0".into(),
        build: None,
        date: "2026-01-02T03:04:05Z".into(),
        elapsed_s: 12.0,
        rounds: 8,
        model: ModelIdentity {
            name: name.to_owned(),
            architecture: "llama".into(),
            file: None,
            file_bytes: 1,
            parameters: 135_000_000,
            layers: 30,
            formats: vec![Format {
                name: "Q4_0".into(),
                bytes: 90_000_000,
            }],
        },
        profile: Profile {
            threads: 2,
            pinning: "none".into(),
            barrier: "yield".into(),
            isa: "avx2".into(),
            prefill_chunk: 256,
            matmul_tile: 12,
            matmul_variant: "lanes".into(),
            float_products: "f32".into(),
            matvec_streams: 2,
            prefetch_bytes: 1024,
            roles: Vec::new(),
            attention_tile: 16,
            kv_type: "f16".into(),
            pages: "huge".into(),
        },
        prefill,
        decode: fall(&spec(unknown(), known(200.0))),
        anatomy: None,
        application: None,
        energy: None,
        sustained: None,
        history: Vec::new(),
        drift: Vec::new(),
        scaling: Some(scaling()),
        warnings: vec!["the machine was busy".into()],
        timer: TimerCost {
            cost_ns: 20.0,
            resolution_ns: 1.0,
        },
        spec: spec(unknown(), known(200.0)),
        roofline: roofline(),
        machine,
    }
}

/// Decode with 8 sequences, then a prompt, and one depth left out.
fn scaling() -> Scaling {
    let point = |sequences, tokens, step_ms, share, bound| Point {
        fall: None,
        depth: 4096,
        sequences,
        tokens,
        step_ms: Figure::new(vec![step_ms]).expect("a sample"),
        tokens_per_s: (sequences * tokens) as f64 * 1e3 / step_ms,
        streamed_bytes: 1e9,
        work: Work::default(),
        stream_gb_s: 20.0,
        ceiling_ms: share * step_ms,
        bound,
        share,
    };
    Scaling {
        points: vec![
            point(8, 1, 100.0, 0.5, Bound::Bandwidth),
            point(1, 256, 1000.0, 0.75, Bound::Compute),
        ],
        skipped: vec![format!("depth 16384: {HOSTILE}")],
    }
}

#[test]
fn other_depths_and_several_sequences_are_a_table() {
    let text = terminal(&report("A model"), false, 60);
    let want = "\
SCALING  one step; tokens/s of all its tokens together
  depth                ms/step tokens/s  silicon  held by
   4096  8 sequences       100     80.0      50%  memory
         prompt of 256    1000      256      75%  arithmetic
  left out: depth 16384:";
    assert!(text.contains(want), "{text}");
    let page = html(&report("A model"));
    // One depth is no curve.
    assert!(!page.contains("Speed of decoding by depth"));
    assert!(page.contains("<td class=\"n\">50%</td>"), "{page}");
}

const PLAIN: &str = "\
A model
  llama, 135 M parameters; Q4_0 90.0 MB
  Test Processor; 2 threads, avx2, KV f16

PREFILL  a prompt of 512 tokens, 256 at a time
                     ms/token   tokens/s   factor
  presented             0.500       2000          ###
  measured silicon       2.00        500    x4.00 ###+++++++++
  kernels alone          3.10        323    x1.55 ############+++++++
  whole step             4.00        250    x1.29 ###################+++++
  user                   5.00        200    x1.25 ########################++++++
  presented -> measured silicon: +1.50 ms
        +1.50  memory gives less than presented: 10.0 of 40.0 GB/s
            0  unexplained
  measured silicon -> kernels alone: +1.10 ms
       +0.500  product kernel at 80% of its own ceiling
       +0.200  uneven shares of the threads
       +0.200  barriers
       +0.150  norm kernel at 25% of its own ceiling
      +0.0500  2 smaller causes
            0  unexplained
  kernels alone -> whole step: +0.900 ms
       +0.500  product kernel slower in the step than alone
       +0.250  more uneven shares
       +0.100  fork-join and checks of the step
       +0.100  norm kernel slower in the step than alone
      +0.0500  3 smaller causes
       -0.100  unexplained
  whole step -> user: +1.00 ms
       +0.500  the model in generation against the step alone
       +0.300  sample
       +0.100  detokenise
       +0.100  unexplained
";

#[test]
fn the_terminal_shows_levels_and_causes() {
    let text = terminal(&report("A model"), false, 80);
    let start: String = text
        .lines()
        .take(PLAIN.lines().count())
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(start, PLAIN, "{text}");
    assert!(text.contains("  presented           unknown\n"), "{text}");
    assert!(
        text.contains("  presented is unknown: nobody says: ask\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "Decode as the user sees it reaches 40% of what this machine's memory allows"
        ),
        "{text}"
    );
    assert!(text.is_ascii());
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 132] {
        let text = terminal(&report("A model"), false, width);
        let widest = text
            .lines()
            .max_by_key(|line| line.chars().count())
            .unwrap_or("");
        assert!(widest.chars().count() <= width, "{width}: {widest}");
    }
}

#[test]
fn foreign_text_is_escaped() {
    let report = report(HOSTILE);
    let page = html(&report);
    assert!(!page.contains("<script") && !page.contains('\u{1b}'));
    assert!(
        page.contains(
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;quotes&quot;?[31m"
        )
    );
    let text = terminal(&report, false, 80);
    assert!(!text.contains('\u{1b}'));
    assert_eq!(plain("a\nb\u{202e}c\td"), "a?b?c?d");
}

#[test]
fn the_page_is_one_file_without_scripts_or_requests() {
    let page = html(&report("A model"));
    for outside in [
        "http:", "https:", "<script", "<link", "url(h", "@import", "<img",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for (open, close) in [
        ("<section", "</section>"),
        ("<table", "</table>"),
        ("<div", "</div>"),
        ("<dl", "</dl>"),
        ("<td", "</td>"),
    ] {
        assert_eq!(
            page.matches(open).count(),
            page.matches(close).count(),
            "{open}"
        );
    }
    assert!(
        page.contains("prefers-color-scheme: dark")
            && page.contains("\u{d7}1.25")
            && page.contains("unexplained")
    );
    assert!(!page.contains("NaN") && !page.contains("inf "));
    // Each figure's readings are there, by the path of its field.
    assert!(page.contains("<td>decode / levels / kernels / ms_per_token</td>"));
}

#[test]
fn the_card_is_one_picture_of_both() {
    let picture = card(&report("A model"));
    assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
    assert_eq!(picture.matches("<svg").count(), 3);
    assert!(picture.contains(">Prefill</text>") && picture.contains(">Decode</text>"));
    assert!(picture.contains("Decode as the user sees it reaches 40%"));
    for outside in ["https:", "<script", "<image", "href", "url("] {
        assert!(!picture.contains(outside), "{outside}");
    }
    let hostile = card(&report(HOSTILE));
    assert!(!hostile.contains("<script") && !hostile.contains('\u{1b}'));
    let long = card(&report(&"x".repeat(500)));
    assert!(!long.contains(&format!(">{}", "x".repeat(60))) || long.contains('\u{2026}'));
}

#[test]
fn colours_and_blocks_are_for_terminals_that_have_them() {
    let text = terminal(&report("A model"), true, 80);
    assert!(text.contains('\u{2588}') && text.contains("\u{1b}[1m"));
}

#[test]
fn what_the_causes_leave_over_is_red_when_it_is_much() {
    let mut report = report("a model");
    assert!(!html(&report).contains("rest alarm"));
    let loss = report.decode.levels[3].loss.as_mut().expect("a loss");
    // The step takes 4 ms.
    loss.unexplained_ms = -0.21;
    let text = terminal(&report, true, 100);
    let line = text.lines().find(|l| l.contains("do not tell it all"));
    assert!(
        line.is_some_and(|l| l.starts_with("\u{1b}[31m") && l.contains("-0.210")),
        "{text}"
    );
    assert_eq!(html(&report).matches("rest alarm").count(), 1);
}

/// Twenty seconds of which the last five are slower, with one counter, and one that only root may read.
fn sustained() -> Sustained {
    let second = |at: usize| Second {
        at_s: at as f64,
        tokens: 100,
        tokens_per_s: if at > 15 { 80.0 } else { 100.0 },
        clock_ghz: Some(3.0),
        celsius: None,
        power_w: Some(20.0),
    };
    let scope = Scope {
        name: HOSTILE.into(),
        covers: Covers::Package,
        how: How::Counter,
    };
    Sustained {
        asked_s: 60.0,
        elapsed_s: 20.0,
        depth: 256,
        seconds: (1..=20).map(second).collect(),
        best_tokens_per_s: 100.0,
        best_s: 10.0,
        last_tokens_per_s: 90.0,
        last_s: 10.0,
        throttled: Fact::known(3, "a test"),
        unknown: vec!["temperature is unavailable: no sensor".into()],
        energy: Energy {
            tokens: 2000,
            elapsed_s: 20.0,
            idle: None,
            used: vec![EnergyUse {
                scope,
                gross_j: Fact::known(400.0, "a test"),
                net_j: Fact::known(100.0, "a test"),
            }],
            totals: totals(&[]),
            unreadable: vec![Unreadable {
                scope: "memory".into(),
                why: Unavailable {
                    reason: "only root may read it".into(),
                    remedy: "sudo chmod".into(),
                },
            }],
        },
    }
}

#[test]
fn a_sustained_run_says_whether_the_speed_lasts_and_what_it_takes() {
    let report = Report {
        sustained: Some(sustained()),
        ..report("a model")
    };
    let text = terminal(&report, false, 100);
    for told in [
        "The last 10 s reach 90.0 tokens/s, 90% of the best 10 s (100).",
        "It was stopped after 20 of 60 s.",
        "clock 3.00 GHz, then 3.00 (measured); throttled 3 times.",
        "200 mJ a token, 50.0 beyond what it takes idle.",
        "Energy of memory is unavailable: only root may read it: sudo chmod.",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains('\u{1b}'));
    let page = html(&report);
    // Speed, clock and power; there is no temperature.
    assert_eq!(page.matches("Over a sustained run").count(), 3);
    assert!(!page.contains("<script"));
}

#[test]
fn earlier_runs_are_a_curve_and_a_sentence() {
    let mut report = report("a model");
    assert!(report.among_earlier().is_none() && !html(&report).contains("Earlier runs"));
    let now = report.decode.speed().expect("a speed");
    report.history = [2.0, 4.0]
        .map(|times| Earlier {
            id: HOSTILE.into(),
            date: HOSTILE.into(),
            prefill_tokens_per_s: None,
            decode_tokens_per_s: Some(times * now),
            build: None,
            times: Vec::new(),
        })
        .into();
    let words = report.among_earlier().expect("two runs");
    assert!(
        words.starts_with("2 earlier runs of this: decode 400 to 800 tokens/s, now 200: slower"),
        "{words}"
    );
    assert!(html(&report).contains("decode from 400 to 200"));
}

#[test]
fn ranges_know_how_runs_differ_after_four_runs() {
    let mut now = report("a model");
    let range = |report: &Report| {
        let step = report.decode.levels.iter().find(|l| l.layer == Layer::Step);
        match &step.expect("a step").ms_per_token {
            Reading::Known { figure } => (figure.typical, figure.range.expect("a range")),
            Reading::Unknown { .. } => panic!("unknown"),
        }
    };
    let (typical, alone) = range(&now);
    let earlier = |share: f64| {
        let mut run = Earlier::of("a run".into(), &report("a model"));
        for time in &mut run.times {
            time.ms_per_token *= share;
        }
        run.decode_tokens_per_s = run.decode_tokens_per_s.map(|speed| speed / share);
        run
    };
    now.build = Some("a build".into());
    let runs = |now: &Report, shares: &[f64]| -> Vec<Earlier> {
        let build = |share: &f64| Earlier {
            build: now.build.clone(),
            ..earlier(*share)
        };
        shares.iter().map(build).collect()
    };
    now.history = runs(&now, &[0.9, 1.1, 0.9]);
    now.know_drift();
    assert_eq!(range(&now), (typical, alone));
    assert!(now.ranges_in_words().contains("after 4 runs"));
    now.history = runs(&now, &[0.9, 1.1, 0.9, 1.1]);
    now.know_drift();
    // s is the standard deviation of ln 0.9, ln 1.1, ln 0.9 and ln 1.1; t for 3 degrees of freedom is 3.182.
    let factor = (3.182 * (1.1_f64 / 0.9).ln() / 3.0_f64.sqrt() * 2.0_f64.sqrt()).exp();
    let (_, wide) = range(&now);
    assert!(
        (wide.high / (typical * factor) - 1.0).abs() < 1e-3,
        "{wide:?}"
    );
    assert!(
        (wide.low / (typical / factor) - 1.0).abs() < 1e-3,
        "{wide:?}"
    );
    assert!(now.ranges_in_words().contains("how 4 earlier runs"));
    let words = now.among_earlier().expect("four runs");
    assert!(words.contains("as runs of this build differ"), "{words}");
    // A run is no part of what it is held against: one that is twice as slow is told.
    now.history = runs(&now, &[0.5, 0.51, 0.49, 0.5]);
    let words = now.among_earlier().expect("four runs");
    assert!(
        words.contains("slower than runs of this build differ"),
        "{words}"
    );
    // Another build's runs say nothing of this one's drift.
    now.build = Some("another".into());
    now.know_drift();
    assert!(now.drift.is_empty());
}
