//! measure (being founded)
