//! Each option narrows as it says; seeds repeat.

use super::{Sampler, SamplingOptions};

const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, -1.0, 2.5];

fn wide() -> SamplingOptions {
    SamplingOptions {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        ..SamplingOptions::default()
    }
}

fn drawn(options: SamplingOptions) -> Vec<u32> {
    let mut sampler = Sampler::new(options).expect("valid options");
    let mut seen: Vec<u32> = (0..2000).map(|_| sampler.sample(&LOGITS, &[])).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[test]
fn greedy_takes_the_likeliest_and_the_smaller_id_of_a_tie() {
    let mut greedy = Sampler::new(SamplingOptions::greedy()).expect("valid options");
    assert_eq!(greedy.sample(&LOGITS, &[]), 1);
    assert_eq!(greedy.sample(&[2.0, 2.0], &[]), 0);
}

#[test]
fn each_filter_narrows() {
    assert_eq!(drawn(wide()), [0, 1, 2, 3, 4]);
    assert_eq!(drawn(SamplingOptions { top_k: 2, ..wide() }), [1, 4]);
    assert_eq!(
        drawn(SamplingOptions {
            top_p: 0.5,
            ..wide()
        }),
        [1, 4]
    );
    assert_eq!(
        drawn(SamplingOptions {
            min_p: 0.3,
            ..wide()
        }),
        [1, 2, 4]
    );
}

#[test]
fn frequencies_follow_the_distribution() {
    let mut sampler = Sampler::new(wide()).expect("valid options");
    let n = 40_000;
    let hits = (0..n).filter(|_| sampler.sample(&LOGITS, &[]) == 1).count();
    let total: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
    let want = 3.0f64.exp() / total;
    let error = (hits as f64 / f64::from(n) - want).abs();
    assert!(
        error <= 4.0 * (want * (1.0 - want) / f64::from(n)).sqrt(),
        "{error}"
    );
}

#[test]
fn repetition_is_penalised_within_the_window() {
    let options = SamplingOptions {
        repeat_penalty: 2.0,
        repeat_window: 2,
        ..SamplingOptions::greedy()
    };
    let mut sampler = Sampler::new(options).expect("valid options");
    assert_eq!(sampler.sample(&LOGITS, &[1, 0]), 4);
    assert_eq!(sampler.sample(&LOGITS, &[1, 0, 0]), 1);
}

#[test]
fn a_seed_repeats_itself() {
    let draw = |seed| {
        let mut sampler = Sampler::new(SamplingOptions { seed, ..wide() }).expect("valid options");
        (0..64)
            .map(|_| sampler.sample(&LOGITS, &[]))
            .collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn nonsense_is_refused() {
    for options in [
        SamplingOptions {
            temperature: f32::NAN,
            ..wide()
        },
        SamplingOptions {
            temperature: -1.0,
            ..wide()
        },
        SamplingOptions {
            top_p: 0.0,
            ..wide()
        },
        SamplingOptions {
            min_p: 1.5,
            ..wide()
        },
        SamplingOptions {
            repeat_penalty: 0.0,
            ..wide()
        },
    ] {
        assert!(Sampler::new(options).is_err());
    }
}

#[test]
fn tokens_that_are_not_allowed_take_no_part() {
    let allowed = |token| token == 0 || token == 3;
    let mut greedy = Sampler::new(SamplingOptions::greedy()).expect("valid options");
    assert_eq!(greedy.sample_among(&LOGITS, &[], allowed), 0);
    assert_eq!(greedy.sample_among(&LOGITS, &[], |token| token == 3), 3);
    let penalised = SamplingOptions {
        repeat_penalty: 10.0,
        ..SamplingOptions::greedy()
    };
    let mut penalised = Sampler::new(penalised).expect("valid options");
    assert_eq!(penalised.sample_among(&LOGITS, &[3], allowed), 0);
    for options in [
        wide(),
        // Filters count among what is allowed: the likeliest of all is not.
        SamplingOptions { top_k: 2, ..wide() },
        SamplingOptions {
            top_p: 0.999,
            ..wide()
        },
        SamplingOptions {
            min_p: 0.05,
            ..wide()
        },
    ] {
        let mut sampler = Sampler::new(options).expect("valid options");
        let mut seen: Vec<u32> = (0..2000)
            .map(|_| sampler.sample_among(&LOGITS, &[], allowed))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 3]);
    }
}

/// The candidates of a step, found without any short cut: penalties, the k likeliest, likeliest first.
fn candidates(
    logits: &[f32],
    recent: &[u32],
    allowed: &dyn Fn(u32) -> bool,
    o: &SamplingOptions,
) -> Vec<u32> {
    let penalised = |id: u32, x: f32| match (recent.contains(&id), x > 0.0) {
        (false, _) => x,
        (true, true) => x / o.repeat_penalty,
        (true, false) => x * o.repeat_penalty,
    };
    let ids = (0u32..).zip(logits).filter(|&(id, _)| allowed(id));
    let mut all: Vec<(u32, f32)> = ids.map(|(id, &x)| (id, penalised(id, x))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if o.top_k > 0 {
        all.truncate(o.top_k);
    }
    all.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn the_short_cuts_leave_the_same_candidates() {
    for case in 0..300u32 {
        // Vocabularies around the blocks' size; logits of few values, so that there are ties at the limit.
        let len = [1, 40, 63, 64, 65, 640, 5000][case as usize % 7];
        let steps = [3.0, 50.0, 1e6][case as usize % 3];
        let logits: Vec<f32> = ops::input::normal(u64::from(case), len)
            .iter()
            .map(|x| (x * steps).round() / steps)
            .collect();
        let options = SamplingOptions {
            top_k: [0, 1, 2, 9, 40, 4999][case as usize % 6],
            repeat_penalty: [1.0, 1.3, 0.7][case as usize % 3],
            ..wide()
        };
        let history: Vec<u32> = (0..30).map(|i| (i * i + case) % len as u32).collect();
        let allows = |id: u32| case % 4 != 0 || id.is_multiple_of(3);
        let recent: &[u32] = match options.repeat_penalty {
            1.0 => &[],
            _ => &history,
        };
        let want = candidates(&logits, recent, &allows, &options);
        let mut sampler = Sampler::new(options).expect("valid options");
        let chosen = sampler.sample_among(&logits, &history, allows);
        let got: Vec<u32> = sampler.candidates.iter().map(|c| c.0).collect();
        assert_eq!(got, want, "case {case}");
        assert!(got.contains(&chosen));
        if case % 4 != 0 {
            sampler.sample(&logits, &history);
            let got: Vec<u32> = sampler.candidates.iter().map(|c| c.0).collect();
            assert_eq!(got, want, "case {case}, all allowed");
        }
        sampler.options.temperature = 0.0;
        assert_eq!(
            sampler.sample_among(&logits, &history, allows),
            want[0],
            "case {case}"
        );
    }
}

/// However hard the penalty, a token that is not allowed stays out.
#[test]
fn a_penalty_does_not_let_others_in() {
    let options = SamplingOptions {
        repeat_penalty: f32::MAX,
        ..wide()
    };
    let mut sampler = Sampler::new(options).expect("valid options");
    let token = sampler.sample_among(&[1.0, 2.0, -3.0], &[2, 2], |id| id == 2);
    assert_eq!(token, 2);
}
