//! text (being founded)
