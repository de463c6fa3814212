//! The two finalizers by which a deletion tells the garbage collector what is to become of dependents.

/// Dependents stay, without their owner.
pub const ORPHAN: &str = "orphan";
/// Dependents go first.
pub const FOREGROUND: &str = "foregroundDeletion";
