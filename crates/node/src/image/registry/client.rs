//! The HTTP client for one host: whom it trusts, what it shows, how long it waits.

use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Identity};

use crate::image::Error;
use crate::image::hosts::Host;

/// How long a connection may take (containerd's).
const CONNECT: Duration = Duration::from_secs(30);
/// How long an answer may stand still before it counts as broken, and is resumed.
const STALLED: Duration = Duration::from_mins(1);
const MAX_REDIRECTS: usize = 10;

pub(super) fn build(host: &Host) -> Result<Client, Error> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::failed(format!("cannot make a client for {}", host.base), error)
    };
    let mut builder = Client::builder()
        .user_agent(concat!("sampan/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(host.dial_timeout.unwrap_or(CONNECT))
        .read_timeout(STALLED)
        .redirect(Policy::custom(redirect))
        .tls_danger_accept_invalid_certs(host.skip_verify);
    if is_loopback(host.authority()) {
        builder = builder.no_proxy();
    }
    for file in &host.authorities {
        let pem = std::fs::read(file).map_err(|e| failed(format!("{}: {e}", file.display()).into()))?;
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(|e| failed(e.into()))?);
    }
    if let Some((certificate, key)) = &host.client {
        let mut pem = std::fs::read(certificate)
            .map_err(|e| failed(format!("{}: {e}", certificate.display()).into()))?;
        if let Some(key) = key {
            pem.push(b'\n');
            pem.extend(std::fs::read(key).map_err(|e| failed(format!("{}: {e}", key.display()).into()))?);
        }
        builder = builder.identity(Identity::from_pem(&pem).map_err(|e| failed(e.into()))?);
    }
    builder.build().map_err(|error| failed(error.into()))
}

/// Registries send their clients on to where blobs are kept. Credentials stay behind when the host is another (reqwest sees to it);
/// nobody is sent from TLS to none.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() >= MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    if from_tls && attempt.url().scheme() != "https" {
        return attempt.error("a redirect from https to http");
    }
    attempt.follow()
}

/// Whether a name and port are this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
