//! How long each operation of training takes on two threads (or as many as the first argument says), at 8 sequences of 256 tokens, width 384
//! in 6 heads of 64, hidden 1024 and a vocabulary of 256: the median and the fastest of some runs, and GFLOP/s of products or GB/s of the rest.
//! A second argument leaves out the operations whose name does not contain it.

use std::time::Instant;

use kernels::training::{
    AdamW, Angles, AttentionKept, AttentionShape, ConvolutionShape, DeltaGates, GatedDelta,
    GatedDeltaShape, GatedNormKept, Gradients, Into, Kept, L2Norm, Machine, Matrix, MatrixMut,
    Precision, Prediction, Turn, adamw, add, attention, attention_backward, causal_conv,
    causal_conv_backward, cross_entropy, cross_entropy_logits, delta_gates, delta_gates_backward,
    delta_gates_scratch, embed, embed_backward, gated_delta, gated_delta_backward, gated_norm,
    gated_norm_backward, gated_norm_scratch, gemm, l2_norm, l2_norm_backward, rms_norm,
    rms_norm_backward, rms_norm_scratch, rope, sigmoid_gate, sigmoid_gate_backward, squared_relu,
    squared_relu_backward, sum_of_squares, swiglu, swiglu_backward,
};
use ops::{gated_delta::HeadMap, input::normal};

const SEQUENCES: usize = 8;
const POSITIONS: usize = 256;
const TOKENS: usize = SEQUENCES * POSITIONS;
const WIDTH: usize = 384;
const HEADS: usize = 6;
const HEAD_DIM: usize = 64;
const HIDDEN: usize = 1024;
const VOCABULARY: usize = 256;
const VALUES: usize = TOKENS * WIDTH;
const RUNS: usize = 25;

/// What a call is measured by.
enum Work {
    Flops(usize),
    /// f32 read and written.
    Numbers(usize),
}

fn time(name: &str, work: &Work, mut run: impl FnMut()) {
    if std::env::args()
        .nth(2)
        .is_some_and(|part| !name.contains(&part))
    {
        return;
    }
    run();
    let mut seconds = [(); RUNS].map(|()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    seconds.sort_by(f64::total_cmp);
    let (median, best) = (seconds[RUNS / 2], seconds[0]);
    let (rate, unit) = match *work {
        Work::Flops(flops) => (flops as f64 / median / 1e9, "GFLOP/s"),
        Work::Numbers(numbers) => (4.0 * numbers as f64 / median / 1e9, "GB/s"),
    };
    eprintln!(
        "{name:<28} {:8.3} ms, {:8.3} at best, {rate:7.1} {unit}",
        median * 1e3,
        best * 1e3
    );
}

fn products(machine: &Machine) {
    for (name, inputs, outputs) in [
        ("width to width", WIDTH, WIDTH),
        ("width to hidden", WIDTH, HIDDEN),
        ("hidden to width", HIDDEN, WIDTH),
    ] {
        let (x, w) = (normal(1, TOKENS * inputs), normal(2, outputs * inputs));
        let mut y = vec![0.0; TOKENS * outputs];
        let work = Work::Flops(2 * TOKENS * inputs * outputs);
        time(name, &work, || {
            let (x, w) = (
                Matrix::of(&x, TOKENS, inputs),
                Matrix::of(&w, outputs, inputs),
            );
            let out = MatrixMut::of(&mut y, TOKENS, outputs);
            gemm(machine, Precision::F32, x, w.transposed(), Into::Set, out);
        });
    }
}

fn pointwise(machine: &Machine) {
    let len = TOKENS * HIDDEN;
    let (a, b, d) = (normal(1, len), normal(2, len), normal(3, len));
    let (mut x, mut y) = (vec![0.0; len], vec![0.0; len]);
    time("add, hidden", &Work::Numbers(3 * len), || {
        add(machine, &a, &b, &mut x)
    });
    time("swiglu", &Work::Numbers(3 * len), || {
        swiglu(machine, &a, &b, &mut x)
    });
    time("swiglu backward", &Work::Numbers(5 * len), || {
        swiglu_backward(
            machine,
            &a,
            &b,
            &d,
            (&mut x, Into::Set),
            (&mut y, Into::Set),
        );
    });
    time("squared relu", &Work::Numbers(2 * len), || {
        squared_relu(machine, &a, &mut x)
    });
    time("squared relu backward", &Work::Numbers(3 * len), || {
        squared_relu_backward(machine, &a, &d, (&mut x, Into::Set));
    });
    let [a, b, d] = [&a, &b, &d].map(|values| &values[..VALUES]);
    let (x, y) = (&mut x[..VALUES], &mut y[..VALUES]);
    time("sigmoid gate", &Work::Numbers(3 * VALUES), || {
        sigmoid_gate(machine, a, b, x)
    });
    time("sigmoid gate backward", &Work::Numbers(5 * VALUES), || {
        sigmoid_gate_backward(machine, a, b, d, (x, Into::Set), (y, Into::Set));
    });
}

fn norms(machine: &Machine) {
    let (x, z, d) = (normal(1, VALUES), normal(2, VALUES), normal(3, VALUES));
    let (mut y, mut w) = (vec![0.0; VALUES], vec![0.0; VALUES]);
    for (name, width) in [("rms norm", WIDTH), ("rms norm of heads", HEAD_DIM)] {
        let weight = normal(4, width);
        let (mut inverse, mut d_weight) = (vec![0.0; VALUES / width], vec![0.0; width]);
        time(name, &Work::Numbers(2 * VALUES), || {
            rms_norm(machine, &x, &weight, 1e-6, &mut y, &mut inverse)
        });
        let kept = Kept {
            x: &x,
            weight: &weight,
            inverse: &inverse,
        };
        time(
            &format!("{name} backward"),
            &Work::Numbers(3 * VALUES),
            || {
                rms_norm_backward(
                    machine,
                    kept,
                    &d,
                    (&mut y, Into::Set),
                    (&mut d_weight, Into::Set),
                );
            },
        );
    }
    let mut inverse = vec![0.0; TOKENS * HEADS];
    let norm = L2Norm {
        head_dim: HEAD_DIM,
        eps: 1e-6,
        scale: 1.0,
    };
    time("l2 norm", &Work::Numbers(2 * VALUES), || {
        l2_norm(machine, &norm, &x, &mut y, &mut inverse)
    });
    time("l2 norm backward", &Work::Numbers(3 * VALUES), || {
        l2_norm_backward(machine, &norm, (&x, &inverse), &d, (&mut y, Into::Set));
    });
    let weight = normal(4, HEAD_DIM);
    time("gated norm", &Work::Numbers(3 * VALUES), || {
        gated_norm(machine, (&x, &z), &weight, 1e-6, &mut y, &mut inverse);
    });
    let mut d_weight = vec![0.0; HEAD_DIM];
    let kept = GatedNormKept {
        x: &x,
        z: &z,
        weight: &weight,
        inverse: &inverse,
    };
    time("gated norm backward", &Work::Numbers(5 * VALUES), || {
        let to = ((&mut y[..], Into::Set), (&mut w[..], Into::Set));
        gated_norm_backward(machine, kept, &d, to.0, to.1, (&mut d_weight, Into::Set));
    });
}

fn tables(machine: &Machine) {
    let tokens: Vec<u32> = (0..TOKENS).map(|i| (i * 7919 % 251) as u32).collect();
    let (mut table, mut x) = (normal(1, VOCABULARY * WIDTH), normal(2, VALUES));
    time("embed", &Work::Numbers(2 * VALUES), || {
        embed(machine, &table, WIDTH, &tokens, &mut x)
    });
    time("embed backward", &Work::Numbers(VALUES), || {
        embed_backward(machine, WIDTH, &tokens, &x, (&mut table, Into::Set));
    });
    let angles = Angles::new(POSITIONS, HEAD_DIM, 1e4);
    time("rope", &Work::Numbers(2 * VALUES), || {
        rope(machine, &angles, HEAD_DIM, HEADS, Turn::Forward, &mut x)
    });
    let (hidden, weights) = (normal(1, VALUES), normal(2, VOCABULARY * WIDTH));
    let prediction = Prediction {
        hidden: &hidden,
        weights: &weights,
        targets: &tokens,
        soft_cap: None,
        precision: Precision::F32,
    };
    let (mut logits, mut losses) = (
        vec![0.0; cross_entropy_logits(VOCABULARY, TOKENS)],
        vec![0.0; TOKENS],
    );
    time(
        "cross entropy, gradients",
        &Work::Flops(6 * VALUES * VOCABULARY),
        || {
            let gradients = Gradients {
                hidden: (&mut x, Into::Set),
                weights: (&mut table, Into::Set),
            };
            cross_entropy(
                machine,
                &prediction,
                1.0,
                &mut logits,
                &mut losses,
                Some(gradients),
            );
        },
    );
}

fn optimiser(machine: &Machine) {
    let len = 12 * WIDTH * WIDTH;
    let gradient = normal(1, len);
    let (mut parameters, mut mean, mut square) = (normal(2, len), vec![0.0; len], vec![0.0; len]);
    let step = AdamW {
        rate: 1e-4,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        decay: 0.1,
        step: 10,
        gradient_scale: 1.0,
    };
    time("adamw", &Work::Numbers(7 * len), || {
        adamw(
            machine,
            &step,
            &mut parameters,
            &gradient,
            &mut mean,
            &mut square,
        )
    });
    let mut sum = 0.0;
    time("sum of squares", &Work::Numbers(len), || {
        sum += sum_of_squares(machine, &gradient)
    });
}

fn attentions(machine: &mut Machine) -> Result<(), kernels::memory::OutOfMemory> {
    for (name, window) in [("attention", None), ("attention, window 64", Some(64))] {
        let shape = AttentionShape {
            sequences: SEQUENCES,
            positions: POSITIONS,
            heads: HEADS,
            kv_heads: HEADS,
            head_dim: HEAD_DIM,
            window,
            scale: 0.125,
        };
        machine.reserve(shape.scratch(machine.threads()))?;
        let [q, k, v, d] = [1, 2, 3, 4].map(|seed| normal(seed, VALUES));
        let (mut out, mut log_sums) = (vec![0.0; VALUES], vec![0.0; shape.log_sums()]);
        let pairs: usize = (0..POSITIONS)
            .map(|i| window.unwrap_or(POSITIONS).min(i + 1))
            .sum();
        let flops = 2 * pairs * SEQUENCES * WIDTH;
        time(name, &Work::Flops(2 * flops), || {
            attention(machine, &shape, (&q, &k, &v), &mut out, &mut log_sums)
        });
        let kept = AttentionKept {
            operands: (&q, &k, &v),
            out: &out,
            log_sums: &log_sums,
        };
        let mut gradients = [(); 3].map(|()| vec![0.0; VALUES]);
        time(&format!("{name} backward"), &Work::Flops(5 * flops), || {
            let to = gradients
                .each_mut()
                .map(|values| (&mut values[..], Into::Set));
            attention_backward(machine, &shape, &kept, &d, to);
        });
    }
    Ok(())
}

fn convolutions(machine: &mut Machine) -> Result<(), kernels::memory::OutOfMemory> {
    for (name, channels) in [("causal conv", WIDTH), ("causal conv, q k v", 3 * WIDTH)] {
        let shape = ConvolutionShape {
            sequences: SEQUENCES,
            positions: POSITIONS,
            channels,
        };
        let values = shape.values();
        machine.reserve(shape.scratch())?;
        let (x, weight, d) = (
            normal(1, values),
            normal(2, 4 * channels),
            normal(3, values),
        );
        let (mut y, mut d_weight) = (vec![0.0; values], vec![0.0; weight.len()]);
        time(name, &Work::Numbers(2 * values), || {
            causal_conv(machine, &shape, &x, &weight, &mut y);
        });
        time(
            &format!("{name} backward"),
            &Work::Numbers(3 * values),
            || {
                let to = ((&mut y[..], Into::Set), (&mut d_weight[..], Into::Set));
                causal_conv_backward(machine, &shape, (&x, &weight), &d, to.0, to.1);
            },
        );
    }
    Ok(())
}

fn delta(machine: &mut Machine) -> Result<(), kernels::memory::OutOfMemory> {
    let shape = GatedDeltaShape {
        sequences: SEQUENCES,
        positions: POSITIONS,
        key_heads: HEADS,
        value_heads: HEADS,
        key_dim: HEAD_DIM,
        value_dim: HEAD_DIM,
        head_map: HeadMap::Grouped,
    };
    machine.reserve(shape.scratch(machine.threads()))?;
    let gates = shape.gates();
    let (a, b, a_log, dt_bias) = (
        normal(1, gates),
        normal(2, gates),
        normal(3, HEADS),
        normal(4, HEADS),
    );
    let of = DeltaGates {
        a: &a,
        b: &b,
        a_log: &a_log,
        dt_bias: &dt_bias,
    };
    let (mut log_decay, mut beta) = (vec![0.0; gates], vec![0.0; gates]);
    time("delta gates", &Work::Numbers(4 * gates), || {
        delta_gates(machine, &of, &mut log_decay, &mut beta)
    });
    let mut to = [gates, gates, HEADS, HEADS].map(|len| vec![0.0; len]);
    time("delta gates backward", &Work::Numbers(6 * gates), || {
        let to = to.each_mut().map(|values| (&mut values[..], Into::Set));
        delta_gates_backward(machine, &of, (&a, &b), to);
    });
    let [q, k] = [5, 6].map(|seed| {
        normal(seed, VALUES)
            .iter()
            .map(|x| 0.125 * x)
            .collect::<Vec<f32>>()
    });
    let [v, d] = [7, 8].map(|seed| normal(seed, VALUES));
    let inputs = GatedDelta {
        q: &q,
        k: &k,
        v: &v,
        log_decay: &log_decay,
        beta: &beta,
    };
    let (mut out, mut kept) = (vec![0.0; VALUES], vec![0.0; shape.kept()]);
    // As the recurrence counts: three products of a state and a vector, forwards; six, backwards.
    let flops = 2 * TOKENS * HEADS * HEAD_DIM * HEAD_DIM;
    time("gated delta", &Work::Flops(3 * flops), || {
        gated_delta(machine, &shape, &inputs, &mut out, &mut kept)
    });
    let lengths = [VALUES, VALUES, VALUES, gates, gates];
    let mut gradients = lengths.map(|len| vec![0.0; len]);
    time("gated delta backward", &Work::Flops(6 * flops), || {
        let to = gradients
            .each_mut()
            .map(|values| (&mut values[..], Into::Set));
        gated_delta_backward(machine, &shape, &inputs, &kept, &d, to);
    });
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args()
        .nth(1)
        .map_or(Ok(2), |threads| threads.parse())?;
    let mut machine = Machine::new(threads)?;
    machine.reserve(rms_norm_scratch(TOKENS * HEADS, HEAD_DIM))?;
    machine.reserve(gated_norm_scratch(TOKENS * HEADS, HEAD_DIM))?;
    machine.reserve(delta_gates_scratch(TOKENS, HEADS))?;
    eprintln!("{} threads, {}", machine.threads(), machine.isa().name());
    delta(&mut machine)?;
    convolutions(&mut machine)?;
    attentions(&mut machine)?;
    products(&machine);
    pointwise(&machine);
    norms(&machine);
    tables(&machine);
    optimiser(&machine);
    Ok(())
}
