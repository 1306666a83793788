//! formats (being founded)
