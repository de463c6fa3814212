//! Connections: TLS, HTTP/1.1 and HTTP/2. Streams are HTTP/1.1 connections that were upgraded.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::access::{self, Peer};

/// Connections at once.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take for its TLS handshake, and for the head of a request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may say nothing before the machine asks whether its other end is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Serves connections until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    server: Server,
    stop: CancellationToken,
) -> io::Result<()> {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let seat = Arc::clone(&seats).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => return Err(error),
            },
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let server = server.clone();
        connections.spawn(async move {
            let _seat = seat;
            if let Err(error) = connection(stream, acceptor, server).await {
                tracing::debug!(%peer, %error, "a connection to the node ended");
            }
        });
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    server: Server,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let probes = rustix::net::sockopt::set_socket_keepalive(&stream, true)
        .and_then(|()| rustix::net::sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE))
        .and_then(|()| rustix::net::sockopt::set_tcp_keepintvl(&stream, KEEP_ALIVE / 2));
    if let Err(error) = probes {
        tracing::debug!(%error, "a connection is not probed");
    }
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = Arc::new(Peer { user: shown.and_then(|certificate| access::user_of(certificate)) });
    let service = service_fn(move |request| {
        let (server, peer) = (server.clone(), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(server.answer(request, &peer).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_TIMEOUT).max_buf_size(64 * 1024);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(64 * 1024).max_concurrent_streams(250);
    builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await
}

/// Failures of one connection, which say nothing about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
