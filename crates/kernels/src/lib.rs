//! kernels (being founded)
