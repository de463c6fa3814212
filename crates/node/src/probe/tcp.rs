//! Whether somebody accepts connections, and how Go words that nobody does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Answer;

/// Host and port in one, IPv6 in brackets.
pub(super) fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Connects. An empty host is the node itself.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let place = join(host, port);
    let looked_up = if host.is_empty() { "localhost" } else { host };
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((looked_up, port)).await {
        Ok(found) => found.collect(),
        Err(_) => return Err(format!("dial tcp: lookup {host}: no such host")),
    };
    let mut last = format!("dial tcp: lookup {host}: no such host");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("dial tcp {address}: {}", cause(&error)),
        }
    }
    tracing::trace!(%place, error = last, "nobody accepts");
    Err(last)
}

/// A system call's error, as Go words it.
fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".into(),
        io::ErrorKind::ConnectionReset => "connect: connection reset by peer".into(),
        io::ErrorKind::TimedOut => "connect: connection timed out".into(),
        _ => error.to_string(),
    }
}

pub(super) async fn probe(host: &str, port: u16, timeout: Duration) -> Answer {
    match tokio::time::timeout(timeout, connect(host, port)).await {
        Ok(Ok(_)) => Answer::Success,
        Ok(Err(message)) => Answer::Failure(message),
        Err(_) => Answer::Failure(format!("dial tcp {}: i/o timeout", join(host, port))),
    }
}
