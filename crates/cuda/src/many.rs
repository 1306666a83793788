//! Many tokens at once, with a kernel for each part (`kernels/many`): those of a prompt ([`Prompt`]), or one of each of several sequences ([`Batch`]).
//! Products are on the tensor cores; weights of four bits are written as bf16 first, a matrix at a time.

use std::sync::Arc;

use cudarc::driver::{CudaFunction, CudaStream, LaunchConfig, PushKernelArg};

use crate::{
    CudaError,
    device::{Module, Properties},
    error::at,
    op::At,
    plan::{DELTA, Format, Operation, Output, PANEL, Plan, ProductStep},
};
use op::Expand;

pub(crate) use batch::{Batch, Member, Offsets, fewest_sequences};
pub(crate) use op::MOST_SEQUENCES;
pub(crate) use prompt::{Kept, Prompt};

mod batch;
mod early;
mod maps;
pub(crate) mod op;
mod prompt;
mod run;

/// Tokens at a time, at most.
pub const PROMPT_TOKENS: usize = 4096;
/// Fewer than these are not worth it.
pub(crate) const FEWEST_TOKENS: usize = 16;
/// Columns of a bf16 chunk of a panel, and its bytes.
const COLUMNS: usize = 256;
const CHUNK_BYTES: usize = PANEL * 2 * COLUMNS;
/// Columns of a step of a product.
const STEP: usize = 64;
/// Rows that a part of a product has a multiple of.
const ROWS: usize = 8;
/// From so many rows on they are stored as bf16, in groups of so many.
const MANY: usize = 256;
const MANY_ROWS: usize = 32;
const THREADS: u32 = 256;

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
        // The most that a kernel asks for, and what kernels have themselves beside it.
        let shared = [
            op::MATMUL_SHARED,
            op::ATTEND_SHARED,
            op::FEW_SHARED,
            op::scan_shared(64),
        ]
        .into_iter()
        .max()
        .unwrap_or(0)
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
            // Values, and the gate of their norm, are bf16; decays are f32.
            Operation::Delta(d) => (MANY / DELTA..MANY).contains(&d.value_heads),
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

/// Memory of the GPU that is left to the driver and to other programs, where something is taken that can be done without.
const SPARE_BYTES: u64 = 256 << 20;

/// What was made, or none where memory was short: somebody else may have taken it since it was asked for.
fn if_there_is_room<T>(made: Result<T, CudaError>) -> Result<Option<T>, CudaError> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error) if error.is_memory() => Ok(None),
        Err(error) => Err(error),
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
