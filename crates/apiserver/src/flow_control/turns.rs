//! Who may use the processors next.
//!
//! Seats are for machines where requests wait for something. Here a request lasts microseconds and hardly ever waits, so a
//! flood takes no seats: it fills the runtime's queue with work, and everybody else's request stands at its end. So a request
//! that has its seat also takes a turn, for as long as it computes: it gives the turn back whenever it waits, and asks for
//! another when it goes on. There are as many turns as processors. While there is little to do, a turn costs two atomic
//! operations. When there is much to do, a request first lets those in that stand behind it in the runtime's queue (one trip through that
//! queue costs a fraction of a microsecond), and then turns are given out fairly: first among levels, by their seats, then among the flows of a level,
//! by the time that each has used (start-time fair queueing).
//!
//! It knows nothing of requests: only levels, flows and time.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What a turn is taken to cost until it has ended, in seconds.
const GUESS: f64 = 20e-6;
/// Over how long the load is measured.
const WINDOW_NANOS: u64 = 4_000_000;
/// From which part of the processors' time on turns are given out in order.
const BUSY_PER_CENT: u64 = 10;
/// How many flows that have nothing to do are remembered in a level before they are sorted out.
const REMEMBERED: usize = 256;

/// Whose turn it is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    /// The level's number.
    pub(super) level: u64,
    /// The level's part relative to others.
    pub(super) weight: u32,
    /// The flow within the level.
    pub(super) flow: u64,
}

/// The turns of all processors.
#[derive(Debug)]
pub(super) struct Turns {
    all: usize,
    taken: AtomicUsize,
    waiting: AtomicUsize,
    load: Load,
    order: Mutex<Order>,
}

/// A turn, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    since: Instant,
    /// Whose time it is to be counted as; turns that nobody waited for are not counted.
    counted: Option<Whose>,
}

impl Turns {
    /// As many turns as there are processors.
    pub(super) fn new() -> Arc<Self> {
        Self::of(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn of(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            taken: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            load: Load::new(all),
            order: Mutex::default(),
        })
    }

    /// Runs `work`, taking a turn each time it goes on.
    pub(super) async fn run<F: Future>(self: &Arc<Self>, whose: Whose, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            let turn = self.take(whose).await;
            let polled = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(output) = polled {
                return output;
            }
            // The work has seen to it that this task is woken.
            pass(false).await;
        }
    }

    /// A turn, if nobody waits for one and there is little to do.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<Turn> {
        if self.waiting.load(Ordering::SeqCst) > 0 || self.load.is_busy() {
            return None;
        }
        if self.taken.fetch_add(1, Ordering::SeqCst) >= self.all {
            self.taken.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        Some(self.turn(None))
    }

    /// A turn, in order.
    pub(super) async fn take(self: &Arc<Self>, whose: Whose) -> Turn {
        if let Some(turn) = self.try_take() {
            return turn;
        }
        let (grant, granted) = oneshot::channel();
        let place = {
            let mut order = self.order.lock();
            self.waiting.fetch_add(1, Ordering::SeqCst);
            Place { turns: self, level: whose.level, key: order.stand(whose, grant), granted: false }
        };
        // Whoever is to be polled before this task comes again stands in line by then.
        pass(true).await;
        self.dispatch();
        let turn = granted.await.expect("who stands in line is sent a turn before the line forgets it");
        let mut place = place;
        place.granted = true;
        turn
    }

    fn turn(self: &Arc<Self>, counted: Option<Whose>) -> Turn {
        Turn { turns: Arc::clone(self), since: Instant::now(), counted }
    }

    /// Gives turns to those who stand in line, as far as there are any.
    fn dispatch(self: &Arc<Self>) {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            if self.taken.fetch_add(1, Ordering::SeqCst) >= self.all {
                self.taken.fetch_sub(1, Ordering::SeqCst);
                return;
            }
            let next = self.order.lock().next();
            let Some((whose, grant)) = next else {
                self.taken.fetch_sub(1, Ordering::SeqCst);
                continue;
            };
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            // One who has just left sends it back, and it is given to the next when it is dropped.
            drop(grant.send(self.turn(Some(whose))));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        self.turns.load.add(took);
        if let Some(whose) = self.counted {
            self.turns.order.lock().correct(whose, took);
        }
        self.turns.taken.fetch_sub(1, Ordering::SeqCst);
        self.turns.dispatch();
    }
}

/// Lets others be polled; `again`: and comes back by itself.
async fn pass(again: bool) {
    let mut passed = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        if again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

/// A place in the line, left when dropped.
struct Place<'a> {
    turns: &'a Arc<Turns>,
    level: u64,
    key: Key,
    granted: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.granted && self.turns.order.lock().leave(self.level, self.key) {
            self.turns.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// How much of the processors' time turns have taken lately.
#[derive(Debug)]
struct Load {
    began: Instant,
    window: AtomicU64,
    nanos: AtomicU64,
    last: AtomicU64,
    busy: u64,
}

impl Load {
    fn new(processors: usize) -> Self {
        Self {
            began: Instant::now(),
            window: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            last: AtomicU64::new(0),
            busy: WINDOW_NANOS * processors as u64 * BUSY_PER_CENT / 100,
        }
    }

    /// Races lose or count twice a few microseconds; nothing depends on them.
    fn add(&self, took: Duration) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX) / WINDOW_NANOS;
        let window = self.window.load(Ordering::Relaxed);
        if now != window
            && self.window.compare_exchange(window, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let nanos = self.nanos.swap(0, Ordering::Relaxed);
            self.last.store(if now == window + 1 { nanos } else { 0 }, Ordering::Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_busy(&self) -> bool {
        self.last.load(Ordering::Relaxed) > self.busy || self.nanos.load(Ordering::Relaxed) > self.busy
    }
}

/// A place: when it starts in the level's virtual time (its bits keep the order of what is not negative), and which came first.
type Key = (u64, u64);

/// All who stand in line.
#[derive(Debug, Default)]
struct Order {
    /// Few: one for each priority level that was ever busy.
    levels: HashMap<u64, Line>,
    /// In which virtual time levels are served.
    now: f64,
    arrivals: u64,
}

/// The line of a level.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Key, (Whose, oneshot::Sender<Turn>)>,
    /// When each flow's last turn ends.
    flows: HashMap<u64, f64>,
    now: f64,
    /// When the level's last turn ends.
    ends: f64,
}

impl Order {
    fn stand(&mut self, whose: Whose, grant: oneshot::Sender<Turn>) -> Key {
        self.arrivals += 1;
        let line = self.levels.entry(whose.level).or_default();
        if line.flows.len() > REMEMBERED {
            let now = line.now;
            line.flows.retain(|_, ends| *ends > now);
        }
        let ends = line.flows.entry(whose.flow).or_insert(line.now);
        let start = ends.max(line.now);
        *ends = start + GUESS;
        let key = (start.to_bits(), self.arrivals);
        line.waiting.insert(key, (whose, grant));
        key
    }

    /// Who is next: of the level that has had least, the flow that has.
    fn next(&mut self) -> Option<(Whose, oneshot::Sender<Turn>)> {
        let now = self.now;
        let busy = self.levels.values_mut().filter(|line| !line.waiting.is_empty());
        let line = busy.min_by(|a, b| a.ends.max(now).total_cmp(&b.ends.max(now)))?;
        let ((start, _), (whose, grant)) = line.waiting.pop_first()?;
        line.now = line.now.max(f64::from_bits(start));
        let start = line.ends.max(now);
        line.ends = start + GUESS / f64::from(whose.weight.max(1));
        self.now = start;
        Some((whose, grant))
    }

    /// A turn took this long.
    fn correct(&mut self, whose: Whose, took: Duration) {
        let Some(line) = self.levels.get_mut(&whose.level) else { return };
        let more = took.as_secs_f64() - GUESS;
        line.ends = (line.ends + more / f64::from(whose.weight.max(1))).max(0.0);
        if let Some(ends) = line.flows.get_mut(&whose.flow) {
            *ends = (*ends + more).max(0.0);
        }
    }

    fn leave(&mut self, level: u64, key: Key) -> bool {
        self.levels.get_mut(&level).is_some_and(|line| line.waiting.remove(&key).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(level: u64, weight: u32, flow: u64) -> Whose {
        Whose { level, weight, flow }
    }

    /// The flows in the order in which they get their turns, when each turn takes as long as its flow's entry says.
    fn served(mut order: Order, took: impl Fn(Whose) -> f64, count: usize) -> Vec<(u64, u64)> {
        let mut served = Vec::new();
        for _ in 0..count {
            let Some((next, _)) = order.next() else { break };
            order.correct(next, Duration::from_secs_f64(took(next)));
            served.push((next.level, next.flow));
        }
        served
    }

    fn standing(all: &[(Whose, usize)]) -> Order {
        let mut order = Order::default();
        for (whose, times) in all {
            for _ in 0..*times {
                order.stand(*whose, oneshot::channel().0);
            }
        }
        order
    }

    #[test]
    fn one_who_comes_after_a_flood_is_next() {
        let mut order = standing(&[(whose(1, 1, 7), 1000)]);
        for _ in 0..10 {
            let (next, _) = order.next().unwrap();
            order.correct(next, Duration::from_millis(1));
        }
        order.stand(whose(1, 1, 8), oneshot::channel().0);
        let next: Vec<u64> = served(order, |_| 1e-3, 2).into_iter().map(|(_, flow)| flow).collect();
        assert!(next.contains(&8), "{next:?}");
    }

    #[test]
    fn levels_get_turns_by_their_weight() {
        let order = standing(&[(whose(1, 1, 0), 1000), (whose(2, 3, 0), 1000)]);
        let served = served(order, |_| 1e-4, 400);
        let first = served.iter().filter(|(level, _)| *level == 1).count();
        assert!((95..=105).contains(&first), "{first}");
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let turns = Turns::of(1);
        let held = turns.try_take().unwrap();
        let mut waiting = Box::pin(turns.take(whose(1, 1, 1)));
        let mut other = Box::pin(turns.take(whose(1, 1, 2)));
        assert!(futures::poll!(&mut waiting).is_pending() && futures::poll!(&mut other).is_pending());
        assert!(futures::poll!(&mut waiting).is_pending() && futures::poll!(&mut other).is_pending());
        drop(waiting);
        drop(held);
        let turn = other.await;
        drop(turn);
        assert_eq!((turns.taken.load(Ordering::SeqCst), turns.waiting.load(Ordering::SeqCst)), (0, 0));
    }

    #[tokio::test]
    async fn a_turn_that_was_sent_to_one_who_left_goes_to_the_next() {
        let turns = Turns::of(1);
        let held = turns.try_take().unwrap();
        let mut left = Box::pin(turns.take(whose(1, 1, 1)));
        assert!(futures::poll!(&mut left).is_pending() && futures::poll!(&mut left).is_pending());
        drop(held);
        drop(left);
        assert_eq!((turns.taken.load(Ordering::SeqCst), turns.waiting.load(Ordering::SeqCst)), (0, 0));
    }

    #[tokio::test]
    async fn work_that_waits_holds_no_turn() {
        let turns = Turns::of(1);
        let (send, receive) = oneshot::channel::<u32>();
        let mut first = Box::pin(turns.run(whose(1, 1, 1), receive));
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(turns.run(whose(1, 1, 2), async { 5 }).await, 5);
        send.send(6).unwrap();
        assert_eq!(first.await, Ok(6));
    }
}
