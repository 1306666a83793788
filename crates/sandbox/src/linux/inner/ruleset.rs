//! The Landlock half of a seal: which files may be opened for what, and that nobody outside is signalled or called.
//!
//! A ruleset is a list of what is allowed; whatever else opens, makes, moves or removes a file is refused by the kernel, whatever
//! path leads there: rules hold for the files themselves, after links and `..`. The newest rights are asked for and
//! older kernels give what they know. What they don't know has to be refused by the [`filter`](super::filter), which is
//! told so by [`Strength`].

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope,
};

use crate::linux::system;
use crate::linux::wire::{CellOrder, Refusal};

/// The newest rights that we ask for: all that this code was tested against.
const NEWEST: ABI = ABI::V7;

/// What the kernel's Landlock stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strength {
    /// Shortening a file by its path (since Linux 6.2).
    pub truncation: bool,
    /// Signals to processes outside (since Linux 6.12).
    pub signals: bool,
}

/// Leaves this process, and all it starts, the job's files alone.
pub(super) fn restrict(order: &CellOrder) -> Result<Strength, Refusal> {
    const STEP: &str = "close the files with Landlock";
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(Refusal::step(STEP))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(Refusal::step(STEP))?;
    let ruleset = allow_files(ruleset, order)?;
    let status = ruleset.restrict_self().map_err(Refusal::step(STEP))?;
    strength(&status).ok_or_else(|| Refusal::step(STEP)("the kernel enforces nothing"))
}

/// Inside bubblewrap: nothing about files, but no calls to the host's abstract sockets where the network is the host's. On
/// kernels that can't, such calls are stopped by the filter, which then refuses Unix sockets.
pub(super) fn scope() -> Result<(), Refusal> {
    const STEP: &str = "close abstract sockets with Landlock";
    let scoped = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::from_all(NEWEST))
        .and_then(Ruleset::create)
        .map_err(Refusal::step(STEP))?;
    scoped.restrict_self().map_err(Refusal::step(STEP))?;
    Ok(())
}

fn strength(status: &RestrictionStatus) -> Option<Strength> {
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return None;
    }
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return None;
    };
    Some(Strength {
        truncation: effective_abi >= ABI::V3,
        signals: effective_abi >= ABI::V6,
    })
}

fn allow_files(mut ruleset: RulesetCreated, order: &CellOrder) -> Result<RulesetCreated, Refusal> {
    let read = AccessFs::from_read(NEWEST);
    // Neither devices nor sockets of one's own: the first need root anyway, and the second could be called from outside.
    let write = AccessFs::from_all(NEWEST)
        & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    for path in system::read_only(&order.job) {
        ruleset = allow(ruleset, &path, read)?;
    }
    for path in system::DEVICES {
        ruleset = allow(ruleset, Path::new(path), device)?;
    }
    if order.job.gpu {
        for card in system::cards() {
            ruleset = allow(ruleset, &card, device | AccessFs::ReadDir)?;
        }
    }
    for (mount, writable) in order.job.mounts() {
        ruleset = allow(ruleset, &mount.host, if writable { write } else { read })?;
    }
    allow(ruleset, &PathBuf::from(&order.temporary), write)
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Refusal> {
    let step = || format!("open {path:?} to the command");
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    };
    let opened = PathFd::new(path).map_err(Refusal::step(step()))?;
    ruleset
        .add_rule(PathBeneath::new(opened, access))
        .map_err(Refusal::step(step()))
}
