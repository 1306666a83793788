//! Against the reference, any cut of a sequence into passes, in place, and a sequence that begins anew.

use ops::rg_lru::{self as reference, Inputs, Shape};

use super::cpu::{RgLru, rg_lru, state_len};
use crate::{
    Isa, Pool,
    fixture::{Matrix, assert_near, assert_same_bits, padded, same_everywhere},
    memory::Aligned,
};

/// A sequence's inputs, and the state before it.
struct Sequence {
    shape: Shape,
    /// x, the input gate, the recurrence gate.
    values: [Vec<f32>; 3],
    /// Their biases and the rate.
    constants: [Vec<f32>; 3],
    state: Vec<f32>,
}

impl Sequence {
    fn of(shape: Shape) -> Self {
        let Shape {
            tokens, channels, ..
        } = shape;
        // From what hardly decays to what forgets at once.
        let logarithms = ops::input::uniform(6, channels, -12.0, 2.0);
        let rate = logarithms.iter().map(|x| -x.exp()).collect();
        Self {
            shape,
            values: [1, 2, 3].map(|seed| ops::input::normal(seed, tokens * channels)),
            constants: [
                ops::input::normal(4, channels),
                ops::input::normal(5, channels),
                rate,
            ],
            state: ops::input::normal(7, channels),
        }
    }

    /// Outputs and then the state, in passes of up to `pass` tokens, over one of the inputs or apart.
    fn run(&self, (isa, pool): (Isa, &Pool), pass: usize, over: Option<usize>) -> Vec<f32> {
        let Shape {
            tokens,
            channels,
            begins,
        } = self.shape;
        let mut state = Aligned::<f32>::zeroed(state_len(channels)).expect("memory");
        state.as_mut_slice().fill(f32::NAN);
        state.as_mut_slice()[..channels].copy_from_slice(&self.state);
        let [input_bias, recurrence_bias, rate] = self.constants.each_ref().map(|c| padded(c));
        let mut all = Vec::new();
        for from in (0..tokens).step_by(pass) {
            let count = pass.min(tokens - from);
            let part = |x: &Vec<f32>| {
                let rows = &x[from * channels..][..count * channels];
                Matrix::of(rows, channels)
            };
            let [x, input, recurrence] = self.values.each_ref().map(part);
            let apart = Matrix::empty(count, channels);
            let inputs = [&x, &input, &recurrence];
            let out = over.map_or(&apart, |i| inputs[i]);
            pool.run(|team| {
                let call = RgLru {
                    x: x.rows(),
                    input: input.rows(),
                    recurrence: recurrence.rows(),
                    input_bias: &input_bias,
                    recurrence_bias: &recurrence_bias,
                    rate: &rate,
                    out: out.rows(),
                    state: state.as_mut_pointer(),
                    channels,
                    begins: begins && from == 0,
                    tokens: count,
                };
                // SAFETY: views, constants and state have their rows and channels, padded.
                unsafe { rg_lru(isa, call, team) }
            });
            all.extend(out.values());
        }
        all.extend_from_slice(&state.as_slice()[..channels]);
        all
    }
}

#[test]
fn the_table_is_right_wherever_passes_are_cut() {
    for case in reference::cases() {
        let sequence = Sequence::of(case.shape);
        let [x, input, recurrence] = sequence.values.each_ref().map(|v| &v[..]);
        let [input_bias, recurrence_bias, rate] = sequence.constants.each_ref().map(|v| &v[..]);
        let inputs = Inputs {
            x,
            input,
            recurrence,
            input_bias,
            recurrence_bias,
            rate,
        };
        let mut state: Vec<f64> = sequence.state.iter().copied().map(f64::from).collect();
        let want = reference::reference(&case.shape, &inputs, &mut state);
        let tokens = case.shape.tokens;
        let whole = same_everywhere(case.name, |isa, pool| {
            sequence.run((isa, pool), tokens, None)
        });
        let (y, kept) = whole.split_at(want.len());
        assert_near(y, &want, reference::TOLERANCE, case.name);
        assert_near(kept, &state, reference::TOLERANCE, case.name);
        for (pass, over) in [(1, None), (7, Some(1)), (64, Some(2)), (tokens, Some(0))] {
            let cut = same_everywhere(case.name, |isa, pool| sequence.run((isa, pool), pass, over));
            let what = format!("{}, passes of {pass} over {over:?}", case.name);
            assert_same_bits(&cut, &whole, &what);
        }
    }
}

#[test]
fn the_first_token_forgets_whatever_the_state_held() {
    let shape = Shape {
        tokens: 5,
        channels: 33,
        begins: true,
    };
    let (clean, mut dirty) = (Sequence::of(shape), Sequence::of(shape));
    dirty.state.fill(f32::NAN);
    let pool = Pool::new(1, 100, 100).expect("threads");
    let run = |sequence: &Sequence| sequence.run((Isa::detect(), &pool), 2, None);
    assert_same_bits(&run(&dirty), &run(&clean), "the state before");
}
