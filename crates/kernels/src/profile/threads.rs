//! How the threads of a pool are kept apart and how they wait for each other: both change the speed and nothing else.

/// Which processor each thread of the pool is bound to.
///
/// Where the system has no such thing, or refuses it, the choice is taken and does nothing: only Linux binds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// To none: the system places them, and moves them.
    #[default]
    None,
    /// The hardware threads of a core one after the other, core by core: few cores are in use, whose caches are shared.
    Compact,
    /// The first hardware thread of every core, then the second ones: each thread has a core of its own as long as there are any.
    Spread,
}

impl Pinning {
    /// All, the default first.
    pub const ALL: [Self; 3] = [Self::None, Self::Compact, Self::Spread];

    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Compact => "compact",
            Self::Spread => "spread",
        }
    }

    /// The processor of each of `threads` threads; nothing where none is bound. `cores` are the processors that may be used, those of a
    /// core together. More threads than processors begin again with the first.
    #[must_use]
    pub fn processors(self, cores: &[Vec<usize>], threads: usize) -> Vec<usize> {
        let order: Vec<usize> = match self {
            Self::None => Vec::new(),
            Self::Compact => cores.iter().flatten().copied().collect(),
            Self::Spread => {
                let deepest = cores.iter().map(Vec::len).max().unwrap_or(0);
                (0..deepest)
                    .flat_map(|thread| cores.iter().filter_map(move |core| core.get(thread)))
                    .copied()
                    .collect()
            }
        };
        // Repeating nothing is nothing.
        order.into_iter().cycle().take(threads).collect()
    }
}

/// What a thread does that waits for the others of its team.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BarrierStyle {
    /// Looks again and again. Best where each thread has a processor for itself, and slow where not.
    Spin,
    /// Looks `barrier_spins` times, and then yields the processor at each turn.
    #[default]
    Yield,
    /// Looks `barrier_spins` times, and then sleeps until it is woken: costs the others a call of the system, and leaves the processor
    /// to whoever needs it.
    Park,
}

impl BarrierStyle {
    /// All, the default in the middle: from the most eager to the most patient.
    pub const ALL: [Self; 3] = [Self::Spin, Self::Yield, Self::Park];

    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Park => "park",
        }
    }
}

#[cfg(test)]
mod tests;
