//! store (being founded)
