//! The TLS side of the listener: the server's certificate, and clients that may show one.

mod any_client;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, DistinguishedName};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::pki::Pair;

/// A configuration that shows `server`, and tells clients of which authorities certificates are known.
pub(crate) fn config(names: Vec<DistinguishedName>, server: &Pair) -> Result<Arc<rustls::ServerConfig>> {
    let provider = Arc::new(provider());
    let verifier = any_client::AnyClient::new(names, &provider);
    let chain = CertificateDer::pem_slice_iter(server.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the server's certificate cannot be read")?;
    let key =
        PrivateKeyDer::from_pem_slice(server.key.as_bytes()).context("the server's key cannot be read")?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
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
