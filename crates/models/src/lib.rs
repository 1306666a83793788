//! models (being founded)
