//! Connections: TLS, HTTP/1.1 and HTTP/2, and the certificates that a client shows.
//!
//! Who signed those is not asked here: a client whose certificate is not good reads a 401, as from kube-apiserver.

mod coalesce;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::chain::authentication::PeerCertificates;
use crate::server::Server;
use coalesce::{Coalesce, FlushLater};

/// How many connections may be open at once.
const MAX_CONNECTIONS: usize = 16_384;
/// How long a client may take for its TLS handshake, and for the head of a request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a slow request may go on when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests at once on one HTTP/2 connection (upstream's `--http2-max-streams-per-connection`).
const MAX_STREAMS: u32 = 250;

/// Serves connections until `stop`, then lets those that are busy finish for a few seconds.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    server: Server,
    stop: CancellationToken,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let builder = Arc::new(builder());
    loop {
        let seat = Arc::clone(&seats).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => return Err(error),
            },
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, server, builder) = (acceptor.clone(), server.clone(), Arc::clone(&builder));
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _seat = seat;
            let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
            };
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = PeerCertificates::new(shown.iter().map(|c| c.clone().into_owned()).collect());
            let service = Connection { server, certificates, peer };
            // Only HTTP/2 stays with this task to its end; an upgraded connection is flushed by whoever took it over.
            let later = (stream.get_ref().1.alpn_protocol() == Some(b"h2")).then(FlushLater::default);
            let stream = TokioIo::new(Coalesce::new(stream, later.clone()));
            let connection =
                watcher.watch(builder.serve_connection_with_upgrades(stream, service).into_owned());
            if let Err(error) = Gathering::new(connection, later).await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
    drop(listener);
    server.shut_down();
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still busy and were cut");
    }
    Ok(())
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_TIMEOUT).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs a connection one turn after it was woken.
///
/// Ten watches of one connection are woken by one event, and each has a frame for the connection to send.
/// The runtime would run the connection right after the first of them; one turn later all ten frames are
/// there and leave in one write. A request pays a fraction of a microsecond for it.
struct Gathering<F> {
    inner: Pin<Box<F>>,
    turn_passed: bool,
    flush_later: Option<FlushLater>,
}

impl<F> Gathering<F> {
    fn new(inner: F, flush_later: Option<FlushLater>) -> Self {
        Self { inner: Box::pin(inner), turn_passed: true, flush_later }
    }
}

impl<F: Future> Future for Gathering<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !std::mem::replace(&mut self.turn_passed, true) {
            // A task that wakes itself goes to the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turn_passed = false;
        let polled = self.inner.as_mut().poll(cx);
        if polled.is_pending() && self.flush_later.as_ref().is_some_and(FlushLater::take) {
            return self.inner.as_mut().poll(cx);
        }
        polled
    }
}

/// Failures of one connection, which say nothing about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// The service of one connection: the server, with what is known of the client.
#[derive(Clone)]
struct Connection {
    server: Server,
    certificates: Option<PeerCertificates>,
    peer: SocketAddr,
}

impl hyper::service::Service<http::Request<Incoming>> for Connection {
    type Response = <Server as Service<http::Request<Incoming>>>::Response;
    type Error = std::convert::Infallible;
    type Future = <Server as Service<http::Request<Incoming>>>::Future;

    fn call(&self, mut request: http::Request<Incoming>) -> Self::Future {
        if let Some(certificates) = &self.certificates {
            request.extensions_mut().insert(certificates.clone());
        }
        request.extensions_mut().insert(self.peer);
        self.server.clone().call(request)
    }
}
