//! What a sequence carries from step to step: keys and values; DeltaNet's, Mamba-2's and RWKV-7's matrices; the RG-LRU's values; the last
//! inputs of convolutions and token shifts.

use std::sync::Arc;

use crate::{
    RuntimeProfile,
    attention::cache::KvCache,
    memory::{Aligned, Arena, OutOfMemory},
    program::{Program, conv_state_len},
    rg_lru, token_shift,
};

/// The state of one sequence.
pub struct State {
    pub(crate) kv: Vec<KvCache>,
    pub(crate) deltas: Vec<Aligned<f32>>,
    pub(crate) mamba2: Vec<Aligned<f32>>,
    pub(crate) convs: Vec<Aligned<f32>>,
    pub(crate) shifts: Vec<Aligned<f32>>,
    pub(crate) wkv7: Vec<Aligned<f32>>,
    pub(crate) rg_lru: Vec<Aligned<f32>>,
    pub(crate) positions: usize,
    /// Positions whose memory was asked for by [`State::pretend`]: it touches every page, which takes its time at a great depth.
    own_memory: usize,
    capacity: usize,
    pub(crate) program: Arc<()>,
}

impl State {
    /// An empty state with room for `positions` tokens.
    ///
    /// # Errors
    /// The system refuses the memory.
    pub fn new(
        program: &Program,
        profile: &RuntimeProfile,
        positions: usize,
    ) -> Result<Self, OutOfMemory> {
        let mut arena = Arena::new(profile.pages);
        let layers: Vec<(usize, usize)> = program
            .kv
            .iter()
            .map(|layer| (layer.kv_heads, layer.head_dim))
            .collect();
        let kv = KvCache::of_layers(profile.kv_type, &layers, positions, &mut arena)?;
        let deltas = program
            .deltas
            .iter()
            .map(|s| arena.zeroed(s.state_len()))
            .collect::<Result<_, _>>()?;
        let mamba2 = program
            .mamba2
            .iter()
            .map(|s| arena.zeroed(s.state_len()))
            .collect::<Result<_, _>>()?;
        let convs = program
            .convs
            .iter()
            .map(|&channels| arena.zeroed(conv_state_len(channels)))
            .collect::<Result<_, _>>()?;
        let shifts = program
            .shifts
            .iter()
            .map(|&width| arena.zeroed(token_shift::cpu::state_len(width)))
            .collect::<Result<_, _>>()?;
        let wkv7 = program
            .wkv7
            .iter()
            .map(|s| arena.zeroed(s.state_len()))
            .collect::<Result<_, _>>()?;
        let rg_lru = program
            .rg_lru
            .iter()
            .map(|&channels| arena.zeroed(rg_lru::cpu::state_len(channels)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            kv,
            deltas,
            mamba2,
            convs,
            shifts,
            wkv7,
            rg_lru,
            positions: 0,
            own_memory: 0,
            capacity: positions,
            program: Arc::clone(&program.identity),
        })
    }

    /// Tokens that it has seen.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Tokens that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.positions = 0;
        for recurrent in self.recurrent().into_iter().flatten() {
            recurrent.as_mut_slice().fill(0.0);
        }
    }

    /// Forgets all tokens from `positions` on. Recurrent states hold only their last position, so they cannot: false then,
    /// and nothing changes.
    #[must_use]
    pub fn truncate(&mut self, positions: usize) -> bool {
        if positions >= self.positions {
            return positions == self.positions;
        }
        if positions == 0 {
            self.reset();
            return true;
        }
        if self.recurrent().iter().any(|kind| !kind.is_empty()) {
            return false;
        }
        self.positions = positions;
        true
    }

    /// Everything that holds the last position only.
    fn recurrent(&mut self) -> [&mut Vec<Aligned<f32>>; 6] {
        [
            &mut self.deltas,
            &mut self.mamba2,
            &mut self.convs,
            &mut self.shifts,
            &mut self.wkv7,
            &mut self.rg_lru,
        ]
    }

    /// Pretends that `positions` tokens were seen, with whatever the caches hold: for timing at a depth.
    pub fn pretend(&mut self, positions: usize) {
        self.positions = positions.min(self.capacity);
        let further = self.own_memory..self.positions;
        if !further.is_empty() {
            for cache in &mut self.kv {
                cache.materialise(further.clone());
            }
            self.own_memory = self.positions;
        }
    }
}
