use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::flow_control::config::PriorityLevel;
use crate::flow_control::metrics::Metrics;

/// How long a request waits that is to get its seat in the end.
const PATIENCE: Duration = Duration::from_mins(10);

fn request() -> Request {
    Request { by: None, user: Arc::default(), info: Arc::default() }
}

fn queues(queues: u32, hand_size: u32, length_limit: u32) -> Response {
    Response::Queue(Queuing { queues, hand_size, length_limit })
}

/// A level with so many seats.
fn level(response: Response, seats: u32) -> Arc<Level> {
    let config = PriorityLevel {
        name: "mine".into(),
        uid: "".into(),
        shares: 1,
        lendable_percent: 0,
        borrowing_limit_percent: None,
        response,
    };
    Level::new(&config, Bounds { nominal: seats, lower: seats, upper: seats }, Instant::now())
}

fn metrics() -> Arc<SchemaMetrics> {
    Metrics::new(&mut prometheus_client::registry::Registry::default())
        .of_schema(&"schema".into(), &"mine".into())
}

fn arrival(metrics: &Arc<SchemaMetrics>, flow: u64, seats: u32) -> Arrival {
    Arrival { flow, seats, metrics: Arc::clone(metrics) }
}

fn enter(level: &Arc<Level>, arrival: Arrival) -> Entry {
    level.enter(arrival, request(), Instant::now())
}

/// Everything is as if nobody had ever been here.
fn assert_idle(level: &Level) {
    let state = level.state.lock();
    assert_eq!((state.executing, state.seats_in_use, state.waiting, state.seats_waiting), (0, 0, 0, 0));
    assert_eq!(state.busy_queues, 0);
    assert!(state.served.is_empty());
    assert!(state.queues.iter().all(|q| q.is_idle() && q.seats_in_use == 0 && q.seats_waiting == 0));
}

#[tokio::test]
async fn a_level_that_rejects_refuses_what_has_no_seat() {
    let (level, metrics) = (level(Response::Reject, 2), metrics());
    let Entry::Go(first) = enter(&level, arrival(&metrics, 0, 2)) else { panic!("there are seats") };
    assert!(matches!(enter(&level, arrival(&metrics, 0, 1)), Entry::Refused(Refusal::ConcurrencyLimit)));
    drop(first);
    assert!(matches!(enter(&level, arrival(&metrics, 0, 1)), Entry::Go(_)));
    assert_idle(&level);
}

#[tokio::test]
async fn an_exempt_level_refuses_nobody() {
    let (level, metrics) = (level(Response::Exempt, 0), metrics());
    let all: Vec<_> = (0..100).map(|_| enter(&level, arrival(&metrics, 0, 10))).collect();
    assert!(all.iter().all(|entry| matches!(entry, Entry::Go(_))));
    drop(all);
    assert_idle(&level);
}

#[tokio::test]
async fn a_request_that_is_wider_than_its_level_is_served_alone() {
    let (level, metrics) = (level(queues(1, 1, 10), 2), metrics());
    let Entry::Go(wide) = enter(&level, arrival(&metrics, 0, 5)) else { panic!("nobody is there") };
    let Entry::Wait(next) = enter(&level, arrival(&metrics, 0, 1)) else { panic!("no seat is left") };
    drop(wide);
    assert!(next.seat(Duration::from_secs(1)).await.is_ok());
    assert_idle(&level);
}

#[tokio::test]
async fn a_queue_that_is_full_refuses() {
    let (level, metrics) = (level(queues(1, 1, 2), 1), metrics());
    let seat = enter(&level, arrival(&metrics, 0, 1));
    let waiting: Vec<_> = (0..2).map(|_| enter(&level, arrival(&metrics, 0, 1))).collect();
    assert!(waiting.iter().all(|entry| matches!(entry, Entry::Wait(_))));
    assert!(matches!(enter(&level, arrival(&metrics, 0, 1)), Entry::Refused(Refusal::QueueFull)));
    drop(seat);
    drop(waiting);
    assert_idle(&level);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_refused_and_leaves_its_queue() {
    let (level, metrics) = (level(queues(1, 1, 2), 1), metrics());
    let seat = enter(&level, arrival(&metrics, 0, 1));
    let Entry::Wait(waiting) = enter(&level, arrival(&metrics, 0, 1)) else { panic!("no seat is left") };
    let began = Instant::now();
    assert_eq!(waiting.seat(Duration::from_secs(15)).await.unwrap_err(), Refusal::TimeOut);
    assert_eq!(began.elapsed(), Duration::from_secs(15));
    assert_eq!(level.dump().totals.timed_out, 1);
    drop(seat);
    assert_idle(&level);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_flow_leaves_another_its_part() {
    let (level, metrics) = (level(queues(64, 4, 1000), 4), metrics());
    let served: Arc<[AtomicUsize; 2]> = Arc::default();
    let request = |flow: usize| {
        let (level, metrics, served) = (Arc::clone(&level), Arc::clone(&metrics), Arc::clone(&served));
        tokio::spawn(async move {
            let seat = match enter(&level, arrival(&metrics, [7, 1 << 40][flow], 1)) {
                Entry::Go(seat) => seat,
                Entry::Wait(waiting) => waiting.seat(Duration::from_mins(10)).await.unwrap(),
                Entry::Refused(reason) => panic!("{reason:?}"),
            };
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(seat.since().elapsed() >= Duration::from_millis(10));
            served[flow].fetch_add(1, Ordering::Relaxed);
        })
    };
    // 2,000 requests of the one, and of the other one after another.
    for _ in 0..2000 {
        request(0);
    }
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        let began = Instant::now();
        request(1).await.unwrap();
        longest = longest.max(began.elapsed());
    }
    assert!(longest <= Duration::from_millis(40), "the other waited {longest:?}");
    let flood = served[0].load(Ordering::Relaxed);
    assert!(flood > 100 && flood < 2000, "the flood had the rest: {flood}");
}

#[tokio::test(start_paused = true)]
async fn two_flows_that_flood_are_served_alike_even_if_one_has_longer_requests() {
    let (level, metrics) = (level(queues(2, 1, 10_000), 2), metrics());
    let seconds: Arc<parking_lot::Mutex<HashMap<u64, f64>>> = Arc::default();
    for (flow, millis) in [(0_u64, 10_u64), (1, 40)] {
        for _ in 0..4000 / millis {
            let (level, metrics, seconds) = (Arc::clone(&level), Arc::clone(&metrics), Arc::clone(&seconds));
            tokio::spawn(async move {
                let seat = match enter(&level, arrival(&metrics, flow, 1)) {
                    Entry::Go(seat) => seat,
                    Entry::Wait(waiting) => waiting.seat(Duration::from_mins(10)).await.unwrap(),
                    Entry::Refused(reason) => panic!("{reason:?}"),
                };
                tokio::time::sleep(Duration::from_millis(millis)).await;
                drop(seat);
                *seconds.lock().entry(flow).or_default() += Duration::from_millis(millis).as_secs_f64();
            });
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seconds = seconds.lock();
    let (short, long) = (seconds[&0], seconds[&1]);
    assert!((short / long - 1.0).abs() < 0.1, "{short} s and {long} s of seats");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_wide_requests_that_leave_seats_empty_does_not_keep_others_waiting() {
    let (level, metrics) = (level(queues(64, 4, 1000), 10), metrics());
    for _ in 0..1000 {
        let (level, metrics) = (Arc::clone(&level), Arc::clone(&metrics));
        tokio::spawn(async move {
            let seat = match enter(&level, arrival(&metrics, 7, 4)) {
                Entry::Go(seat) => seat,
                Entry::Wait(waiting) => waiting.seat(PATIENCE).await.unwrap(),
                Entry::Refused(reason) => panic!("{reason:?}"),
            };
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(seat);
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..50 {
        let began = Instant::now();
        if let Entry::Wait(waiting) = enter(&level, arrival(&metrics, 1 << 40, 1)) {
            drop(waiting.seat(PATIENCE).await.unwrap());
        }
        assert!(began.elapsed() <= Duration::from_millis(4), "it waited {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_micros(3700)).await;
    }
    assert!(level.dump().waiting > 100, "the flood went on all the time");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_rises_lets_those_in_who_wait() {
    let (level, metrics) = (level(queues(1, 1, 10), 1), metrics());
    let _seat = enter(&level, arrival(&metrics, 0, 1));
    let Entry::Wait(waiting) = enter(&level, arrival(&metrics, 0, 1)) else { panic!("no seat is left") };
    level.set_limit(2, Instant::now());
    assert!(waiting.seat(Duration::from_millis(1)).await.is_ok());
}

#[derive(Debug, Clone)]
enum Step {
    Enter(u64, u32),
    /// The one at this place of those that are there goes, whether it waits or not.
    Leave(usize),
    Limit(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u64>(), 1_u32..4).prop_map(|(flow, seats)| Step::Enter(flow, seats)),
        3 => any::<usize>().prop_map(Step::Leave),
        1 => (1_u32..6).prop_map(Step::Limit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_comes_and_goes_leaves_no_seat_behind(steps in prop::collection::vec(step(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (level, metrics) = (level(queues(8, 2, 3), 3), metrics());
            let mut here = Vec::new();
            for step in steps {
                match step {
                    Step::Enter(flow, seats) => here.push(enter(&level, arrival(&metrics, flow, seats))),
                    Step::Leave(i) if !here.is_empty() => drop(here.swap_remove(i % here.len())),
                    Step::Leave(_) => {}
                    Step::Limit(limit) => level.set_limit(limit, Instant::now()),
                }
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            drop(here);
            assert_idle(&level);
        });
    }
}
