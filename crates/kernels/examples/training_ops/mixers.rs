//! What mixes tokens, and the gates of it: attention, convolution, the gated delta rule.

use kernels::training::{
    AttentionKept, AttentionShape, ConvolutionShape, DeltaGates, GatedDelta, GatedDeltaShape, Into,
    Machine, attention, attention_backward, causal_conv, causal_conv_backward, delta_gates,
    delta_gates_backward, delta_gates_scratch, gated_delta, gated_delta_backward,
};
use ops::{
    gated_delta::HeadMap,
    input::{normal, uniform},
};

use super::{Folder, POSITIONS, SEQUENCES, Saved, TOKENS};

pub(super) fn attentions(root: &str, machine: &mut Machine) -> Saved {
    for (name, window) in [("attention", None), ("attention, window", Some(20))] {
        let shape = AttentionShape {
            sequences: SEQUENCES,
            positions: POSITIONS,
            heads: 4,
            kv_heads: 2,
            head_dim: 32,
            window,
            scale: 0.25,
        };
        machine.reserve(shape.scratch(machine.threads()))?;
        let (q, up) = (normal(1, shape.queries()), normal(2, shape.queries()));
        let (k, v) = (normal(3, shape.keys()), normal(4, shape.keys()));
        let (mut out, mut log_sums) = (vec![0.0; q.len()], vec![0.0; shape.log_sums()]);
        attention(machine, &shape, (&q, &k, &v), &mut out, &mut log_sums);
        let kept = AttentionKept {
            operands: (&q, &k, &v),
            out: &out,
            log_sums: &log_sums,
        };
        let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
        let to = [&mut dq, &mut dk, &mut dv].map(|values| (&mut values[..], Into::Set));
        attention_backward(machine, &shape, &kept, &up, to);
        let queries: &[usize] = &[SEQUENCES, POSITIONS, shape.heads, shape.head_dim];
        let keys: &[usize] = &[SEQUENCES, POSITIONS, shape.kv_heads, shape.head_dim];
        Folder::of(root, name)?.save_all(&[
            ("of.window", &[1], &[window.unwrap_or(POSITIONS) as f32]),
            ("of.scale", &[1], &[shape.scale]),
            ("in.q", queries, &q),
            ("in.k", keys, &k),
            ("in.v", keys, &v),
            ("up.y", queries, &up),
            ("out.y", queries, &out),
            ("grad.q", queries, &dq),
            ("grad.k", keys, &dk),
            ("grad.v", keys, &dv),
        ])?;
    }
    Ok(())
}

pub(super) fn convolution(root: &str, machine: &mut Machine) -> Saved {
    const CHANNELS: usize = 50;
    let shape = ConvolutionShape {
        sequences: SEQUENCES,
        positions: POSITIONS,
        channels: CHANNELS,
    };
    machine.reserve(shape.scratch())?;
    let [x, up] = [1, 2].map(|seed| normal(seed, shape.values()));
    let weight = normal(3, 4 * CHANNELS);
    let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let mut dw = vec![0.0; weight.len()];
    causal_conv(machine, &shape, &x, &weight, &mut y);
    let to = ((&mut dx[..], Into::Set), (&mut dw[..], Into::Set));
    causal_conv_backward(machine, &shape, (&x, &weight), &up, to.0, to.1);
    let rows: &[usize] = &[SEQUENCES, POSITIONS, CHANNELS];
    Folder::of(root, "causal conv")?.save_all(&[
        ("in.x", rows, &x),
        ("in.weight", &[CHANNELS, 4], &weight),
        ("up.y", rows, &up),
        ("out.y", rows, &y),
        ("grad.x", rows, &dx),
        ("grad.weight", &[CHANNELS, 4], &dw),
    ])
}

pub(super) fn gates(root: &str, machine: &mut Machine) -> Saved {
    const HEADS: usize = 6;
    machine.reserve(delta_gates_scratch(TOKENS, HEADS))?;
    let len = TOKENS * HEADS;
    let [a, b, up_g, up_beta] = [1, 2, 3, 4].map(|seed| normal(seed, len));
    let (a_log, dt_bias) = (normal(5, HEADS), normal(6, HEADS));
    let gates = DeltaGates {
        a: &a,
        b: &b,
        a_log: &a_log,
        dt_bias: &dt_bias,
    };
    let (mut g, mut beta) = (vec![0.0; len], vec![0.0; len]);
    delta_gates(machine, &gates, &mut g, &mut beta);
    let mut to = [len, len, HEADS, HEADS].map(|len| vec![0.0; len]);
    let gradients = to.each_mut().map(|values| (&mut values[..], Into::Set));
    delta_gates_backward(machine, &gates, (&up_g, &up_beta), gradients);
    let [da, db, da_log, ddt_bias] = &to;
    let rows: &[usize] = &[TOKENS, HEADS];
    Folder::of(root, "delta gates")?.save_all(&[
        ("in.a", rows, &a),
        ("in.b", rows, &b),
        ("in.a_log", &[HEADS], &a_log),
        ("in.dt_bias", &[HEADS], &dt_bias),
        ("up.g", rows, &up_g),
        ("up.beta", rows, &up_beta),
        ("out.g", rows, &g),
        ("out.beta", rows, &beta),
        ("grad.a", rows, da),
        ("grad.b", rows, db),
        ("grad.a_log", &[HEADS], da_log),
        ("grad.dt_bias", &[HEADS], ddt_bias),
    ])
}

pub(super) fn delta(root: &str, machine: &mut Machine) -> Saved {
    let maps = [
        ("gated delta", HeadMap::Grouped),
        ("gated delta, tiled", HeadMap::Tiled),
    ];
    for (name, head_map) in maps {
        let shape = GatedDeltaShape {
            sequences: SEQUENCES,
            positions: POSITIONS,
            key_heads: 2,
            value_heads: 4,
            key_dim: 32,
            value_dim: 48,
            head_map,
        };
        machine.reserve(shape.scratch(machine.threads()))?;
        // Keys of about unit length, as their norm makes them.
        let unit = |seed| {
            normal(seed, shape.keys())
                .iter()
                .map(|x| x / 6.0)
                .collect::<Vec<_>>()
        };
        let (q, k) = (unit(1), unit(2));
        let (v, up) = (normal(3, shape.values()), normal(4, shape.values()));
        let (g, beta) = (
            uniform(5, shape.gates(), -1.5, 0.0),
            uniform(6, shape.gates(), 0.0, 1.0),
        );
        let inputs = GatedDelta {
            q: &q,
            k: &k,
            v: &v,
            log_decay: &g,
            beta: &beta,
        };
        let (mut y, mut kept) = (vec![0.0; v.len()], vec![0.0; shape.kept()]);
        gated_delta(machine, &shape, &inputs, &mut y, &mut kept);
        let lengths = [q.len(), k.len(), v.len(), g.len(), beta.len()];
        let mut to = lengths.map(|len| vec![0.0; len]);
        let gradients = to.each_mut().map(|values| (&mut values[..], Into::Set));
        gated_delta_backward(machine, &shape, &inputs, &kept, &up, gradients);
        let [dq, dk, dv, dg, dbeta] = &to;
        let keys: &[usize] = &[SEQUENCES, POSITIONS, shape.key_heads, shape.key_dim];
        let values: &[usize] = &[SEQUENCES, POSITIONS, shape.value_heads, shape.value_dim];
        let heads: &[usize] = &[SEQUENCES, POSITIONS, shape.value_heads];
        let tiled = f32::from(u8::from(head_map == HeadMap::Tiled));
        Folder::of(root, name)?.save_all(&[
            ("of.tiled", &[1], &[tiled]),
            ("in.q", keys, &q),
            ("in.k", keys, &k),
            ("in.v", values, &v),
            ("in.g", heads, &g),
            ("in.beta", heads, &beta),
            ("up.y", values, &up),
            ("out.y", values, &y),
            ("grad.q", keys, dq),
            ("grad.k", keys, dk),
            ("grad.v", values, dv),
            ("grad.g", heads, dg),
            ("grad.beta", heads, dbeta),
        ])?;
    }
    Ok(())
}
