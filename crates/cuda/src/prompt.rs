//! Many tokens of a prompt at once: products on the tensor cores, the delta rule 64 tokens at a time, attention over tiles of keys
//! (`kernels/prompt`). Each operation of a plan is a launch or three, one behind the other; logits are left to the token that comes last.

use std::sync::Arc;

use cudarc::driver::{CudaFunction, CudaStream, DeviceRepr, LaunchConfig, PushKernelArg, result};
use kernels::{in_turns, program::Program};
use ops::dequantize::dequantize;

use crate::{
    CudaError, Device, Weights,
    device::{Module, Properties},
    error::at,
    memory::{Layout, Memory, Pinned},
    op::At,
    plan::{
        AttendStep, DELTA, DeltaStep, Format, HEAD, Input, Operation, Output, PANEL, Plan,
        ProductStep, TILE, TURNED, capacity,
    },
};
use op::{Attend, Delta, Expand, Matmul, Normed, Rows, TensorMap, Turns};

pub(crate) mod batch;
mod maps;
pub(crate) mod op;

/// Tokens at a time, at most.
pub const PROMPT_TOKENS: usize = 4096;
/// Fewer than these are not worth it.
pub(crate) const FEWEST_TOKENS: usize = 16;
/// Tokens of two blocks that compute a product together.
const PAIR_TOKENS: usize = 256;
/// Columns of a bf16 chunk of a panel, and its bytes.
const COLUMNS: usize = 256;
const CHUNK_BYTES: usize = PANEL * 2 * COLUMNS;
/// Columns of a step of a product.
const STEP: usize = 64;
/// Queries of a block.
const QUERIES: usize = 128;
/// Rows that a part of a product has a multiple of.
const ROWS: usize = 8;
/// From so many rows on they are stored as bf16, in groups of so many.
const MANY: usize = 256;
const MANY_ROWS: usize = 32;
const THREADS: u32 = 256;
/// Threads of `matmul` and `attend_many`.
const FETCHING_THREADS: u32 = 384;

/// The kernels, where the GPU has what they are made of.
pub(crate) struct Kernels {
    matmul: CudaFunction,
    normed: CudaFunction,
    turns: CudaFunction,
    expand: CudaFunction,
    delta_chunks: CudaFunction,
    delta_scan: CudaFunction,
    delta_out: CudaFunction,
    attend_heads: CudaFunction,
    attend_many: CudaFunction,
    few_32: CudaFunction,
    few_64: CudaFunction,
    few_add: CudaFunction,
    few_glu: CudaFunction,
    delta_each: CudaFunction,
    attend_each: CudaFunction,
    likeliest: CudaFunction,
}

impl Kernels {
    /// Whether a GPU has Hopper's tensor cores and enough shared memory, and `plan` is made of what they compute.
    pub(crate) fn are_for(plan: &Plan, gpu: &Properties) -> bool {
        let shared = op::MATMUL_SHARED
            .max(op::ATTEND_SHARED)
            .max(op::scan_shared(64))
            + 1024;
        let takes = |step: &crate::plan::Step| match &step.operation {
            Operation::Product(ProductStep {
                output: Output::Store(parts),
                ..
            }) => {
                let mut first = 0;
                parts.iter().all(|&(_, rows)| {
                    let group = if rows >= MANY { MANY_ROWS } else { ROWS };
                    let fits = rows.is_multiple_of(group) && first % group == 0;
                    first += rows;
                    fits
                })
            }
            // Rows of logits lie behind each other.
            Operation::Product(p) if p.output == Output::Logits => {
                p.panels * PANEL == plan.vocabulary
            }
            _ => true,
        };
        gpu.capability == (9, 0)
            && gpu.shared_bytes as usize >= shared
            && plan.steps.iter().all(takes)
    }

    pub(crate) fn of(module: &Module) -> Result<Self, CudaError> {
        let load = |name: &str, shared: usize| module.function(name, shared);
        Ok(Self {
            matmul: load("matmul", op::MATMUL_SHARED)?,
            normed: load("normed", 0)?,
            turns: load("turns", 0)?,
            expand: load("expand", 0)?,
            delta_chunks: load("delta_chunks", op::CHUNKS_SHARED)?,
            delta_scan: load("delta_scan", op::scan_shared(64))?,
            delta_out: load("delta_out", 0)?,
            attend_heads: load("attend_heads", 0)?,
            attend_many: load("attend_many", op::ATTEND_SHARED)?,
            few_32: load("few_32", op::FEW_SHARED)?,
            few_64: load("few_64", op::FEW_SHARED)?,
            few_add: load("few_add", 0)?,
            few_glu: load("few_glu", 0)?,
            delta_each: load("delta_each", 0)?,
            attend_each: load("attend_each", batch::EACH_SHARED)?,
            likeliest: load("likeliest", 0)?,
        })
    }
}

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

/// Chunks of a panel as bf16.
fn bf16_chunks(product: &ProductStep) -> usize {
    product.chunks * product.format.columns() / COLUMNS
}

impl Expand {
    /// What a product reads, and what puts it there: its weights as they are stored, or as bf16 at `to`.
    fn of(product: &ProductStep, stored: At, to: At) -> (Option<Self>, At) {
        match product.format {
            Format::Bf16 => (None, stored),
            Format::Q4_0 => {
                let eights = Self::bytes(product) as u64 / 16;
                (
                    Some(Self {
                        from: stored,
                        to,
                        eights,
                    }),
                    to,
                )
            }
        }
    }

    /// Bytes of a product's weights as bf16.
    fn bytes(product: &ProductStep) -> usize {
        product.panels * bf16_chunks(product) * CHUNK_BYTES
    }

    fn launch(&self, stream: &Arc<CudaStream>, kernels: &Kernels) -> Result<(), CudaError> {
        let blocks = self.eights.div_ceil(u64::from(THREADS));
        let mut launch = stream.launch_builder(&kernels.expand);
        launch.arg(self);
        // SAFETY: the structure is the kernel's; the weights are there, and there is room for the largest of them as bf16.
        unsafe { launch.launch(config(number(blocks as usize), THREADS, 0)) }
            .map(drop)
            .map_err(at("launching a part of a prompt"))
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
        let places = loop {
            let places = Places::of(plan, tokens);
            if (places.bytes as u64) < device.free_bytes()? {
                break places;
            }
            tokens = (tokens / 2).next_multiple_of(PAIR_TOKENS);
            if tokens == PAIR_TOKENS {
                return Ok(None);
            }
        };
        let memory = Memory::zeroed(&device.stream, places.bytes, "the tokens of a prompt")?;
        let mut prompt = Self {
            host: Pinned::new(&device.context, tokens * plan.width)?,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(16)),
            launches: Vec::new(),
            memory,
            tokens,
            places,
        };
        prompt.launches = prompt.launches(weights)?;
        Ok(Some(prompt))
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
                            weight: weights.vectors.at(plan.vectors[weight.index()]),
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
            [
                Rows {
                    out,
                    first: 0,
                    rows: all,
                },
                Rows::default(),
                Rows::default(),
                Rows::default(),
            ]
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
        let (table, width) = (program.embedding(), plan.width);
        let some = tokens.len().div_ceil(4 * self.threads).max(1);
        let parts = self.host.values_mut().chunks_mut(some * width);
        let parts = parts.zip(tokens.chunks(some)).enumerate();
        let memory = &self.memory;
        in_turns(self.threads, parts, |(i, (rows, tokens))| {
            let rows = &mut rows[..tokens.len() * width];
            for (row, &token) in rows.chunks_exact_mut(width).zip(tokens) {
                // The program checked the table's rows.
                let read = dequantize(table.dtype(), table.row(token as usize), row);
                debug_assert!(read.is_ok());
                if plan.embed_scale != 1.0 {
                    row.iter_mut().for_each(|x| *x *= plan.embed_scale);
                }
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
        let vector =
            |id: kernels::program::VectorId| weights.vectors.at(weights.plan.vectors[id.index()]);
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
        let vector =
            |id: kernels::program::VectorId| weights.vectors.at(weights.plan.vectors[id.index()]);
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

/// Launches for some tokens.
struct Run<'a> {
    device: &'a Device,
    kernels: &'a Kernels,
    count: u32,
}

impl Run<'_> {
    fn one<T: DeviceRepr>(
        &self,
        kernel: &CudaFunction,
        blocks: u32,
        threads: u32,
        shared: usize,
        argument: &T,
    ) -> Result<(), CudaError> {
        let mut launch = self.device.stream.launch_builder(kernel);
        launch.arg(argument);
        // SAFETY: each kernel here takes one structure, the one it is called with, by value; what it names is memory of the prompt, the
        // weights and the sequence, which outlive the launch.
        unsafe { launch.launch(config(blocks, threads, shared)) }
            .map(drop)
            .map_err(at("launching a part of a prompt"))
    }

    fn matmul(
        &self,
        weights: &TensorMap,
        input: &TensorMap,
        matmul: &Matmul,
    ) -> Result<(), CudaError> {
        let mut launch = self.device.stream.launch_builder(&self.kernels.matmul);
        launch.arg(weights).arg(input).arg(matmul);
        let blocks = self.device.properties().multiprocessors / 2 * 2;
        // SAFETY: as in `one`; these are the parameters of `matmul`.
        unsafe { launch.launch(config(blocks, FETCHING_THREADS, op::MATMUL_SHARED)) }
            .map(drop)
            .map_err(at("launching a product"))
    }

    fn delta(&self, step: &DeltaStep, delta: &Delta) -> Result<(), CudaError> {
        let chunks = self.count.div_ceil(number(op::CHUNK));
        let heads = delta.value_heads;
        let mut launch = self
            .device
            .stream
            .launch_builder(&self.kernels.delta_chunks);
        launch.arg(delta);
        let grid = LaunchConfig {
            grid_dim: (heads, chunks, 1),
            ..config(1, THREADS, op::CHUNKS_SHARED)
        };
        // SAFETY: as in `one`.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(at("launching the delta rule"))?;
        // As many columns to a block as leave none waiting for another.
        let slices = if heads * 4 <= self.device.properties().multiprocessors {
            4
        } else {
            2
        };
        let columns = number(DELTA) / slices;
        self.one(
            &self.kernels.delta_scan,
            heads * slices,
            4 * columns,
            op::scan_shared(columns as usize),
            delta,
        )?;
        let channels = (2 * step.key_heads + step.value_heads) * DELTA;
        let blocks =
            (self.count * heads).div_ceil(THREADS / 32) + number(channels).div_ceil(THREADS);
        self.one(&self.kernels.delta_out, blocks, THREADS, 0, delta)
    }

    fn attend(&self, attend: &Attend, queries: &TensorMap) -> Result<(), CudaError> {
        let tile = number(TILE);
        let tiles = (attend.position + self.count - 1) / tile - attend.position / tile + 1;
        let mut launch = self
            .device
            .stream
            .launch_builder(&self.kernels.attend_heads);
        launch.arg(attend);
        let grid = LaunchConfig {
            grid_dim: (tiles, attend.heads + attend.kv_heads, 1),
            ..config(1, THREADS, 0)
        };
        // SAFETY: as in `one`.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(at("launching attention"))?;
        let all = (attend.kv_heads * attend.capacity / tile) as usize;
        let keys = maps::cache(attend.cache, all, 2)?;
        let values = maps::cache(attend.cache, all, 1)?;
        let mut launch = self.device.stream.launch_builder(&self.kernels.attend_many);
        launch.arg(queries).arg(&keys).arg(&values).arg(attend);
        let blocks = self.count.div_ceil(number(QUERIES)) * attend.heads;
        // SAFETY: as in `one`; these are the parameters of `attend_many`.
        unsafe { launch.launch(config(blocks, FETCHING_THREADS, op::ATTEND_SHARED)) }
            .map(drop)
            .map_err(at("launching attention"))
    }
}

fn config(blocks: u32, threads: u32, shared: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (blocks, 1, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: number(shared),
    }
}

fn number(n: usize) -> u32 {
    // Sizes of models and prompts, which the plan has bounded.
    u32::try_from(n).unwrap_or(u32::MAX)
}
