//! Whom connections trust, and what they show.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Scheme;

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

/// What is shown to nodes: a certificate chain and its key, PEM.
#[derive(Clone)]
pub struct Identity {
    /// The chain.
    pub chain: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

/// One configuration for each way of speaking.
#[derive(Debug)]
pub(super) struct Configs {
    any: Arc<ClientConfig>,
    node: Arc<ClientConfig>,
    unverified_node: Arc<ClientConfig>,
}

impl Configs {
    pub(super) fn new(identity: Option<&Identity>, authorities: Option<&[u8]>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let anybody = || Verifier::Anybody(Anybody(Arc::clone(&provider)));
        let node = match authorities {
            Some(pem) => Verifier::Roots(roots(pem)?),
            None => anybody(),
        };
        Ok(Self {
            any: config(&provider, anybody(), None)?,
            node: config(&provider, node, identity)?,
            unverified_node: config(&provider, anybody(), identity)?,
        })
    }

    /// That of a scheme; `None` for what is not encrypted.
    pub(super) fn of(&self, scheme: Scheme) -> Option<Arc<ClientConfig>> {
        match scheme {
            Scheme::Http => None,
            Scheme::AnyHttps => Some(Arc::clone(&self.any)),
            Scheme::Node => Some(Arc::clone(&self.node)),
            Scheme::UnverifiedNode => Some(Arc::clone(&self.unverified_node)),
        }
    }
}

enum Verifier {
    Roots(RootCertStore),
    Anybody(Anybody),
}

fn config(
    provider: &Arc<CryptoProvider>,
    verifier: Verifier,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS", error))?;
    let builder = match verifier {
        Verifier::Roots(roots) => builder.with_root_certificates(roots),
        Verifier::Anybody(anybody) => builder.dangerous().with_custom_certificate_verifier(Arc::new(anybody)),
    };
    // Only HTTP/1.1 can become another protocol.
    let mut config = match identity {
        Some(identity) => {
            let what = "the certificate for nodes";
            let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| unusable(what, error))?;
            let chain = certificates(what, &identity.chain)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(what, error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let what = "the authority of nodes";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, pem)? {
        roots.add(certificate).map_err(|error| unusable(what, error))?;
    }
    Ok(roots)
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(what, error))?;
    if list.is_empty() { Err(unusable(what, "there is no certificate in it")) } else { Ok(list) }
}

/// Takes whoever answers, if only it has the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _first: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
