//! Who makes a request: one file a sort of credentials.
//!
//! A request shows a client certificate, the headers of a proxy, or a token. The kinds of tokens stand behind
//! [`token::TokenAuthenticator`], which the TokenReview API asks too.

pub mod bootstrap_token;
pub mod cache;
pub mod client_certificate;
pub mod jwt;
pub mod oidc;
pub mod published;
pub mod request_header;
pub mod service_account;
pub mod stored;
pub mod token;
pub mod token_file;
pub mod webhook;
