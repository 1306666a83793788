//! Against the reference, with any cut of a sequence into passes, and rounded.

use ops::token_shift::{self as reference, Shape};

use super::cpu::{Mixture, Shift, mu_len, state_len, token_shift};
use crate::{
    Isa, Pool,
    fixture::{Matrix, QuantMatrix, assert_near, assert_same_bits, same_everywhere},
    memory::Aligned,
};

/// A sequence, and the row before it.
struct Sequence {
    shape: Shape,
    x: Vec<f32>,
    mu: Vec<f32>,
    state: Vec<f32>,
}

impl Sequence {
    fn of(shape: Shape) -> Self {
        let Shape {
            tokens,
            mixtures,
            width,
        } = shape;
        Self {
            shape,
            x: ops::input::normal(1, tokens * width),
            mu: ops::input::uniform(2, mixtures * width, -0.1, 1.1),
            state: ops::input::normal(3, width),
        }
    }

    /// Weights with each mixture's channels padded.
    fn padded_mu(&self) -> Vec<f32> {
        let Shape {
            mixtures, width, ..
        } = self.shape;
        let stride = mu_len(1, width);
        let mut out = vec![f32::NAN; mu_len(mixtures, width)];
        for (to, from) in out
            .chunks_exact_mut(stride)
            .zip(self.mu.chunks_exact(width))
        {
            to[..width].copy_from_slice(from);
        }
        out
    }

    /// The mixtures one after another and then the state, in passes of up to `pass` tokens; what `rounds` names is rounded too.
    fn run(&self, isa: Isa, pool: &Pool, pass: usize, rounds: &[bool]) -> Vec<f32> {
        let Shape {
            tokens,
            mixtures,
            width,
        } = self.shape;
        let mut state = Aligned::<f32>::zeroed(state_len(width)).expect("memory");
        state.as_mut_slice().fill(f32::NAN);
        state.as_mut_slice()[..width].copy_from_slice(&self.state);
        let mu = self.padded_mu();
        let mut all = vec![Vec::new(); mixtures];
        for from in (0..tokens).step_by(pass) {
            let tokens = pass.min(tokens - from);
            let input = Matrix::of(&self.x[from * width..][..tokens * width], width);
            let outs: Vec<Matrix> = (0..mixtures)
                .map(|_| Matrix::empty(tokens, width))
                .collect();
            let rounded: Vec<Option<QuantMatrix>> = (0..mixtures)
                .map(|i| {
                    let wanted = rounds.get(i) == Some(&true);
                    wanted.then(|| QuantMatrix::empty(tokens, width))
                })
                .collect();
            let views: Vec<Mixture> = outs
                .iter()
                .zip(&rounded)
                .map(|(out, rounded)| Mixture {
                    out: out.rows(),
                    quantised: rounded.as_ref().map(QuantMatrix::rows),
                })
                .collect();
            pool.run(|team| {
                let call = Shift {
                    input: input.rows(),
                    mixtures: &views,
                    mu: &mu,
                    state: state.as_mut_pointer(),
                    width,
                    tokens,
                };
                // SAFETY: the views have a row per token, padded; weights and state their lengths.
                unsafe { token_shift(isa, call, team) }
            });
            for ((all, out), rounded) in all.iter_mut().zip(&outs).zip(&rounded) {
                if let Some(rounded) = rounded {
                    rounded.assert_rounds(&out.values());
                }
                all.extend(out.values());
            }
        }
        let mut all = all.concat();
        all.extend_from_slice(&state.as_slice()[..width]);
        all
    }
}

#[test]
fn the_table_is_right() {
    for case in reference::cases() {
        let sequence = Sequence::of(case.shape);
        let got = same_everywhere(case.name, |isa, pool| {
            sequence.run(isa, pool, case.shape.tokens, &[])
        });
        let mut state = sequence.state.clone();
        let want = reference::reference(&case.shape, &sequence.x, &sequence.mu, &mut state);
        let (y, kept) = got.split_at(want.len());
        assert_near(y, &want, reference::TOLERANCE, case.name);
        assert_same_bits(kept, &state, case.name);
    }
}

#[test]
fn cuts_do_not_matter() {
    for width in [37, 128] {
        let sequence = Sequence::of(Shape {
            tokens: 66,
            mixtures: 6,
            width,
        });
        let pool = Pool::new(2, 100, 100).expect("threads");
        let whole = sequence.run(Isa::detect(), &pool, 66, &[]);
        for pass in [1, 7, 64] {
            let got = sequence.run(Isa::detect(), &pool, pass, &[]);
            assert_same_bits(&got, &whole, &format!("{width} columns, passes of {pass}"));
        }
    }
}

#[test]
fn rounded_mixtures_are_the_mixtures_rounded() {
    let sequence = Sequence::of(Shape {
        tokens: 5,
        mixtures: 3,
        width: 96,
    });
    same_everywhere("rounded", |isa, pool| {
        sequence.run(isa, pool, 2, &[true, false, true])
    });
}
