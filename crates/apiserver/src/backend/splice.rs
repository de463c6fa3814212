//! Joins two upgraded connections, byte for byte.

use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long one side may go on when the other has ended.
const LINGER: Duration = Duration::from_secs(10);
/// What is on its way in one direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Joins both as soon as both are upgraded, until one has ended.
pub(super) async fn join(client: OnUpgrade, backend: OnUpgrade) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok((client, backend)) => (TokioIo::new(client), TokioIo::new(backend)),
        Err(error) => return tracing::debug!(%error, "a connection was not upgraded after all"),
    };
    both(client, backend).await;
}

async fn both(client: impl AsyncRead + AsyncWrite + Send, backend: impl AsyncRead + AsyncWrite + Send) {
    let (client_read, client_write) = tokio::io::split(client);
    let (backend_read, backend_write) = tokio::io::split(backend);
    let up = copy(client_read, backend_write);
    let down = copy(backend_read, client_write);
    tokio::pin!(up, down);
    // The other direction is carried on for a while: what was not read when a socket is closed may cost its peer what it had not read yet.
    tokio::select! {
        ended = &mut up => if ended.is_ok() {
            let _ = tokio::time::timeout(LINGER, down).await;
        },
        ended = &mut down => if ended.is_ok() {
            let _ = tokio::time::timeout(LINGER, up).await;
        },
    }
}

/// Copies until the end, which is passed on.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..n]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_until_one_side_ends() {
        let (mut client, near) = duplex(1024);
        let (mut backend, far) = duplex(1024);
        let joined = tokio::spawn(both(near, far));
        client.write_all(b"up").await.unwrap();
        backend.write_all(b"down").await.unwrap();
        let (mut up, mut down) = ([0; 2], [0; 4]);
        backend.read_exact(&mut up).await.unwrap();
        client.read_exact(&mut down).await.unwrap();
        assert_eq!((&up, &down), (b"up", b"down"));
        backend.write_all(b"last words").await.unwrap();
        backend.shutdown().await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
        drop((client, backend));
        joined.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_end_is_cut_off() {
        let (mut client, near) = duplex(1024);
        let (backend, far) = duplex(1024);
        let joined = tokio::spawn(both(near, far));
        client.shutdown().await.unwrap();
        joined.await.unwrap();
        drop(backend);
    }
}
