//! What can be wrong with a model file that is a valid GGUF.

use formats::gguf::GgufError;
use kernels::{PackError, memory::OutOfMemory, program::ProgramError};

/// Why a model can't be built. Messages name the file, the field and the next step.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file, one of its fields, or one of its tensors.
    #[error(transparent)]
    File(#[from] GgufError),
    /// An architecture that Sprag does not know.
    #[error(
        "{file}: architecture `{architecture}` is not supported; Sprag runs {known}. `sprag inspect` still shows what the file holds"
    )]
    Architecture {
        /// Where.
        file: String,
        /// `general.architecture`.
        architecture: String,
        /// What is.
        known: String,
    },
    /// A variant of a known architecture that Sprag does not run.
    #[error("{file}: {feature} is not supported yet; {remedy}")]
    Unsupported {
        /// Where.
        file: String,
        /// What the file asks for.
        feature: String,
        /// What to do instead.
        remedy: String,
    },
    /// A value that contradicts another, or is out of range.
    #[error(
        "{file}: metadata `{key}` is {found}; expected {expected}. The file is damaged or its converter is wrong: pull it again, or convert it anew"
    )]
    Value {
        /// Where.
        file: String,
        /// The field.
        key: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A tensor's weights could not be taken.
    #[error("{file}: tensor `{tensor}`: {source}")]
    Weights {
        /// Where.
        file: String,
        /// Its name.
        tensor: String,
        /// What is wrong with them.
        source: PackError,
    },
    /// Metadata and tensors that do not fit together.
    #[error(
        "{file}: {source}. The file is damaged or its converter is wrong: pull it again, or convert it anew"
    )]
    Program {
        /// Where.
        file: String,
        /// What does not fit.
        source: ProgramError,
    },
    /// No memory.
    #[error("{file}: {source}; close other programs or take a smaller model or quantisation")]
    Memory {
        /// Where.
        file: String,
        /// How much was asked for.
        source: OutOfMemory,
    },
    /// The device that the weights were for did not take them; it says why.
    #[error("{file}: tensor `{tensor}` was not taken")]
    NotTaken {
        /// Where.
        file: String,
        /// Its name.
        tensor: String,
    },
    /// Packed weights could not be written to the disk.
    #[error(
        "{file}: its packed weights cannot be kept on disk: {source}; free some space, or let them be in memory with --weights memory"
    )]
    Keep {
        /// Where.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
}
