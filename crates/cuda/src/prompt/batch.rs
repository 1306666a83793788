//! One token of each of several sequences: the weights are read once for all of them (`kernels/prompt/batch.cuh`).

use std::collections::HashMap;

use cudarc::driver::{LaunchConfig, PushKernelArg, result};
use kernels::program::Program;
use ops::dequantize::dequantize;

use super::{
    Kernels, STEP, THREADS, bf16_chunks, config, maps, number,
    op::{
        AddNormed, AttendEach, DeltaEach, Expand, FEW_SHARED, Few, FewGlu, Given, MOST_SEQUENCES,
        Members, Normed, TensorMap,
    },
};
use crate::{
    CudaError, Weights,
    error::at,
    memory::{Layout, Memory, Pinned},
    op::At,
    plan::{Format, HEAD, Input, Operation, Output, PANEL, Plan, ProductStep, TURNED, capacity},
};

/// Rows of a product's tile.
const TILE_ROWS: usize = 128;
/// Threads of products, of what adds them to the stream, of the delta rule and attention.
const FEW_THREADS: u32 = 384;
const WIDE_THREADS: u32 = 512;
/// Tokens of the smaller of two kernels.
const FEW_TOKENS: usize = 32;
/// Shared memory of attention: what sixteen warps have found for eight heads.
pub(super) const EACH_SHARED: usize = 16 * 8 * HEAD * 4;
/// Blocks that look for a row's likeliest token.
const LOOKING: u32 = 16;
/// Cuts of a product's columns, at most.
const MOST_SPLITS: usize = 8;

/// Where a sequence is.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    pub token: u32,
    pub position: usize,
    pub caches: At,
    pub states: At,
}

/// Where layers' states and caches begin within a sequence's, in bytes.
pub(crate) struct Offsets<'a> {
    pub caches: &'a [usize],
    pub states: &'a [(usize, usize)],
    /// Tokens that caches hold.
    pub capacity: usize,
}

enum Launch {
    Norm(Normed),
    Product(Box<Product>),
    Add(AddNormed),
    Glu(FewGlu),
    Delta(Box<DeltaEach>),
    Attend(Box<AttendEach>),
}

struct Product {
    /// Its weights as bf16, first.
    expand: Option<Expand>,
    weights: TensorMap,
    /// For up to 32 tokens, and for up to 64.
    inputs: [TensorMap; 2],
    few: Few,
}

/// Room for a token of each of several sequences, and what is to be done with them.
pub(crate) struct Batch {
    memory: Memory,
    rows: Pinned<f32>,
    members: Pinned<Members>,
    best: Pinned<u64>,
    launches: Vec<Launch>,
    places: Places,
}

/// Bytes of `memory` at which things lie; the stream comes first.
struct Places {
    normed: usize,
    turns: usize,
    members: usize,
    best: usize,
    logits: usize,
    /// By buffer: (token, column) in bf16, of those that products read.
    buffers: Vec<Option<usize>>,
    /// Parts of products, and how many bytes of them are needed at one time.
    parts: usize,
    expanded: usize,
    bytes: usize,
}

/// Into how many parts a product's columns are cut, so that multiprocessors have equally much to do; the same for any number of tokens.
fn splits(tiles: usize, steps: usize, multiprocessors: usize) -> usize {
    let idle = |splits: usize| {
        let units = tiles * splits;
        let rounds = units.div_ceil(multiprocessors);
        // Thousandths of the time that nobody uses; a part costs some, too.
        1000 - 1000 * units / (rounds * multiprocessors) + 10 * splits
    };
    let most = MOST_SPLITS.min(steps / 4).max(1);
    (1..=most).min_by_key(|&splits| idle(splits)).unwrap_or(1)
}

/// From how many sequences on reading the weights once is faster: those of four bits are first written as bf16.
pub(crate) fn fewest_sequences(plan: &Plan) -> usize {
    let is_small = |step: &crate::plan::Step| matches!(&step.operation, Operation::Product(p) if p.format == Format::Q4_0);
    if plan.steps.iter().any(is_small) {
        8
    } else {
        2
    }
}

impl Batch {
    /// Room for the tokens; none where memory is short.
    ///
    /// # Errors
    /// The driver failed.
    pub(crate) fn new(weights: &Weights, offsets: &Offsets<'_>) -> Result<Option<Self>, CudaError> {
        let (device, plan) = (&weights.device, &weights.plan);
        let places = Places::of(plan);
        if places.bytes as u64 >= device.free_bytes()? {
            return Ok(None);
        }
        let context = &device.context;
        let mut batch = Self {
            memory: Memory::zeroed(&device.stream, places.bytes, "a token of each sequence")?,
            rows: Pinned::new(context, MOST_SEQUENCES * (plan.width + TURNED))?,
            members: Pinned::new(context, 1)?,
            best: Pinned::new(context, MOST_SEQUENCES)?,
            launches: Vec::new(),
            places,
        };
        batch.launches = batch.launches(weights, offsets)?;
        Ok(Some(batch))
    }

    fn launches(&self, weights: &Weights, offsets: &Offsets<'_>) -> Result<Vec<Launch>, CudaError> {
        let plan = &weights.plan;
        let vector = |id: kernels::program::VectorId| weights.vectors.at(plan.vectors[id.index()]);
        let memory = |at: usize| self.memory.at(at);
        let normed = memory(self.places.normed);
        let mut launches = Vec::new();
        // What products have left for others, by buffer; parts of products of one node lie beside each other.
        let mut given: HashMap<usize, Given> = HashMap::new();
        let (mut mark, mut used) = (None, 0);
        let mut has_norm = false;
        let nothing = Given::default();
        let find =
            |given: &HashMap<usize, Given>, id: usize| given.get(&id).copied().unwrap_or(nothing);
        for (i, step) in plan.steps.iter().enumerate() {
            match &step.operation {
                Operation::Embed => {}
                Operation::Product(product) => {
                    if let (Input::Norm { weight, eps }, false) = (product.input, has_norm) {
                        has_norm = true;
                        launches.push(Launch::Norm(Normed {
                            x: memory(0),
                            weight: vector(weight),
                            out: normed,
                            width: number(plan.width),
                            eps,
                        }));
                    }
                    if mark != Some(step.mark) {
                        (mark, used) = (Some(step.mark), 0);
                    }
                    let out = match product.output {
                        Output::Logits => memory(self.places.logits),
                        _ => memory(self.places.parts + used),
                    };
                    let made = self.product(weights, product, out)?;
                    let all = made.few.given();
                    used += part_bytes(product, plan.multiprocessors);
                    launches.push(Launch::Product(Box::new(made)));
                    match &product.output {
                        Output::Logits => {}
                        Output::Store(parts) => {
                            let mut first = 0;
                            for &(buffer, rows) in parts {
                                let at = all.at + 4 * first as u64;
                                given.insert(buffer.index(), Given { at, ..all });
                                first += rows.next_multiple_of(PANEL);
                            }
                        }
                        Output::Glu(out) => launches.push(Launch::Glu(FewGlu {
                            given: all,
                            out: self.buffer(out.index()),
                            width: all.rows / 2,
                        })),
                        Output::Add => {
                            let next =
                                plan.steps[i + 1..]
                                    .iter()
                                    .find_map(|step| match &step.operation {
                                        Operation::Product(ProductStep {
                                            input: Input::Norm { weight, eps },
                                            ..
                                        }) => Some((*weight, *eps)),
                                        _ => None,
                                    });
                            // A program ends with its logits, which are of a norm or of nothing that was added.
                            let Some((weight, eps)) = next else { continue };
                            launches.push(Launch::Add(AddNormed {
                                given: all,
                                x: memory(0),
                                weight: vector(weight),
                                out: normed,
                                width: number(plan.width),
                                eps,
                            }));
                        }
                    }
                }
                Operation::Delta(step) => {
                    let (state, recent) = offsets.states[step.state];
                    launches.push(Launch::Delta(Box::new(DeltaEach {
                        qkv: find(&given, step.qkv.index()),
                        a: find(&given, step.a.index()),
                        b: find(&given, step.b.index()),
                        z: find(&given, step.z.index()),
                        taps: vector(step.taps),
                        decay_rate: vector(step.decay_rate),
                        dt_bias: vector(step.dt_bias),
                        weight: vector(step.weight),
                        members: memory(self.places.members),
                        state: state as u64,
                        recent: recent as u64,
                        out: self.buffer(step.out.index()),
                        key_heads: number(step.key_heads),
                        value_heads: number(step.value_heads),
                        grouped: u32::from(step.grouped),
                        eps: step.eps,
                        norm_eps: step.norm_eps,
                    })));
                }
                Operation::Attend(step) => launches.push(Launch::Attend(Box::new(AttendEach {
                    q: find(&given, step.q.index()),
                    gate: find(&given, step.gate.index()),
                    k: find(&given, step.k.index()),
                    v: find(&given, step.v.index()),
                    qn: vector(step.q_norm),
                    kn: vector(step.k_norm),
                    turns: memory(self.places.turns),
                    members: memory(self.places.members),
                    cache: offsets.caches[step.cache] as u64,
                    out: self.buffer(step.out.index()),
                    heads: number(step.heads),
                    kv_heads: number(step.kv_heads),
                    capacity: number(capacity(offsets.capacity)),
                    eps: step.eps,
                    scale: step.scale,
                }))),
            }
        }
        Ok(launches)
    }

    fn product(
        &self,
        weights: &Weights,
        product: &ProductStep,
        out: At,
    ) -> Result<Product, CudaError> {
        let plan = &weights.plan;
        let (expand, matrix) = Expand::of(
            product,
            weights.matrices.at(product.offset),
            self.memory.at(self.places.expanded),
        );
        let input = match product.input {
            Input::Norm { .. } => self.memory.at(self.places.normed),
            Input::Plain(buffer) => self.buffer(buffer.index()),
        };
        let (width, rows) = (product.width, MOST_SEQUENCES);
        let steps = width.div_ceil(STEP);
        let tiles = (product.panels * PANEL).div_ceil(TILE_ROWS);
        Ok(Product {
            expand,
            weights: maps::panels(matrix, bf16_chunks(product), product.panels)?,
            inputs: [
                maps::rows(input, width, rows, FEW_TOKENS)?,
                maps::rows(input, width, rows, MOST_SEQUENCES)?,
            ],
            few: Few {
                out,
                tiles: number(tiles),
                splits: number(cuts(product, plan.multiprocessors)),
                steps: number(steps),
                rows: number(product.panels * PANEL),
                tokens: 0,
            },
        })
    }

    fn buffer(&self, id: usize) -> At {
        // There is a place for every buffer that a product reads.
        self.memory.at(self.places.buffers[id].unwrap_or(0))
    }

    /// Sets off a token of each of `members`, and finds the likeliest that follow. Everything has been waited for.
    ///
    /// # Errors
    /// The GPU failed.
    ///
    /// # Panics
    /// There are more than 64 of them.
    pub(crate) fn run(
        &mut self,
        weights: &Weights,
        kernels: &Kernels,
        program: &Program,
        members: &[Member],
    ) -> Result<(), CudaError> {
        assert!(members.len() <= MOST_SEQUENCES);
        let (plan, stream) = (&weights.plan, &weights.device.stream);
        let count = members.len();
        let (embeddings, turns) = self
            .rows
            .values_mut()
            .split_at_mut(MOST_SEQUENCES * plan.width);
        let to = &mut self.members.values_mut()[0];
        let table = program.embedding();
        let factors = plan.rope.factors.map(|id| program.vector(id));
        for (i, member) in members.iter().enumerate() {
            let row = &mut embeddings[i * plan.width..(i + 1) * plan.width];
            // The program checked the table's rows.
            let read = dequantize(table.dtype(), table.row(member.token as usize), row);
            debug_assert!(read.is_ok());
            if plan.embed_scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= plan.embed_scale);
            }
            let turns = &mut turns[i * TURNED..(i + 1) * TURNED];
            plan.fill_turns(member.position, factors, turns);
            to.caches[i] = member.caches;
            to.states[i] = member.states;
            to.positions[i] = number(member.position);
        }
        let copying = at("copying tokens");
        let embeddings = &embeddings[..count * plan.width];
        let turns = &turns[..count * TURNED];
        // SAFETY: each has its place in the batch's memory, and the host's are not written before the stream has been waited for.
        unsafe {
            result::memcpy_htod_async(self.memory.at(0), embeddings, stream.cu_stream())
                .and_then(|()| {
                    let to = self.memory.at(self.places.turns);
                    result::memcpy_htod_async(to, turns, stream.cu_stream())
                })
                .and_then(|()| {
                    let to = self.memory.at(self.places.members);
                    result::memcpy_htod_async(to, self.members.values(), stream.cu_stream())
                })
                .and_then(|()| {
                    let to = self.memory.at(self.places.best);
                    result::memset_d8_async(to, 0, 8 * MOST_SEQUENCES, stream.cu_stream())
                })
        }
        .map_err(copying)?;
        for launch in &self.launches {
            each(weights, kernels, launch, number(count))?;
        }
        let (logits, best) = (
            self.memory.at(self.places.logits),
            self.memory.at(self.places.best),
        );
        let vocabulary = number(plan.vocabulary);
        let mut launch = stream.launch_builder(&kernels.likeliest);
        launch.arg(&logits).arg(&vocabulary).arg(&best);
        // SAFETY: the parameters are those of `likeliest`, which reads as many rows as there are members.
        unsafe { launch.launch(grid((LOOKING, number(count)), WIDE_THREADS, 0)) }
            .map(drop)
            .map_err(at("launching a token of each sequence"))?;
        let to = &mut self.best.values_mut()[..count];
        // SAFETY: as many as there are, read after the stream has been waited for.
        unsafe { result::memcpy_dtoh_async(to, best, stream.cu_stream()) }
            .map_err(at("copying the likeliest tokens"))
    }

    /// The logits of member `i` of the last run.
    pub(crate) fn logits(&self, plan: &Plan, i: usize) -> At {
        self.memory.at(self.places.logits + 4 * plan.vocabulary * i)
    }

    /// Ranks of the likeliest tokens behind the members of the last run, once that has been waited for.
    pub(crate) fn best(&self) -> &[u64] {
        self.best.values()
    }
}

/// Launches one of the operations for `count` tokens.
fn each(
    weights: &Weights,
    kernels: &Kernels,
    launch: &Launch,
    count: u32,
) -> Result<(), CudaError> {
    let (stream, multiprocessors) = (&weights.device.stream, number(weights.plan.multiprocessors));
    let launched = match launch {
        Launch::Norm(norm) => {
            let mut launch = stream.launch_builder(&kernels.normed);
            launch.arg(norm);
            // SAFETY: the structure is the kernel's; what it names is memory of the batch and the weights, with room for 64 tokens. So are the others'.
            unsafe { launch.launch(grid((count, 1), THREADS, 0)) }
        }
        Launch::Product(product) => {
            if let Some(expand) = &product.expand {
                expand.launch(stream, kernels)?;
            }
            let few = Few {
                tokens: count,
                ..product.few
            };
            let (kernel, input) = if count as usize <= FEW_TOKENS {
                (&kernels.few_32, &product.inputs[0])
            } else {
                (&kernels.few_64, &product.inputs[1])
            };
            let mut launch = stream.launch_builder(kernel);
            launch.arg(&product.weights).arg(input).arg(&few);
            let blocks = multiprocessors.min(few.tiles * few.splits);
            // SAFETY: as above.
            unsafe { launch.launch(config(blocks, FEW_THREADS, FEW_SHARED)) }
        }
        Launch::Add(add) => {
            let mut launch = stream.launch_builder(&kernels.few_add);
            launch.arg(add);
            // SAFETY: as above.
            unsafe { launch.launch(grid((count, 1), WIDE_THREADS, 0)) }
        }
        Launch::Glu(glu) => {
            let mut launch = stream.launch_builder(&kernels.few_glu);
            launch.arg(glu);
            // SAFETY: as above.
            unsafe { launch.launch(grid((glu.width.div_ceil(THREADS), count), THREADS, 0)) }
        }
        Launch::Delta(delta) => {
            let mut launch = stream.launch_builder(&kernels.delta_each);
            launch.arg(delta.as_ref());
            // SAFETY: as above; members name the states of as many sequences.
            unsafe { launch.launch(grid((delta.value_heads, count), WIDE_THREADS, 0)) }
        }
        Launch::Attend(attend) => {
            let mut launch = stream.launch_builder(&kernels.attend_each);
            launch.arg(attend.as_ref());
            // SAFETY: as above; members name the caches of as many sequences, which have room for their positions.
            unsafe { launch.launch(grid((attend.kv_heads, count), WIDE_THREADS, EACH_SHARED)) }
        }
    };
    launched
        .map(drop)
        .map_err(at("launching a token of each sequence"))
}

fn grid((x, y): (u32, u32), threads: u32, shared: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (x, y, 1),
        ..config(1, threads, shared)
    }
}

fn cuts(product: &ProductStep, multiprocessors: usize) -> usize {
    let tiles = (product.panels * PANEL).div_ceil(TILE_ROWS);
    // Logits are whole: nobody sums them.
    if product.output == Output::Logits {
        1
    } else {
        splits(tiles, product.width.div_ceil(STEP), multiprocessors)
    }
}

/// Bytes of a product's parts.
fn part_bytes(product: &ProductStep, multiprocessors: usize) -> usize {
    let bytes = 4 * cuts(product, multiprocessors) * MOST_SEQUENCES * product.panels * PANEL;
    bytes.next_multiple_of(crate::memory::ALIGNMENT)
}

impl Places {
    fn of(plan: &Plan) -> Self {
        let mut all = Layout::default();
        let mut row = |values: usize, bytes: usize| all.add(MOST_SEQUENCES * values * bytes);
        row(plan.width, 4);
        let normed = row(plan.width, 2);
        let turns = row(TURNED, 4);
        let best = row(1, 8);
        let logits = row(plan.vocabulary, 4);
        let widths = plan.widths.iter();
        let buffers = widths
            .map(|width| width.map(|width| row(width, 2)))
            .collect();
        let members = all.add(size_of::<Members>());
        let (mut parts, mut expanded, mut used, mut mark) = (0, 0, 0, None);
        for step in &plan.steps {
            let Operation::Product(product) = &step.operation else {
                continue;
            };
            if mark != Some(step.mark) {
                (mark, used) = (Some(step.mark), 0);
            }
            used += part_bytes(product, plan.multiprocessors);
            if product.output != Output::Logits {
                parts = parts.max(used);
            }
            if product.format == Format::Q4_0 {
                expanded = expanded.max(Expand::bytes(product));
            }
        }
        let parts = all.add(parts);
        let expanded = all.add(expanded);
        Self {
            normed,
            turns,
            members,
            best,
            logits,
            buffers,
            parts,
            expanded,
            bytes: all.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::splits;

    #[test]
    fn columns_are_cut_where_tiles_are_few() {
        assert_eq!(splits(1940, 64, 132), 1);
        // 32 tiles of 132 multiprocessors: four parts of each keep 128 busy.
        assert_eq!(splits(32, 64, 132), 4);
        assert_eq!(splits(192, 64, 132), 2);
        // Parts of fewer than four steps are none.
        assert_eq!(splits(8, 4, 132), 1);
    }
}
