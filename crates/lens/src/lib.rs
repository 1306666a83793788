//! lens (being founded)
