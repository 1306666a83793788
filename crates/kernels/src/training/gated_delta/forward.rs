//! The forward pass: chunk after chunk, a key head's products once for all its value heads.

use super::{
    CHUNK, GatedDelta, GatedDeltaShape, Rows,
    chunk::{by_channel, solve},
    gates::{Gates, Squares},
    products::{Left, Part, Products, Size, Start},
};
use crate::{
    simd::{Isa, Kernel, LANES, Simd, dispatch_floats},
    training::{
        Machine,
        shared::{Pieces, Shared},
    },
};

/// Writes the rule's outputs, and what the backward pass needs of it.
///
/// # Shape
/// `out` as `v`; `kept` has [`GatedDeltaShape::kept`] f32.
///
/// # Panics
/// When a slice does not fit, or [`GatedDeltaShape::scratch`] was not reserved.
pub fn gated_delta(
    machine: &Machine,
    shape: &GatedDeltaShape,
    inputs: &GatedDelta<'_>,
    out: &mut [f32],
    kept: &mut [f32],
) {
    shape.check(inputs);
    assert_eq!(out.len(), shape.values(), "out");
    assert_eq!(kept.len(), shape.kept(), "what is kept");
    let mut scratch = machine.scratch(shape.scratch(machine.threads()));
    let scratch = Shared::of(scratch.as_mut_slice());
    let GatedDelta {
        q,
        k,
        v,
        log_decay,
        beta,
    } = *inputs;
    let read = [q, k, v, log_decay, beta].map(Shared::read);
    let (out, kept) = (Shared::of(out), Shared::of(kept));
    machine.pool.run(|team| {
        team.deal(0, shape.sequences * shape.key_heads, 1, |items| {
            for item in items {
                let forward = Forward {
                    shape,
                    read,
                    out,
                    kept,
                    scratch: scratch.at(team.index * shape.scratch_of_thread()),
                    isa: machine.isa,
                    sequence: item / shape.key_heads,
                    key_head: item % shape.key_heads,
                };
                // SAFETY: the lengths were checked; heads are disjoint; the processor has the set.
                unsafe { dispatch_floats(machine.isa, forward) }
            }
        });
    });
}

struct Forward<'a> {
    shape: &'a GatedDeltaShape,
    /// Queries, keys, values, logarithms of decays, beta.
    read: [Shared; 5],
    out: Shared,
    kept: Shared,
    scratch: *mut f32,
    isa: Isa,
    sequence: usize,
    key_head: usize,
}

/// A thread's working memory.
struct Buffers {
    squares: Squares,
    /// By channel.
    keys: Rows,
    queries: Rows,
    /// R, then D, then F D.
    corrections: Rows,
    /// Q S, and the result where the chunk is short.
    outputs: Rows,
}

impl Buffers {
    fn of(shape: &GatedDeltaShape, scratch: *mut f32) -> Self {
        let mut pieces = Pieces(scratch);
        let (keys, values) = (shape.key_dim * CHUNK, shape.value_dim * CHUNK);
        Self {
            squares: Squares::of(&mut pieces),
            keys: Rows::of(pieces.take(keys + LANES), CHUNK),
            queries: Rows::of(pieces.take(keys + LANES), CHUNK),
            corrections: Rows::of(pieces.take(values), shape.value_dim),
            outputs: Rows::of(pieces.take(values), shape.value_dim),
        }
    }
}

impl Kernel for Forward<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let shape = self.shape;
        let buffers = Buffers::of(shape, self.scratch);
        let [q, k, ..] = self.read;
        let q = shape.key_rows(q, self.sequence, self.key_head);
        let k = shape.key_rows(k, self.sequence, self.key_head);
        let mut products = Products::on(self.isa);
        for chunk in 0..shape.chunks() {
            let first = chunk * CHUNK;
            let count = CHUNK.min(shape.positions - first);
            // SAFETY: the contract of `gated_delta`: the chunk's tokens exist, and buffers have room.
            unsafe {
                by_channel::<S>(k.from(first), count, shape.key_dim, buffers.keys.at);
                by_channel::<S>(q.from(first), count, shape.key_dim, buffers.queries.at);
                products.begin();
                if chunk + 1 < shape.chunks() {
                    products.will_need(k.from(first + CHUNK), shape.key_dim);
                    products.will_need(q.from(first + CHUNK), shape.key_dim);
                }
                let operands = (buffers.keys, buffers.queries);
                buffers
                    .squares
                    .multiply(&mut products, operands, shape.key_dim);
                for value_head in 0..shape.value_heads {
                    if shape.uses(value_head, self.key_head) {
                        let chunk = Chunk {
                            number: chunk,
                            count,
                            k: k.from(first),
                        };
                        self.value_head::<S>(&buffers, &mut products, &chunk, value_head);
                    }
                }
            }
        }
    }
}

/// A chunk of a key head.
struct Chunk {
    number: usize,
    /// Tokens.
    count: usize,
    k: Rows,
}

/// One chunk of a value head.
struct Head {
    /// Tokens.
    count: usize,
    v: Rows,
    out: Rows,
    /// Where the corrections are kept.
    kept: Rows,
    /// The state at its start, where it is not zero.
    before: Option<Rows>,
    /// The state at its end, where another chunk follows.
    behind: Option<Rows>,
    gates: Gates,
}

impl Forward<'_> {
    /// One chunk of a value head.
    #[inline(always)]
    unsafe fn value_head<S: Simd>(
        &self,
        buffers: &Buffers,
        products: &mut Products,
        chunk: &Chunk,
        value_head: usize,
    ) {
        let (shape, first, count) = (self.shape, chunk.number * CHUNK, chunk.count);
        let [_, _, v, log_decay, beta] = self.read;
        let gate_rows = |values| {
            shape
                .gate_rows(values, self.sequence, value_head)
                .from(first)
        };
        let value_rows = |values| {
            shape
                .value_rows(values, self.sequence, value_head)
                .from(first)
        };
        let states = shape.states(self.kept, self.sequence, value_head);
        let state =
            |chunk: usize| Rows::of(states.wrapping_add(chunk * shape.state()), shape.value_dim);
        // SAFETY: the contract of `gated_delta`: the chunk's tokens exist, buffers have room, and states exist behind all chunks but the last.
        unsafe {
            let head = Head {
                count,
                v: value_rows(v),
                out: value_rows(self.out),
                kept: value_rows(self.kept),
                before: chunk.number.checked_sub(1).map(state),
                behind: (chunk.number + 1 < shape.chunks()).then(|| state(chunk.number)),
                gates: Gates::of::<S>(gate_rows(log_decay), gate_rows(beta), count),
            };
            buffers.squares.decay::<S>(&head.gates);
            if head.behind.is_some() {
                for rows in [head.v, head.kept, head.out] {
                    products.will_need(rows.from(CHUNK), shape.value_dim);
                }
            }
            self.corrections::<S>(buffers, products, &head);
            self.outputs::<S>(buffers, products, &head);
            let corrections = buffers.corrections;
            keep::<S>(&head.gates, corrections, count, shape.value_dim, head.kept);
            if let Some(behind) = head.behind {
                let size = Size {
                    rows: shape.key_dim,
                    columns: shape.value_dim,
                    depth: count,
                    part: Part::All,
                };
                let start = head.before.map(|rows| Start {
                    rows,
                    factors: &head.gates.last,
                    step: 0,
                });
                products.multiply(size, Left::by_step(chunk.k), corrections, start, behind);
            }
        }
    }

    /// D.
    #[inline(always)]
    unsafe fn corrections<S: Simd>(&self, buffers: &Buffers, products: &mut Products, head: &Head) {
        let (columns, rows) = (self.shape.value_dim, buffers.corrections);
        // SAFETY: the contract of `gated_delta`.
        unsafe {
            if let Some(state) = head.before {
                let left = Left::by_step(buffers.keys);
                products.multiply(self.with_state(), left, state, None, rows);
            }
            missing::<S>(
                &head.gates,
                head.v,
                head.count,
                columns,
                rows,
                head.before.is_some(),
            );
            solve::<S>(buffers.squares.minus_a, rows, columns);
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(&self, buffers: &Buffers, products: &mut Products, head: &Head) {
        let outputs = buffers.outputs;
        let size = Size {
            depth: head.count,
            part: Part::StepsUpTo,
            ..self.with_state()
        };
        let p = Left::by_row(Rows::of(buffers.squares.p, CHUNK));
        let start = head.before.map(|_| Start {
            rows: outputs,
            factors: head.gates.carried.as_ptr(),
            step: 1,
        });
        // A product has rows of a whole chunk.
        let to = if head.count == CHUNK {
            head.out
        } else {
            outputs
        };
        // SAFETY: the contract of `gated_delta`.
        unsafe {
            if let Some(state) = head.before {
                let left = Left::by_step(buffers.queries);
                products.multiply(self.with_state(), left, state, None, outputs);
            }
            products.multiply(size, p, buffers.corrections, start, to);
            if head.count < CHUNK {
                copy::<S>(outputs, head.count, self.shape.value_dim, head.out);
            }
        }
    }

    /// Of a product of a chunk's rows with a state.
    const fn with_state(&self) -> Size {
        Size {
            rows: CHUNK,
            columns: self.shape.value_dim,
            depth: self.shape.key_dim,
            part: Part::All,
        }
    }
}

/// R where `rows` hold K S, or where there is no state yet.
#[inline(always)]
unsafe fn missing<S: Simd>(
    gates: &Gates,
    v: Rows,
    count: usize,
    columns: usize,
    rows: Rows,
    has_state: bool,
) {
    for row in 0..CHUNK {
        for column in (0..columns).step_by(LANES) {
            // SAFETY: there are `count` values, and rows of a whole chunk.
            unsafe {
                let mut missing = S::splat(0.0);
                let at = rows.row(row).add(column);
                if row < count {
                    missing = S::load(v.row(row).add(column));
                    if has_state {
                        missing = S::fma(S::splat(-gates.carried[row]), S::load(at), missing);
                    }
                    missing = S::mul(S::splat(gates.beta[row]), missing);
                }
                S::store(at, missing);
            }
        }
    }
}

/// The corrections as they are to `kept`, and times F where they are.
#[inline(always)]
unsafe fn keep<S: Simd>(gates: &Gates, rows: Rows, count: usize, columns: usize, kept: Rows) {
    for row in 0..count {
        for column in (0..columns).step_by(LANES) {
            // SAFETY: there are as many rows of both.
            unsafe {
                let x = S::load(rows.row(row).add(column));
                S::store(kept.row(row).add(column), x);
                S::store(
                    rows.row(row).add(column),
                    S::mul(x, S::splat(gates.left[row])),
                );
            }
        }
    }
}

#[inline(always)]
unsafe fn copy<S: Simd>(from: Rows, count: usize, columns: usize, to: Rows) {
    for row in 0..count {
        for column in (0..columns).step_by(LANES) {
            // SAFETY: there are as many rows of both.
            unsafe { S::store(to.row(row).add(column), S::load(from.row(row).add(column))) };
        }
    }
}
