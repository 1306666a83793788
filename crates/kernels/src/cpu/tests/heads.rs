//! Latent attention's nodes, as one model uses them: products into parts of rows and into heads, a norm of leading columns, products of
//! each head with a matrix of its own, and one key head that is also the value.

use ops::{Dtype, matmul, rms_norm};

use super::{EPS, Outputs, Pool, Session, VOCABULARY, packed, profile, project};
use crate::{
    Isa,
    fixture::{Table, assert_near, assert_same_bits, same_everywhere},
    program::{
        BufferId, Extent, HeadSpec, KvSpec, MatrixId, Node, Program, ProgramBuilder, Projection,
    },
};

const HIDDEN: usize = 64;
const HEADS: usize = 3;
/// Of a head: what is taken to the latents, and what passes.
const KEYS: usize = 64;
const REST: usize = 32;
const LATENTS: usize = 96;
const VALUES: usize = 32;
/// A cached row.
const WIDE: usize = LATENTS + REST;

struct Latent {
    program: Program,
    dtype: Dtype,
    weights: Vec<Vec<u8>>,
    norm: Vec<f32>,
    /// Stream, own queries, what passes, cached rows, queries, attended, values.
    ids: [BufferId; 7],
}

impl Latent {
    fn new(dtype: Dtype) -> Self {
        let mut b = ProgramBuilder::new(Box::new(Table::of(dtype, VOCABULARY, HIDDEN)));
        let x = b.buffer("x", HIDDEN, Extent::Tokens);
        let [keys, rest] = [("keys", KEYS), ("rest", REST)]
            .map(|(name, width)| b.buffer(name, width, Extent::Slots(HEADS)));
        let latents = b.buffer("latents", WIDE, Extent::Tokens);
        let q = b.buffer("q", HEADS * WIDE, Extent::Tokens);
        let attended = b.buffer("attended", WIDE, Extent::Slots(HEADS));
        let values = b.buffer("values", HEADS * VALUES, Extent::Tokens);
        let last = b.buffer("last", HEADS * VALUES, Extent::Outputs);
        let logits = b.buffer("logits", VOCABULARY, Extent::Outputs);
        let mut weights = Vec::new();
        let mut matrix = |b: &mut ProgramBuilder, rows, cols| -> MatrixId {
            let seed = 30 + weights.len() as u64;
            weights.push(ops::input::weights(seed, dtype, rows * cols));
            b.matrix(packed(dtype, rows, cols, &weights[weights.len() - 1]))
        };
        let to_keys = matrix(&mut b, HEADS * KEYS, HIDDEN);
        let to_rest = matrix(&mut b, HEADS * REST, HIDDEN);
        let [to_latents, to_shared] = [LATENTS, REST].map(|rows| matrix(&mut b, rows, HIDDEN));
        let absorb = matrix(&mut b, HEADS * LATENTS, KEYS);
        let expand = matrix(&mut b, HEADS * VALUES, LATENTS);
        let head = matrix(&mut b, VOCABULARY, HEADS * VALUES);
        let norm = ops::input::normal(20, LATENTS);
        let weight = b.vector(&norm).expect("memory");
        let cache = b.kv_cache(KvSpec {
            kv_heads: 1,
            head_dim: WIDE,
        });
        let mut push = |node| b.push("part", node).expect("shapes fit");
        push(Node::Embed { out: x, scale: 8.0 });
        let part = |matrix, column| Projection {
            column: Some(column),
            ..project(matrix, latents, false)
        };
        push(Node::MatMul {
            input: x,
            projections: vec![
                project(to_keys, keys, false),
                project(to_rest, rest, false),
                part(to_shared, LATENTS),
                part(to_latents, 0),
            ],
        });
        push(super::norm(latents, latents, weight, LATENTS));
        push(Node::HeadMatMul {
            input: keys,
            rest: Some(rest),
            out: q,
            heads: HEADS,
            matrix: absorb,
        });
        let spec = |buffer, count, scale| HeadSpec {
            buffer,
            count,
            norm: None,
            scale,
        };
        push(Node::Heads {
            q: spec(q, HEADS, 0.05),
            k: spec(latents, 1, 1.0),
            v: latents,
            head_dim: WIDE,
            eps: EPS,
            table: None,
            cache,
        });
        push(Node::Attention {
            q,
            out: attended,
            gate: None,
            cache,
            heads: HEADS,
            head_dim: WIDE,
            window: None,
            quantise: false,
        });
        push(Node::HeadMatMul {
            input: attended,
            rest: None,
            out: values,
            heads: HEADS,
            matrix: expand,
        });
        push(Node::SelectOutputs {
            input: values,
            out: last,
        });
        push(Node::MatMul {
            input: last,
            projections: vec![project(head, logits, false)],
        });
        let ids = [x, keys, rest, latents, q, attended, values];
        Self {
            program: b.finish(logits).expect("rows per output"),
            dtype,
            weights,
            norm,
            ids,
        }
    }

    /// [`products`] with the parts of matrix `which`.
    fn product(
        &self,
        which: usize,
        parts: usize,
        x: &[f32],
        dims: (usize, usize, usize),
    ) -> Vec<f64> {
        let weights = (self.dtype, &self.weights[which][..]);
        products(&self.program, which, weights, parts, x, dims)
    }

    /// The heads' products and the norm against their references over what they read.
    fn check(&self, session: &Session, tokens: usize) {
        let [x, keys, rest, latents, q, attended, values] = self.ids.map(|id| {
            let rows = self.program.buffer(id).extent.rows(tokens, tokens);
            session.held(&self.program, id, rows)
        });
        let what = format!("{} {tokens} tokens", self.dtype);
        let mut want = Vec::new();
        let absorbed = self.product(4, HEADS, &keys, (KEYS, KEYS, LATENTS));
        for (absorbed, rest) in absorbed.chunks_exact(LATENTS).zip(rest.chunks_exact(REST)) {
            want.extend(absorbed.iter().map(|x| 0.05 * x));
            want.extend(rest.iter().map(|&x| 0.05 * f64::from(x)));
        }
        assert_near(&q, &want, matmul::TOLERANCE, &what);
        let want = self.product(5, HEADS, &attended, (WIDE, LATENTS, VALUES));
        assert_near(&values, &want, matmul::TOLERANCE, &what);
        let shape = rms_norm::Shape {
            rows: tokens,
            width: LATENTS,
            eps: EPS,
        };
        let plain: Vec<f32> = self
            .product(2, 1, &x, (HIDDEN, HIDDEN, LATENTS))
            .iter()
            .map(|&y| y as f32)
            .collect();
        let normed = rms_norm::reference(&shape, &plain, &self.norm);
        let shared = self.product(3, 1, &x, (HIDDEN, HIDDEN, REST));
        let rows = normed.chunks_exact(LATENTS).zip(shared.chunks_exact(REST));
        let want: Vec<f64> = rows.flat_map(|(a, b)| [a, b].concat()).collect();
        assert_near(&latents, &want, matmul::TOLERANCE, &what);
    }
}

/// Products of rows of `width`, of which the first `cols` columns count, with the parts of the program's matrix `which`, in turn.
pub(super) fn products(
    program: &Program,
    which: usize,
    (dtype, weights): (Dtype, &[u8]),
    parts: usize,
    x: &[f32],
    (width, cols, rows): (usize, usize, usize),
) -> Vec<f64> {
    let shape = matmul::Shape {
        tokens: 1,
        inputs: cols,
        outputs: rows,
        dtype,
    };
    let reference = match program.matrix(MatrixId(which)).is_integer() {
        true => matmul::reference_int8,
        false => matmul::reference,
    };
    let part = weights.len() / parts;
    let heads = x.chunks_exact(width).enumerate();
    heads
        .flat_map(|(slot, x)| {
            let weights = &weights[slot % parts * part..][..part];
            reference(&shape, weights, &x[..cols]).expect("valid weights")
        })
        .collect()
}

fn run(model: &Latent, (isa, pool): (Isa, &Pool), tokens: &[u32], chunk: usize) -> Vec<f32> {
    let mut session = Session::new(
        &model.program,
        profile(isa, pool.threads()),
        chunk,
        tokens.len(),
    );
    let mut all = Vec::new();
    for tokens in tokens.chunks(chunk) {
        session
            .step(&model.program, pool, tokens, Outputs::All)
            .expect("a step that fits");
        all.extend(session.logits());
        if isa == Isa::detect() {
            model.check(&session, tokens.len());
        }
    }
    all
}

#[test]
fn heads_have_matrices_of_their_own_and_cuts_do_not_matter() {
    let tokens: Vec<u32> = (0..21).map(|i| i * 7 % VOCABULARY as u32).collect();
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::Q8_0, Dtype::Q4_0] {
        let model = Latent::new(dtype);
        let whole = same_everywhere(&format!("{dtype}"), |isa, pool| {
            run(&model, (isa, pool), &tokens, 21)
        });
        for chunk in [1, 2, 8] {
            same_everywhere(&format!("{dtype} by {chunk}"), |isa, pool| {
                let got = run(&model, (isa, pool), &tokens, chunk);
                assert_same_bits(&got, &whole, &format!("{dtype} in steps of {chunk}"));
                got
            });
        }
    }
}
