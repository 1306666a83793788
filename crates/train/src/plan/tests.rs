//! Buffers that live at the same time lie apart.

use super::{Lives, Plan, assign};
use crate::{Batch, Configuration, Mlp};

#[test]
fn lives_that_meet_never_share_a_slot() {
    let batch = Batch {
        sequences: 2,
        positions: 16,
    };
    for mlp in [Mlp::SwiGlu, Mlp::SquaredRelu] {
        let configuration = Configuration {
            mlp,
            layers: 3,
            ..Configuration::default()
        };
        let graph = configuration.graph(batch).expect("a graph");
        let lives = Lives::of(&graph);
        let (_, places) = assign(&lives.all);
        let roots = |i: &usize| lives.all[*i].same_as.is_none() && lives.all[*i].len > 0;
        let roots: Vec<usize> = (0..lives.all.len()).filter(roots).collect();
        for (n, &a) in roots.iter().enumerate() {
            for &b in &roots[..n] {
                let (a_life, b_life) = (&lives.all[a], &lives.all[b]);
                let meet = a_life.first <= b_life.last && b_life.first <= a_life.last;
                assert!(
                    !meet || places[a].slot != places[b].slot,
                    "{a_life:?} and {b_life:?}"
                );
            }
        }
    }
}

#[test]
fn a_residual_stream_keeps_one_value_a_norm() {
    let batch = Batch {
        sequences: 1,
        positions: 16,
    };
    let bytes = |layers| {
        let configuration = Configuration {
            layers,
            ..Configuration::default()
        };
        let graph = configuration.graph(batch).expect("a graph");
        Plan::of(&graph).slots.iter().sum::<usize>()
    };
    // Of a layer: the stream before each of two norms and both normed, q, k, v and the attention's result; gate, up and their product; and
    // what norms and attention keep.
    let tokens = 16;
    let layer = tokens * (8 * 384 + 3 * 1024 + 2 + 6);
    let found = bytes(5) - bytes(4);
    assert!(
        found.abs_diff(layer) <= tokens * 16,
        "{found} f32 a layer, not {layer}"
    );
}
