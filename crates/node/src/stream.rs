//! Streams of remote commands and forwarded ports, as clients speak them: WebSocket and SPDY/3.1.
//!
//! The frames are pure functions; a connection is one future that its owner runs and drops. It knows neither pods nor the API server.

mod pipe;
pub mod port_forward;
pub mod remote_command;
pub mod spdy;
mod status;
pub mod upgrade;
pub mod websocket;

use std::time::Duration;

pub use pipe::Outlet;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Something to read from.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// Something to write to.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// How much a client may send to one stream before what reads the stream takes it; then its connection is not read.
const INBOUND_BYTES: usize = 128 * 1024;
/// Most bytes in one frame or message to a client.
const CHUNK_BYTES: usize = 16 * 1024;
/// Frames that wait for a connection to send them.
const OUTBOUND_FRAMES: usize = 8;
/// How often an idle connection is shown to be alive, so that nothing on its way takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a client may take to open the streams that belong to its request (upstream's `DefaultStreamCreationTimeout`).
const STREAM_CREATION: Duration = Duration::from_secs(30);
/// How long a client may take for what is left when the work is done: then it is cut off.
const LINGER: Duration = Duration::from_secs(10);

/// Copies until the end of `from`.
async fn copy(
    from: &mut (impl AsyncRead + Unpin + ?Sized),
    to: &mut (impl AsyncWrite + Unpin + ?Sized),
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.flush().await;
        }
        to.write_all(&buffer[..n]).await?;
    }
}
