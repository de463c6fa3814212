//! Who may use the processors next, among those that use them most.
//!
//! Seats are for machines where requests wait for something. Here a request hardly ever waits, so a flood takes no seats for
//! long: it fills the runtime's queue with work, and everybody else's request stands at its end. So the time that each flow
//! computes is counted ([`ledger`](super::ledger)). A flow that takes much of a busy machine, by requests that are not small, is heavy, and a heavy
//! flow's request needs a turn for as long as it computes. There are as many turns as processors, so no more than that of
//! the flood is in the runtime's queue; the rest stands in line here. Turns are given out fairly: first among levels, by
//! their seats, then among the flows of a level, by the time that each has used (start-time fair queueing). A turn is given
//! back whenever the request waits for something else.
//!
//! Everybody else pays for a look at one number. Rejected: turns for all, which cost small requests more than they are worth (a flood
//! of gets was served a third as fast, and nobody else sooner).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ledger::Ledger;

/// What a turn is taken to cost until it has ended, in seconds.
const GUESS: f64 = 100e-6;
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
    /// The request: of one flow, the request that came first goes on first, so that it ends and frees its seats.
    pub(super) request: u64,
}

/// The turns of all processors.
#[derive(Debug)]
pub(super) struct Turns {
    all: usize,
    ledger: Ledger,
    order: Mutex<Order>,
}

/// A turn, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    since: Instant,
    whose: Whose,
}

impl Turns {
    /// As many turns as there are processors.
    pub(super) fn new() -> Arc<Self> {
        Self::of(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn of(all: usize) -> Arc<Self> {
        Arc::new(Self { all, ledger: Ledger::new(all, Instant::now()), order: Mutex::default() })
    }

    /// Whether whoever this is needs a turn to compute.
    pub(super) fn are_needed_by(&self, whose: Whose) -> bool {
        self.ledger.is_heavy(whose.flow)
    }

    /// Counts what was computed without a turn.
    pub(super) fn count(&self, whose: Whose, begins: bool, took: Duration, now: Instant) {
        self.ledger.add(whose.flow, begins, took, now);
    }

    /// Runs `work` that begins `now`, taking a turn each time it goes on, where one is needed. The time is that of its end.
    pub(super) async fn run<F: Future>(
        self: &Arc<Self>,
        whose: Whose,
        now: Instant,
        work: F,
    ) -> (F::Output, Instant) {
        let mut work = pin!(work);
        let (mut began, mut begins) = (now, true);
        loop {
            let turn = if self.are_needed_by(whose) { Some(self.take(whose).await) } else { None };
            if let Some(turn) = &turn {
                began = turn.since;
            }
            let polled = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
            let now = Instant::now();
            match turn {
                Some(turn) => turn.end(begins, now),
                None => self.count(whose, begins, now.saturating_duration_since(began), now),
            }
            if let Poll::Ready(output) = polled {
                return (output, now);
            }
            // The work has seen to it that this task is woken.
            woken().await;
            begins = false;
            began = Instant::now();
        }
    }

    /// A turn, when it is this one's.
    pub(super) async fn take(self: &Arc<Self>, whose: Whose) -> Turn {
        let (grant, granted) = oneshot::channel();
        self.order.lock().stand(whose, grant);
        let mut place = Place { turns: self, whose, granted: false };
        self.dispatch();
        let mut turn = granted.await.expect("who stands in line is sent a turn before the line forgets it");
        place.granted = true;
        turn.since = Instant::now();
        turn
    }

    /// Gives turns to those who stand in line, as far as there are any.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let next = self.order.lock().grant(self.all);
            let Some((whose, grant)) = next else { return };
            let turn = Turn { turns: Arc::clone(self), since: Instant::now(), whose };
            // One who has just left sends it back, and it is given to the next when it is dropped.
            drop(grant.send(turn));
        }
    }
}

impl Turn {
    /// Gives the turn back, and counts it.
    pub(super) fn end(self, begins: bool, now: Instant) {
        let took = now.saturating_duration_since(self.since);
        self.turns.count(self.whose, begins, took, now);
        self.turns.order.lock().correct(self.whose, took);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.order.lock().taken -= 1;
        self.turns.dispatch();
    }
}

/// Waits until the task is woken for something else.
async fn woken() {
    let mut passed = false;
    poll_fn(|_| if std::mem::replace(&mut passed, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// A place in the line, left when dropped.
struct Place<'a> {
    turns: &'a Arc<Turns>,
    whose: Whose,
    granted: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.granted {
            self.turns.order.lock().leave(self.whose);
        }
    }
}

/// All who stand in line, and how many turns are taken: one lock for both, so that whoever comes and whoever gives a turn
/// back cannot miss each other.
#[derive(Debug, Default)]
struct Order {
    taken: usize,
    /// Few: one for each priority level that ever had a heavy flow.
    levels: HashMap<u64, Line>,
    /// In which virtual time levels are served.
    now: f64,
}

/// The line of a level.
#[derive(Debug, Default)]
struct Line {
    flows: HashMap<u64, Flow>,
    /// The flows that stand in line, by when their next turn starts (its bits keep the order of what is not negative).
    ready: BTreeSet<(u64, u64)>,
    /// The level's virtual time.
    now: f64,
    /// When the level's last turn ends.
    ends: f64,
}

/// The requests of a flow that stand in line.
#[derive(Debug, Default)]
struct Flow {
    waiting: BTreeMap<u64, (Whose, oneshot::Sender<Turn>)>,
    /// When its last turn ends.
    ends: f64,
    /// When its next turn starts, if it stands in line.
    starts: Option<f64>,
}

impl Line {
    /// The flow's next turn starts when its last one ends, but not before now.
    fn put(&mut self, number: u64) {
        let Some(flow) = self.flows.get_mut(&number) else { return };
        if let Some(before) = flow.starts.take() {
            self.ready.remove(&(before.to_bits(), number));
        }
        if !flow.waiting.is_empty() {
            let starts = flow.ends.max(self.now);
            flow.starts = Some(starts);
            self.ready.insert((starts.to_bits(), number));
        }
    }
}

impl Order {
    fn stand(&mut self, whose: Whose, grant: oneshot::Sender<Turn>) {
        let line = self.levels.entry(whose.level).or_default();
        if line.flows.len() > REMEMBERED {
            let now = line.now;
            line.flows.retain(|_, flow| flow.starts.is_some() || flow.ends > now);
        }
        let flow = line.flows.entry(whose.flow).or_default();
        flow.waiting.insert(whose.request, (whose, grant));
        if flow.starts.is_none() {
            line.put(whose.flow);
        }
    }

    /// Takes a turn, of so many, for who is next.
    fn grant(&mut self, all: usize) -> Option<(Whose, oneshot::Sender<Turn>)> {
        if self.taken >= all {
            return None;
        }
        let next = self.next()?;
        self.taken += 1;
        Some(next)
    }

    /// Who is next: of the level that has had least, the flow that has, and of its requests the first.
    fn next(&mut self) -> Option<(Whose, oneshot::Sender<Turn>)> {
        let now = self.now;
        let busy = self.levels.values_mut().filter(|line| !line.ready.is_empty());
        let line = busy.min_by(|a, b| a.ends.max(now).total_cmp(&b.ends.max(now)))?;
        let (starts, number) = *line.ready.first()?;
        let flow = line.flows.get_mut(&number)?;
        let (_, next) = flow.waiting.pop_first()?;
        line.now = line.now.max(f64::from_bits(starts));
        flow.ends = f64::from_bits(starts) + GUESS;
        line.put(number);
        self.now = line.ends.max(now);
        line.ends = self.now + GUESS / f64::from(next.0.weight.max(1));
        Some(next)
    }

    /// A turn took this long.
    fn correct(&mut self, whose: Whose, took: Duration) {
        let Some(line) = self.levels.get_mut(&whose.level) else { return };
        let more = took.as_secs_f64() - GUESS;
        line.ends = (line.ends + more / f64::from(whose.weight.max(1))).max(0.0);
        if let Some(flow) = line.flows.get_mut(&whose.flow) {
            flow.ends = (flow.ends + more).max(0.0);
            line.put(whose.flow);
        }
    }

    fn leave(&mut self, whose: Whose) {
        let Some(line) = self.levels.get_mut(&whose.level) else { return };
        let Some(flow) = line.flows.get_mut(&whose.flow) else { return };
        if flow.waiting.remove(&whose.request).is_some() && flow.waiting.is_empty() {
            line.put(whose.flow);
        }
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.levels.values().flat_map(|line| line.flows.values()).map(|flow| flow.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn whose(level: u64, weight: u32, flow: u64) -> Whose {
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        Whose { level, weight, flow, request: REQUESTS.fetch_add(1, Ordering::Relaxed) }
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
                order.stand(self::whose(whose.level, whose.weight, whose.flow), oneshot::channel().0);
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

    #[test]
    fn of_one_flow_the_request_that_came_first_goes_on_first() {
        let mut order = Order::default();
        let (first, second) = (whose(1, 1, 7), whose(1, 1, 7));
        order.stand(second, oneshot::channel().0);
        for _ in 0..3 {
            order.stand(first, oneshot::channel().0);
            assert_eq!(order.next().unwrap().0.request, first.request);
            order.correct(first, Duration::from_millis(1));
        }
        assert_eq!(order.next().unwrap().0.request, second.request);
        assert!(order.next().is_none());
    }

    /// How many turns are taken, and how many wait for one.
    fn left_over(turns: &Turns) -> (usize, usize) {
        let order = turns.order.lock();
        (order.taken, order.waiting())
    }

    /// Those who come, go and give up do so on threads of their own, and meet at the end of each round: who is forgotten then
    /// has nobody to wake it.
    #[test]
    fn nobody_is_forgotten_in_the_line() {
        for all in [1, 2] {
            let turns = Turns::of(all);
            let meet = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for flow in 0..4 {
                    let (turns, meet) = (&turns, &meet);
                    scope.spawn(move || {
                        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                        for round in 0..5_000 {
                            meet.wait();
                            let mut turn = Box::pin(turns.take(whose(flow % 2, 1, flow)));
                            // Now and then somebody gives up at the first look.
                            if (round + flow) % 3 == 0 {
                                let _ = futures::FutureExt::now_or_never(turn.as_mut());
                            } else {
                                drop(runtime.block_on(turn));
                            }
                        }
                    });
                }
            });
            assert_eq!(left_over(&turns), (0, 0), "{all}");
        }
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let turns = Turns::of(1);
        let held = turns.take(whose(1, 1, 0)).await;
        let mut waiting = Box::pin(turns.take(whose(1, 1, 1)));
        let mut other = Box::pin(turns.take(whose(1, 1, 2)));
        assert!(futures::poll!(&mut waiting).is_pending() && futures::poll!(&mut other).is_pending());
        drop(waiting);
        drop(held);
        let turn = other.await;
        drop(turn);
        assert_eq!(left_over(&turns), (0, 0));
    }

    #[tokio::test]
    async fn a_turn_that_was_sent_to_one_who_left_goes_to_the_next() {
        let turns = Turns::of(1);
        let held = turns.take(whose(1, 1, 0)).await;
        let mut left = Box::pin(turns.take(whose(1, 1, 1)));
        assert!(futures::poll!(&mut left).is_pending());
        drop(held);
        drop(left);
        assert_eq!(left_over(&turns), (0, 0));
    }

    /// Turns of one processor on which `flow` is heavy.
    async fn with_heavy(flow: u64) -> Arc<Turns> {
        let turns = Turns::of(1);
        for _ in 0..3 {
            turns.count(whose(1, 1, flow), true, Duration::from_millis(20), Instant::now());
            tokio::time::advance(Duration::from_millis(20)).await;
        }
        turns.count(whose(1, 1, flow), true, Duration::from_millis(20), Instant::now());
        assert!(turns.are_needed_by(whose(1, 1, flow)));
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn heavy_work_that_waits_holds_no_turn() {
        let turns = with_heavy(1).await;
        let (send, receive) = oneshot::channel::<u32>();
        let mut first = Box::pin(turns.run(whose(1, 1, 1), Instant::now(), receive));
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(turns.run(whose(1, 1, 1), Instant::now(), async { 5 }).await.0, 5);
        send.send(6).unwrap();
        assert_eq!(first.await.0, Ok(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_light_flow_does_not_wait_for_heavy_ones() {
        let turns = with_heavy(1).await;
        let held = turns.take(whose(1, 1, 1)).await;
        let mut heavy = Box::pin(turns.run(whose(1, 1, 1), Instant::now(), async { 1 }));
        assert!(futures::poll!(&mut heavy).is_pending());
        assert_eq!(turns.run(whose(1, 1, 2), Instant::now(), async { 2 }).await.0, 2);
        held.end(true, Instant::now());
        assert_eq!(heavy.await.0, 1);
    }
}
