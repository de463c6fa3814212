use serde_json::{Value, json};

use super::*;
use crate::testing;

fn state() -> State {
    State::new(&Settings::new("here"))
}

fn node(name: &str, cpu: &str) -> Node {
    testing::node(
        json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"}}}),
    )
}

fn pod(name: &str, more: &Value) -> PodInfo {
    let mut object = json!({"metadata": {"name": name, "uid": name}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    object["spec"].as_object_mut().expect("a spec").extend(more.as_object().expect("an object").clone());
    testing::pod(object)
}

fn free(name: &str) -> PodInfo {
    pod(name, &json!({}))
}

fn bound(name: &str, node: &str) -> PodInfo {
    pod(name, &json!({"nodeName": node}))
}

/// What the next turns come to.
fn turns(state: &mut State) -> Vec<String> {
    let mut turns = Vec::new();
    while let Some(turn) = state.next(Instant::now(), &mut |_| 0) {
        turns.push(match turn.outcome {
            Ok(node) => format!("{} to {node}", turn.pod.name),
            Err(unfit) => format!("{}: {unfit}", turn.pod.name),
        });
    }
    turns
}

fn full(name: &str) -> String {
    format!("{name}: 0/1 nodes are available: 1 Insufficient cpu.")
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_before_everything_is_known() {
    let mut state = state();
    state.apply(Update::Pods(vec![free("a")]), Instant::now());
    assert_eq!(turns(&mut state), [""; 0]);
    state.apply(Update::Nodes(vec![node("n1", "1")]), Instant::now());
    assert_eq!(turns(&mut state), ["a to n1"]);
}

#[tokio::test(start_paused = true)]
async fn each_change_that_may_help_gives_those_another_turn_whom_it_helps() {
    type Change = fn(&mut State);
    let now = Instant::now;
    let rows: [(&str, Change, &[&str]); 9] = [
        ("nothing", |_| {}, &[]),
        ("a pod goes", |s| s.apply(Update::PodGone("there".into()), Instant::now()), &["a to n1"]),
        (
            "a pod ends",
            |s| {
                let mut ended = bound("there", "n1");
                ended.ended = true;
                s.apply(Update::Pod(Box::new(ended)), Instant::now());
            },
            &["a to n1"],
        ),
        ("the list lacks a pod", |s| s.apply(Update::Pods(vec![free("a")]), Instant::now()), &["a to n1"]),
        ("a node comes", |s| s.apply(Update::Node(node("n2", "1")), Instant::now()), &["a to n2"]),
        (
            "a node comes that is too small",
            |s| s.apply(Update::Node(node("n2", "500m")), Instant::now()),
            &[],
        ),
        ("the node grows", |s| s.apply(Update::Node(node("n1", "2")), Instant::now()), &["a to n1"]),
        ("the node says nothing new", |s| s.apply(Update::Node(node("n1", "1")), Instant::now()), &[]),
        ("another pod comes", |s| s.apply(Update::Pod(Box::new(bound("more", "n9"))), Instant::now()), &[]),
    ];
    for (name, change, expected) in rows {
        let mut state = state();
        state.apply(Update::Nodes(vec![node("n1", "1")]), now());
        state.apply(Update::Pods(vec![bound("there", "n1"), free("a")]), now());
        assert_eq!(turns(&mut state), [full("a")], "{name}");
        change(&mut state);
        assert_eq!(turns(&mut state), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_before_the_api_says_so() {
    let mut state = state();
    state.apply(Update::Nodes(vec![node("n1", "1")]), Instant::now());
    state.apply(Update::Pods(vec![free("a"), free("b")]), Instant::now());
    assert_eq!(turns(&mut state), ["a to n1".to_owned(), full("b")]);
    // What was written to the pod meanwhile is no reason for another turn.
    state.apply(Update::Pod(Box::new(free("a"))), Instant::now());
    state.apply(Update::Pods(vec![free("a"), free("b")]), Instant::now());
    assert_eq!(turns(&mut state), [""; 0]);
    state.apply(Update::Pod(Box::new(bound("a", "n1"))), Instant::now());
    assert!(!state.unbound("a", Instant::now()));
    assert_eq!(turns(&mut state), [""; 0], "whatever the binding's answer was, it is bound");
    state.apply(Update::PodGone("a".into()), Instant::now());
    assert_eq!(turns(&mut state), ["b to n1"]);
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_fails_gives_the_place_back() {
    let mut state = state();
    state.apply(Update::Nodes(vec![node("n1", "1")]), Instant::now());
    state.apply(Update::Pods(vec![free("a"), free("b")]), Instant::now());
    assert_eq!(turns(&mut state), ["a to n1".to_owned(), full("b")]);
    assert!(state.unbound("a", Instant::now()));
    assert_eq!(turns(&mut state), ["b to n1"], "who waited has it");
    let wake = state.next_wake().expect("the other one has another turn");
    tokio::time::advance(wake - Instant::now()).await;
    assert_eq!(turns(&mut state), [full("a")]);
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_to_be_scheduled_here_are_left_alone() {
    let mut state = state();
    state.apply(Update::Nodes(vec![node("n1", "9")]), Instant::now());
    let mut ended = free("ended");
    ended.ended = true;
    let mut terminating = free("terminating");
    terminating.terminating = true;
    let other = pod("other", &json!({"schedulerName": "mine"}));
    let gated = pod("gated", &json!({"schedulingGates": [{"name": "g"}]}));
    state.apply(Update::Pods(vec![ended, terminating, other, gated]), Instant::now());
    assert_eq!(turns(&mut state), [""; 0]);
    assert_eq!(state.lengths(), Lengths { gated: 1, ..Lengths::default() });
    state.apply(Update::Pod(Box::new(free("gated"))), Instant::now());
    assert_eq!(turns(&mut state), ["gated to n1"], "the gate is open");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_takes_nobody() {
    let mut state = state();
    state.apply(Update::Nodes(vec![node("n1", "9"), node("n2", "9")]), Instant::now());
    state.apply(Update::Pods(vec![]), Instant::now());
    state.apply(Update::NodeGone("n1".into()), Instant::now());
    state.apply(Update::Pod(Box::new(free("a"))), Instant::now());
    assert_eq!(turns(&mut state), ["a to n2"]);
    state.apply(Update::Nodes(vec![]), Instant::now());
    state.apply(Update::Pod(Box::new(free("b"))), Instant::now());
    assert_eq!(turns(&mut state), ["b: no nodes available to schedule pods"]);
}
