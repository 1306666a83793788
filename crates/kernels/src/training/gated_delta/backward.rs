//! The backward pass: chunks from the last to the first, everything but D and the states made again.

use super::{
    CHUNK, GatedDelta, GatedDeltaShape, Rows,
    buffers::Buffers,
    chunk::{by_channel, solve_transposed},
    gates::Gates,
    gradients::{
        Sums, add_by_channel, add_square_transposed, dot, give_channels, give_gates, of_rows,
        of_squares, turn,
    },
    products::{Left, Part, Products, Size, Start},
};
use crate::{
    simd::{Isa, Kernel, Simd, dispatch_floats},
    training::{Into, Machine, shared::Shared},
};

/// Gradients of queries, keys, values, logarithms of decays and beta, in this order, from that of the result; `kept` is what
/// [`gated_delta`](super::gated_delta) kept.
///
/// # Panics
/// When a slice does not fit, or [`GatedDeltaShape::scratch`] was not reserved.
pub fn gated_delta_backward(
    machine: &Machine,
    shape: &GatedDeltaShape,
    inputs: &GatedDelta<'_>,
    kept: &[f32],
    d_out: &[f32],
    gradients: [(&mut [f32], Into); 5],
) {
    shape.check(inputs);
    assert_eq!(kept.len(), shape.kept(), "what was kept");
    assert_eq!(d_out.len(), shape.values(), "gradient of the result");
    let lengths = [
        shape.keys(),
        shape.keys(),
        shape.values(),
        shape.gates(),
        shape.gates(),
    ];
    for ((gradient, _), len) in gradients.iter().zip(lengths) {
        assert_eq!(
            gradient.len(),
            len,
            "gradients of queries, keys, values, decays and beta"
        );
    }
    let mut scratch = machine.scratch(shape.scratch(machine.threads()));
    let scratch = Shared::of(scratch.as_mut_slice());
    let GatedDelta {
        q,
        k,
        v,
        log_decay,
        beta,
    } = *inputs;
    let read = [q, k, v, log_decay, beta, d_out, kept].map(Shared::read);
    let written = gradients.map(|(values, into)| (Shared::of(values), into == Into::Add));
    machine.pool.run(|team| {
        team.deal(0, shape.sequences * shape.key_heads, 1, |items| {
            for item in items {
                let backward = Backward {
                    shape,
                    read,
                    written,
                    scratch: scratch.at(team.index * shape.scratch_of_thread()),
                    isa: machine.isa,
                    sequence: item / shape.key_heads,
                    key_head: item % shape.key_heads,
                };
                // SAFETY: the lengths were checked; heads are disjoint; the processor has the set.
                unsafe { dispatch_floats(machine.isa, backward) }
            }
        });
    });
}

struct Backward<'a> {
    shape: &'a GatedDeltaShape,
    /// Queries, keys, values, logarithms of decays, beta; the result's gradient; what was kept.
    read: [Shared; 7],
    /// Gradients of the first five, and whether they are added to.
    written: [(Shared, bool); 5],
    scratch: *mut f32,
    isa: Isa,
    sequence: usize,
    key_head: usize,
}

/// A chunk of a key head.
struct Chunk {
    /// Its number.
    number: usize,
    first: usize,
    /// Tokens.
    count: usize,
    is_last: bool,
    q: Rows,
    k: Rows,
}

impl Kernel for Backward<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let shape = self.shape;
        let buffers = Buffers::of(shape, self.scratch);
        let keys = |values| shape.key_rows(values, self.sequence, self.key_head);
        let (q, k) = (keys(self.read[0]), keys(self.read[1]));
        let key_dim = shape.key_dim;
        let mut products = Products::on(self.isa);
        for number in (0..shape.chunks()).rev() {
            let first = number * CHUNK;
            let chunk = Chunk {
                number,
                first,
                count: CHUNK.min(shape.positions - first),
                is_last: number + 1 == shape.chunks(),
                q: q.from(first),
                k: k.from(first),
            };
            // SAFETY: the contract of `gated_delta_backward`: the chunk's tokens exist, and buffers have room.
            unsafe {
                by_channel::<S>(chunk.k, chunk.count, key_dim, buffers.keys.at);
                by_channel::<S>(chunk.q, chunk.count, key_dim, buffers.queries.at);
                products.begin();
                if number > 0 {
                    let rows = [k, q, keys(self.written[0].0), keys(self.written[1].0)];
                    for rows in rows {
                        products.will_need(rows.from(first - CHUNK), key_dim);
                    }
                }
                let operands = (buffers.keys, buffers.queries);
                buffers.squares.multiply(&mut products, operands, key_dim);
                buffers.d_keys.at.write_bytes(0, key_dim * CHUNK);
                buffers.d_queries.at.write_bytes(0, key_dim * CHUNK);
                let mut place = 0;
                for value_head in 0..shape.value_heads {
                    if shape.uses(value_head, self.key_head) {
                        self.value_head::<S>(&buffers, &mut products, &chunk, (value_head, place));
                        place += 1;
                    }
                }
                let to = [
                    (buffers.d_queries, self.written[0]),
                    (buffers.d_keys, self.written[1]),
                ];
                for (from, (values, add)) in to {
                    give_channels::<S>(from, chunk.count, key_dim, keys(values).from(first), add);
                }
            }
        }
    }
}

impl Backward<'_> {
    /// One chunk of the value head that is number `place` of its key head.
    #[inline(always)]
    unsafe fn value_head<S: Simd>(
        &self,
        buffers: &Buffers,
        products: &mut Products,
        chunk: &Chunk,
        (value_head, place): (usize, usize),
    ) {
        let (shape, count) = (self.shape, chunk.count);
        let value_rows = |values| {
            shape
                .value_rows(values, self.sequence, value_head)
                .from(chunk.first)
        };
        let gate_rows = |values| {
            shape
                .gate_rows(values, self.sequence, value_head)
                .from(chunk.first)
        };
        let states = shape.states(self.read[6], self.sequence, value_head);
        let before = chunk.number.checked_sub(1);
        let before = before
            .map(|number| Rows::of(states.wrapping_add(number * shape.state()), shape.value_dim));
        let d_state = Rows::of(
            buffers.d_states.wrapping_add(place * shape.state()),
            shape.value_dim,
        );
        let behind = (!chunk.is_last).then_some(d_state);
        let [_, _, v, log_decay, beta, d_out, kept] = self.read;
        let (v, d_out, kept) = (value_rows(v), value_rows(d_out), value_rows(kept));
        let mut sums = Sums::default();
        // SAFETY: the contract of `gated_delta_backward`: tokens and states exist, and buffers have room.
        unsafe {
            let gates = Gates::of::<S>(gate_rows(log_decay), gate_rows(beta), count);
            buffers.squares.decay::<S>(&gates);
            if chunk.number > 0 {
                for rows in [v, d_out, kept, value_rows(self.written[2].0)] {
                    products.will_need(rows.before(CHUNK), shape.value_dim);
                }
            }
            self.corrections::<S>(buffers, products, chunk, &gates, d_state, d_out);
            let rows = (buffers.d_rows, buffers.d_read, buffers.d_carried);
            let to = (value_rows(self.written[2].0), self.written[2].1);
            of_rows::<S>(
                &gates,
                count,
                shape.value_dim,
                (v, d_out),
                rows,
                to,
                &mut sums,
            );
            self.squares::<S>(buffers, products, count, kept, d_out);
            of_squares::<S>(&gates, &buffers.squares, buffers.w, buffers.b, &mut sums);
            self.by_states::<S>(buffers, products, &gates, (before, behind), &mut sums);
            self.within::<S>(buffers, products, chunk);
            let dot = match (before, behind) {
                (Some(before), Some(behind)) => dot::<S>(before.at, behind.at, shape.state()),
                _ => 0.0,
            };
            let to = [3, 4].map(|i| (gate_rows(self.written[i].0), self.written[i].1));
            give_gates(&gates, &sums, dot, count, to);
            if before.is_some() {
                self.state(buffers, products, chunk, &gates, d_state);
            }
        }
    }

    /// dP and -dA; dR, D and dO by channel, for them and for what follows.
    #[inline(always)]
    unsafe fn squares<S: Simd>(
        &self,
        buffers: &Buffers,
        products: &mut Products,
        count: usize,
        kept: Rows,
        d_out: Rows,
    ) {
        let value_dim = self.shape.value_dim;
        let [d_rows, corrections, d_out_turned] = buffers.turned;
        let size = Size {
            rows: CHUNK,
            columns: CHUNK,
            depth: value_dim,
            part: Part::ColumnsUpTo,
        };
        // SAFETY: the contract of `gated_delta_backward`.
        unsafe {
            by_channel::<S>(buffers.d_rows, CHUNK, value_dim, d_rows.at);
            by_channel::<S>(kept, count, value_dim, corrections.at);
            by_channel::<S>(d_out, count, value_dim, d_out_turned.at);
            for (left, to) in [(d_out_turned, buffers.w), (d_rows, buffers.b)] {
                products.multiply(size, Left::by_step(left), corrections, None, to);
            }
        }
    }

    /// dR.
    #[inline(always)]
    unsafe fn corrections<S: Simd>(
        &self,
        buffers: &Buffers,
        products: &mut Products,
        chunk: &Chunk,
        gates: &Gates,
        d_state: Rows,
        d_out: Rows,
    ) {
        let size = Size {
            rows: CHUNK,
            columns: self.shape.value_dim,
            depth: self.shape.key_dim,
            part: Part::All,
        };
        let within = Size {
            depth: chunk.count,
            part: Part::StepsFrom,
            ..size
        };
        let start = Start {
            rows: buffers.d_rows,
            factors: gates.left.as_ptr(),
            step: 1,
        };
        let start = (!chunk.is_last).then_some(start);
        let p = Left::by_step(Rows::of(buffers.squares.p, CHUNK));
        // SAFETY: the contract of `gated_delta_backward`.
        unsafe {
            if !chunk.is_last {
                products.multiply(
                    size,
                    Left::by_step(buffers.keys),
                    d_state,
                    None,
                    buffers.d_rows,
                );
            }
            products.multiply(within, p, d_out, start, buffers.d_rows);
            solve_transposed::<S>(
                buffers.squares.minus_a,
                buffers.d_rows,
                self.shape.value_dim,
            );
        }
    }

    /// What this value head adds to the gradients of keys and queries by way of states.
    #[inline(always)]
    unsafe fn by_states<S: Simd>(
        &self,
        buffers: &Buffers,
        products: &mut Products,
        gates: &Gates,
        (before, behind): (Option<Rows>, Option<Rows>),
        sums: &mut Sums,
    ) {
        let key_dim = self.shape.key_dim;
        let size = Size {
            rows: key_dim,
            columns: CHUNK,
            depth: self.shape.value_dim,
            part: Part::All,
        };
        let [d_rows, corrections, d_out] = buffers.turned;
        let (keys, queries, to) = (buffers.keys, buffers.queries, buffers.product);
        let (d_keys, d_queries) = (buffers.d_keys, buffers.d_queries);
        // SAFETY: the contract of `gated_delta_backward`.
        unsafe {
            if let Some(before) = before {
                let mut factors = gates.carried;
                for (factor, beta) in factors.iter_mut().zip(&gates.beta) {
                    *factor *= -beta;
                }
                products.multiply(size, Left::by_row(before), d_rows, None, to);
                sums.read = add_by_channel::<S>(to, key_dim, keys, &factors, d_keys);
                products.multiply(size, Left::by_row(before), d_out, None, to);
                sums.carried = add_by_channel::<S>(to, key_dim, queries, &gates.carried, d_queries);
            }
            if let Some(d_state) = behind {
                products.multiply(size, Left::by_row(d_state), corrections, None, to);
                sums.left = add_by_channel::<S>(to, key_dim, keys, &gates.left, d_keys);
            }
        }
    }

    /// What it adds to them within the chunk.
    #[inline(always)]
    unsafe fn within<S: Simd>(&self, buffers: &Buffers, products: &mut Products, chunk: &Chunk) {
        let size = Size {
            rows: self.shape.key_dim,
            columns: CHUNK,
            depth: chunk.count,
            part: Part::All,
        };
        let (k, q) = (Left::by_step(chunk.k), Left::by_step(chunk.q));
        let (d_keys, d_queries) = (buffers.d_keys, buffers.d_queries);
        // SAFETY: the contract of `gated_delta_backward`.
        unsafe {
            turn::<S>(buffers.w, buffers.w_turned);
            add_square_transposed::<S>(buffers.b, buffers.b_both);
            for (left, right, to) in [
                (k, buffers.b_both, d_keys),
                (q, buffers.w, d_keys),
                (k, buffers.w_turned, d_queries),
            ] {
                products.multiply(size, left, right, Some(Start::at(to)), to);
            }
        }
    }

    /// The gradient of the state before the chunk.
    unsafe fn state(
        &self,
        buffers: &Buffers,
        products: &mut Products,
        chunk: &Chunk,
        gates: &Gates,
        d_state: Rows,
    ) {
        let size = Size {
            rows: self.shape.key_dim,
            columns: self.shape.value_dim,
            depth: chunk.count,
            part: Part::All,
        };
        let decayed = Start {
            rows: d_state,
            factors: &gates.last,
            step: 0,
        };
        let start = (!chunk.is_last).then_some(decayed);
        // SAFETY: the contract of `gated_delta_backward`.
        unsafe {
            products.multiply(size, Left::by_step(chunk.k), buffers.d_read, start, d_state);
            products.multiply(
                size,
                Left::by_step(chunk.q),
                buffers.d_carried,
                Some(Start::at(d_state)),
                d_state,
            );
        }
    }
}
