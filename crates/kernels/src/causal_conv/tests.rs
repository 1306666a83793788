//! Against the reference, and any cut of a sequence into passes: the same bits in outputs and state.

use ops::causal_conv::{self as reference, STATE_ROWS, Shape, TAPS};

use super::cpu::{Conv, causal_conv};
use crate::{
    Isa, Pool,
    fixture::{Matrix, assert_near, padded, same_everywhere},
    memory::Aligned,
};

/// The reference's `(channel, tap)` as the kernel's padded `(tap, channel)`.
fn by_tap(weight: &[f32], channels: usize) -> Vec<f32> {
    let padded = channels.next_multiple_of(16);
    let mut out = vec![f32::NAN; TAPS * padded];
    for (channel, taps) in weight.chunks_exact(TAPS).enumerate() {
        for (tap, &w) in taps.iter().enumerate() {
            out[tap * padded + channel] = w;
        }
    }
    out
}

/// Inputs, weights, bias and state.
type Values<'a> = (&'a [f32], &'a [f32], Option<&'a [f32]>, &'a [f32]);

/// Outputs and then the state, of passes of up to `pass` tokens, in place or apart.
fn run(
    (isa, pool): (Isa, &Pool),
    shape: &Shape,
    (x, weight, bias, state): Values<'_>,
    pass: usize,
    in_place: bool,
) -> Vec<f32> {
    let Shape {
        tokens, channels, ..
    } = *shape;
    let bias = bias.map(padded);
    let padded = channels.next_multiple_of(16);
    let mut kept = Aligned::<f32>::zeroed(STATE_ROWS * padded).expect("memory");
    for (to, from) in kept
        .as_mut_slice()
        .chunks_exact_mut(padded)
        .zip(state.chunks_exact(channels))
    {
        to[..channels].copy_from_slice(from);
    }
    let weight = by_tap(weight, channels);
    let mut all = Vec::new();
    for from in (0..tokens).step_by(pass) {
        let count = pass.min(tokens - from);
        let input = Matrix::of(&x[from * channels..][..count * channels], channels);
        let apart = Matrix::empty(count, channels);
        let out = if in_place { &input } else { &apart };
        pool.run(|team| {
            let conv = Conv {
                input: input.rows(),
                out: out.rows(),
                weight: &weight,
                bias: bias.as_deref(),
                silu: shape.silu,
                channels,
                state: kept.as_mut_pointer(),
                tokens: count,
            };
            // SAFETY: views, weights and state have their rows, padded.
            unsafe { causal_conv(isa, conv, team) }
        });
        all.extend(out.values());
    }
    for row in kept.as_slice().chunks_exact(padded) {
        all.extend_from_slice(&row[..channels]);
    }
    all
}

#[test]
fn the_table_is_right_wherever_passes_are_cut() {
    for case in reference::cases() {
        let Shape {
            tokens, channels, ..
        } = case.shape;
        let x = ops::input::normal(1, tokens * channels);
        let weight = ops::input::normal(2, TAPS * channels);
        let state = ops::input::normal(3, STATE_ROWS * channels);
        let bias = case.shape.bias.then(|| ops::input::normal(4, channels));
        let bias = bias.as_deref();
        let mut want_state = state.clone();
        let want = reference::reference(&case.shape, &x, &weight, bias, &mut want_state);
        let mut cuts = [(tokens, false), (tokens, true), (1, false), (7, false)]
            .into_iter()
            .cycle();
        // Every combination of instruction set and threads meets every cut, and all have the same bits.
        for _ in 0..4 {
            let got = same_everywhere(case.name, |isa, pool| {
                let (pass, in_place) = cuts.next().expect("a cycle does not end");
                run(
                    (isa, pool),
                    &case.shape,
                    (&x, &weight, bias, &state),
                    pass,
                    in_place,
                )
            });
            cuts.next();
            let (y, kept) = got.split_at(tokens * channels);
            assert_near(y, &want, reference::TOLERANCE, case.name);
            assert_eq!(kept, want_state, "{}: the state is copied", case.name);
        }
    }
}
