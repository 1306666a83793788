//! One token of each of several sequences: the weights are read once for all of them (`kernels/many/batch.cuh`).

use std::{collections::HashMap, ffi::c_void};

use cudarc::driver::{LaunchConfig, PushKernelArg, result};
use kernels::program::Program;

use super::{
    Kernels, SPARE_BYTES, STEP, THREADS, bf16_chunks, config,
    early::{launch_early, pointer},
    if_there_is_room, maps, number,
    op::{
        AddNormed, AttendEach, DeltaEach, Expand, FEW_SHARED, Few, FewGlu, Given, MOST_SEQUENCES,
        Members, Normed, TensorMap,
    },
};
use places::{Places, TILE_ROWS, cuts, part_bytes};

use crate::{
    CudaError, Weights,
    error::at,
    memory::{Memory, Pinned},
    op::At,
    plan::{Format, HEAD, Input, Operation, Output, PANEL, Plan, ProductStep, TURNED, capacity},
};

mod places;

/// Threads of products, of what adds them to the stream, of the delta rule and attention.
const FEW_THREADS: u32 = 384;
const WIDE_THREADS: u32 = 512;
/// Tokens of the smaller of two kernels.
const FEW_TOKENS: usize = 32;
/// Shared memory of attention: what sixteen warps have found for eight heads.
pub(super) const EACH_SHARED: usize = 16 * 8 * HEAD * 4;
/// Blocks that look for a row's likeliest token.
const LOOKING: u32 = 16;

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
        let places = Places::of(&weights.plan);
        if places.bytes as u64 + SPARE_BYTES >= weights.device.free_bytes()? {
            return Ok(None);
        }
        if_there_is_room(Self::with(weights, offsets, places))
    }

    fn with(weights: &Weights, offsets: &Offsets<'_>, places: Places) -> Result<Self, CudaError> {
        let (device, plan) = (&weights.device, &weights.plan);
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
        Ok(batch)
    }

    fn launches(&self, weights: &Weights, offsets: &Offsets<'_>) -> Result<Vec<Launch>, CudaError> {
        let plan = &weights.plan;
        let vector = |id| weights.vector(id);
        let memory = |at: usize| self.memory.at(at);
        let normed = memory(self.places.normed);
        let mut launches = Vec::new();
        // What products have left for others, by buffer; parts of products of one node lie beside each other.
        let mut given: HashMap<usize, Given> = HashMap::new();
        let (mut mark, mut used) = (None, 0);
        // The norm that was computed last: of which stream, with which weights.
        let mut is_normed = None;
        let nothing = Given::default();
        let find =
            |given: &HashMap<usize, Given>, id: usize| given.get(&id).copied().unwrap_or(nothing);
        for (i, step) in plan.steps.iter().enumerate() {
            match &step.operation {
                Operation::Embed => {}
                Operation::Product(product) => {
                    if let Input::Norm { weight, eps } = product.input
                        && is_normed != Some((step.needs, weight))
                    {
                        is_normed = Some((step.needs, weight));
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
                            is_normed = Some((step.mark, weight));
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
                is_made: u32::from(expand.is_some()),
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

    /// Sets off a token of each of `members`, and finds the likeliest that follow. The caller has waited for the last run.
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
        let factors = plan.rope.factors.map(|id| program.vector(id));
        for (i, member) in members.iter().enumerate() {
            let row = &mut embeddings[i * plan.width..(i + 1) * plan.width];
            plan.embed(program, member.token, row);
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

/// Launches one of the operations for `count` tokens, before what is in front of it has ended: kernels wait for that themselves.
fn each(
    weights: &Weights,
    kernels: &Kernels,
    launch: &Launch,
    count: u32,
) -> Result<(), CudaError> {
    let stream = &weights.device.stream;
    let go = |kernel, grid, arguments: &mut [*mut c_void]| {
        // SAFETY: the arguments are the kernel's, by the arms below; what they name is memory of the batch and the weights with room for
        // 64 tokens, and states and caches of as many sequences as there are tokens, which all outlive the launch.
        unsafe { launch_early(stream, kernel, grid, arguments) }
            .map_err(at("launching a token of each sequence"))
    };
    match launch {
        Launch::Norm(norm) => go(
            &kernels.normed,
            grid((count, 1), THREADS, 0),
            &mut [pointer(norm)],
        ),
        Launch::Product(product) => {
            if let Some(expand) = &product.expand {
                let blocks = expand.eights.div_ceil(u64::from(THREADS)) as usize;
                go(
                    &kernels.expand,
                    config(number(blocks), THREADS, 0),
                    &mut [pointer(expand)],
                )?;
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
            let blocks = number(weights.plan.multiprocessors).min(few.tiles * few.splits);
            let arguments = &mut [pointer(&product.weights), pointer(input), pointer(&few)];
            go(kernel, config(blocks, FEW_THREADS, FEW_SHARED), arguments)
        }
        Launch::Add(add) => go(
            &kernels.few_add,
            grid((count, 1), WIDE_THREADS, 0),
            &mut [pointer(add)],
        ),
        Launch::Glu(glu) => {
            let blocks = glu.width.div_ceil(THREADS);
            go(
                &kernels.few_glu,
                grid((blocks, count), THREADS, 0),
                &mut [pointer(glu)],
            )
        }
        Launch::Delta(delta) => {
            let grid = grid((delta.value_heads, count), WIDE_THREADS, 0);
            go(&kernels.delta_each, grid, &mut [pointer(delta.as_ref())])
        }
        Launch::Attend(attend) => {
            let grid = grid((attend.kv_heads, count), WIDE_THREADS, EACH_SHARED);
            go(&kernels.attend_each, grid, &mut [pointer(attend.as_ref())])
        }
    }
}

fn grid((x, y): (u32, u32), threads: u32, shared: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (x, y, 1),
        ..config(1, threads, shared)
    }
}
