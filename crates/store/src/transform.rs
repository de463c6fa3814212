//! A hook by which values are other bytes on the disk than in memory.
//!
//! The live state, its history and the watches hold values as they are. What an engine writes goes through
//! [`Transform::seal`], what it reads at its start through [`Transform::open`]. The store knows neither why
//! (encryption at rest, say) nor how; it knows that some values lie in another form than the next ones will.

use std::num::NonZeroU64;

/// Why a value could not be sealed or opened.
pub type TransformError = Box<dyn std::error::Error + Send + Sync>;

/// In which form a value lies on the disk: a number that only the transform can read. `None`, wherever a
/// form is optional, is the value as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form(pub NonZeroU64);

/// Bytes that went through a transform.
#[derive(Debug)]
pub struct Transformed {
    /// What came out.
    pub bytes: Vec<u8>,
    /// The form in which they lie, or are to lie, on the disk.
    pub form: Form,
}

/// What happens to values between the memory and the disk.
pub trait Transform: Send + Sync + std::fmt::Debug + 'static {
    /// What is written instead of `value`, whose revision is in it already; `None`: the value itself. `key` is the
    /// place of the value, and what was sealed for one place should not open at another.
    /// The one writer thread waits for it, and everybody who writes with it: it must not wait for anything.
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Transformed>, TransformError>;

    /// The value that was sealed as `stored`; `None`: `stored` is the value itself. May wait.
    fn open(&self, key: &str, stored: &[u8]) -> Result<Option<Transformed>, TransformError>;

    /// Whether a value that were written now would lie on the disk in this form.
    fn is_current(&self, key: &str, form: Option<Form>) -> bool;

    /// Registers its metrics.
    fn register_metrics(&self, _registry: &mut prometheus_client::registry::Registry) {}
}
