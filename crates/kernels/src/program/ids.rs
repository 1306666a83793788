//! What nodes name buffers, weights and states by.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub(crate) usize);

        impl $name {
            /// Its number, in the order of building, from 0.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0
            }
        }
    )*};
}

ids!(
    /// An activation buffer.
    BufferId,
    /// A packed matrix.
    MatrixId,
    /// A vector of f32 weights.
    VectorId,
    /// A layer's KV cache.
    KvId,
    /// A layer's DeltaNet state.
    DeltaId,
    /// A layer's Mamba-2 state.
    Mamba2Id,
    /// A layer's convolution state.
    ConvId,
    /// The last row that a token shift saw.
    ShiftId,
    /// A layer's RWKV-7 state.
    Wkv7Id,
    /// A layer's RG-LRU state.
    RgLruId
);
