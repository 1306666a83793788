//! The tokens of a prompt: each operation of a plan is a launch or three, one behind the other; logits are left to whoever asks for them.

use cudarc::driver::result;
use kernels::{in_turns, program::Program};

use super::{
    Kernels, MANY, PROMPT_TOKENS, SPARE_BYTES, STEP, THREADS, bf16_chunks, if_there_is_room, maps,
    number,
    op::{self, Attend, Delta, Expand, Matmul, Normed, Rows, TensorMap, Turns},
    run::{QUERIES, Run},
};
use crate::{
    CudaError, Device, Weights,
    error::at,
    memory::{Layout, Memory, Pinned},
    op::At,
    plan::{
        AttendStep, DELTA, DeltaStep, Format, HEAD, Input, Operation, Output, PANEL, Plan,
        ProductStep, TURNED, capacity,
    },
};

/// Tokens of two blocks that compute a product together.
const PAIR_TOKENS: usize = 256;

/// Where a sequence keeps what a prompt changes.
pub(crate) struct Kept<'a> {
    /// Of each cache.
    pub caches: &'a dyn Fn(usize) -> At,
    /// Of each state: itself, and the last inputs of its convolution.
    pub states: &'a dyn Fn(usize) -> (At, At),
    /// Tokens that caches hold.
    pub capacity: usize,
}

/// A launch, but for what depends on the sequence.
enum Launch {
    Norm(Normed),
    Product(Box<Product>),
    /// Step of the plan.
    Mix(usize),
}

/// A product of all tokens.
struct Product {
    /// Its weights as bf16, first.
    expand: Option<Expand>,
    weights: TensorMap,
    input: TensorMap,
    matmul: Matmul,
}

/// Room for the tokens of a prompt, and what is to be done with them.
pub(crate) struct Prompt {
    memory: Memory,
    host: Pinned<f32>,
    tokens: usize,
    launches: Vec<Launch>,
    places: Places,
    threads: usize,
}

/// Bytes of `memory` at which things lie.
struct Places {
    /// By buffer: (token, column), in bf16, or in f32 where there are few.
    buffers: Vec<Option<usize>>,
    normed: usize,
    turns: usize,
    queries: usize,
    /// Chunks of the delta rule, and what comes of them.
    chunks: usize,
    o: usize,
    /// A matrix of four bits as bf16.
    expanded: usize,
    bytes: usize,
}

impl Places {
    /// For `tokens` tokens; the stream comes first.
    fn of(plan: &Plan, tokens: usize) -> Self {
        let mut all = Layout::default();
        let mut row = |values: usize, bytes: usize| all.add(tokens * values * bytes);
        row(plan.width, 4);
        let widths = plan.widths.iter();
        let buffers = widths
            .map(|width| width.map(|width| row(width, if width >= MANY { 2 } else { 4 })))
            .collect();
        let normed = row(plan.width, 2);
        let turns = row(TURNED, 4);
        let (mut heads, mut values, mut expanded) = (0, 0, 0);
        for step in &plan.steps {
            match &step.operation {
                Operation::Attend(attend) => heads = heads.max(attend.heads),
                Operation::Delta(delta) => values = values.max(delta.value_heads),
                Operation::Product(p) if p.format == Format::Q4_0 && p.output != Output::Logits => {
                    expanded = expanded.max(Expand::bytes(p));
                }
                Operation::Product(_) | Operation::Embed => {}
            }
        }
        let queries = row(heads * HEAD, 2);
        let o = row(values * DELTA, 4);
        let chunks = all.add(values * tokens.div_ceil(op::CHUNK) * op::CHUNK_BYTES);
        let expanded = all.add(expanded);
        Self {
            buffers,
            normed,
            turns,
            queries,
            chunks,
            o,
            expanded,
            bytes: all.bytes,
        }
    }
}

impl Prompt {
    /// Room for prompts of sequences of up to `context` tokens; fewer at a time where memory is short, none where there is too little for few.
    ///
    /// # Errors
    /// The driver failed.
    pub(crate) fn new(weights: &Weights, context: usize) -> Result<Option<Self>, CudaError> {
        let (device, plan) = (&weights.device, &weights.plan);
        let mut tokens = context.min(PROMPT_TOKENS).next_multiple_of(PAIR_TOKENS);
        loop {
            let places = Places::of(plan, tokens);
            if places.bytes as u64 + SPARE_BYTES < device.free_bytes()? {
                return if_there_is_room(Self::with(weights, tokens, places));
            }
            if tokens == PAIR_TOKENS {
                return Ok(None);
            }
            tokens = (tokens / 2).next_multiple_of(PAIR_TOKENS);
        }
    }

    fn with(weights: &Weights, tokens: usize, places: Places) -> Result<Self, CudaError> {
        let device = &weights.device;
        let memory = Memory::zeroed(&device.stream, places.bytes, "the tokens of a prompt")?;
        let mut prompt = Self {
            host: Pinned::new(&device.context, tokens * weights.plan.width)?,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(16)),
            launches: Vec::new(),
            memory,
            tokens,
            places,
        };
        prompt.launches = prompt.launches(weights)?;
        Ok(prompt)
    }

    /// Tokens that it takes at a time.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    fn launches(&self, weights: &Weights) -> Result<Vec<Launch>, CudaError> {
        let plan = &weights.plan;
        let mut launches = Vec::new();
        // The norm that was computed last: of which stream, with which weights.
        let mut normed = None;
        for (i, step) in plan.steps.iter().enumerate() {
            match &step.operation {
                Operation::Embed => {}
                Operation::Product(product) if product.output == Output::Logits => {}
                Operation::Product(product) => {
                    if let Input::Norm { weight, eps } = product.input
                        && normed != Some((step.needs, weight))
                    {
                        normed = Some((step.needs, weight));
                        launches.push(Launch::Norm(Normed {
                            x: self.memory.at(0),
                            weight: weights.vector(weight),
                            out: self.memory.at(self.places.normed),
                            width: number(plan.width),
                            eps,
                        }));
                    }
                    launches.push(self.product(weights, product)?);
                }
                Operation::Delta(_) | Operation::Attend(_) => launches.push(Launch::Mix(i)),
            }
        }
        Ok(launches)
    }

    fn product(&self, weights: &Weights, product: &ProductStep) -> Result<Launch, CudaError> {
        let chunks = bf16_chunks(product);
        let (expand, matrix) = Expand::of(
            product,
            weights.matrices.at(product.offset),
            self.memory.at(self.places.expanded),
        );
        let input = match product.input {
            Input::Norm { .. } => self.memory.at(self.places.normed),
            Input::Plain(buffer) => self.buffer(buffer.index()),
        };
        let all = number(product.panels * PANEL);
        let whole = |out| {
            let mut parts = [Rows::default(); 4];
            parts[0] = Rows {
                out,
                first: 0,
                rows: all,
            };
            parts
        };
        let (result, parts) = match &product.output {
            Output::Store(stored) => {
                let mut parts = [Rows::default(); 4];
                let mut first = 0;
                for (part, &(out, rows)) in parts.iter_mut().zip(stored) {
                    let out = self.buffer(out.index());
                    *part = Rows {
                        out,
                        first,
                        rows: number(rows),
                    };
                    first += number(rows);
                }
                (op::STORE, parts)
            }
            Output::Glu(out) => (op::GLU, whole(self.buffer(out.index()))),
            Output::Add | Output::Logits => (op::ADD, whole(self.memory.at(0))),
        };
        Ok(Launch::Product(Box::new(Product {
            expand,
            weights: maps::panels(matrix, chunks, product.panels)?,
            input: maps::rows(input, product.width, self.tokens, QUERIES)?,
            matmul: Matmul {
                parts,
                tokens: 0,
                rows: all,
                steps: number(product.width.div_ceil(STEP)),
                result,
            },
        })))
    }

    fn buffer(&self, id: usize) -> At {
        // There is a place for every buffer that a step names.
        self.memory.at(self.places.buffers[id].unwrap_or(0))
    }

    /// Sets off `tokens` at `position` and on, but for their logits. The stream is waited for before the next run.
    ///
    /// # Errors
    /// The GPU failed.
    ///
    /// # Panics
    /// There are more tokens than [`Prompt::tokens`].
    pub(crate) fn run(
        &mut self,
        weights: &Weights,
        kernels: &Kernels,
        program: &Program,
        tokens: &[u32],
        position: usize,
        kept: &Kept<'_>,
    ) -> Result<(), CudaError> {
        assert!(tokens.len() <= self.tokens);
        let (device, plan) = (&weights.device, &weights.plan);
        self.embed(device, plan, program, tokens)?;
        let count = number(tokens.len());
        let position = number(position);
        let run = Run {
            device,
            kernels,
            count,
        };
        let turns = Turns {
            rates: plan.turn_rates(plan.rope.factors.map(|id| program.vector(id))),
            out: self.memory.at(self.places.turns),
            tokens: count,
            position,
        };
        run.one(
            &kernels.turns,
            (count * number(TURNED / 2)).div_ceil(THREADS),
            THREADS,
            0,
            &turns,
        )?;
        for launch in &self.launches {
            match launch {
                Launch::Norm(normed) => run.one(&kernels.normed, count, THREADS, 0, normed)?,
                Launch::Product(product) => {
                    let Product {
                        expand,
                        weights,
                        input,
                        matmul,
                    } = product.as_ref();
                    if let Some(expand) = expand {
                        expand.launch(&device.stream, kernels)?;
                    }
                    let matmul = Matmul {
                        tokens: count,
                        ..*matmul
                    };
                    run.matmul(weights, input, &matmul)?;
                }
                Launch::Mix(step) => match &plan.steps[*step].operation {
                    Operation::Delta(step) => {
                        let (state, recent) = (kept.states)(step.state);
                        run.delta(
                            step,
                            &self.delta(weights, step, (state, recent), (count, position)),
                        )?;
                    }
                    Operation::Attend(step) => {
                        let cache = (kept.caches)(step.cache);
                        let attend =
                            self.attend(weights, step, cache, kept.capacity, (count, position));
                        let width = step.heads * HEAD;
                        let queries = maps::rows(attend.queries, width, self.tokens, QUERIES)?;
                        run.attend(&attend, &queries)?;
                    }
                    Operation::Embed | Operation::Product(_) => {}
                },
            }
        }
        Ok(())
    }

    /// The stream's row of token `i` of the last run: what its logits are made of.
    pub(crate) fn row(&self, weights: &Weights, i: usize) -> At {
        self.memory.at(i * weights.plan.width * size_of::<f32>())
    }

    /// The tokens' embeddings, to the stream: each part sets off for the GPU when it is there.
    fn embed(
        &mut self,
        device: &Device,
        plan: &Plan,
        program: &Program,
        tokens: &[u32],
    ) -> Result<(), CudaError> {
        let width = plan.width;
        let some = tokens.len().div_ceil(4 * self.threads).max(1);
        let parts = self.host.values_mut().chunks_mut(some * width);
        let parts = parts.zip(tokens.chunks(some)).enumerate();
        let memory = &self.memory;
        in_turns(self.threads, parts, |(i, (rows, tokens))| {
            let rows = &mut rows[..tokens.len() * width];
            for (row, &token) in rows.chunks_exact_mut(width).zip(tokens) {
                plan.embed(program, token, row);
            }
            let context = &device.context;
            context.bind_to_thread().map_err(at("copying a prompt"))?;
            let to = memory.at(i * some * width * size_of::<f32>());
            // SAFETY: the stream's buffer has room for these rows, and they are not written again before the stream has been waited for.
            unsafe { result::memcpy_htod_async(to, rows, device.stream.cu_stream()) }
                .map_err(at("copying a prompt"))
        })
    }

    fn delta(
        &self,
        weights: &Weights,
        step: &DeltaStep,
        (state, recent): (At, At),
        (tokens, position): (u32, u32),
    ) -> Delta {
        let vector = |id| weights.vector(id);
        Delta {
            qkv: self.buffer(step.qkv.index()),
            a: self.buffer(step.a.index()),
            b: self.buffer(step.b.index()),
            z: self.buffer(step.z.index()),
            taps: vector(step.taps),
            recent,
            decay_rate: vector(step.decay_rate),
            dt_bias: vector(step.dt_bias),
            weight: vector(step.weight),
            state,
            chunks: self.memory.at(self.places.chunks),
            o: self.memory.at(self.places.o),
            out: self.buffer(step.out.index()),
            tokens,
            position,
            key_heads: number(step.key_heads),
            value_heads: number(step.value_heads),
            grouped: u32::from(step.grouped),
            eps: step.eps,
            norm_eps: step.norm_eps,
        }
    }

    fn attend(
        &self,
        weights: &Weights,
        step: &AttendStep,
        cache: At,
        context: usize,
        (tokens, position): (u32, u32),
    ) -> Attend {
        let vector = |id| weights.vector(id);
        Attend {
            q: self.buffer(step.q.index()),
            gate: self.buffer(step.gate.index()),
            k: self.buffer(step.k.index()),
            v: self.buffer(step.v.index()),
            qn: vector(step.q_norm),
            kn: vector(step.k_norm),
            turns: self.memory.at(self.places.turns),
            cache,
            queries: self.memory.at(self.places.queries),
            out: self.buffer(step.out.index()),
            tokens,
            position,
            heads: number(step.heads),
            kv_heads: number(step.kv_heads),
            capacity: number(capacity(context)),
            eps: step.eps,
            scale: step.scale,
        }
    }
}
