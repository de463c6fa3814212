//! The object tree of the Kubernetes API, and the words that speak of it.
//!
//! [`Value`] is the tree; [`FieldPath`] names a place in it; [`FieldError`] says what is wrong there, and
//! [`Status`] says so to a client. [`name`], [`object_meta`] and [`int_or_string`] check what stands there;
//! [`label_selector`] and [`field_selector`] choose among objects; [`Quantity`] and [`time`] read and write values;
//! [`json_path`] and [`jsonpath`] find them. Nothing here knows async, I/O, the clock, or the name of any kind.

#![forbid(unsafe_code)]

pub mod field_error;
pub mod field_path;
pub mod field_selector;
pub mod gvk;
pub mod int_or_string;
pub mod json_path;
pub mod jsonpath;
pub mod label_selector;
pub mod meta;
pub mod name;
pub mod object_meta;
pub mod quantity;
pub mod status;
pub mod time;
pub mod value;

pub use compact_str::CompactString as Str;
pub use field_error::{ErrorType, FieldError};
pub use field_path::FieldPath;
pub use gvk::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use quantity::Quantity;
pub use status::{Cause, Reason, Status};
pub use value::{Map, Value};
