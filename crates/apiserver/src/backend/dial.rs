//! Connects to a location. Errors read as those of Go's dialer, since clients see them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Location;
use super::tls::Configs;

/// How long a connection may take to be there, its TLS handshake included.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long the other end may say nothing before it is asked whether it is still there (that of Go's dialer).
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("dial tcp: lookup {0}: no such host")]
    Lookup(String),
    #[error("dial tcp {0}: {1}")]
    Connect(String, &'static str),
    #[error("dial tcp {0}: {1}")]
    Other(String, io::Error),
    #[error("tls: failed to verify certificate: x509: {0}")]
    Certificate(String),
    #[error("tls: {0}")]
    Tls(io::Error),
}

/// A connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) type Stream = Pin<Box<dyn Io>>;

/// Connects.
pub(super) async fn dial(location: &Location, configs: &Configs) -> Result<Stream, Error> {
    let connecting = async {
        let stream = connect(location).await?;
        let Some(config) = configs.of(location.scheme) else { return Ok(Box::pin(stream) as Stream) };
        let name =
            ServerName::try_from(location.host.clone()).map_err(|_| Error::Lookup(location.host.clone()))?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(tls)?;
        Ok(Box::pin(stream) as Stream)
    };
    tokio::time::timeout(TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(Error::Connect(location.authority(), "i/o timeout")))
}

/// The addresses of a host.
pub(super) async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((host, port)).await;
    found.map(Iterator::collect).map_err(|_| Error::Lookup(host.to_owned()))
}

async fn connect(location: &Location) -> Result<TcpStream, Error> {
    let host = location.host.as_str();
    let addresses = addresses(host, location.port).await?;
    let mut last = Error::Lookup(host.to_owned());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                crate::tcp::prepare(&stream, KEEP_ALIVE);
                return Ok(stream);
            }
            Err(error) => last = refused(address, error),
        }
    }
    Err(last)
}

fn refused(address: SocketAddr, error: io::Error) -> Error {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused",
        io::ErrorKind::HostUnreachable => "connect: no route to host",
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        io::ErrorKind::TimedOut => "connect: connection timed out",
        _ => return Error::Other(address.to_string(), error),
    };
    Error::Connect(address.to_string(), words)
}

fn tls(error: io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Error::Certificate(why.to_string()),
        _ => Error::Tls(error),
    }
}
