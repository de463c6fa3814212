//! Encryption at rest: what the file `EncryptionConfiguration` (apiserver.config.k8s.io/v1) says becomes the store's
//! [`Transform`].
//!
//! Of the providers of a resource the first one writes and all of them read. Behind its prefix
//! (`k8s:enc:aesgcm:v1:key1:`) a value lies on the disk as it would in etcd under a kube-apiserver. This crate
//! knows no server and no API objects: a resource is what stands in a key.

mod config;
mod encryption;
mod error;
mod grpc;
mod kms;
mod metrics;
mod provider;
mod reload;
mod resource;
mod rules;

#[cfg(test)]
mod tests;

pub use encryption::Encryption;
pub use error::Error;
pub use reload::{Reloaded, Reloader};

#[cfg(doc)]
use sampan_store::Transform;
