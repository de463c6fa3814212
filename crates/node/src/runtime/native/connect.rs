//! Connects to a pod's own loopback from outside of its network namespace.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

/// Connects to `localhost:port` in the namespace at `path`; `None` is the agent's own.
///
/// A thread of its own enters the namespace and ends with it: a runtime's worker that entered one would take other tasks there.
pub(super) async fn connect(path: Option<PathBuf>, port: u16) -> io::Result<tokio::net::TcpStream> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("port-forward".to_owned()).spawn(move || {
        // Whoever asked may have gone.
        let _ = sender.send(enter(path).and_then(|()| local(port)));
    })?;
    let stream = receiver.await.map_err(|_| io::Error::other("the thread that connects has ended"))??;
    stream.set_nonblocking(true)?;
    tokio::net::TcpStream::from_std(stream)
}

fn enter(path: Option<PathBuf>) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let namespace = File::open(path)?;
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// As containerd does: the older family first, and both failures in the error.
fn local(port: u16) -> io::Result<TcpStream> {
    let fourth = match TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).map_err(|sixth| {
        io::Error::new(
            fourth.kind(),
            format!("failed to connect to localhost:{port}: IPv4: {fourth} IPv6: {sixth}"),
        )
    })
}
