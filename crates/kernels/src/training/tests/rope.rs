//! Against f64 with pairs half a head apart (`Pairing::Half`), whole and partial heads, several sequences.

use ops::rope::{Pairing, Shape, backward, reference};

use super::{assert_near, everywhere, normal};
use crate::training::{Angles, Into, Turn, rope};

/// (sequences, positions, heads, `head_dim`, rotated)
const SHAPES: [(usize, usize, usize, usize, usize); 5] = [
    (1, 1, 1, 2, 2),
    (3, 67, 3, 16, 16),
    (2, 33, 1, 64, 64),
    (1, 200, 2, 80, 36),
    (1, 70, 1, 10, 6),
];
const THETA: f32 = 10_000.0;
const TOLERANCE: f64 = 5e-7;

#[test]
fn both_turns_are_near_f64() {
    for (sequences, positions, heads, head_dim, rotated) in SHAPES {
        let tokens = sequences * positions;
        let shape = Shape {
            tokens,
            heads,
            head_dim,
            rotary_dims: rotated,
            pairing: Pairing::Half,
            theta: THETA,
            position_scale: 1.0,
        };
        let x = normal(1, tokens * heads * head_dim);
        let angles = Angles::new(positions, rotated, f64::from(THETA));
        let [out, d_x] = everywhere(
            |_| 0,
            |machine| {
                [Turn::Forward, Turn::Back].map(|turn| {
                    let mut x = x.clone();
                    rope(machine, &angles, head_dim, heads, turn, &mut x);
                    x
                })
            },
        );
        let at: Vec<u32> = (0..tokens)
            .map(|token| (token % positions) as u32)
            .collect();
        assert_near(
            "out",
            Into::Set,
            &out,
            &reference(&shape, &x, &at, None),
            TOLERANCE,
        );
        let want = backward::reference(&shape, &x, &at, None);
        assert_near("dx", Into::Set, &d_x, &want.x, TOLERANCE);
    }
}
