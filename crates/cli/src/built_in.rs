//! The model that comes with the program, for whoever cannot fetch the default one. `data/default.md` is its card.

use std::sync::Arc;

use formats::gguf::Gguf;

use crate::{failure::Failure, model_file::Identity, quantity};

/// `data/default.gguf`.
const MODEL: &[u8] = include_bytes!("../../../data/default.gguf");

/// Opens it.
pub fn open() -> Result<Arc<Gguf>, Failure> {
    Ok(Arc::new(Gguf::from_bytes(MODEL.to_vec())?))
}

/// Why it is there, and what it cannot show.
pub fn words(instead_because: &Failure, gguf: &Gguf) -> String {
    let Identity {
        bytes, parameters, ..
    } = Identity::of(gguf, "built-in".as_ref());
    format!(
        "the default model could not be fetched: {instead_because}\n\
         going on with the one that comes with Sprag, {} parameters in {}, trained on the State of the Union addresses: it fits the processor's \
         caches, so that nothing here shows the limit of the memory (DRAM). `sprag pull default` tries again",
        quantity::count(parameters),
        quantity::bytes(bytes),
    )
}
