use serde_json::json;

use super::*;
use crate::testing;

fn queue() -> Queue {
    Queue::new(Times {
        initial_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(10),
        max_unschedulable: Duration::from_mins(5),
    })
}

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    Arc::new(testing::pod(json!({"metadata": {"name": name, "uid": name}, "spec": {"priority": priority}})))
}

fn next(queue: &mut Queue) -> Option<String> {
    queue.pop(Instant::now()).map(|q| q.pod.name.clone())
}

#[tokio::test(start_paused = true)]
async fn turns_come_by_priority_and_then_by_coming() {
    let mut queue = queue();
    for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10), ("e", -5)] {
        queue.set(pod(name, priority), Instant::now());
    }
    queue.set(pod("c", 20), Instant::now());
    let order: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
    assert_eq!(order, ["c", "b", "d", "a", "e"]);
}

#[tokio::test(start_paused = true)]
async fn errors_back_off_from_one_second_to_ten() {
    let mut queue = queue();
    queue.set(pod("a", 0), Instant::now());
    for expected in [1, 2, 4, 8, 10, 10] {
        let taken = queue.pop(Instant::now()).expect("its turn");
        queue.failed(taken, Instant::now());
        assert_eq!(next(&mut queue), None, "not at once");
        let wait = queue.next_wake().expect("a time") - Instant::now();
        assert_eq!(wait, Duration::from_secs(expected));
        tokio::time::advance(wait.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(next(&mut queue), None, "nor too early");
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(next(&mut queue).as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_waits_for_what_may_help_it() {
    let mut queue = queue();
    for name in ["a", "b"] {
        queue.set(pod(name, 0), Instant::now());
        let taken = queue.pop(Instant::now()).expect("its turn");
        queue.unschedulable(taken, false, Instant::now());
    }
    assert_eq!(next(&mut queue), None);
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(next(&mut queue), None, "time alone does not help");
    assert_eq!(queue.retry(Instant::now(), |p| p.name == "b"), 1);
    assert_eq!(next(&mut queue).as_deref(), Some("b"));
    assert_eq!(next(&mut queue), None);
    assert_eq!(queue.lengths(), Lengths { unschedulable: 1, ..Lengths::default() });
}

#[tokio::test(start_paused = true)]
async fn who_backs_off_lets_others_go_first_and_goes_when_there_are_none() {
    let mut queue = queue();
    queue.set(pod("a", 0), Instant::now());
    let taken = queue.pop(Instant::now()).expect("its turn");
    queue.unschedulable(taken, false, Instant::now());
    queue.retry(Instant::now(), |_| true);
    queue.set(pod("b", -1), Instant::now());
    assert_eq!(queue.lengths(), Lengths { active: 1, backing_off: 1, ..Lengths::default() });
    assert_eq!(next(&mut queue).as_deref(), Some("b"));
    assert_eq!(next(&mut queue).as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn after_five_minutes_a_pod_is_tried_again_without_any_event() {
    let mut queue = queue();
    queue.set(pod("a", 0), Instant::now());
    let taken = queue.pop(Instant::now()).expect("its turn");
    queue.unschedulable(taken, false, Instant::now());
    assert_eq!(queue.next_wake(), Some(Instant::now() + Duration::from_mins(5)));
    tokio::time::advance(Duration::from_mins(5)).await;
    assert_eq!(next(&mut queue).as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_pod_itself_is_a_reason_to_try_again() {
    let mut queue = queue();
    let version = |labels: &str, cpu: &str, gated: bool| {
        let gates = if gated { json!([{"name": "g"}]) } else { json!([]) };
        Arc::new(testing::pod(
            json!({"metadata": {"labels": {"l": labels}}, "spec": {"schedulingGates": gates,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}),
        ))
    };
    queue.set(version("a", "2", true), Instant::now());
    assert_eq!(queue.lengths(), Lengths { gated: 1, ..Lengths::default() });
    assert_eq!(next(&mut queue), None, "it is gated");
    queue.set(version("a", "2", false), Instant::now());
    let taken = queue.pop(Instant::now()).expect("the gate is open");
    queue.unschedulable(taken, false, Instant::now());
    queue.set(version("b", "2", false), Instant::now());
    assert_eq!(next(&mut queue), None, "a label changes nothing");
    queue.set(version("b", "1", false), Instant::now());
    assert!(next(&mut queue).is_some());
    assert_eq!(queue.lengths(), Lengths::default());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_has_no_turn() {
    let mut queue = queue();
    queue.set(pod("a", 0), Instant::now());
    queue.set(pod("b", 0), Instant::now());
    queue.remove("a");
    queue.remove("nobody");
    assert_eq!(queue.pods().len(), 1);
    assert_eq!(next(&mut queue).as_deref(), Some("b"));
    assert_eq!(next(&mut queue), None);
}
