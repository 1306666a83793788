//! Every operation of training once, forward and backward, on seeded inputs: what `bench/torch_ops.py` holds against PyTorch's autograd.
//!
//! Writes `FOLDER/OPERATION/KIND.NAME.SHAPE.f32` for each tensor: little-endian f32, the shape as in `2x70x64`. Kinds: `in` (an operand that
//! has a gradient), `of` (a constant, a token), `up` (the gradient of a result), `out` (a result), `grad` (an operand's gradient).
//!
//! ```text
//! cargo run --release -p kernels --example training_ops -- FOLDER
//! ```

mod mixers;

use std::{error::Error, fs, path::PathBuf};

use kernels::training::{
    Angles, GatedNormKept, Gradients, IGNORED, Into, Kept, L2Norm, Machine, Matrix, MatrixMut,
    Precision, Prediction, Turn, cross_entropy, cross_entropy_logits, embed, embed_backward,
    gated_norm, gated_norm_backward, gated_norm_scratch, gemm, l2_norm, l2_norm_backward, rms_norm,
    rms_norm_backward, rms_norm_scratch, rope, sigmoid_gate, sigmoid_gate_backward, squared_relu,
    squared_relu_backward, swiglu, swiglu_backward,
};
use ops::input::normal;

/// Sequences and tokens of each: more than two chunks of the delta rule and one piece of a sum over tokens, neither of them whole.
const SEQUENCES: usize = 2;
const POSITIONS: usize = 70;
const TOKENS: usize = SEQUENCES * POSITIONS;

type Saved = Result<(), Box<dyn Error>>;

/// One operation's folder.
struct Folder(PathBuf);

impl Folder {
    fn of(root: &str, operation: &str) -> Result<Self, std::io::Error> {
        let path = PathBuf::from(root).join(operation);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn save(&self, name: &str, shape: &[usize], values: &[f32]) -> Saved {
        let elements: usize = shape.iter().product();
        if elements != values.len() {
            return Err(format!("{name}: {} values, not {shape:?}", values.len()).into());
        }
        let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(
            self.0.join(format!("{name}.{}.f32", shape.join("x"))),
            bytes,
        )?;
        Ok(())
    }

    fn save_all(&self, tensors: &[(&str, &[usize], &[f32])]) -> Saved {
        tensors
            .iter()
            .try_for_each(|(name, shape, values)| self.save(name, shape, values))
    }
}

fn products(root: &str, machine: &Machine) -> Saved {
    const M: usize = 50;
    const K: usize = 437;
    const N: usize = 45;
    let (a, b, up) = (normal(1, M * K), normal(2, K * N), normal(3, M * N));
    let (mut c, mut da, mut db) = (vec![0.0; M * N], vec![0.0; M * K], vec![0.0; K * N]);
    let (of_a, of_b) = (Matrix::of(&a, M, K), Matrix::of(&b, K, N));
    let of_up = Matrix::of(&up, M, N);
    let set = Into::Set;
    gemm(
        machine,
        Precision::F32,
        of_a,
        of_b,
        set,
        MatrixMut::of(&mut c, M, N),
    );
    gemm(
        machine,
        Precision::F32,
        of_up,
        of_b.transposed(),
        set,
        MatrixMut::of(&mut da, M, K),
    );
    gemm(
        machine,
        Precision::F32,
        of_a.transposed(),
        of_up,
        set,
        MatrixMut::of(&mut db, K, N),
    );
    Folder::of(root, "gemm")?.save_all(&[
        ("in.a", &[M, K], &a),
        ("in.b", &[K, N], &b),
        ("up.c", &[M, N], &up),
        ("out.c", &[M, N], &c),
        ("grad.a", &[M, K], &da),
        ("grad.b", &[K, N], &db),
    ])
}

fn losses(root: &str, machine: &Machine) -> Saved {
    const WIDTH: usize = 48;
    const VOCABULARY: usize = 130;
    for (name, soft_cap) in [
        ("cross entropy", None),
        ("cross entropy, soft cap", Some(5.0)),
    ] {
        let (hidden, weights) = (normal(1, TOKENS * WIDTH), normal(2, VOCABULARY * WIDTH));
        // Every seventh does not count.
        let target = |i: usize| {
            if i % 7 == 3 {
                IGNORED
            } else {
                (i * 7919 % VOCABULARY) as u32
            }
        };
        let targets: Vec<u32> = (0..TOKENS).map(target).collect();
        let counted = targets.iter().filter(|&&target| target != IGNORED).count();
        let prediction = Prediction {
            hidden: &hidden,
            weights: &weights,
            targets: &targets,
            soft_cap,
            precision: Precision::F32,
        };
        let mut logits = vec![0.0; cross_entropy_logits(VOCABULARY, TOKENS)];
        let mut losses = vec![0.0; TOKENS];
        let (mut d_hidden, mut d_weights) = (vec![0.0; hidden.len()], vec![0.0; weights.len()]);
        let gradients = Gradients {
            hidden: (&mut d_hidden, Into::Set),
            weights: (&mut d_weights, Into::Set),
        };
        cross_entropy(
            machine,
            &prediction,
            1.0,
            &mut logits,
            &mut losses,
            Some(gradients),
        );
        let said = |&target: &u32| {
            if target == IGNORED {
                -1.0
            } else {
                target as f32
            }
        };
        let targets: Vec<f32> = targets.iter().map(said).collect();
        Folder::of(root, name)?.save_all(&[
            ("of.targets", &[TOKENS], &targets),
            ("of.soft_cap", &[1], &[soft_cap.unwrap_or(0.0)]),
            ("in.hidden", &[TOKENS, WIDTH], &hidden),
            ("in.weights", &[VOCABULARY, WIDTH], &weights),
            ("up.losses", &[TOKENS], &vec![1.0 / counted as f32; TOKENS]),
            ("out.losses", &[TOKENS], &losses),
            ("grad.hidden", &[TOKENS, WIDTH], &d_hidden),
            ("grad.weights", &[VOCABULARY, WIDTH], &d_weights),
        ])?;
    }
    Ok(())
}

fn norms(root: &str, machine: &mut Machine) -> Saved {
    const ROWS: usize = 130;
    const WIDTH: usize = 70;
    const EPS: f32 = 1e-6;
    machine.reserve(rms_norm_scratch(ROWS, WIDTH).max(gated_norm_scratch(ROWS, WIDTH)))?;
    let machine = &*machine;
    let shape: &[usize] = &[ROWS, WIDTH];
    let [x, z, up] = [1, 2, 3].map(|seed| normal(seed, ROWS * WIDTH));
    let weight = normal(4, WIDTH);
    let zeros = || vec![0.0; ROWS * WIDTH];
    let (mut y, mut dx, mut dz) = (zeros(), zeros(), zeros());
    let (mut inverse, mut dw) = (vec![0.0; ROWS], vec![0.0; WIDTH]);

    rms_norm(machine, &x, &weight, EPS, &mut y, &mut inverse);
    let kept = Kept {
        x: &x,
        weight: &weight,
        inverse: &inverse,
    };
    rms_norm_backward(
        machine,
        kept,
        &up,
        (&mut dx, Into::Set),
        (&mut dw, Into::Set),
    );
    Folder::of(root, "rms norm")?.save_all(&[
        ("of.eps", &[1], &[EPS]),
        ("in.x", shape, &x),
        ("in.weight", &[WIDTH], &weight),
        ("up.y", shape, &up),
        ("out.y", shape, &y),
        ("grad.x", shape, &dx),
        ("grad.weight", &[WIDTH], &dw),
    ])?;

    let norm = L2Norm {
        head_dim: WIDTH,
        eps: EPS,
        scale: 0.5,
    };
    l2_norm(machine, &norm, &x, &mut y, &mut inverse);
    l2_norm_backward(machine, &norm, (&x, &inverse), &up, (&mut dx, Into::Set));
    Folder::of(root, "l2 norm")?.save_all(&[
        ("of.eps", &[1], &[EPS]),
        ("of.scale", &[1], &[norm.scale]),
        ("in.x", shape, &x),
        ("up.y", shape, &up),
        ("out.y", shape, &y),
        ("grad.x", shape, &dx),
    ])?;

    gated_norm(machine, (&x, &z), &weight, EPS, &mut y, &mut inverse);
    let kept = GatedNormKept {
        x: &x,
        z: &z,
        weight: &weight,
        inverse: &inverse,
    };
    let to = ((&mut dx[..], Into::Set), (&mut dz[..], Into::Set));
    gated_norm_backward(machine, kept, &up, to.0, to.1, (&mut dw, Into::Set));
    Folder::of(root, "gated norm")?.save_all(&[
        ("of.eps", &[1], &[EPS]),
        ("in.x", shape, &x),
        ("in.z", shape, &z),
        ("in.weight", &[WIDTH], &weight),
        ("up.y", shape, &up),
        ("out.y", shape, &y),
        ("grad.x", shape, &dx),
        ("grad.z", shape, &dz),
        ("grad.weight", &[WIDTH], &dw),
    ])
}

fn tables(root: &str, machine: &Machine) -> Saved {
    const WIDTH: usize = 50;
    const VOCABULARY: usize = 40;
    let tokens: Vec<u32> = (0..TOKENS).map(|i| (i * 31 % VOCABULARY) as u32).collect();
    let (table, up) = (normal(1, VOCABULARY * WIDTH), normal(2, TOKENS * WIDTH));
    let (mut y, mut d_table) = (vec![0.0; up.len()], vec![0.0; table.len()]);
    embed(machine, &table, WIDTH, &tokens, &mut y);
    embed_backward(machine, WIDTH, &tokens, &up, (&mut d_table, Into::Set));
    let tokens: Vec<f32> = tokens.iter().map(|&token| token as f32).collect();
    Folder::of(root, "embed")?.save_all(&[
        ("of.tokens", &[TOKENS], &tokens),
        ("in.table", &[VOCABULARY, WIDTH], &table),
        ("up.y", &[TOKENS, WIDTH], &up),
        ("out.y", &[TOKENS, WIDTH], &y),
        ("grad.table", &[VOCABULARY, WIDTH], &d_table),
    ])?;

    const HEADS: usize = 3;
    const DIM: usize = 32;
    const ROTATED: usize = 24;
    let angles = Angles::new(POSITIONS, ROTATED, 1e4);
    let (x, up) = (
        normal(3, TOKENS * HEADS * DIM),
        normal(4, TOKENS * HEADS * DIM),
    );
    let (mut y, mut dx) = (x.clone(), up.clone());
    rope(machine, &angles, DIM, HEADS, Turn::Forward, &mut y);
    rope(machine, &angles, DIM, HEADS, Turn::Back, &mut dx);
    let shape: &[usize] = &[SEQUENCES, POSITIONS, HEADS, DIM];
    Folder::of(root, "rope")?.save_all(&[
        ("of.rotated", &[1], &[ROTATED as f32]),
        ("of.base", &[1], &[1e4]),
        ("in.x", shape, &x),
        ("up.y", shape, &up),
        ("out.y", shape, &y),
        ("grad.x", shape, &dx),
    ])
}

fn pointwise(root: &str, machine: &Machine) -> Saved {
    const LEN: usize = 5003;
    let [a, b, up] = [1, 2, 3].map(|seed| normal(seed, LEN));
    let (mut y, mut da, mut db) = (vec![0.0; LEN], vec![0.0; LEN], vec![0.0; LEN]);
    swiglu(machine, &a, &b, &mut y);
    swiglu_backward(
        machine,
        &a,
        &b,
        &up,
        (&mut da, Into::Set),
        (&mut db, Into::Set),
    );
    let save = |name: &str, y: &[f32], gradients: &[(&str, &[usize], &[f32])]| -> Saved {
        let folder = Folder::of(root, name)?;
        let both: [(&str, &[usize], &[f32]); 2] = [("in.a", &[LEN], &a), ("in.b", &[LEN], &b)];
        folder.save_all(&both[..gradients.len()])?;
        folder.save_all(&[("up.y", &[LEN], &up), ("out.y", &[LEN], y)])?;
        folder.save_all(gradients)
    };
    save(
        "swiglu",
        &y,
        &[("grad.a", &[LEN], &da), ("grad.b", &[LEN], &db)],
    )?;
    sigmoid_gate(machine, &a, &b, &mut y);
    sigmoid_gate_backward(
        machine,
        &a,
        &b,
        &up,
        (&mut da, Into::Set),
        (&mut db, Into::Set),
    );
    save(
        "sigmoid gate",
        &y,
        &[("grad.a", &[LEN], &da), ("grad.b", &[LEN], &db)],
    )?;
    squared_relu(machine, &a, &mut y);
    squared_relu_backward(machine, &a, &up, (&mut da, Into::Set));
    save("squared relu", &y, &[("grad.a", &[LEN], &da)])
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args()
        .nth(1)
        .ok_or("usage: training_ops FOLDER")?;
    let mut machine = Machine::new(2)?;
    products(&root, &machine)?;
    mixers::attentions(&root, &mut machine)?;
    losses(&root, &machine)?;
    norms(&root, &mut machine)?;
    tables(&root, &machine)?;
    pointwise(&root, &machine)?;
    mixers::convolution(&root, &mut machine)?;
    mixers::gates(&root, &mut machine)?;
    mixers::delta(&root, &mut machine)
}
