//! What a store is, in tests that every engine runs.
