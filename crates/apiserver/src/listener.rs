//! Connections: TLS, HTTP/1.1 and HTTP/2, and the certificates that a client shows.
//!
//! Who signed those is not asked here: a client whose certificate is not good reads a 401, as from kube-apiserver.

mod activity;
mod coalesce;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::chain::authentication::PeerCertificates;
use crate::http_io::respond::Answer;
use crate::server::Server;
use activity::{Active, Activity};
use coalesce::{Coalesce, FlushLater};

/// How many connections may be open at once, if the system lets the process have so many.
pub const MAX_CONNECTIONS: u32 = 16_384;
/// How long a client may take for its TLS handshake, and for the head of a request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may say nothing before it is asked whether it is still there (upstream's `defaultKeepAlivePeriod`).
const KEEP_ALIVE: Duration = Duration::from_mins(3);
/// How long a slow request may go on when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests at once on one HTTP/2 connection (upstream's `--http2-max-streams-per-connection`).
const MAX_STREAMS: u32 = 250;
/// How long to wait after connections could not be accepted, at first and at most (as Go's server).
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// Serves connections until `stop`, at most so many at once (each by the configuration of TLS that is there when it begins), then lets those that are busy finish for a few seconds.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ArcSwap<rustls::ServerConfig>>,
    server: Server,
    connections: u32,
    stop: CancellationToken,
) {
    let seats = Arc::new(Semaphore::new(connections as usize));
    let builder = Arc::new(builder());
    let next = async || {
        let seat = Arc::clone(&seats).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, peer) = accepted(|| listener.accept()).await;
        (seat, stream, peer)
    };
    while let Some((seat, stream, peer)) = stop.run_until_cancelled(next()).await {
        crate::tcp::prepare(&stream, KEEP_ALIVE);
        let connection = Accepted { stream, peer, stop: stop.clone(), _seat: seat };
        tokio::spawn(connection.serve(
            TlsAcceptor::from(tls.load_full()),
            server.clone(),
            Arc::clone(&builder),
        ));
    }
    drop(listener);
    server.shut_down();
    // All connections are over when all seats can be had.
    let over = seats.acquire_many(connections);
    if tokio::time::timeout(DRAIN_TIMEOUT, over).await.is_err() {
        tracing::warn!("some connections were still busy and were cut");
    }
}

/// What `accept` gives when it gives something. Its failures are of one connection, or of a system that has no more files or
/// memory for the moment; neither ends a server.
async fn accepted<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> T {
    let mut pause = PAUSES[0];
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted for the moment");
                tokio::time::sleep(pause).await;
                pause = PAUSES[1].min(pause * 2);
            }
        }
    }
}

/// A connection that was accepted.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
    _seat: OwnedSemaphorePermit,
}

impl Accepted {
    /// Until either side ends it.
    async fn serve(self, acceptor: TlsAcceptor, server: Server, builder: Arc<auto::Builder<TokioExecutor>>) {
        let Self { stream, peer, stop, _seat } = self;
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
        let stream = match stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
            Some(Err(_)) => return tracing::debug!(%peer, "TLS handshake took too long"),
            None => return,
        };
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = PeerCertificates::new(shown.iter().map(|c| c.clone().into_owned()).collect());
        let activity = Arc::new(Activity::new());
        let service = Connection { server, certificates, peer, activity: Arc::clone(&activity) };
        // Only HTTP/2 stays with this task to its end; an upgraded connection is flushed by whoever took it over.
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let later = is_http2.then(FlushLater::default);
        let stream = TokioIo::new(Coalesce::new(stream, later.clone()));
        let connection = builder.serve_connection_with_upgrades(stream, service).into_owned();
        let used = Arc::clone(&activity);
        let end = async move {
            // The library ends a connection of HTTP/1.1 whose next request does not come.
            tokio::select! {
                () = stop.cancelled() => {}
                () = activity.idle(), if is_http2 => {}
            }
        };
        if let Err(error) = Gathering::new(connection, later, end, async move { used.unused().await }).await {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
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
    /// When it is over, the connection takes no further requests; `None` afterwards.
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// When it is over after that, the connection is cut, whatever the client has not said yet.
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    turn_passed: bool,
    flush_later: Option<FlushLater>,
}

impl<F> Gathering<F> {
    fn new(
        inner: F,
        flush_later: Option<FlushLater>,
        end: impl Future<Output = ()> + Send + 'static,
        cut: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            inner: Box::pin(inner),
            end: Some(Box::pin(end)),
            cut: Box::pin(cut),
            turn_passed: true,
            flush_later,
        }
    }
}

impl<F: GracefulConnection> Future for Gathering<F> {
    type Output = Result<(), F::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !std::mem::replace(&mut self.turn_passed, true) {
            // A task that wakes itself goes to the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turn_passed = false;
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            self.end = None;
            self.inner.as_mut().graceful_shutdown();
        }
        if self.end.is_none() && self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
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
    activity: Arc<Activity>,
}

impl hyper::service::Service<http::Request<Incoming>> for Connection {
    type Response = http::Response<Active>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: http::Request<Incoming>) -> Self::Future {
        if let Some(certificates) = &self.certificates {
            request.extensions_mut().insert(certificates.clone());
        }
        request.extensions_mut().insert(self.peer);
        let busy = self.activity.begin();
        let answer = self.server.clone().call(request);
        Box::pin(async move {
            let Ok::<Answer, _>(answer) = answer.await;
            Ok(answer.map(|body| Active::new(body, busy)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_that_happens_to_connections_ends_the_server() {
        // ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM.
        let errors = RefCell::new([103, 24, 23, 105, 12].repeat(3).into_iter().collect::<VecDeque<i32>>());
        let accept = || {
            let error = errors.borrow_mut().pop_front();
            async move { error.map_or(Ok("a connection"), |code| Err(io::Error::from_raw_os_error(code))) }
        };
        let began = tokio::time::Instant::now();
        assert_eq!(accepted(accept).await, "a connection");
        let waited = began.elapsed();
        assert!(waited > PAUSES[1] && waited < PAUSES[1] * 12, "it waits more and more: {waited:?}");
    }
}
