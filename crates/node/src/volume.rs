//! The volumes of pods: what they contain (`payload`, pure), how it gets there (`atomic_writer`, `host_path`, `tmpfs`, ...), and that it stays what the objects say
//! (`mounter`).
//!
//! Layout, modes and texts are the kubelet's: `pods/UID/volumes/PLUGIN/NAME`, `pods/UID/volume-subpaths/VOLUME/CONTAINER/N`. Knows the API through `objects` only.

mod atomic_writer;
mod beneath;
mod claim;
mod follower;
mod host_path;
mod mounter;
mod mounts;
mod ownership;
mod payload;
mod plan;
mod sub_path;
#[cfg(test)]
mod tests;
mod tmpfs;

pub(crate) use beneath::{open as open_beneath, root as open_root};
pub use mounter::Mounter;
pub use payload::{File, Payload};
