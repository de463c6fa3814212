//! Answers to recorded conversations are those of kube-apiserver, but for a list that may only shrink.

use sampan_tests::replay::{Suite, known_failures};
use sampan_tests::{Cluster, tools};

#[test]
fn recorded_conversations_are_answered_as_kube_apiserver_does() {
    let Some(suite) = Suite::find() else { return };
    let known = known_failures(&tools::root().join("tests/replay-known-failures.txt")).unwrap();
    let cluster = Cluster::start();
    let outcomes = suite.play(&cluster).unwrap();
    let mut complaints = Vec::new();
    for (name, difference) in &outcomes {
        match (difference, known.contains(name)) {
            (Some(difference), false) => complaints.push(format!("{name} fails: {difference}")),
            (None, true) => complaints.push(format!("{name} passes: take it off the list")),
            _ => {}
        }
    }
    for name in known.iter().filter(|name| !outcomes.contains_key(*name)) {
        complaints.push(format!("{name} is on the list, and there is no such conversation"));
    }
    let passed = outcomes.values().filter(|difference| difference.is_none()).count();
    println!("{passed} of {} conversations pass", outcomes.len());
    assert!(complaints.is_empty(), "tests/replay-known-failures.txt:\n  {}", complaints.join("\n  "));
}
