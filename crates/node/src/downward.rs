//! What the downward API tells of a pod: fields of the pod, and resources of its containers, as text.
//!
//! Pure. The environment and the volumes of a pod both read it; which fields may stand in which of them is for the API server to check.

mod field;
mod quote;
mod resource;

pub use field::{Error as FieldError, PodFacts, field, format_map};
pub use quote::quote;
pub use resource::{Error as ResourceError, resource};
