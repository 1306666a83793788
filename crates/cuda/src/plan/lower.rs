//! From nodes to operations.
//!
//! A GPU's operation is several nodes: a norm and the products of what it gives; the heads and their attention; the convolution, gates,
//! recurrence and gated norm of DeltaNet. Nodes come in this order in every program that is run here; others are refused.

use kernels::program::{
    BufferId, Label, Labelled, MatrixId, Node, Program, Projection, RopeSpec, VectorId,
};
use ops::glu::Activation;

use super::{
    FIXED_SHARED, Format, HEAD, Input, MOST_NORMED, MOST_OWN, MOST_STREAMED, Operation, Output,
    PANEL, Plan, STAGE, StateSpec, Step, TURNED, WARPS,
    products::{Products, Rows},
};
use crate::{CudaError, device::Properties, memory::Layout};

/// Places of a warp's ring, best first.
const DEPTHS: [u32; 3] = [4, 3, 2];
/// Shared memory of a step of the delta rule.
const DELTA_SCRATCH: usize = 8192;
/// A value and its mark.
const MARKED_BYTES: usize = 8;

mod mixers;

struct Lowering<'a> {
    program: &'a Program,
    steps: Vec<Step>,
    products: Products,
    stream: Option<BufferId>,
    /// Rows of the stream under another name.
    selected: Option<BufferId>,
    /// The mark of the stream as it is now, of what the last other operation left, and of the next operation.
    stream_mark: u32,
    last_mark: u32,
    next_mark: u32,
    /// What a norm of the stream is called, its weights and its epsilon.
    normed: Option<(BufferId, VectorId, f32)>,
    rope: Option<(BufferId, RopeSpec)>,
    embed_scale: f32,
    states: Vec<StateSpec>,
    /// Buffers whose values are bf16, as products read them.
    halves: Vec<BufferId>,
    most_heads_per_key: usize,
}

pub(super) fn lower(program: &Program, gpu: &Properties) -> Result<Plan, CudaError> {
    let multiprocessors = gpu.multiprocessors as usize;
    let mut lowering = Lowering {
        program,
        steps: Vec::new(),
        products: Products::new(program.matrices().len(), multiprocessors.max(1)),
        stream: None,
        selected: None,
        stream_mark: 0,
        last_mark: 0,
        next_mark: 0,
        normed: None,
        rope: None,
        embed_scale: 1.0,
        states: Vec::new(),
        halves: Vec::new(),
        most_heads_per_key: 1,
    };
    // Rounding to 8 bits is part of taking a product's input here.
    let nodes: Vec<&Labelled> = program
        .nodes()
        .iter()
        .filter(|n| !matches!(n.node, Node::Quantise { .. }))
        .collect();
    let mut rest = nodes.as_slice();
    while !rest.is_empty() {
        let taken = lowering.take(rest)?;
        rest = &rest[taken..];
    }
    lowering.finish(gpu)
}

fn refuse(label: Label, reason: impl Into<String>) -> CudaError {
    let part = match label.layer {
        Some(layer) => format!("`{}` of layer {layer}", label.part),
        None => format!("`{}`", label.part),
    };
    CudaError::Unsupported {
        part,
        reason: reason.into(),
    }
}

/// Refuses what does not hold.
fn expect(holds: bool, label: Label, reason: &str) -> Result<(), CudaError> {
    if holds {
        Ok(())
    } else {
        Err(refuse(label, reason))
    }
}

impl Lowering<'_> {
    /// Takes the first nodes; how many.
    fn take(&mut self, nodes: &[&Labelled]) -> Result<usize, CudaError> {
        let first = nodes[0];
        let label = first.label;
        let second = nodes.get(1).map(|n| &n.node);
        match (&first.node, second) {
            (&Node::Embed { out, scale }, _) => {
                let width = self.program.buffer(out).width;
                let own = width
                    .div_ceil(PANEL)
                    .div_ceil(self.products_share())
                    .saturating_mul(PANEL);
                let fits = width <= MOST_NORMED && own <= MOST_OWN && width.is_multiple_of(32);
                expect(
                    fits,
                    label,
                    "its rows are not a multiple of 32 up to 8192 wide",
                )?;
                (self.stream, self.embed_scale) = (Some(out), scale);
                let mark = self.next();
                self.stream_mark = mark;
                self.operate(Operation::Embed, 0, mark);
                Ok(1)
            }
            (&Node::RopeTable { out, rope }, _) => {
                let alone = self.rope.is_none() && rope.dims == TURNED;
                expect(
                    alone,
                    label,
                    "heads turn in other than 64 dimensions, or in several ways",
                )?;
                self.rope = Some((out, rope));
                Ok(1)
            }
            (&Node::SelectOutputs { input, out }, _) => {
                expect(
                    self.is_stream(input),
                    label,
                    "it selects from another buffer than the stream",
                )?;
                self.selected = Some(out);
                Ok(1)
            }
            (
                &Node::RmsNorm {
                    input,
                    out,
                    weight,
                    eps,
                    width,
                    gate: None,
                    add: false,
                    ..
                },
                _,
            ) => {
                let whole = self.is_stream(input) && width == self.program.buffer(input).width;
                expect(whole, label, "it is not a norm of the whole stream")?;
                self.normed = Some((out, weight, eps));
                Ok(1)
            }
            (Node::MatMul { input, projections }, _) => {
                self.product(label, *input, projections).map(|()| 1)
            }
            (Node::Heads { .. }, Some(Node::Attention { .. })) => self
                .attention(label, &first.node, &nodes[1].node)
                .map(|()| 2),
            (Node::CausalConv { .. }, Some(Node::DeltaPrepare { .. })) if nodes.len() > 3 => {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| &nodes[i].node);
                self.delta(label, [a, b, c, d]).map(|()| 4)
            }
            _ => Err(refuse(label, "there is no kernel for it")),
        }
    }

    /// A mark that nobody has yet.
    fn next(&mut self) -> u32 {
        let mark = self.next_mark;
        self.next_mark += 1;
        mark
    }

    fn operate(&mut self, operation: Operation, needs: u32, mark: u32) {
        self.steps.push(Step {
            operation,
            needs,
            mark,
        });
    }

    fn products_share(&self) -> usize {
        self.products.multiprocessors()
    }

    fn is_stream(&self, buffer: BufferId) -> bool {
        self.stream == Some(buffer) || self.selected == Some(buffer)
    }

    fn product(
        &mut self,
        label: Label,
        input: BufferId,
        projections: &[Projection],
    ) -> Result<(), CudaError> {
        let plain = |p: &Projection| {
            p.column.is_none() && p.bias.is_none() && p.scale == 1.0 && p.function.is_none()
        };
        expect(
            projections.iter().all(plain),
            label,
            "it has biases, factors, functions or columns",
        )?;
        let input = match self.normed {
            Some((normed, weight, eps)) if normed == input => Input::Norm { weight, eps },
            _ => {
                let is_half = self.halves.contains(&input);
                expect(is_half, label, "it reads what another product gives")?;
                Input::Plain(input)
            }
        };
        let needs = match input {
            Input::Norm { .. } => self.stream_mark,
            Input::Plain(_) => self.last_mark,
        };
        let mark = self.next();
        let marks = (needs, mark);
        let width = |p: &Projection| self.program.matrix(p.matrix).cols();
        let widths = projections.iter().all(|p| width(p).is_multiple_of(32));
        expect(widths, label, "its rows are no whole blocks of 32")?;
        if let [
            gate @ Projection {
                add: false,
                gate: None,
                ..
            },
            up @ Projection {
                add: false,
                gate: Some((by, Activation::Silu)),
                ..
            },
        ] = projections
            && *by == gate.out
        {
            let formats = [gate, up].map(|p| Products::format_of(self.program, p.matrix));
            let format = if formats[0] == formats[1] {
                formats[0]
            } else {
                Format::Bf16
            };
            let matrices = [gate.matrix, up.matrix];
            let even = self.program.matrix(up.matrix).rows().is_multiple_of(2);
            expect(even, label, "it has an odd number of rows")?;
            self.halves.push(up.out);
            return {
                self.last_mark = mark;
                self.push(
                    label,
                    (&matrices, Rows::InTurn, format),
                    input,
                    Output::Glu(up.out),
                    marks,
                )
            };
        }
        expect(
            projections.iter().all(|p| p.gate.is_none()),
            label,
            "it is gated by something else than SiLU between two products",
        )?;
        if let [only @ Projection { add: true, .. }] = projections {
            expect(
                self.is_stream(only.out),
                label,
                "it adds to another buffer than the stream",
            )?;
            let format = Products::format_of(self.program, only.matrix);
            return {
                self.stream_mark = mark;
                self.push(
                    label,
                    (&[only.matrix], Rows::Behind, format),
                    input,
                    Output::Add,
                    marks,
                )
            };
        }
        expect(
            projections.iter().all(|p| !p.add),
            label,
            "several products are added to the stream at once",
        )?;
        // One operation for each format, of up to four matrices.
        self.last_mark = mark;
        for format in [Format::Q4_0, Format::Bf16] {
            let of_format: Vec<&Projection> = projections
                .iter()
                .filter(|p| Products::format_of(self.program, p.matrix) == format)
                .collect();
            for group in of_format.chunks(4) {
                let matrices: Vec<MatrixId> = group.iter().map(|p| p.matrix).collect();
                let output = match group {
                    [only] if only.out == self.program.logits() => Output::Logits,
                    _ => Output::Store(
                        group
                            .iter()
                            .map(|p| (p.out, self.program.matrix(p.matrix).rows()))
                            .collect(),
                    ),
                };
                self.push(
                    label,
                    (&matrices, Rows::Behind, format),
                    input,
                    output,
                    marks,
                )?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        label: Label,
        matrices: (&[MatrixId], Rows, Format),
        input: Input,
        output: Output,
        (needs, mark): (u32, u32),
    ) -> Result<(), CudaError> {
        let product = self.products.add(self.program, matrices, input, output);
        let product = product.ok_or_else(|| refuse(label, "one of its matrices is used twice"))?;
        self.operate(Operation::Product(product), needs, mark);
        Ok(())
    }

    fn finish(self, gpu: &Properties) -> Result<Plan, CudaError> {
        let whole = |reason: &str| CudaError::Unsupported {
            part: "the model".to_owned(),
            reason: reason.to_owned(),
        };
        let program = self.program;
        let is_last = |step: &Step| matches!(&step.operation, Operation::Product(p) if p.output == Output::Logits);
        if !self.steps.last().is_some_and(is_last) {
            return Err(whole("it does not end with its logits"));
        }
        let is_streamed =
            |step: &&Step| matches!(step.operation, Operation::Product(_) | Operation::Attend(_));
        if self.steps.iter().filter(is_streamed).count() > MOST_STREAMED {
            return Err(whole("it has more than 320 products and attentions"));
        }
        let (Some(stream), Some((_, rope))) = (self.stream, self.rope) else {
            return Err(whole("it has no embedding or no rotation"));
        };
        let joined = (WARPS / 2) * self.most_heads_per_key * (HEAD + 2) * 4;
        let scratch = self
            .products
            .scratch
            .max(WARPS * 1024)
            .max(joined)
            .max(DELTA_SCRATCH);
        let shared = |depth: u32| WARPS * depth as usize * STAGE + scratch;
        let limit = gpu.shared_bytes as usize;
        let fits = |depth: &u32| shared(*depth) + FIXED_SHARED <= limit;
        let Some(depth) = DEPTHS.into_iter().find(fits) else {
            return Err(whole(&format!(
                "a block needs {} bytes of shared memory, a multiprocessor of the {} has {limit}",
                shared(2) + FIXED_SHARED,
                gpu.name
            )));
        };
        // The stream comes first.
        let mut activations = Layout::default();
        let mut buffers = vec![None; program.buffer_count()];
        let mut widths = vec![None; program.buffer_count()];
        let used = self.steps.iter().flat_map(|step| step.operation.buffers());
        for id in [stream].into_iter().chain(used) {
            let width = program.buffer(id).width;
            buffers[id.index()].get_or_insert_with(|| activations.add(MARKED_BYTES * width));
            widths[id.index()] = (id != stream).then_some(width);
        }
        let turn = activations.add(MARKED_BYTES * TURNED);
        let logits = activations.add(4 * program.vocabulary());
        let mut vectors = Layout::default();
        let offsets = program
            .vectors()
            .map(|values| vectors.add(size_of_val(values)))
            .collect();
        Ok(Plan {
            places: self.products.places,
            vectors: offsets,
            vector_bytes: vectors.bytes,
            buffers,
            widths,
            activation_bytes: activations.bytes,
            weight_bytes: self.products.weights.bytes,
            states: self.states,
            caches: program.kv().to_vec(),
            rope,
            turn,
            logits,
            embed_scale: self.embed_scale,
            width: program.buffer(stream).width,
            vocabulary: program.vocabulary(),
            depth,
            shared: u32::try_from(shared(depth)).unwrap_or(u32::MAX),
            multiprocessors: gpu.multiprocessors as usize,
            marks: self.next_mark,
            steps: self.steps,
        })
    }
}

impl Operation {
    /// The buffers that it reads and writes, the stream and the logits aside.
    fn buffers(&self) -> Vec<BufferId> {
        match self {
            Self::Embed => Vec::new(),
            Self::Product(product) => {
                let input = match product.input {
                    Input::Plain(input) => Some(input),
                    Input::Norm { .. } => None,
                };
                let outputs = match &product.output {
                    Output::Store(segments) => segments.iter().map(|&(out, _)| out).collect(),
                    Output::Glu(out) => vec![*out],
                    Output::Add | Output::Logits => Vec::new(),
                };
                input.into_iter().chain(outputs).collect()
            }
            Self::Delta(d) => vec![d.qkv, d.a, d.b, d.z, d.out],
            Self::Attend(a) => vec![a.q, a.gate, a.k, a.v, a.out],
        }
    }
}
