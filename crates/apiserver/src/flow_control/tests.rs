use super::config::{PriorityLevel, Queuing};
use super::*;

#[derive(Debug)]
struct Fixed(ArcSwap<Configuration>);

impl Source for Fixed {
    fn current(&self) -> Arc<Configuration> {
        self.0.load_full()
    }
}

fn level(name: &str, shares: u32, lendable_percent: u32) -> Arc<PriorityLevel> {
    Arc::new(PriorityLevel {
        name: name.into(),
        uid: format!("uid-of-{name}").into(),
        shares,
        lendable_percent,
        borrowing_limit_percent: None,
        response: Response::Queue(Queuing { queues: 2, hand_size: 1, length_limit: 100 }),
    })
}

fn fair(levels: Vec<Arc<PriorityLevel>>, seats: u32) -> (Arc<Fixed>, Fair) {
    let source = Arc::new(Fixed(ArcSwap::from_pointee(Configuration { schemas: Vec::new(), levels })));
    let fair = Fair::new(source.clone(), seats, &mut prometheus_client::registry::Registry::default());
    (source, fair)
}

fn limit(fair: &Fair, name: &str) -> u32 {
    let changing = fair.changing.lock();
    changing.levels[name].limits().1
}

fn enter(fair: &Fair, name: &str, seats: u32) -> Entry {
    let level = Arc::clone(&fair.changing.lock().levels[name]);
    let metrics = fair.metrics.of_schema(&"schema".into(), &name.into());
    let request = level::Request { by: None, user: Arc::default(), info: Arc::default() };
    level.enter(Arrival { flow: 0, seats, metrics }, request, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn a_busy_level_borrows_what_an_idle_one_lends_and_gives_it_back() {
    let (_, fair) = fair(vec![level("busy", 50, 50), level("idle", 50, 80)], 100);
    let before = limit(&fair, "busy");
    let held: Vec<_> = (0..90).map(|_| enter(&fair, "busy", 1)).collect();
    tokio::time::advance(borrowing::PERIOD).await;
    fair.refresh(Instant::now());
    let lent = limit(&fair, "busy");
    assert!(lent > before && lent > 80, "{before} became {lent}");
    assert!(limit(&fair, "idle") >= 10, "a level keeps what it may not lend");
    drop(held);
    // The other becomes busy in turn: its own seats come back at the next period.
    let _held: Vec<_> = (0..90).map(|_| enter(&fair, "idle", 1)).collect();
    tokio::time::advance(borrowing::PERIOD).await;
    fair.refresh(Instant::now());
    assert!(limit(&fair, "idle") >= 48, "{}", limit(&fair, "idle"));
}

#[tokio::test(start_paused = true)]
async fn another_configuration_keeps_those_who_wait_and_a_level_that_goes_drains() {
    let (source, fair) = fair(vec![level("a", 1, 0), level("b", 1, 0)], 2);
    let seats: Vec<_> = (0..limit(&fair, "a")).map(|_| enter(&fair, "a", 1)).collect();
    let Entry::Wait(waiting) = enter(&fair, "a", 1) else { panic!("no seat is left") };
    source.0.store(Arc::new(Configuration { schemas: Vec::new(), levels: vec![level("b", 1, 0)] }));
    fair.refresh(Instant::now());
    assert!(fair.active.load().levels.iter().any(|l| l.name == "a"), "it has requests");
    drop(seats);
    drop(waiting.seat(Duration::from_secs(1)).await.unwrap());
    tokio::time::advance(borrowing::PERIOD).await;
    fair.refresh(Instant::now());
    assert!(fair.active.load().levels.iter().all(|l| l.name != "a"), "it has none any more");
}

#[tokio::test]
async fn who_is_classified_by_nothing_is_caught_by_the_mandatory_level() {
    let (_, fair) = fair(Vec::new(), 600);
    let active = fair.active.load();
    let schema = &active.schemas[active.classifier.classify(&User::default(), &RequestInfo::default())];
    assert_eq!((schema.config.name.as_str(), schema.level.name.as_str()), ("catch-all", "catch-all"));
}
