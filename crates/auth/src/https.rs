//! An HTTPS client for the few servers that authentication and authorization ask: webhooks, OIDC issuers.
//!
//! Whom it trusts and what it shows of itself is decided once, when it is made. Every exchange has a time and a size
//! that it may not exceed. It knows nothing of what is said.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// Why there is no client, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate, key or name that cannot be used.
    #[error("{what} cannot be used: {why}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The server could not be reached, or is not the one that is trusted.
    #[error("cannot connect")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke.
    #[error("the connection failed")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer is longer than it may be.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// Whom a client trusts, and what it shows of itself.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The authorities' certificates (PEM); `None` trusts those of the machine.
    pub authorities: Option<Vec<u8>>,
    /// The client's certificate chain and its key (PEM).
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the server's certificate must have, if it is not the host of the URL.
    pub server_name: Option<String>,
}

/// What a server answered, whatever the code.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The code.
    pub code: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A client. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Https {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    max_bytes: usize,
}

impl Https {
    /// A client whose exchanges take at most `timeout`, and whose answers have at most `max_bytes`.
    pub fn new(trust: &Trust, timeout: Duration, max_bytes: usize) -> Result<Self, Error> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(trust)?).https_or_http();
        let builder = match &trust.server_name {
            Some(name) => {
                let name = ServerName::try_from(name.clone()).map_err(|e| setting("the server's name", e))?;
                builder.with_server_name_resolver(FixedServerNameResolver::new(name))
            }
            None => builder,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(16)
            .build(builder.enable_http1().build());
        Ok(Self { client, timeout, max_bytes })
    }

    /// Reads a URL.
    pub async fn get(&self, url: &http::Uri) -> Result<Answer, Error> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url.clone();
        self.send(request).await
    }

    /// Sends a request and reads the answer to its end.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    Error::Unreachable(error.into())
                } else {
                    Error::Connection(error.into())
                }
            })?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, self.max_bytes).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Error::TooLong(self.max_bytes)
                } else {
                    Error::Connection(error)
                }
            })?;
            Ok(Answer { code: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(Error::Timeout(self.timeout)))
    }
}

fn setting(what: &'static str, why: impl std::fmt::Display) -> Error {
    Error::Setting { what, why: why.to_string() }
}

fn tls(trust: &Trust) -> Result<rustls::ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match &trust.authorities {
        Some(pem) => {
            for certificate in certificates("the authority's certificate", pem)? {
                roots.add(certificate).map_err(|e| setting("the authority's certificate", e))?;
            }
        }
        None => {
            // What cannot be read of the machine's store is left out, as every other program does.
            let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| setting("TLS", e))?
        .with_root_certificates(roots);
    match &trust.identity {
        Some((chain, key)) => {
            let chain = certificates("the client's certificate", chain)?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| setting("the client's key", e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| setting("the client's certificate", e))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let list: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| setting(what, e))?;
    if list.is_empty() { Err(setting(what, "there is no certificate in it")) } else { Ok(list) }
}
