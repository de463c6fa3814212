//! What fake containers run.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::container::ContainerId;
use crate::runtime::TerminalSize;

/// What a program is given.
pub struct Process {
    /// The container that it runs in.
    pub container: ContainerId,
    /// Its name and arguments.
    pub args: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Its standard input; at its end when there is none.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard error.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Sizes of its terminal.
    pub sizes: mpsc::Receiver<TerminalSize>,
}

type Run = Pin<Box<dyn Future<Output = i32> + Send>>;

/// A program: runs, and ends with an exit code. It is dropped when it is killed.
pub type Program = Arc<dyn Fn(Process) -> Run + Send + Sync>;

/// A program of a function.
pub fn program<F, R>(run: F) -> Program
where
    F: Fn(Process) -> R + Send + Sync + 'static,
    R: Future<Output = i32> + Send + 'static,
{
    Arc::new(move |process| Box::pin(run(process)))
}

/// `cat`, `echo`, `exit`, `fail`, `pause`, `sizes`.
pub(super) fn builtin() -> HashMap<String, Program> {
    let list: [(&str, Program); 6] = [
        ("cat", program(cat)),
        ("echo", program(echo)),
        ("exit", program(exit)),
        ("fail", program(fail)),
        ("pause", program(pause)),
        ("sizes", program(sizes)),
    ];
    list.into_iter().map(|(name, program)| (name.to_owned(), program)).collect()
}

/// Says what it hears, until that ends.
async fn cat(mut process: Process) -> i32 {
    match tokio::io::copy(&mut process.stdin, &mut process.stdout).await {
        Ok(_) => 0,
        Err(_) => 1,
    }
}

/// Says its arguments.
async fn echo(mut process: Process) -> i32 {
    let line = format!("{}\n", process.args[1..].join(" "));
    process.stdout.write_all(line.as_bytes()).await.map_or(1, |()| 0)
}

/// Ends with the code that its argument says.
async fn exit(process: Process) -> i32 {
    process.args.get(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Says its arguments on standard error, and ends with 1.
async fn fail(mut process: Process) -> i32 {
    let line = format!("{}\n", process.args[1..].join(" "));
    let _ = process.stderr.write_all(line.as_bytes()).await;
    1
}

/// Runs until it is killed.
async fn pause(_process: Process) -> i32 {
    std::future::pending().await
}

/// Says each size of its terminal, until its input ends.
async fn sizes(mut process: Process) -> i32 {
    let mut ignored = [0; 256];
    loop {
        tokio::select! {
            size = process.sizes.recv() => {
                let Some(size) = size else { return 0 };
                let line = format!("{}x{}\r\n", size.width, size.height);
                if process.stdout.write_all(line.as_bytes()).await.is_err() {
                    return 1;
                }
            }
            read = process.stdin.read(&mut ignored) => if matches!(read, Ok(0) | Err(_)) {
                return 0;
            },
        }
    }
}
