//! The threads, the instruction set and the working memory of training kernels.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    Isa, Pool,
    memory::{Aligned, Arena, OutOfMemory, Pages},
};

/// What the kernels of training run on.
pub struct Machine {
    pub(super) pool: Pool,
    pub(super) isa: Isa,
    scratch: Mutex<Aligned<f32>>,
}

/// Why there is no machine.
#[derive(Debug)]
pub enum NoMachine {
    /// The system refused a thread.
    Threads(std::io::Error),
    /// It refused memory.
    Memory(OutOfMemory),
}

impl std::fmt::Display for NoMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Threads(error) => write!(f, "the system refused a thread: {error}"),
            Self::Memory(error) => write!(f, "no working memory: {error}"),
        }
    }
}

impl std::error::Error for NoMachine {}

impl Machine {
    /// `threads` of them (the caller's is one), on the best instruction set of this processor.
    ///
    /// # Errors
    /// The system refuses a thread or the memory for packed blocks.
    pub fn new(threads: usize) -> Result<Self, NoMachine> {
        Self::of(threads, Isa::detect_for_training())
    }

    /// As [`Machine::new`], on `isa`; the processor has it.
    ///
    /// # Errors
    /// As [`Machine::new`].
    ///
    /// # Panics
    /// If the processor does not have `isa`.
    pub fn of(threads: usize, isa: Isa) -> Result<Self, NoMachine> {
        assert!(
            isa.is_available(),
            "{} is not of this processor",
            isa.name()
        );
        // Operations follow one another closely: a worker looks for the next for about a millisecond before it sleeps.
        let pool = Pool::new(threads, 20_000, 2_000).map_err(NoMachine::Threads)?;
        let scratch = scratch(super::gemm::SCRATCH).map_err(NoMachine::Memory)?;
        Ok(Self {
            pool,
            isa,
            scratch: Mutex::new(scratch),
        })
    }

    /// Sees to it that an operation finds working memory of `len` f32.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn reserve(&mut self, len: usize) -> Result<(), OutOfMemory> {
        let scratch = self
            .scratch
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if scratch.len() < len {
            *scratch = self::scratch(len)?;
        }
        Ok(())
    }

    /// Threads, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set.
    #[must_use]
    pub const fn isa(&self) -> Isa {
        self.isa
    }

    /// Working memory, for one operation at a time.
    pub(super) fn scratch(&self, len: usize) -> MutexGuard<'_, Aligned<f32>> {
        let scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            scratch.len() >= len,
            "{len} f32 of working memory are needed and {} reserved",
            scratch.len()
        );
        scratch
    }
}

/// Zeros in huge pages: packed blocks and chunks are read in strides.
fn scratch(len: usize) -> Result<Aligned<f32>, OutOfMemory> {
    Arena::new(Pages::Huge).zeroed(len)
}
