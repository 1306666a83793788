//! Why a GPU could not be used.

use cudarc::driver::DriverError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// No driver.
    #[error(
        "no NVIDIA driver was found (libcuda): install it, or use the processor with --device cpu"
    )]
    NoDriver,
    /// A driver that finds no GPU, or not this one.
    #[error("there is no GPU {ordinal}: the driver knows {known}; see nvidia-smi")]
    NoDevice {
        /// Asked for.
        ordinal: usize,
        /// How many there are.
        known: usize,
    },
    /// A GPU without what the kernels are built on.
    #[error(
        "{name} (sm_{major}{minor}) is older than Sprag's kernels, which need Hopper (sm_90) or later; use the processor with --device cpu"
    )]
    OldDevice {
        /// Its name.
        name: String,
        /// Of its architecture.
        major: i32,
        /// Of its architecture.
        minor: i32,
    },
    /// No compiler for kernels.
    #[error(
        "NVIDIA's runtime compiler (libnvrtc.so or libnvrtc.so.12) was not found; it comes with the CUDA toolkit and as the Python package nvidia-cuda-nvrtc-cu12: put its folder into LD_LIBRARY_PATH"
    )]
    NoCompiler,
    /// The compiler refused the kernels.
    #[error("NVIDIA's runtime compiler refused the kernels for {architecture}: {log}")]
    Compile {
        /// For which architecture.
        architecture: String,
        /// What it said.
        log: String,
    },
    /// A model that the kernels cannot run.
    #[error("{part} cannot run on the GPU yet: {reason}; use the processor with --device cpu")]
    Unsupported {
        /// Which part of the model.
        part: String,
        /// Why.
        reason: String,
    },
    /// More than the GPU's memory.
    #[error(
        "{what} take {} of the GPU's memory, {} of {} are free; take a smaller model or context, or use the processor with --device cpu",
        gigabytes(*needed),
        gigabytes(*free),
        gigabytes(*total)
    )]
    Memory {
        /// What was to be held.
        what: &'static str,
        /// Its bytes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Bytes of the GPU.
        total: u64,
    },
    /// Weights that are no numbers.
    #[error(
        "a matrix has a weight or a scale that is no number; the file is damaged: pull it again"
    )]
    NotFinite,
    /// A matrix whose rows are not what its shape says.
    #[error("a matrix of {rows} rows has {found} bytes, expected {expected}")]
    Shape {
        /// Its rows.
        rows: usize,
        /// Bytes that came.
        found: usize,
        /// Bytes of its shape.
        expected: usize,
    },
    /// The driver refused.
    #[error(
        "the GPU failed in {what}: {source}; what was computed is lost, and a restart may help"
    )]
    Driver {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: DriverError,
    },
}

impl CudaError {
    /// Whether there was too little memory, of the GPU or of the host.
    pub(crate) fn is_memory(&self) -> bool {
        use cudarc::driver::sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY;
        match self {
            Self::Memory { .. } => true,
            Self::Driver { source, .. } => source.0 == CUDA_ERROR_OUT_OF_MEMORY,
            _ => false,
        }
    }
}

/// As people say it.
fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// Says what was asked of the driver.
pub(crate) fn at(what: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |source| CudaError::Driver { what, source }
}
