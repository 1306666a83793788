//! Weights on the GPU. Rows come as a file has them, in pieces through page-locked memory; the GPU puts them into panels.

use std::{convert::Infallible, panic::resume_unwind, sync::Arc, thread};

use cudarc::driver::{CudaEvent, CudaFunction, LaunchConfig, PushKernelArg, result};
use kernels::{
    StoredMatrix, in_turns,
    program::{Program, VectorId},
};
use ops::{Dtype, dequantize::dequantize};

use crate::{
    CudaError, Device, Plan,
    error::at,
    many,
    memory::{Memory, Pinned},
    op::{At, Packing},
    plan::{Format, Place},
    source::Unit,
};

/// Bytes of a piece on its way.
const PIECE_BYTES: usize = 32 << 20;
/// Pieces on their way: one is filled while the other is copied.
const PIECES: usize = 2;
const PACK_THREADS: u32 = 256;

/// A program's weights in the GPU's memory, and the kernels made for it.
pub struct Weights {
    pub(crate) device: Arc<Device>,
    pub(crate) plan: Plan,
    pub(crate) token: CudaFunction,
    /// Of many tokens, where the GPU has them.
    pub(crate) many: Option<many::Kernels>,
    pub(crate) matrices: Memory,
    pub(crate) vectors: Memory,
}

/// Weights that are on their way to the GPU.
pub struct Loading {
    device: Arc<Device>,
    plan: Plan,
    token: CudaFunction,
    many: Option<many::Kernels>,
    matrices: Memory,
    bad: Memory,
    pack_q4_0: CudaFunction,
    pack_bf16: CudaFunction,
    pieces: Vec<Piece>,
    next: usize,
    threads: usize,
}

/// A piece of a matrix: in the host's memory, then in the GPU's.
struct Piece {
    host: Pinned<u8>,
    gpu: Memory,
    /// Behind what used it last.
    free: CudaEvent,
}

impl Loading {
    /// Takes the memory that `plan` asks for; sixteen threads at most will read files.
    ///
    /// # Errors
    /// It does not fit; the kernels can't be compiled.
    pub fn new(device: Arc<Device>, plan: Plan) -> Result<Self, CudaError> {
        let needed = plan.weight_bytes();
        let free = device.free_bytes()?;
        if needed > free {
            return Err(CudaError::Memory {
                what: "the weights",
                needed,
                free,
                total: device.properties().memory_bytes,
            });
        }
        let takes_many = many::Kernels::are_for(&plan, device.properties());
        // Compiling takes seconds, once.
        let (token, many) = thread::scope(|scope| {
            let many = takes_many.then(|| scope.spawn(|| device.code(Unit::Many)));
            let token = device.code(Unit::Token { depth: plan.depth });
            let many = many.map(|compiling| {
                let compiled = compiling.join();
                compiled.unwrap_or_else(|panic| resume_unwind(panic))
            });
            (token, many)
        });
        let module = device.module(token?)?;
        let many = match many {
            Some(code) => Some(many::Kernels::of(&device.module(code?)?)?),
            None => None,
        };
        let stream = &device.stream;
        let matrices = Memory::zeroed(stream, plan.weight_bytes, "the weights")?;
        let bad = Memory::zeroed(stream, size_of::<u32>(), "a mark")?;
        let pieces = (0..PIECES).map(|_| {
            Ok(Piece {
                host: Pinned::new(&device.context, PIECE_BYTES)?,
                gpu: Memory::zeroed(stream, PIECE_BYTES, "weights on their way")?,
                free: stream.record_event(None).map_err(at("copying weights"))?,
            })
        });
        let pieces = pieces.collect::<Result<_, CudaError>>()?;
        Ok(Self {
            token: module.function("token", plan.shared as usize)?,
            pack_q4_0: module.function("pack_q4_0", 0)?,
            pack_bf16: module.function("pack_bf16", 0)?,
            many,
            threads: thread::available_parallelism().map_or(1, |n| n.get().min(16)),
            pieces,
            next: 0,
            matrices,
            bad,
            plan,
            device,
        })
    }

    /// Takes matrix `index` of the program: `rows` rows of `stored`, by `map`.
    ///
    /// # Errors
    /// The bytes are not of its shape; the GPU failed.
    ///
    /// # Panics
    /// `map` leads outside of `stored`; the program has no such matrix.
    pub fn matrix(
        &mut self,
        index: usize,
        stored: StoredMatrix<'_>,
        rows: usize,
        map: &(dyn Fn(usize) -> usize + Sync),
    ) -> Result<(), CudaError> {
        let Some(place) = self.plan.places[index] else {
            return Ok(());
        };
        let StoredMatrix {
            dtype, cols, bytes, ..
        } = stored;
        let stored_row = dtype.bytes_for(cols).unwrap_or(0);
        if stored_row == 0 || bytes.len() != stored.rows * stored_row {
            return Err(CudaError::Shape {
                rows: stored.rows,
                found: bytes.len(),
                expected: stored.rows * stored_row,
            });
        }
        let row_bytes = match place.format {
            Format::Q4_0 => stored_row,
            Format::Bf16 => 2 * cols,
        };
        let at_once = (PIECE_BYTES / row_bytes.max(1)).max(1);
        let mut first = 0;
        while first < rows {
            let count = at_once.min(rows - first);
            let source = |r: usize| {
                let from = map(first + r) * stored_row;
                &bytes[from..from + stored_row]
            };
            self.piece(place, first, count, (dtype, cols, row_bytes), &source)?;
            first += count;
        }
        Ok(())
    }

    /// `count` rows from `first` on, each as `source` has it.
    fn piece<'s>(
        &mut self,
        place: Place,
        first: usize,
        count: usize,
        (dtype, cols, row_bytes): (Dtype, usize, usize),
        source: &(dyn Fn(usize) -> &'s [u8] + Sync),
    ) -> Result<(), CudaError> {
        let piece = &mut self.pieces[self.next];
        self.next = (self.next + 1) % PIECES;
        piece.free.synchronize().map_err(at("copying weights"))?;
        let to = &mut piece.host.values_mut()[..count * row_bytes];
        fill(to, row_bytes, self.threads, |r, to| {
            if place.format == Format::Q4_0 || dtype == Dtype::Bf16 {
                to.copy_from_slice(source(r));
            } else {
                round(dtype, source(r), to);
            }
        });
        let stream = &self.device.stream;
        let sent = &piece.host.values()[..count * row_bytes];
        // SAFETY: the piece has this much room, and its host memory is not written before `free` has passed.
        unsafe { result::memcpy_htod_async(piece.gpu.at(0), sent, stream.cu_stream()) }
            .map_err(at("copying weights"))?;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let packing = Packing {
            to: self.matrices.at(place.offset),
            from: piece.gpu.at(0),
            bad: self.bad.at(0),
            rows: number(count),
            cols: number(cols),
            chunks: number(place.chunks),
            first: number(place.first + place.stride * first),
            stride: number(place.stride),
        };
        let (pack, each) = match place.format {
            Format::Q4_0 => (&self.pack_q4_0, 32),
            Format::Bf16 => (&self.pack_bf16, 8),
        };
        let threads = number((count * cols / each).div_ceil(PACK_THREADS as usize));
        let config = LaunchConfig {
            grid_dim: (threads, 1, 1),
            block_dim: (PACK_THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the plan gave the product room for all of its rows; the piece holds `count` of them.
        unsafe { stream.launch_builder(pack).arg(&packing).launch(config) }
            .map_err(at("packing weights"))?;
        piece.free.record(stream).map_err(at("copying weights"))
    }

    /// Takes the vectors of `program` too, and waits for all.
    ///
    /// # Errors
    /// A weight is no number; the GPU failed.
    pub fn finish(self, program: &Program) -> Result<Weights, CudaError> {
        let stream = &self.device.stream;
        let vectors = Memory::zeroed(stream, self.plan.vector_bytes, "the weights")?;
        for (values, &offset) in program.vectors().zip(&self.plan.vectors) {
            vectors.write(offset, values)?;
        }
        let mut bad = [0u32];
        self.bad.read(&mut bad)?;
        if bad[0] != 0 {
            return Err(CudaError::NotFinite);
        }
        Ok(Weights {
            device: self.device,
            plan: self.plan,
            token: self.token,
            many: self.many,
            matrices: self.matrices,
            vectors,
        })
    }
}

impl Weights {
    /// The GPU they are on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Where a vector lies.
    pub(crate) fn vector(&self, id: VectorId) -> At {
        self.vectors.at(self.plan.vectors[id.index()])
    }

    /// What they are for.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Fills `to`, row by row, on several threads.
fn fill(to: &mut [u8], row_bytes: usize, threads: usize, row: impl Fn(usize, &mut [u8]) + Sync) {
    let rows_at_once = ((1 << 20) / row_bytes.max(1)).max(1);
    let parts = to.chunks_mut(rows_at_once * row_bytes.max(1)).enumerate();
    let done: Result<(), Infallible> = in_turns(threads, parts, |(part, rows)| {
        for (i, to) in rows.chunks_exact_mut(row_bytes).enumerate() {
            row(part * rows_at_once + i, to);
        }
        Ok(())
    });
    let Ok(()) = done;
}

/// A row of any format, rounded to bf16.
fn round(dtype: Dtype, from: &[u8], to: &mut [u8]) {
    let mut values = vec![0.0f32; to.len() / 2];
    // Its length was checked; what is no number stays none, and is found on the GPU.
    if dequantize(dtype, from, &mut values).is_err() {
        values.fill(f32::NAN);
    }
    for (to, value) in to.chunks_exact_mut(2).zip(values) {
        to.copy_from_slice(&half::bf16::from_f32(value).to_le_bytes());
    }
}
