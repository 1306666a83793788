//! From a MODEL argument to an open file and a loaded engine, with the pull in between where a person may want it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cuda::CudaError;
use formats::gguf::Gguf;
use kernels::{KvType, Pinning};
use models::Placement;
use runtime::{Engine, RuntimeError};
use serde::Serialize;
use silicon::probe::Machine;
use store::{CatalogueEntry, ResolveError, Source, Store};

use crate::{
    arguments::EngineArguments,
    checkpoint,
    device::DeviceChoice,
    failure::Failure,
    interrupt::Interrupt,
    placement,
    progress::{self, PullProgress},
    quantity,
    terminal::{Terminal, complain},
};

/// A model's identity in every report.
#[derive(Debug, Serialize)]
pub struct Identity {
    /// Its file's name without `.gguf`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// `general.architecture`, where the file says so.
    pub architecture: Option<String>,
    /// The mixture of formats, as [`quantisation`] finds it.
    pub quantisation: String,
    /// Number of weights.
    pub parameters: u64,
}

impl Identity {
    /// Of an open file.
    pub fn of(gguf: &Gguf, path: &Path) -> Self {
        // A checkpoint's path may be a folder, even `.`; its metadata have the folder's name.
        let folder = gguf.metadata().opt_str("general.name").ok().flatten();
        let name = match folder.filter(|_| gguf.is_derived()) {
            Some(name) => name.to_owned(),
            None => path
                .file_stem()
                .map(|s| s.to_string_lossy().into_owned())
                .unwrap_or_default(),
        };
        Self {
            name,
            path: path.to_owned(),
            bytes: gguf.file_len() as u64,
            architecture: gguf
                .metadata()
                .opt_str("general.architecture")
                .ok()
                .flatten()
                .map(str::to_owned),
            quantisation: quantisation(gguf),
            parameters: gguf.tensors().iter().map(|t| t.elements() as u64).sum(),
        }
    }
}

/// llama.cpp's names of `general.file_type`: a mixture such as Q4_K_M has no other place in the file.
const FILE_TYPES: [(u64, &str); 18] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (21, "Q2_K_S"),
    (32, "BF16"),
];

/// What the file says, else the format of most of its bytes.
pub fn quantisation(gguf: &Gguf) -> String {
    let stated = gguf.metadata().opt_u64("general.file_type").ok().flatten();
    let known = stated.and_then(|id| FILE_TYPES.iter().find(|(known, _)| *known == id));
    match known {
        Some((_, name)) => (*name).to_owned(),
        None => models::Model::tensor_groups(gguf)
            .first()
            .map_or("no tensors", |g| g.format)
            .to_owned(),
    }
}

/// The file that MODEL means. A catalogue model that is not here is pulled when a person sits at the terminal, or when
/// `fetch` says so.
///
/// # Errors
/// Nothing is called that, or the pull failed.
pub fn locate(
    given: &str,
    fetch: bool,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<PathBuf, Failure> {
    let path = Path::new(given);
    // A checkpoint's folder; what else lies there and is no file (a pipe) is the parser's to refuse, in its words.
    if (given.contains('/') || given.ends_with(".gguf")) && path.exists() && !path.is_file() {
        return Ok(path.to_owned());
    }
    let store = Store::open()?;
    match store.resolve(given) {
        Ok(found) => Ok(found),
        Err(ResolveError::NotPulled(entry)) if fetch || (terminal.input && terminal.errors) => {
            pull_entry(entry, &store, terminal, interrupt)
        }
        // A file without the usual ending or a checkpoint's folder, in the current folder.
        Err(ResolveError::Unknown { .. }) if path.is_file() || path.is_dir() => Ok(path.to_owned()),
        Err(error) => Err(error.into()),
    }
}

fn pull_entry(
    entry: &CatalogueEntry,
    store: &Store,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<PathBuf, Failure> {
    complain(&format!(
        "fetching {} ({}, {})",
        entry.alias,
        quantity::bytes(entry.bytes),
        entry.licence
    ));
    let source = Source::parse(&entry.source).map_err(store::PullError::from)?;
    let listening = interrupt.listen();
    let mut progress = PullProgress::new(terminal, &listening);
    let pulled = store::pull(&source, store, &mut progress);
    progress.finish();
    Ok(pulled?.model.path)
}

/// Opens a model file, without its weights.
///
/// # Errors
/// As [`Gguf::open`].
pub fn open(path: &Path) -> Result<Arc<Gguf>, Failure> {
    checkpoint::open_as_stored(path)
}

/// A loaded model, and where its weights are.
pub struct Loaded {
    /// Ready to run.
    pub engine: Engine,
    /// None on a GPU.
    placement: Option<Placement>,
}

impl Loaded {
    /// See [`placement::keep`].
    pub fn keep(&self, terminal: &Terminal, interrupt: &Interrupt) {
        if let Some(placement) = &self.placement {
            placement::keep(&self.engine, placement, terminal, interrupt);
        }
    }
}

/// As [`load`], for what looks at the processor alone.
///
/// # Errors
/// A GPU was asked for; as [`load`].
pub fn load_on_processor(
    gguf: &Arc<Gguf>,
    arguments: &EngineArguments,
    terminal: &Terminal,
) -> Result<Loaded, Failure> {
    if let DeviceChoice::Cuda(_) = arguments.device {
        return Err(Failure::Usage(
            "the lens measures the processor so far; leave --device out".to_owned(),
        ));
    }
    let arguments = EngineArguments {
        device: DeviceChoice::Cpu,
        ..arguments.clone()
    };
    load(gguf, &arguments, terminal)
}

/// Loads the model with a bar, where that takes long enough to see one; on a GPU where one was asked for, or is there and can run it.
///
/// # Errors
/// The file can't be used, or there is no memory.
pub fn load(
    gguf: &Arc<Gguf>,
    arguments: &EngineArguments,
    terminal: &Terminal,
) -> Result<Loaded, Failure> {
    match on_gpu(gguf, arguments, terminal) {
        Ok(Some(engine)) => {
            let placement = None;
            return Ok(Loaded { engine, placement });
        }
        Ok(None) => {}
        Err(RuntimeError::Cuda(error)) if arguments.device == DeviceChoice::Auto => {
            complain(&format!("note: the GPU is not used: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    let machine = Machine::probe();
    let profile = arguments.profile();
    let placement = placement::decide(gguf, arguments.weights_in, &machine)?;
    if profile.threads > machine.cores.usable {
        complain(&format!(
            "warning: {} threads on {} processors wait for each other; --threads {} is faster",
            profile.threads, machine.cores.usable, machine.cores.usable
        ));
    }
    let bar = progress::bar(
        terminal,
        gguf.file_len() as u64,
        "loading [{bar:30}] {bytes}/{total_bytes}",
    );
    let mut progress = |done, _| bar.set_position(done);
    let engine = Engine::placed(Arc::clone(gguf), profile, &placement, &mut progress);
    bar.finish_and_clear();
    let engine = engine?;
    let pinning = engine.profile().pinning;
    if pinning != Pinning::None && engine.pool().processors().is_empty() {
        complain(&format!(
            "warning: threads cannot be bound to processors here; the profile's pinning = \"{}\" does nothing",
            pinning.name()
        ));
    }
    let placement = Some(placement);
    Ok(Loaded { engine, placement })
}

/// The model on the GPU that the arguments mean; `None` where they mean none.
fn on_gpu(
    gguf: &Arc<Gguf>,
    arguments: &EngineArguments,
    terminal: &Terminal,
) -> Result<Option<Engine>, RuntimeError> {
    let Some(device) = arguments.device.open()? else {
        return Ok(None);
    };
    if let Some(asked) = arguments.kv_type.filter(|&kv_type| kv_type != KvType::F16) {
        return Err(RuntimeError::Cuda(CudaError::Unsupported {
            part: format!("--kv-type {}", asked.name()),
            reason: "keys and values are f16 there".to_owned(),
        }));
    }
    let bar = progress::bar(
        terminal,
        gguf.file_len() as u64,
        "loading to the GPU [{bar:30}] {bytes}/{total_bytes}",
    );
    let mut progress = |done, _| bar.set_position(done);
    let gguf = Arc::clone(gguf);
    let engine = Engine::on_gpu(gguf, arguments.profile(), &device, &mut progress);
    bar.finish_and_clear();
    engine.map(Some)
}
