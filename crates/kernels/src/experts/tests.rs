//! Routing and mixing against their references; the plan's order; products by expert against products of each token alone.

use ops::{
    Dtype,
    mix::{self, SharedExpert},
    route::{self, Scoring},
};

use super::{
    cpu::{Mix, Route, mix as mix_kernel, route as route_kernel},
    plan::Plan,
};
use crate::{
    Isa, PackedMatrix, Pool, RuntimeProfile, StoredMatrix,
    fixture::{Matrix, QuantMatrix, assert_near, padded, same_everywhere},
    matmul::cpu::{Input, Product, by_expert, gathered_len, matmul},
    memory::{Aligned, Arena, Pages},
    quantize,
};

/// A plan's memory.
fn plan(experts: usize, slots: usize) -> (Aligned<i32>, Plan) {
    let numbers = Aligned::zeroed(Plan::len(experts, slots)).expect("memory");
    let pointer = numbers.as_mut_pointer();
    (
        numbers,
        Plan {
            pointer,
            experts,
            slots,
        },
    )
}

#[test]
fn routes_are_right_and_slots_are_ordered_by_expert() {
    for case in route::cases() {
        let route::Shape {
            tokens,
            experts,
            chosen,
            scoring,
        } = case.shape;
        // Rounded, so that there are ties.
        let logits: Vec<f32> = ops::input::normal(3, tokens * experts)
            .iter()
            .map(|x| (x * 16.0).round() / 8.0)
            .collect();
        // Steps that sigmoids' rounding does not reach decide between equal logits.
        let is_scored = scoring != Scoring::Softmax;
        let bias: Vec<f32> = (0..experts)
            .map(|i| (i * 7 % experts) as f32 / 50.0)
            .collect();
        let bias = is_scored.then_some(bias);
        let want = route::reference(&case.shape, &logits, bias.as_deref());
        let padded_bias = bias.as_deref().map(padded);
        let got = same_everywhere(case.name, |isa, pool| {
            let out = Matrix::empty(tokens, 2 * chosen);
            let input = Matrix::of(&logits, experts);
            let (numbers, plan) = plan(experts, tokens * chosen);
            pool.run(|team| {
                let call = Route {
                    logits: input.rows(),
                    out: out.rows(),
                    plan,
                    chosen,
                    scoring,
                    bias: padded_bias.as_deref(),
                };
                // SAFETY: the views have the rows, the plan the slots.
                unsafe { route_kernel(isa, call, tokens, team) }
            });
            let mut seen = 0;
            for expert in 0..experts {
                // SAFETY: the plan was filled above.
                for &slot in unsafe { plan.of(expert) } {
                    assert_eq!(want.experts[slot as usize], expert, "{}", case.name);
                    seen += 1;
                }
            }
            assert_eq!(seen, tokens * chosen);
            drop(numbers);
            out.values()
        });
        for (token, row) in got.chunks_exact(2 * chosen).enumerate() {
            let at = token * chosen;
            let indices: Vec<usize> = row[..chosen].iter().map(|&i| i as usize).collect();
            assert_eq!(indices, want.experts[at..at + chosen], "{}", case.name);
            let weights = &want.weights[at..at + chosen];
            assert_near(&row[chosen..], weights, route::TOLERANCE, case.name);
        }
    }
}

#[test]
fn numbers_that_are_none_are_chosen_last_and_stay_visible() {
    let pool = Pool::new(1, 10, 10).expect("threads");
    let logits = [f32::NAN, 1.0, f32::NAN, f32::NEG_INFINITY];
    let (input, out) = (Matrix::of(&logits, 4), Matrix::empty(1, 6));
    let (_numbers, plan) = plan(4, 3);
    pool.run(|team| {
        let call = Route {
            logits: input.rows(),
            out: out.rows(),
            plan,
            chosen: 3,
            scoring: Scoring::Softmax,
            bias: None,
        };
        // SAFETY: the views have the rows, the plan the slots.
        unsafe { route_kernel(Isa::detect(), call, 1, team) }
    });
    let values = out.values();
    assert_eq!(values[0], 1.0);
    assert!(values[3..].iter().any(|w| w.is_nan()));
}

#[test]
fn mixing_is_right() {
    for case in mix::cases() {
        let mix::Shape {
            tokens,
            chosen,
            width,
            shared,
            scale,
        } = case.shape;
        let x = ops::input::normal(1, tokens * width);
        let outputs = ops::input::normal(2, tokens * chosen * width);
        let weights = ops::input::normal(3, tokens * chosen);
        let shared_output = ops::input::normal(4, tokens * width);
        let gate = ops::input::normal(5, tokens);
        let routes: Vec<f32> = weights
            .chunks_exact(chosen)
            .flat_map(|w| vec![0.0; chosen].into_iter().chain(w.iter().copied()))
            .collect();
        let got = same_everywhere(case.name, |isa, pool| {
            let (stream, routes) = (Matrix::of(&x, width), Matrix::of(&routes, 2 * chosen));
            let outputs = Matrix::of(&outputs, width);
            let (output, gates) = (Matrix::of(&shared_output, width), Matrix::of(&gate, 1));
            pool.run(|team| {
                let call = Mix {
                    outputs: outputs.rows(),
                    routes: routes.rows(),
                    shared: (shared != SharedExpert::None).then(|| {
                        let gate = (shared == SharedExpert::Gated).then(|| gates.rows());
                        (output.rows(), gate)
                    }),
                    scale,
                    out: stream.rows(),
                    chosen,
                    width,
                };
                // SAFETY: the views have the rows and columns, padded.
                unsafe { mix_kernel(isa, call, tokens, team) }
            });
            stream.values()
        });
        let part = mix::Shared {
            output: &shared_output,
            gate: (shared == SharedExpert::Gated).then_some(&gate[..]),
        };
        let part = (shared != SharedExpert::None).then_some(part);
        let want = mix::reference(&case.shape, &x, &outputs, &weights, part);
        assert_near(&got, &want, mix::TOLERANCE, case.name);
    }
}

/// Experts of 32 rows; tokens whose experts are given. Each slot's output has the bits of that token alone with that expert.
#[test]
fn products_by_expert_have_the_bits_of_each_token_alone() {
    const ROWS: usize = 32;
    for (dtype, cols) in [
        (Dtype::Q4_0, 96),
        (Dtype::Q6K, 256),
        (Dtype::Q8_0, 64),
        (Dtype::F32, 40),
    ] {
        for (experts, chosen, tokens) in [(3, 1, 1), (5, 2, 1), (4, 2, 50), (7, 3, 9)] {
            let bytes = ops::input::weights(1, dtype, experts * ROWS * cols);
            let pack = |bytes: &[u8], rows: usize| {
                let stored = StoredMatrix {
                    dtype,
                    rows,
                    cols,
                    bytes,
                };
                PackedMatrix::pack(
                    stored,
                    rows,
                    &|r| r,
                    1,
                    &mut Arena::new(Pages::Small),
                    &mut |_| {},
                )
                .expect("valid weights")
            };
            let all = pack(&bytes, experts * ROWS);
            let x = ops::input::normal(2, tokens * cols);
            let logits = ops::input::normal(3, tokens * experts);
            let shape = route::Shape {
                tokens,
                experts,
                chosen,
                scoring: Scoring::Softmax,
            };
            let routes = route::reference(&shape, &logits, None);
            let slots = tokens * chosen;

            let alone = Pool::new(1, 10, 10).expect("threads");
            let mut want = Vec::new();
            for slot in 0..slots {
                let expert = routes.experts[slot];
                let one = pack(
                    &bytes[bytes.len() / experts * expert..][..bytes.len() / experts],
                    ROWS,
                );
                let token = &x[slot / chosen * cols..][..cols];
                want.extend(products(&alone, Isa::detect(), &one, token, cols, None));
            }
            for threads in [1, 2, 3] {
                let pool = Pool::new(threads, 10, 10).expect("threads");
                for isa in Isa::available() {
                    let (_numbers, plan) = plan(experts, slots);
                    // SAFETY: the plan is this thread's.
                    unsafe { plan.fill(|slot| routes.experts[slot]) };
                    let got = products(&pool, isa, &all, &x, cols, Some((plan, chosen)));
                    let same = got
                        .iter()
                        .zip(&want)
                        .all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(
                        same,
                        "{dtype}, {experts} experts, {tokens} tokens, {threads} threads"
                    );
                }
            }
        }
    }
}

fn products(
    pool: &Pool,
    isa: Isa,
    weights: &PackedMatrix,
    x: &[f32],
    cols: usize,
    by: Option<(Plan, usize)>,
) -> Vec<f32> {
    let profile = RuntimeProfile {
        isa,
        ..RuntimeProfile::default()
    };
    let tokens = x.len() / cols;
    let (rows, slots) = match by {
        Some((plan, _)) => (weights.rows() / plan.experts, plan.slots),
        None => (weights.rows(), tokens),
    };
    let (plain, out) = (Matrix::of(x, cols), Matrix::empty(slots, rows));
    let quantised = QuantMatrix::empty(tokens, cols.next_multiple_of(32));
    pool.run(|team| {
        // SAFETY: the views have the rows; threads write disjoint panels.
        unsafe {
            if weights.is_integer() {
                quantize::cpu::quantize(isa, plain.rows(), quantised.rows(), tokens, team);
                team.barrier();
            }
            let scratch = Aligned::zeroed(gathered_len(cols.next_multiple_of(32))).expect("memory");
            let input = Input {
                plain: plain.rows(),
                quantised: quantised.rows(),
                tokens,
                slots: None,
                scratch: scratch.as_mut_pointer(),
            };
            let product = Product {
                weights,
                out: out.rows(),
                bias: None,
                scale: 1.0,
                add: false,
                first_panel: 0,
                function: None,
                gate: None,
                quantised: None,
            };
            match by {
                Some((plan, per_row)) => {
                    by_expert(&profile, &[product], input, plan, per_row, team)
                }
                None => matmul(&profile, &[product], input, 0, team),
            }
        }
    });
    out.values()
}
