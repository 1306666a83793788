//! When a champion may move: the statistics of the ratchet, without files, processes or clocks.
