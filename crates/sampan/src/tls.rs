//! The TLS side of the listener: the server's certificate, and clients that may show one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::CipherSuite;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::pki::Pair;

/// A configuration that shows `server`, and verifies client certificates against `authority`.
pub(crate) fn config(authority: &str, server: &Pair) -> Result<Arc<rustls::ServerConfig>> {
    let provider = Arc::new(provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.context("the authority's certificate cannot be read")?)?;
    }
    // A client without a certificate may come in: it is anonymous, or will show a token.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .context("the authority's certificate cannot be used")?;
    let chain = CertificateDer::pem_slice_iter(server.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the server's certificate cannot be read")?;
    let key =
        PrivateKeyDer::from_pem_slice(server.key.as_bytes()).context("the server's key cannot be read")?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .context("the server's certificate cannot be used")?;
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Sessions resume by tickets that the client keeps, so that none is kept here.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The library's algorithms, with AES-128 first as Go's servers have it: it is the fastest of the safe ones.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// Makes the library's first random number, which takes longer than all others.
pub(crate) fn warm_random() {
    let _ = aws_lc_rs::default_provider().secure_random.fill(&mut [0]);
}
