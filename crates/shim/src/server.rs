//! The shim's one loop: requests of agents, ends of processes, output of containers. It waits for all of them at once, and handles one after the other.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::process::{WaitOptions, WaitStatus};

use crate::connection::Connection;
use crate::container::{self, Container, Exec, Wanted, failed};
use crate::log::LogFile;
use crate::protocol::{Answer, Call, Cause, Failure, Message, Request, Setup};
use crate::streams::Which;
use crate::{packet, setup, trace};

/// Name of the configuration in the shim's directory.
const SETUP_FILE: &str = "shim.json";
/// Name of the socket in it.
const SOCKET: &str = "shim.sock";
/// Where libcontainer keeps its state in it.
const STATE: &str = "oci";
/// What is read of a stream at once.
const READ_BYTES: usize = 16 * 1024;

/// What is kept for the entries that become of it.
const KEPT_BYTES: usize = 64 * 1024;

/// Why a shim could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read shim.json")]
    Configuration(#[source] io::Error),
    #[error("cannot set the shim up")]
    Setup(#[from] setup::Error),
    #[error("cannot listen")]
    Listen(#[source] io::Error),
}

/// Whom an event is for.
#[derive(Clone, Debug)]
enum Source {
    Listener,
    Children,
    Connection,
    Output(String, Which),
}

pub(crate) struct Server {
    directory: PathBuf,
    setup: Setup,
    init: Option<i32>,
    poll: OwnedFd,
    listener: OwnedFd,
    children: SignalFd,
    sources: HashMap<u64, Source>,
    next: u64,
    connections: BTreeMap<u64, Connection>,
    containers: BTreeMap<String, Container>,
    /// Who asked for the end: connection and request.
    ending: Option<(u64, u64)>,
    buffer: Vec<u8>,
    entries: Vec<u8>,
}

impl Server {
    pub(crate) fn start(directory: &Path) -> Result<Self, Error> {
        let configured = std::fs::read(directory.join(SETUP_FILE))
            .and_then(|bytes| Ok(serde_json::from_slice::<Setup>(&bytes)?));
        let setup = configured.map_err(Error::Configuration)?;
        trace::begin();
        let init = setup::apply(&setup)?;

        let mut signals = SigSet::empty();
        signals.add(Signal::SIGCHLD);
        let failed = |errno: nix::Error| Error::Listen(errno.into());
        signals.thread_block().map_err(failed)?;
        let children =
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;

        let state = directory.join(STATE);
        std::fs::create_dir_all(&state).map_err(Error::Listen)?;
        let socket = directory.join(SOCKET);
        let _ = std::fs::remove_file(&socket);
        let listener = packet::listen(&socket).map_err(Error::Listen)?;
        let poll = epoll::create(CreateFlags::CLOEXEC).map_err(|errno| Error::Listen(errno.into()))?;
        let mut server = Self {
            directory: directory.to_owned(),
            setup,
            init,
            poll,
            listener,
            children,
            sources: HashMap::new(),
            next: 0,
            connections: BTreeMap::new(),
            containers: BTreeMap::new(),
            ending: None,
            buffer: vec![0; READ_BYTES],
            entries: Vec::new(),
        };
        let Self { poll, sources, next, listener, children, .. } = &mut server;
        watch(poll, sources, next, listener.as_fd(), Source::Listener).map_err(Error::Listen)?;
        watch(poll, sources, next, children.as_fd(), Source::Children).map_err(Error::Listen)?;
        Ok(server)
    }

    /// Until the end is asked for and nothing runs.
    pub(crate) fn serve(&mut self) -> i32 {
        println!("ready");
        // Whoever started it reads up to here.
        if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(null);
        }
        let mut events = Vec::with_capacity(16);
        loop {
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return 1,
            }
            for event in &events {
                let token = event.data.u64();
                match self.sources.get(&token).cloned() {
                    Some(Source::Listener) => self.accept(),
                    Some(Source::Children) => self.reap(),
                    Some(Source::Connection) => self.hear(token),
                    Some(Source::Output(container, which)) => self.output(token, &container, which),
                    None => {}
                }
            }
            self.drop_broken();
            if let Some((connection, request)) = self.ending
                && !self.containers.values().any(Container::is_running)
            {
                self.reply(connection, request, Ok(Answer::Done), &[]);
                let _ = std::fs::remove_file(self.directory.join(SOCKET));
                return 0;
            }
        }
    }

    fn accept(&mut self) {
        let Ok(socket) = packet::accept(&self.listener) else { return };
        let connection = Connection::new(socket);
        let watched =
            watch(&self.poll, &mut self.sources, &mut self.next, connection.as_fd(), Source::Connection);
        if let Ok(token) = watched {
            self.connections.insert(token, connection);
        }
    }

    fn hear(&mut self, token: u64) {
        loop {
            let Some(connection) = self.connections.get_mut(&token) else { return };
            match connection.receive() {
                Ok(Some(request)) => self.answer(token, request),
                Ok(None) => return,
                Err(_) => {
                    connection.broken = true;
                    return;
                }
            }
        }
    }

    fn reply(&mut self, connection: u64, id: u64, result: Result<Answer, Failure>, descriptors: &[OwnedFd]) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.send(&Message::Reply { id, result }, descriptors);
        }
    }

    fn tell(&mut self, message: &Message) {
        for connection in self.connections.values_mut().filter(|connection| connection.subscribed) {
            connection.send(message, &[]);
        }
    }

    /// Lets go of connections that ended, and of the commands that ran for them.
    fn drop_broken(&mut self) {
        let broken: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.broken)
            .map(|(token, _)| *token)
            .collect();
        for token in broken {
            self.connections.remove(&token);
            self.sources.remove(&token);
            for command in self.containers.values().flat_map(|container| container.commands.values()) {
                if command.connection == token {
                    command.process.kill();
                }
            }
        }
    }

    fn answer(&mut self, connection: u64, Request { id, call }: Request) {
        let mut descriptors = Vec::new();
        let result = match call {
            Call::State => {
                if let Some(connection) = self.connections.get_mut(&connection) {
                    connection.subscribed = true;
                }
                Ok(self.state())
            }
            Call::Shutdown => {
                self.ending = Some((connection, id));
                for container in self.containers.values() {
                    container.kill();
                }
                return;
            }
            Call::Exec { container, exec, command, terminal, stdin, stdout, stderr } => {
                let exec =
                    Exec { name: &exec, command: &command, terminal, stdin, stdout, stderr, connection };
                let root = self.directory.join(STATE);
                let ran = self.container(&container).and_then(|found| found.exec(&root, &container, &exec));
                ran.map(|ends| {
                    descriptors = ends;
                    Answer::Done
                })
            }
            Call::Attach { container, stdin, stdout, stderr } => {
                let joined = self.container(&container).and_then(|found| {
                    if !found.is_running() {
                        return Err(Failure {
                            cause: Cause::Precondition,
                            message: "the container has ended".to_owned(),
                        });
                    }
                    found
                        .streams
                        .attach(stdin, stdout, stderr)
                        .map_err(|error| failed("cannot attach", &error))
                });
                joined.map(|ends| {
                    descriptors = ends;
                    Answer::Done
                })
            }
            call => self.act(call).map(|()| Answer::Done),
        };
        self.reply(connection, id, result, &descriptors);
    }

    /// Calls that are answered by what came of them, and no more.
    fn act(&mut self, call: Call) -> Result<(), Failure> {
        match call {
            Call::Create { container, bundle, log, terminal, stdin, stdin_once, oom_score_adj } => {
                if self.containers.contains_key(&container) {
                    return Ok(());
                }
                if self.ending.is_some() {
                    return Err(Failure {
                        cause: Cause::Precondition,
                        message: "the pod is ending".to_owned(),
                    });
                }
                let log = LogFile::new(log, self.setup.log_file_bytes, self.setup.log_files);
                let wanted = Wanted {
                    id: &container,
                    directory: &bundle,
                    log,
                    terminal,
                    stdin,
                    stdin_once,
                    oom_score_adj,
                };
                let made = Container::create(&self.directory.join(STATE), wanted)?;
                for which in [Which::Stdout, Which::Stderr] {
                    if let Some(stream) = made.streams.output(which) {
                        let source = Source::Output(container.clone(), which);
                        watch(&self.poll, &mut self.sources, &mut self.next, stream.as_fd(), source)
                            .map_err(|error| failed("cannot follow a stream", &error))?;
                    }
                }
                self.containers.insert(container, made);
                Ok(())
            }
            Call::Start { container } => self.container(&container)?.start(),
            Call::Signal { container, signal } => self.container(&container)?.signal(signal),
            Call::KillExec { container, exec } => {
                match self.container(&container)?.commands.get(&exec) {
                    Some(command) => command.process.kill(),
                    None => {
                        return Err(Failure {
                            cause: Cause::NotFound,
                            message: format!("no command {exec}"),
                        });
                    }
                }
                Ok(())
            }
            Call::Resize { container, width, height } => {
                let resized = self
                    .container(&container)?
                    .streams
                    .resize(width, height)
                    .map_err(|error| failed("cannot resize", &error))?;
                if resized {
                    Ok(())
                } else {
                    Err(Failure {
                        cause: Cause::Precondition,
                        message: "the container has no terminal".to_owned(),
                    })
                }
            }
            Call::ReopenLog { container } => self.container(&container)?.reopen_log(),
            Call::Delete { container } => self.delete(&container),
            Call::State | Call::Shutdown | Call::Exec { .. } | Call::Attach { .. } => {
                unreachable!("answered elsewhere")
            }
        }
    }

    fn container(&mut self, id: &str) -> Result<&mut Container, Failure> {
        self.containers
            .get_mut(id)
            .ok_or_else(|| Failure { cause: Cause::NotFound, message: format!("no container {id}") })
    }

    /// Repeated, it does nothing.
    fn delete(&mut self, id: &str) -> Result<(), Failure> {
        if self.containers.get(id).is_some_and(Container::is_running) {
            return Err(Failure {
                cause: Cause::Precondition,
                message: "the container is running".to_owned(),
            });
        }
        self.containers.remove(id);
        // Descriptors that are closed leave the poll by themselves.
        self.sources.retain(|_, source| !matches!(source, Source::Output(container, _) if container == id));
        match std::fs::remove_dir_all(self.directory.join(STATE).join(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("cannot remove the container's state", &error))
            }
            _ => Ok(()),
        }
    }

    fn state(&self) -> Answer {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let containers =
            self.containers.iter().map(|(id, container)| (id.clone(), container.describe())).collect();
        Answer::State { pid, init: self.init, containers }
    }

    /// One piece of output; others have their turn before the next.
    fn output(&mut self, token: u64, id: &str, which: Which) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.output(which, &mut self.buffer, &mut self.entries) == Some(0) {
            self.sources.remove(&token);
        }
        // Empty lines become many times their length; that much is not kept.
        self.entries.clear();
        self.entries.shrink_to(KEPT_BYTES);
    }

    fn reap(&mut self) {
        while let Ok(Some(_)) = self.children.read_signal() {}
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            self.ended(pid.as_raw_nonzero().get(), status);
        }
    }

    fn ended(&mut self, pid: i32, status: WaitStatus) {
        if let Some((id, container)) = self.containers.iter_mut().find(|(_, container)| container.is(pid)) {
            let exit = container.ended(status);
            // What it wrote before its end is in the log before anybody hears of the end.
            for which in [Which::Stdout, Which::Stderr] {
                while container
                    .output(which, &mut self.buffer, &mut self.entries)
                    .is_some_and(|length| length > 0)
                {}
            }
            let message = Message::Exited { container: id.clone(), exit };
            self.tell(&message);
            return;
        }
        let command = self.containers.iter_mut().find_map(|(id, container)| {
            let name = container
                .commands
                .iter()
                .find(|(_, command)| command.process.pid == pid)
                .map(|(name, _)| name.clone())?;
            container.commands.remove(&name);
            Some((id.clone(), name))
        });
        if let Some((container, exec)) = command {
            self.tell(&Message::ExecExited { container, exec, exit: container::exit(status) });
        }
    }
}

fn watch(
    poll: &OwnedFd,
    sources: &mut HashMap<u64, Source>,
    next: &mut u64,
    descriptor: BorrowedFd<'_>,
    source: Source,
) -> io::Result<u64> {
    let token = *next;
    epoll::add(poll, descriptor, EventData::new_u64(token), EventFlags::IN)?;
    *next += 1;
    sources.insert(token, source);
    Ok(token)
}
