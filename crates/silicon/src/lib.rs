//! silicon (being founded)
