//! Admission: webhooks and policies that judge or change what others write.

pub mod binding;
pub mod matching;
pub mod policy;
pub mod webhook;
