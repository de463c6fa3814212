//! A priority level at work: its seats, its queues, and which request is next.
//!
//! Fair queueing as upstream has it (KEP-1040): the level keeps a virtual time that advances as fast as each busy queue is
//! served; a queue's next request starts, in that time, where its last one ended. The request that starts earliest is
//! dispatched. A request's length is guessed when it is dispatched, and corrected when it ends.
//!
//! A request that waits holds the receiving end of a channel, and is sent its [`Seat`]. Whoever gives up drops what it has, and a
//! seat gives itself back, so none can be lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sampan_model::Str;
use slab::Slab;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::borrowing::{Bounds, Demand};
use super::config::{Distinguisher, PriorityLevel, Queuing, Response};
use super::dealer;
use super::demand::{Integrator, Observed};
use super::dropped::Dropped;
use super::metrics::SchemaMetrics;
use crate::User;
use crate::request_info::RequestInfo;

/// How long a request is taken to last until it has ended (upstream's `estimatedServiceDuration`), in seconds.
const GUESS: f64 = 0.003;

/// Why a request is refused, in the words of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its queue is full.
    QueueFull,
    /// All seats are taken, and the level has no queues.
    ConcurrencyLimit,
    /// It has waited too long.
    TimeOut,
}

impl Refusal {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::TimeOut => "time-out",
        }
    }
}

/// A request as a level sees it.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// Which of the level's flows it belongs to.
    pub(super) flow: u64,
    /// How many seats it takes.
    pub(super) seats: u32,
    /// Where it is counted.
    pub(super) metrics: Arc<SchemaMetrics>,
}

/// What happens to a request that arrives.
#[derive(Debug)]
pub(super) enum Entry {
    /// It is served at once.
    Go(Seat),
    /// It waits.
    Wait(Waiting),
    /// It is refused.
    Refused(Refusal),
}

/// A priority level.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) name: Str,
    state: Mutex<State>,
    dropped: Mutex<Dropped>,
    /// When it began.
    since: Instant,
}

/// How many seats were asked of a level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) seen: Observed,
    pub(super) smoothed: f64,
}

#[derive(Debug)]
struct State {
    response: Response,
    /// No schema leads here any more; it is forgotten when its last request has ended.
    quiescing: bool,
    limit: u32,
    bounds: Bounds,
    demand: Demand,
    wanted: Integrator,
    totals: Totals,
    executing: u32,
    seats_in_use: u32,
    waiting: u32,
    seats_waiting: u32,
    queues: Vec<Queue>,
    /// Queues that have requests, waiting or executing.
    busy_queues: u32,
    /// The virtual time, in seat-seconds a queue, and when it was so late.
    virtual_time: f64,
    at: Instant,
    /// Where the search for the next request begins, so that equals take turns.
    robin: usize,
    arrivals: usize,
    next_id: u64,
    /// Those that have a seat, for the dump; each seat knows its place.
    served: Slab<Executing>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiter>,
    seats_waiting: u32,
    executing: u32,
    seats_in_use: u32,
    /// When, in virtual time, its next request starts.
    next_start: f64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    arrival: Arrival,
    since: Instant,
    /// In virtual time.
    arrived: f64,
    grant: oneshot::Sender<Seat>,
    request: Request,
}

/// What a dump shows of a request; it costs two counters to have it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// What tells its flow apart.
    pub(super) by: Option<Distinguisher>,
    pub(super) user: Arc<User>,
    pub(super) info: Arc<RequestInfo>,
}

/// A request that has its seat.
#[derive(Debug)]
struct Executing {
    request: Request,
    metrics: Arc<SchemaMetrics>,
    seats: u32,
    queue: Option<u32>,
    arrived: Instant,
    started: Instant,
}

/// What became of the requests of a level, for the dump.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Totals {
    pub(super) dispatched: u64,
    pub(super) rejected: u64,
    pub(super) timed_out: u64,
    pub(super) cancelled: u64,
}

/// Grants that are to be sent once the lock is free: a seat that nobody takes locks it again.
type Grants = SmallVec<[(oneshot::Sender<Seat>, Seat); 2]>;

/// The seats that a request holds, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    level: Arc<Level>,
    queue: Option<u32>,
    place: usize,
    arrival: Arrival,
    since: Instant,
    /// When the request ended, if whoever drops this knows.
    pub(super) until: Option<Instant>,
    /// A watch, of which only the beginning counts.
    pub(super) of_watch: bool,
}

/// A place in a queue, left when dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    level: Arc<Level>,
    queue: u32,
    id: u64,
    granted: oneshot::Receiver<Seat>,
}

impl Level {
    pub(super) fn new(config: &PriorityLevel, bounds: Bounds, now: Instant) -> Arc<Self> {
        let mut state = State {
            response: config.response,
            quiescing: false,
            limit: bounds.initial(),
            bounds,
            demand: Demand::default(),
            wanted: Integrator::new(now),
            totals: Totals::default(),
            executing: 0,
            seats_in_use: 0,
            waiting: 0,
            seats_waiting: 0,
            queues: Vec::new(),
            busy_queues: 0,
            virtual_time: 0.0,
            at: now,
            robin: 0,
            arrivals: 0,
            next_id: 0,
            served: Slab::new(),
        };
        state.respond_with(config.response);
        Arc::new(Self {
            name: config.name.clone(),
            state: Mutex::new(state),
            dropped: Mutex::default(),
            since: now,
        })
    }

    /// The level has another configuration now; requests stay where they are.
    pub(super) fn configure(self: &Arc<Self>, response: Response, bounds: Bounds) {
        let mut state = self.state.lock();
        state.quiescing = false;
        state.bounds = bounds;
        state.respond_with(response);
    }

    /// No schema leads here any more. False when nobody is here either.
    pub(super) fn quiesce(&self) -> bool {
        let mut state = self.state.lock();
        state.quiescing = true;
        state.executing > 0 || state.waiting > 0
    }

    /// The level has `limit` seats from now on.
    pub(super) fn set_limit(self: &Arc<Self>, limit: u32, now: Instant) {
        let mut state = self.state.lock();
        state.advance(now);
        state.limit = limit;
        let grants = state.dispatch(self, now);
        drop(state);
        send(grants);
    }

    /// What was asked of the level since the last time, and what it should have by that.
    pub(super) fn target(&self, now: Instant) -> (Wanted, super::borrowing::Target) {
        let mut state = self.state.lock();
        let seen = state.wanted.reset(now);
        state.demand.update(&seen);
        (Wanted { seen, smoothed: state.demand.smoothed }, state.demand.target(&state.bounds))
    }

    /// A request is refused: how many seconds its client is to wait.
    pub(super) fn drop_one(&self, now: Instant) -> u32 {
        let mut dropped = self.dropped.lock();
        dropped.drop_one(now.saturating_duration_since(self.since).as_secs())
    }

    /// Its limits, and how many seats it has now.
    pub(super) fn limits(&self) -> (Bounds, u32) {
        let state = self.state.lock();
        (state.bounds, state.limit)
    }

    /// A request arrives.
    pub(super) fn enter(self: &Arc<Self>, arrival: Arrival, request: Request, now: Instant) -> Entry {
        let mut state = self.state.lock();
        if state.response == Response::Exempt {
            return Entry::Go(state.seat(self, None, arrival, request, [now, now]));
        }
        state.advance(now);
        let Response::Queue(queuing) = state.response else {
            if state.accommodates(arrival.seats) {
                return Entry::Go(state.seat(self, None, arrival, request, [now, now]));
            }
            state.totals.rejected += 1;
            return Entry::Refused(Refusal::ConcurrencyLimit);
        };
        let at = state.choose(&queuing, arrival.flow);
        let index = at as usize;
        if state.waiting == 0 && state.accommodates(arrival.seats) {
            arrival.metrics.queue_length.observe(1.0);
            state.begin_if_idle(index);
            return Entry::Go(state.seat(self, Some(at), arrival, request, [now, now]));
        }
        if state.queues[index].waiting.len() >= queuing.length_limit as usize
            && state.seats_in_use >= state.limit
        {
            state.totals.rejected += 1;
            return Entry::Refused(Refusal::QueueFull);
        }
        state.begin_if_idle(index);
        let (grant, granted) = oneshot::channel();
        let id = state.next_id;
        state.next_id += 1;
        state.waiting += 1;
        state.seats_waiting += arrival.seats;
        arrival.metrics.queued(arrival.seats);
        let arrived = state.virtual_time;
        let queue = &mut state.queues[index];
        queue.seats_waiting += arrival.seats;
        #[allow(clippy::cast_precision_loss)] // queues are short
        arrival.metrics.queue_length.observe((queue.waiting.len() + 1) as f64);
        queue.waiting.push_back(Waiter { id, arrival, since: now, arrived, grant, request });
        state.note_demand(now);
        // Seats may be free: those who wait before this one may need more than there are.
        let grants = state.dispatch(self, now);
        drop(state);
        send(grants);
        Entry::Wait(Waiting { level: Arc::clone(self), queue: at, id, granted })
    }

    fn leave(self: &Arc<Self>, seat: &Seat, now: Instant) {
        let mut state = self.state.lock();
        state.served.try_remove(seat.place);
        state.executing -= 1;
        state.seats_in_use -= seat.arrival.seats;
        if state.response == Response::Exempt {
            state.note_demand(now);
            return;
        }
        state.advance(now);
        if let Some(index) = seat.queue {
            let took = now.saturating_duration_since(seat.since).as_secs_f64();
            let queue = &mut state.queues[index as usize];
            queue.executing -= 1;
            queue.seats_in_use -= seat.arrival.seats;
            queue.next_start += f64::from(seat.arrival.seats) * (took - GUESS);
            queue.not_before_arrival();
            state.end_if_idle(index as usize);
        }
        state.note_demand(now);
        if state.waiting == 0 {
            return;
        }
        let grants = state.dispatch(self, now);
        drop(state);
        send(grants);
    }

    /// Takes a request out of its queue; false when it is not there any more.
    fn give_up(self: &Arc<Self>, index: u32, id: u64, timed_out: bool) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        let Some(queue) = state.queues.get_mut(index as usize) else { return false };
        let Some(at) = queue.waiting.iter().position(|waiter| waiter.id == id) else { return false };
        let waiter = queue.waiting.remove(at).expect("it was found there");
        queue.seats_waiting -= waiter.arrival.seats;
        queue.not_before_arrival();
        state.advance(now);
        state.waiting -= 1;
        state.seats_waiting -= waiter.arrival.seats;
        waiter.arrival.metrics.left_queue(waiter.arrival.seats);
        waiter.arrival.metrics.waited(now - waiter.since, false);
        let count = if timed_out { &mut state.totals.timed_out } else { &mut state.totals.cancelled };
        *count += 1;
        state.end_if_idle(index as usize);
        state.note_demand(now);
        // It may have kept others waiting by needing many seats.
        let grants = state.dispatch(self, now);
        drop(state);
        send(grants);
        if !timed_out {
            waiter.arrival.metrics.refused("cancelled");
        }
        true
    }

    /// What a dump shows.
    pub(super) fn dump(&self) -> Dump {
        let state = self.state.lock();
        let executing = |queue: Option<u32>| -> Vec<RequestDump> {
            let served = state.served.iter().map(|(_, executing)| executing);
            let here = served.filter(|executing| executing.queue == queue);
            here.map(|e| RequestDump {
                schema: e.metrics.schema.clone(),
                seats: e.seats,
                arrived: e.arrived,
                started: Some(e.started),
                request: e.request.clone(),
            })
            .collect()
        };
        let queue = |(i, queue): (usize, &Queue)| QueueDump {
            executing: queue.executing,
            seats_in_use: queue.seats_in_use,
            next_start: queue.next_start,
            seats_waiting: queue.seats_waiting,
            waiting: queue
                .waiting
                .iter()
                .map(|w| RequestDump {
                    schema: w.arrival.metrics.schema.clone(),
                    seats: w.arrival.seats,
                    arrived: w.since,
                    started: None,
                    request: w.request.clone(),
                })
                .collect(),
            served: executing(u32::try_from(i).ok()),
        };
        Dump {
            quiescing: state.quiescing,
            waiting: state.waiting,
            executing: state.executing,
            totals: state.totals,
            queues: state.queues.iter().enumerate().map(queue).collect(),
            served: executing(None),
        }
    }
}

/// What a dump shows of a level.
#[derive(Debug)]
pub(super) struct Dump {
    pub(super) quiescing: bool,
    pub(super) waiting: u32,
    pub(super) executing: u32,
    pub(super) totals: Totals,
    pub(super) queues: Vec<QueueDump>,
    /// Those that are served without a queue.
    pub(super) served: Vec<RequestDump>,
}

/// What a dump shows of a request.
#[derive(Debug)]
pub(super) struct RequestDump {
    pub(super) schema: Str,
    pub(super) seats: u32,
    pub(super) arrived: Instant,
    /// `None`: it waits.
    pub(super) started: Option<Instant>,
    pub(super) request: Request,
}

/// What a dump shows of a queue.
#[derive(Debug)]
pub(super) struct QueueDump {
    pub(super) executing: u32,
    pub(super) seats_in_use: u32,
    pub(super) next_start: f64,
    pub(super) seats_waiting: u32,
    pub(super) waiting: Vec<RequestDump>,
    pub(super) served: Vec<RequestDump>,
}

impl QueueDump {
    /// The work that waits, in seat-seconds.
    pub(super) fn work(&self) -> f64 {
        f64::from(self.seats_waiting) * GUESS
    }
}

impl State {
    fn respond_with(&mut self, response: Response) {
        self.response = response;
        if let Response::Queue(queuing) = response
            && self.queues.len() < queuing.queues as usize
        {
            // Queues that are too many are no longer dealt, and run dry; their places are kept.
            self.queues.resize_with(queuing.queues as usize, Queue::default);
        }
    }

    /// Lets the virtual time pass up to `now`.
    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        if self.busy_queues > 0 {
            // By the seats that are taken, not by those that there are: wide requests leave some empty, and time that passed faster
            // than anybody is served would put who arrives now behind all who wait.
            self.virtual_time += passed * f64::from(self.seats_in_use) / f64::from(self.busy_queues);
        }
    }

    /// Whether a request that needs `seats` can begin. One that needs more than there are begins when it is alone.
    fn accommodates(&self, seats: u32) -> bool {
        if seats > self.limit { self.executing == 0 } else { self.seats_in_use + seats <= self.limit }
    }

    /// The queue of the flow's hand that has the least work.
    fn choose(&mut self, queuing: &Queuing, flow: u64) -> u32 {
        if queuing.queues <= 1 {
            return 0;
        }
        let hand = dealer::deal(flow, queuing.queues, queuing.hand_size);
        // Equals take turns, so that a flow's requests spread over its hand.
        let first = self.arrivals % hand.len();
        self.arrivals = self.arrivals.wrapping_add(1);
        let hand = hand[first..].iter().chain(&hand[..first]);
        let work = |queue: &Queue| queue.seats_waiting + queue.seats_in_use;
        hand.copied().min_by_key(|card| work(&self.queues[*card as usize])).expect("a hand has a card")
    }

    fn begin_if_idle(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        if queue.is_idle() {
            queue.next_start = self.virtual_time;
            self.busy_queues += 1;
        }
    }

    fn end_if_idle(&mut self, index: usize) {
        if self.queues[index].is_idle() {
            self.busy_queues -= 1;
        }
    }

    fn note_demand(&mut self, now: Instant) {
        self.wanted.set(now, f64::from(self.seats_in_use + self.seats_waiting));
    }

    /// Gives a request its seat.
    fn seat(
        &mut self,
        level: &Arc<Level>,
        queue: Option<u32>,
        arrival: Arrival,
        request: Request,
        [arrived, now]: [Instant; 2],
    ) -> Seat {
        self.executing += 1;
        self.seats_in_use += arrival.seats;
        self.totals.dispatched += 1;
        if let Some(index) = queue {
            let queue = &mut self.queues[index as usize];
            queue.executing += 1;
            queue.seats_in_use += arrival.seats;
            queue.next_start += f64::from(arrival.seats) * GUESS;
        }
        self.note_demand(now);
        arrival.metrics.begun(arrival.seats);
        let place = self.served.insert(Executing {
            request,
            metrics: Arc::clone(&arrival.metrics),
            seats: arrival.seats,
            queue,
            arrived,
            started: now,
        });
        Seat { level: Arc::clone(level), queue, place, arrival, since: now, until: None, of_watch: false }
    }

    /// Gives seats to those who wait, as far as there are any. To be sent when the lock is free.
    fn dispatch(&mut self, level: &Arc<Level>, now: Instant) -> Grants {
        let mut grants = Grants::new();
        while self.waiting > 0 {
            let Some(index) = self.next() else { break };
            let needed = self.queues[index].waiting.front().map_or(0, |waiter| waiter.arrival.seats);
            // Others do not go past it, or a wide request would never begin.
            if !self.accommodates(needed) {
                break;
            }
            self.robin = index + 1;
            let queue = &mut self.queues[index];
            let waiter = queue.waiting.pop_front().expect("it was looked at just above");
            queue.seats_waiting -= needed;
            self.waiting -= 1;
            self.seats_waiting -= needed;
            waiter.arrival.metrics.left_queue(waiter.arrival.seats);
            waiter.arrival.metrics.waited(now - waiter.since, true);
            let index = u32::try_from(index).expect("queues are numbered by u32");
            let times = [waiter.since, now];
            let seat = self.seat(level, Some(index), waiter.arrival, waiter.request, times);
            self.queues[index as usize].not_before_arrival();
            grants.push((waiter.grant, seat));
        }
        grants
    }

    /// The queue whose next request starts earliest.
    fn next(&self) -> Option<usize> {
        let count = self.queues.len();
        let order = (0..count).map(|i| (self.robin + i) % count.max(1));
        let mut best: Option<usize> = None;
        for i in order.filter(|i| !self.queues[*i].waiting.is_empty()) {
            if best.is_none_or(|b| self.queues[i].next_start < self.queues[b].next_start) {
                best = Some(i);
            }
        }
        best
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.executing == 0
    }

    /// A queue that used less than its part does not save it up: no request starts before it has arrived.
    fn not_before_arrival(&mut self) {
        if let Some(first) = self.waiting.front() {
            self.next_start = self.next_start.max(first.arrived);
        }
    }
}

fn send(grants: Grants) {
    for (grant, seat) in grants {
        // A seat that comes back from one who has just left gives itself back.
        drop(grant.send(seat));
    }
}

impl Seat {
    /// Since when it has been taken.
    #[cfg(test)]
    pub(super) fn since(&self) -> Instant {
        self.since
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = self.until.unwrap_or_else(Instant::now);
        let took = now.saturating_duration_since(self.since);
        self.arrival.metrics.ended(self.arrival.seats, took, self.of_watch);
        let level = Arc::clone(&self.level);
        level.leave(self, now);
    }
}

impl Waiting {
    /// Waits for the seat, but not longer than `limit`.
    pub(super) async fn seat(mut self, limit: Duration) -> Result<Seat, Refusal> {
        if let Ok(granted) = tokio::time::timeout(limit, &mut self.granted).await {
            return Ok(granted.expect("who waits is sent a seat before the queue forgets it"));
        }
        if self.level.give_up(self.queue, self.id, true) {
            return Err(Refusal::TimeOut);
        }
        // It was granted in the meantime.
        self.granted.try_recv().map_err(|_| Refusal::TimeOut)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Whoever has its seat is in no queue any more.
        if !self.granted.is_terminated() {
            self.level.give_up(self.queue, self.id, false);
        }
    }
}

#[cfg(test)]
mod tests;
