//! Where a model's packed weights are while it runs, and keeping them for the next start.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use formats::{gguf::Gguf, packed};
use models::Placement;
use runtime::Engine;
use silicon::probe::Machine;
use store::Store;

use crate::{
    failure::Failure,
    interrupt::Interrupt,
    progress, quantity,
    terminal::{Terminal, complain},
};

/// Packing that takes longer is done once: the weights are kept.
const LONG: Duration = Duration::from_secs(1);
/// Left free on the disk.
const MARGIN_BYTES: u64 = 1 << 30;

/// `--weights`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WeightsIn {
    /// In memory if they fit, kept on disk for the next start where packing takes more than a second; else read from the disk
    #[default]
    Auto,
    /// In memory, packed at each start
    Memory,
    /// On the disk, from which they are read as they are needed
    Disk,
}

/// Bytes that the weights take once packed: all tensors, but for a table of embeddings that no product reads.
fn packed_bytes(gguf: &Gguf) -> u64 {
    let is_looked_up =
        |name: &str| name == "token_embd.weight" && gguf.tensor("output.weight").is_some();
    let packed = gguf.tensors().iter().filter(|t| !is_looked_up(t.name()));
    packed.filter_map(|t| t.byte_len()).map(|b| b as u64).sum()
}

/// Where the model's packed weights are kept; `None` for a checkpoint, or where this user has no folder for them.
fn place(gguf: &Gguf) -> Option<(Store, PathBuf)> {
    let model = gguf.path().filter(|_| !gguf.is_derived())?;
    let store = Store::open().ok()?;
    let path = store.packed_path(model).ok()?;
    Some((store, path))
}

/// What was asked for, as far as memory and disk allow.
///
/// # Errors
/// The weights fit nowhere. Nothing has been taken then: a system that runs out of memory kills without a word.
pub fn decide(gguf: &Gguf, asked: WeightsIn, machine: &Machine) -> Result<Placement, Failure> {
    let needed = packed_bytes(gguf);
    let left = &machine.memory.available_bytes;
    let no_room = left.value().filter(|&&available| needed > available);
    let place = match asked {
        WeightsIn::Memory => None,
        WeightsIn::Auto | WeightsIn::Disk => place(gguf),
    };
    let with_margin = needed.saturating_add(MARGIN_BYTES);
    let on_disk = place.map(|(store, path)| {
        // A file that is there already takes no more; a new one is written beside it before it takes its place.
        let is_there = std::fs::metadata(&path).is_ok_and(|meta| meta.len() >= needed);
        let free = store.free_space().unwrap_or(0);
        if is_there || with_margin <= free {
            Ok(path)
        } else {
            Err(free)
        }
    });
    match (asked, no_room, on_disk) {
        (WeightsIn::Disk, _, Some(Ok(path))) => Ok(Placement::Disk(path)),
        (WeightsIn::Disk, _, Some(Err(free))) => Err(Failure::DiskFull {
            needed: with_margin,
            free,
        }),
        (WeightsIn::Disk, _, None) => Err(Failure::Usage(
            "--weights disk needs a model in one GGUF file, and a folder of this user's for the packed weights".to_owned(),
        )),
        (_, Some(&available), Some(Ok(path))) => {
            complain(&format!(
                "note: the weights take {}, {} of memory are available: they are read from the disk as they are needed, which is \
                 slow where a token needs most of them",
                quantity::bytes(needed),
                quantity::bytes(available)
            ));
            Ok(Placement::Disk(path))
        }
        (_, Some(&available), _) => Err(Failure::NoRoom {
            needed,
            available,
            known_from: left.why().to_owned(),
        }),
        (WeightsIn::Auto, None, Some(Ok(path))) => Ok(Placement::Kept(path)),
        (_, None, _) => Ok(Placement::Memory),
    }
}

/// After the answer: keeps the weights for the next start where packing them took long. Ctrl-C leaves it for another time, and what
/// goes wrong is told and harms nothing.
pub fn keep(engine: &Engine, placement: &Placement, terminal: &Terminal, interrupt: &Interrupt) {
    let Placement::Kept(path) = placement else {
        return;
    };
    if engine.model().is_kept || engine.packed_in() < LONG {
        return;
    }
    if let Ok(store) = Store::open() {
        tidy(&store);
    }
    let listening = interrupt.listen();
    let bar = progress::bar(
        terminal,
        0,
        "keeping packed weights for the next start [{bar:30}] {bytes}/{total_bytes}",
    );
    let kept = engine.model().keep(path, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        listening.check().is_ok()
    });
    bar.finish_and_clear();
    match kept {
        Ok(()) => {
            // Given up, there is none.
            if let Ok(meta) = std::fs::metadata(path) {
                complain(&format!(
                    "note: packed weights are kept for the next start ({} in {}); --weights memory keeps none",
                    quantity::bytes(meta.len()),
                    path.display()
                ));
            }
        }
        Err(error) => complain(&format!(
            "note: the packed weights are not kept for the next start: {}: {error}",
            path.display()
        )),
    }
}

/// Deletes kept weights whose model is gone or has changed, and what a process that was killed left behind.
fn tidy(store: &Store) {
    for (path, _) in store.packed_files() {
        let is_left = path.extension().is_some_and(|e| e == "tmp") && is_old(&path);
        if is_left || packed::is_stale(&path) {
            // What cannot be deleted now can be the next time.
            let _left = std::fs::remove_file(&path);
        }
    }
}

/// A file that nobody has written to for an hour.
fn is_old(path: &std::path::Path) -> bool {
    let changed = std::fs::metadata(path).and_then(|meta| meta.modified());
    changed.is_ok_and(|at| {
        at.elapsed()
            .is_ok_and(|age| age > Duration::from_secs(3600))
    })
}
