//! Experiments that only count when they are proven: tracks, proposers, sealed trials, and the loop that moves a champion.
