//! What the streams of a connection share with it: which are open, what may be sent, what is to be told to the other side.
//!
//! Kept behind one lock that is never held while anything waits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::frame::Frame;
use super::header::Headers;
use crate::stream::pipe::Inlet;

/// What may be sent to a stream, and to all together, before a window is opened further (SPDY/3.1, 2.6.8).
const INITIAL_WINDOW: i64 = 64 * 1024;
/// Echoes that may wait; a client that asks for more before it reads them gets none.
const MAX_PONGS: usize = 32;

/// What is told to the other side, in order.
pub(super) enum Command {
    /// Opens a stream.
    Open(u32, Headers),
    /// Accepts a stream.
    Reply(u32),
    /// Bytes of a stream, and whether they are the last.
    Data(u32, Bytes, bool),
    /// Nothing more; the connection ends when this was sent.
    Close,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the writer: there is something in [`Urgent`].
    pub(super) urgent: Notify,
}

#[derive(Default)]
struct State {
    streams: HashMap<u32, Entry>,
    next_id: u32,
    last_remote: u32,
    ended: bool,
    /// Whether the other side opens windows at all: the implementation that Kubernetes' clients use does not, and
    /// would be waited for forever.
    peer_has_windows: bool,
    initial_window: i64,
    window: i64,
    waiting: Vec<Waker>,
    pongs: VecDeque<u32>,
    resets: VecDeque<(u32, u32)>,
    read: BTreeMap<u32, u32>,
}

struct Entry {
    inlet: Option<Inlet>,
    window: i64,
    local_closed: bool,
    remote_closed: bool,
    /// Whether its owner has let go of it.
    abandoned: bool,
}

/// What a stream may do now.
pub(super) enum Permission {
    /// Send so many bytes.
    Send(usize),
    /// Wait: it will be woken.
    Wait,
    /// Nothing: it was reset, or the connection ended.
    Ended,
}

impl Shared {
    pub(super) fn new(first_id: u32) -> Self {
        let state = State {
            next_id: first_id,
            initial_window: INITIAL_WINDOW,
            window: INITIAL_WINDOW,
            ..State::default()
        };
        Self { state: Mutex::new(state), urgent: Notify::new() }
    }

    /// A stream of this side. `send` tells the other side of it before the next one can be opened.
    pub(super) fn open<T>(&self, inlet: Inlet, send: impl FnOnce(u32) -> T) -> Option<T> {
        let mut state = self.state.lock();
        let id = state.next_id;
        if state.ended || id > 0x7fff_ffff {
            return None;
        }
        state.next_id += 2;
        state.insert(id, Some(inlet));
        Some(send(id))
    }

    /// A stream of the other side; whether its number may be used.
    pub(super) fn opened(&self, id: u32, inlet: Inlet, fin: bool) -> bool {
        let mut state = self.state.lock();
        if id <= state.last_remote {
            return false;
        }
        state.last_remote = id;
        if fin {
            inlet.complete();
            state.insert(id, None);
        } else {
            state.insert(id, Some(inlet));
        }
        true
    }

    pub(super) fn last_remote(&self) -> u32 {
        self.state.lock().last_remote
    }

    /// How many streams are open.
    pub(super) fn len(&self) -> usize {
        self.state.lock().streams.len()
    }

    /// Runs `with` with the inlet of a stream; `None` when it is not open, or nothing may come any more.
    pub(super) fn inlet<T>(&self, id: u32, with: impl FnOnce(&Inlet) -> T) -> Option<T> {
        let state = self.state.lock();
        state.streams.get(&id)?.inlet.as_ref().map(with)
    }

    /// The other side will say nothing more on a stream.
    pub(super) fn remote_fin(&self, id: u32) {
        let mut state = self.state.lock();
        if let Some(entry) = state.streams.get_mut(&id) {
            entry.remote_closed = true;
            if let Some(inlet) = entry.inlet.take() {
                inlet.complete();
            }
            state.forget_if_done(id);
        }
    }

    /// This side will say nothing more on a stream.
    pub(super) fn local_fin(&self, id: u32) {
        let mut state = self.state.lock();
        if let Some(entry) = state.streams.get_mut(&id) {
            entry.local_closed = true;
            state.forget_if_done(id);
        }
    }

    /// The other side ended a stream.
    pub(super) fn remote_reset(&self, id: u32) {
        let mut state = self.state.lock();
        state.streams.remove(&id);
        state.wake_all();
    }

    /// This side ends a stream.
    pub(super) fn reset(&self, id: u32, status: u32) {
        let mut state = self.state.lock();
        state.streams.remove(&id);
        state.read.remove(&id);
        state.resets.push_back((id, status));
        self.urgent.notify_one();
    }

    /// The owner of a stream lets go of it. What it said before its end still arrives; a stream that it had not ended is reset.
    pub(super) fn abandon(&self, id: u32, status: u32) {
        let mut state = self.state.lock();
        let Some(entry) = state.streams.get_mut(&id) else { return };
        if entry.local_closed {
            entry.abandoned = true;
            state.read.remove(&id);
            state.forget_if_done(id);
            return;
        }
        drop(state);
        self.reset(id, status);
    }

    /// The window of a stream (0: of all) was opened.
    pub(super) fn window_update(&self, id: u32, delta: u32) {
        let mut state = self.state.lock();
        state.peer_has_windows = true;
        match (id, state.streams.get_mut(&id)) {
            (0, _) => state.window = state.window.saturating_add(delta.into()),
            (_, Some(entry)) => entry.window = entry.window.saturating_add(delta.into()),
            (_, None) => {}
        }
        state.wake_all();
    }

    /// The window of new streams, and by how much those of the open ones differ.
    pub(super) fn initial_window(&self, size: u32) {
        let mut state = self.state.lock();
        state.peer_has_windows = true;
        let delta = i64::from(size) - state.initial_window;
        state.initial_window = size.into();
        for entry in state.streams.values_mut() {
            entry.window += delta;
        }
        state.wake_all();
    }

    /// How much of `wanted` may be sent on a stream now; counted as sent if so.
    pub(super) fn take_window(&self, id: u32, wanted: usize, waker: &Waker) -> Permission {
        let mut state = self.state.lock();
        let (limited, all, ended) = (state.peer_has_windows, state.window, state.ended);
        let Some(entry) = state.streams.get_mut(&id).filter(|entry| !ended && !entry.local_closed) else {
            return Permission::Ended;
        };
        let room = usize::try_from(entry.window.min(all)).unwrap_or(0);
        let n = if limited { wanted.min(room) } else { wanted };
        if n == 0 {
            if !state.waiting.iter().any(|other| other.will_wake(waker)) {
                state.waiting.push(waker.clone());
            }
            return Permission::Wait;
        }
        let sent = i64::try_from(n).unwrap_or(i64::MAX);
        entry.window -= sent;
        state.window -= sent;
        Permission::Send(n)
    }

    /// Whether something may be said on a stream.
    pub(super) fn is_open(&self, id: u32) -> bool {
        let state = self.state.lock();
        !state.ended && state.streams.get(&id).is_some_and(|entry| !entry.local_closed)
    }

    /// So many bytes of a stream were read: its window is opened again.
    pub(super) fn read(&self, id: u32, n: usize) {
        let mut state = self.state.lock();
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let mut due = false;
        let open = state.streams.get(&id).is_some_and(|entry| !entry.remote_closed && !entry.abandoned);
        for id in [0].into_iter().chain(open.then_some(id)) {
            let read = state.read.entry(id).or_default();
            *read = read.saturating_add(n);
            due |= i64::from(*read) >= INITIAL_WINDOW / 2;
        }
        if due {
            self.urgent.notify_one();
        }
    }

    /// An echo is asked for.
    pub(super) fn pong(&self, id: u32) {
        let mut state = self.state.lock();
        if state.pongs.len() < MAX_PONGS {
            state.pongs.push_back(id);
        }
        self.urgent.notify_one();
    }

    /// What is to be told before anything else.
    pub(super) fn take_urgent(&self) -> Vec<Frame> {
        let mut state = self.state.lock();
        let mut frames: Vec<Frame> = state.pongs.drain(..).map(Frame::Ping).collect();
        frames.extend(state.resets.drain(..).map(|(stream, status)| Frame::RstStream { stream, status }));
        let due = |delta: u32| i64::from(delta) >= INITIAL_WINDOW / 2;
        state.read.retain(|&stream, &mut delta| {
            if due(delta) {
                frames.push(Frame::WindowUpdate { stream, delta });
            }
            !due(delta)
        });
        frames
    }

    /// The connection is over: all streams break.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.streams.clear();
        state.wake_all();
    }
}

impl State {
    /// A stream; the other side says nothing on it without an inlet.
    fn insert(&mut self, id: u32, inlet: Option<Inlet>) {
        let entry = Entry {
            window: self.initial_window,
            local_closed: false,
            remote_closed: inlet.is_none(),
            abandoned: false,
            inlet,
        };
        self.streams.insert(id, entry);
    }

    fn forget_if_done(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(|entry| entry.local_closed && entry.remote_closed) {
            self.streams.remove(&id);
            self.read.remove(&id);
        }
    }

    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}
