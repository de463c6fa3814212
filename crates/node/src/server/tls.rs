//! The server's side of TLS.

use std::sync::Arc;

pub use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, WantsServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be used: {why}")]
pub struct Error {
    what: &'static str,
    why: String,
}

fn unusable(what: &'static str, why: impl std::fmt::Display) -> Error {
    Error { what, why: why.to_string() }
}

/// What the server shows (a chain and its key, PEM), and whose client certificates it believes (PEM). Clients need none.
pub fn config(
    chain: &[u8],
    key: &[u8],
    client_authorities: &[u8],
) -> Result<Arc<rustls::ServerConfig>, Error> {
    let chain = certificates("the server's certificate", chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable("the server's key", error))?;
    let config = builder(client_authorities)?
        .with_single_cert(chain, key)
        .map_err(|error| unusable("the server's certificate", error))?;
    Ok(finished(config))
}

/// A server that has no certificate yet: whoever comes is refused.
pub fn without_certificate(client_authorities: &[u8]) -> Result<Arc<rustls::ServerConfig>, Error> {
    Ok(finished(builder(client_authorities)?.with_cert_resolver(Arc::new(NoCertificate))))
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn builder(client_authorities: &[u8]) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates("the clients' authority", client_authorities)? {
        roots.add(authority).map_err(|error| unusable("the clients' authority", error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable("the clients' authority", error))?;
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS", error))?
        .with_client_cert_verifier(verifier);
    Ok(builder)
}

fn finished(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let list: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| unusable(what, e))?;
    if list.is_empty() { Err(unusable(what, "there is no certificate in it")) } else { Ok(list) }
}
