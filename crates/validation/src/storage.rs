//! Storage: classes of volumes, drivers, and what is attached where.

pub mod attachment;
pub mod class;
pub mod driver;
