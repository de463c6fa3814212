//! What is set on TCP connections.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// How long the other end may say nothing after the first unanswered probe (as Go's).
const INTERVAL: Duration = Duration::from_secs(15);

/// Small writes leave at once; when the other end has said nothing for `idle`, the machine asks whether it is still there. So a stream
/// that says nothing lasts, and one whose other end is gone does not.
pub(crate) fn prepare(stream: &TcpStream, idle: Duration) {
    // A connection without these works.
    let _ = stream.set_nodelay(true);
    let probed = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, idle))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, INTERVAL));
    if let Err(error) = probed {
        tracing::debug!(%error, "a connection is not probed");
    }
}
