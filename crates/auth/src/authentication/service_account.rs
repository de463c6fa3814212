//! Tokens of service accounts: how they are made, how they are checked, and the documents by which others check them.
//!
//! A token is good while its signature, its times, its account and what it is bound to are. The last two are looked up in
//! the newest state for every request, so that a deletion takes effect with its answer; only the arithmetic of the
//! signature is remembered.

mod claims;
mod discovery;
mod issuer;
mod keys;
pub mod last_used;
mod legacy;
mod validator;

pub use claims::{Bound, Claims, Reference};
pub use discovery::{Configuration, KEYS_PATH, KeySet};
pub use issuer::{Issued, Issuer, TokenSpec};
pub use keys::{KeyRing, Keys};
pub use legacy::{LegacyMetrics, LegacyTokens};
pub use validator::AccountTokens;

#[cfg(test)]
mod tests;
