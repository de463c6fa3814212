//! A command in a container: its output, up to a bound, and its exit code.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Answer, MAX_OUTPUT_BYTES};
use crate::container::ContainerId;
use crate::runtime::{ExecConfig, Runtime, Session, Wanted};
use crate::words::in_words;

/// Runs a command to its end. `Err`: it could not be run.
pub(crate) async fn run(
    runtime: &Arc<dyn Runtime>,
    id: &ContainerId,
    command: &[String],
) -> Result<(i32, String), String> {
    let wanted = Wanted { stdin: false, stdout: true, stderr: true };
    let config = ExecConfig { command: command.to_vec(), terminal: false, wanted };
    let Session { stdin, stdout, stderr, resize, exit } =
        runtime.exec(id, &config).await.map_err(|error| in_words(&error))?;
    drop(stdin);
    // The streams are read beside the wait for the end: a child that outlives the command may hold them open.
    let mut output = Vec::new();
    let code = {
        let read = read_both(stdout, stderr, &mut output);
        tokio::pin!(read, exit);
        tokio::select! {
            biased;
            () = &mut read => exit.await,
            code = &mut exit => {
                // What was written before the end is there already, or a moment away.
                let _ = tokio::time::timeout(Duration::from_secs(1), &mut read).await;
                code
            }
        }
    };
    drop(resize);
    let code = code.map_err(|_| "the command was lost".to_owned())?.map_err(|error| in_words(&error))?;
    Ok((code, String::from_utf8_lossy(&output).into_owned()))
}

type Stream = Option<Box<dyn AsyncRead + Send + Unpin>>;

/// Reads both to their ends, and keeps the first bytes of what comes.
async fn read_both(mut stdout: Stream, mut stderr: Stream, output: &mut Vec<u8>) {
    let (mut one, mut other) = (vec![0; 4096], vec![0; 4096]);
    while stdout.is_some() || stderr.is_some() {
        let (stream, read, buffer) = tokio::select! {
            read = read(stdout.as_mut(), &mut one) => (&mut stdout, read, &one),
            read = read(stderr.as_mut(), &mut other) => (&mut stderr, read, &other),
        };
        if read == 0 {
            *stream = None;
        }
        let room = MAX_OUTPUT_BYTES.saturating_sub(output.len());
        output.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// 0 at the end; waits forever if there is no stream.
async fn read(stream: Option<&mut Box<dyn AsyncRead + Send + Unpin>>, buffer: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

pub(super) async fn probe(
    runtime: &Arc<dyn Runtime>,
    id: &ContainerId,
    command: &[String],
    timeout: Duration,
) -> Result<Answer, String> {
    match tokio::time::timeout(timeout, run(runtime, id, command)).await {
        Ok(Ok((0, _))) => Ok(Answer::Success),
        Ok(Ok((_, output))) => Ok(Answer::Failure(output)),
        Ok(Err(error)) => Err(error),
        // Its session is dropped: that kills it.
        Err(_) => Ok(Answer::Failure(format!(
            "command timed out: {:?} timed out after {}s",
            command.join(" "),
            timeout.as_secs()
        ))),
    }
}
