//! The streams of a container: pipes or a terminal, and those who joined them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::pipe::PipeFlags;
use rustix::termios::Winsize;

use crate::oci::Stdio;

/// How much output waits for one who joined: who is slower than that is let go.
const TAP_BYTES: usize = 1024 * 1024;

/// Which of the output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Stdout,
    Stderr,
}

impl Which {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The shim's ends of a container's streams.
#[derive(Default)]
pub(crate) struct Streams {
    /// Where input goes in: a pipe, or the terminal's master.
    stdin: Option<OwnedFd>,
    /// What comes out. The terminal's master is here too.
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    terminal: bool,
    /// Whether input ends with the first who joined it.
    stdin_once: bool,
    taps: Vec<Tap>,
}

/// Somebody who joined an output stream.
struct Tap {
    which: Which,
    write: OwnedFd,
}

/// A pipe whose read end does not block, for the shim to read.
fn output() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    nonblocking(&read)?;
    Ok((read, write))
}

pub(crate) fn nonblocking(descriptor: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    Ok(rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK)?)
}

fn null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Pipes for a container: the shim's ends, and the container's.
pub(crate) fn for_container(stdin: bool, stdin_once: bool) -> io::Result<(Streams, Stdio)> {
    let (stdout, stdout_inside) = output()?;
    let (stderr, stderr_inside) = output()?;
    let (stdin_inside, stdin) = if stdin {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(write))
    } else {
        (null()?, None)
    };
    let streams =
        Streams { stdin, stdout: Some(stdout), stderr: Some(stderr), stdin_once, ..Streams::default() };
    Ok((
        streams,
        Stdio { stdin: Some(stdin_inside), stdout: Some(stdout_inside), stderr: Some(stderr_inside) },
    ))
}

/// Pipes for a command: the agent's ends of what is wanted, in the order stdin, stdout, stderr, and the command's.
pub(crate) fn for_exec(stdin: bool, stdout: bool, stderr: bool) -> io::Result<(Vec<OwnedFd>, Stdio)> {
    let mut outside = Vec::new();
    let mut pipe = |wanted: bool, input: bool| -> io::Result<OwnedFd> {
        if !wanted {
            return null();
        }
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (inside, kept) = if input { (read, write) } else { (write, read) };
        outside.push(kept);
        Ok(inside)
    };
    let given = Stdio {
        stdin: Some(pipe(stdin, true)?),
        stdout: Some(pipe(stdout, false)?),
        stderr: Some(pipe(stderr, false)?),
    };
    Ok((outside, given))
}

impl Streams {
    /// Those of a container with a terminal.
    pub(crate) fn of_terminal(master: OwnedFd, stdin: bool, stdin_once: bool) -> io::Result<Self> {
        nonblocking(&master)?;
        rustix::io::fcntl_setfd(&master, FdFlags::CLOEXEC)?;
        let stdin = stdin.then(|| master.try_clone()).transpose()?;
        Ok(Self { stdin, stdout: Some(master), terminal: true, stdin_once, ..Self::default() })
    }

    pub(crate) fn output(&self, which: Which) -> Option<&OwnedFd> {
        match which {
            Which::Stdout => self.stdout.as_ref(),
            Which::Stderr => self.stderr.as_ref(),
        }
    }

    /// Reads what is there; `Some(0)` is the end, `None` is nothing yet.
    pub(crate) fn read(&self, which: Which, buffer: &mut [u8]) -> Option<usize> {
        match rustix::io::read(self.output(which)?, buffer) {
            Ok(length) => Some(length),
            Err(Errno::AGAIN | Errno::INTR) => None,
            // A terminal whose last user is gone says EIO.
            Err(_) => Some(0),
        }
    }

    /// Hands output to those who joined, and lets go of who cannot take it.
    pub(crate) fn copy(&mut self, which: Which, bytes: &[u8]) {
        self.taps.retain(|tap| tap.which != which || rustix::io::write(&tap.write, bytes) == Ok(bytes.len()));
    }

    /// The stream has ended, also for those who joined it.
    pub(crate) fn close(&mut self, which: Which) {
        match which {
            Which::Stdout => self.stdout = None,
            Which::Stderr => self.stderr = None,
        }
        self.taps.retain(|tap| tap.which != which);
    }

    /// Nobody reads any more what could be put in.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Joins: the ends for the agent, in the order stdin, stdout, stderr. Input that is not kept open is an empty pipe's end.
    pub(crate) fn attach(&mut self, stdin: bool, stdout: bool, stderr: bool) -> io::Result<Vec<OwnedFd>> {
        let mut ends = Vec::new();
        if stdin {
            ends.push(match (&self.stdin, self.stdin_once && !self.terminal) {
                (Some(_), true) => self.stdin.take().expect("it was just seen"),
                (Some(write), false) => write.try_clone()?,
                (None, _) => rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?.1,
            });
        }
        for (wanted, which) in [(stdout, Which::Stdout), (stderr, Which::Stderr)] {
            if wanted {
                ends.push(self.tap(which)?);
            }
        }
        Ok(ends)
    }

    fn tap(&mut self, which: Which) -> io::Result<OwnedFd> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        nonblocking(&write)?;
        // More than the default is a favour that the kernel may refuse.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, TAP_BYTES);
        // A stream that has ended is not joined; its reader sees the end.
        if self.output(which).is_some() {
            self.taps.push(Tap { which, write });
        }
        Ok(read)
    }

    /// `false` if there is no terminal.
    pub(crate) fn resize(&self, width: u16, height: u16) -> io::Result<bool> {
        match &self.stdout {
            Some(master) if self.terminal => resize(master.as_fd(), width, height).map(|()| true),
            _ => Ok(false),
        }
    }
}

fn resize(terminal: impl AsFd, width: u16, height: u16) -> io::Result<()> {
    let size = Winsize { ws_col: width, ws_row: height, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}
