//! runtime (being founded)
