//! Who makes a request, and what they may do: the authenticators and authorizers that a cluster configures.
//!
//! The server knows only their traits ([`sampan_apiserver::chain`]). What stands here reads the API's own objects
//! (service accounts, roles, bindings, nodes) or asks others (webhooks, OIDC issuers). It knows no handler, no schema
//! and no encoding of an answer.

#![forbid(unsafe_code)]

pub mod audit_webhook;
pub mod authentication;
pub mod authorization;
pub mod https;
pub mod metrics;
pub mod reload;
pub mod webhook_client;
