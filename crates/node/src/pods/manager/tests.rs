use std::sync::atomic::{AtomicBool, Ordering};

use sampan_testkit::eventually;
use serde_json::{Value, json};

use super::*;
use crate::pods::parts::NodeFacts;
use crate::server::Pods as _;
use crate::source::{self, CONFIG_HASH, CONFIG_SOURCE};
use crate::testing::{Remembered, Scripted, parts, sandbox};

fn pod(value: &Value) -> Arc<Pod> {
    Arc::new(serde_json::from_value(value.clone()).expect("a pod"))
}

fn ordinary(uid: &str) -> Arc<Pod> {
    pod(&json!({"metadata": {"uid": uid, "name": uid, "namespace": "default"}, "spec": {"containers": []}}))
}

fn of_file(uid: &str, name: &str) -> Arc<Pod> {
    pod(&json!({"metadata": {"uid": uid, "name": name, "namespace": "default",
        "annotations": {CONFIG_SOURCE: "file", CONFIG_HASH: uid}}, "spec": {"containers": []}}))
}

/// Lets in everybody but the big, and those that come for a label once the node has it.
#[derive(Default)]
struct Guard {
    labelled: AtomicBool,
}

#[async_trait]
impl Admission for Guard {
    fn admit(&self, pod: &Pod, others: &[Arc<Pod>]) -> Option<Failure> {
        let reason = match pod.metadata.uid.as_deref() {
            Some("big") => "OutOfcpu",
            Some("never") => NODE_AFFINITY,
            Some("picky") if !self.labelled.load(Ordering::SeqCst) => NODE_AFFINITY,
            _ => return None,
        };
        let message = format!("beside {}", others.len());
        Some(Failure { reason: reason.into(), message, grace: None, rejected: true })
    }

    /// There is room for 1000m of all pods but the asking one's.
    fn resize(&self, pod: &Pod, others: &[Arc<Pod>]) -> Result<(), Pending> {
        let cpu = |pod: &Pod| pod.spec.as_ref().map(|spec| wanted(spec).milli_cpu).unwrap_or_default();
        let used: i64 = others.iter().map(|other| cpu(other)).sum();
        if used + cpu(pod) <= 1000 {
            return Ok(());
        }
        Err(Pending {
            reason: DEFERRED.into(),
            message: format!("used: {used}"),
            generation: pod.metadata.generation,
        })
    }

    async fn refresh(&self) {
        self.labelled.store(true, Ordering::SeqCst);
    }
}

struct Rig {
    runtime: Arc<Scripted>,
    reporter: Arc<Remembered>,
    roster: Arc<Roster>,
    updates: mpsc::Sender<Update>,
    evictions: mpsc::Sender<Eviction>,
    /// Of the pods, unless the test has its own.
    directory: Option<tempfile::TempDir>,
}

fn rig(sandboxes: &[&str], origins: &'static [Origin]) -> Rig {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rig = rig_in(directory.path(), sandboxes, origins);
    rig.directory = Some(directory);
    rig
}

fn rig_in(pods: &Path, sandboxes: &[&str], origins: &'static [Origin]) -> Rig {
    let (runtime, reporter) = (Scripted::new([]), Arc::new(Remembered::default()));
    *runtime.sandboxes.lock() = sandboxes.iter().map(|uid| sandbox(uid)).collect();
    let admission = Arc::new(Guard::default());
    let roster = Arc::new(Roster::new("/logs".into()));
    let mut parts = parts::parts(&runtime, &reporter);
    parts.node = Arc::new(NodeFacts { pods: pods.to_owned(), ..NodeFacts::default() });
    let manager = Manager::new(parts, Arc::default(), Arc::clone(&roster), admission, origins);
    let (updates, receiver) = source::channel();
    let (evictions, evicted) = mpsc::channel(1);
    tokio::spawn(manager.run(receiver, evicted));
    Rig { runtime, reporter, roster, updates, evictions, directory: None }
}

impl Rig {
    async fn send(&self, update: Update) {
        self.updates.send(update).await.expect("the manager runs");
    }

    async fn has(&self, expected: &[&str]) {
        eventually(&format!("the sandboxes are {expected:?}"), async || {
            let mut there: Vec<_> = self.runtime.sandboxes.lock().iter().map(|s| s.uid.to_string()).collect();
            there.sort();
            (there == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_has_a_sandbox_until_it_is_gone() {
    let rig = rig(&[], &[Origin::Api]);
    rig.send(Update::All(Origin::Api, vec![ordinary("a")])).await;
    rig.has(&["a"]).await;
    rig.send(Update::Set(Origin::Api, ordinary("b"))).await;
    rig.has(&["a", "b"]).await;
    rig.send(Update::Remove(Origin::Api, PodUid::new("a").expect("a UID"))).await;
    rig.has(&["b"]).await;
    rig.send(Update::All(Origin::Api, vec![])).await;
    rig.has(&[]).await;
    eventually("both are told", async || (rig.reporter.gone.lock().len() == 2).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_node_left_is_ended_once_every_origin_has_spoken() {
    let rig = rig(&["kept", "left"], &[Origin::Api, Origin::Files]);
    rig.send(Update::All(Origin::Api, vec![ordinary("kept")])).await;
    eventually("the kept one is looked at", async || (!rig.runtime.looks.lock().is_empty()).then_some(()))
        .await;
    rig.has(&["kept", "left"]).await;
    rig.send(Update::All(Origin::Files, vec![])).await;
    rig.has(&["kept"]).await;
    assert_eq!(*rig.reporter.gone.lock(), ["left"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ended_for_good_is_not_begun_again() {
    let rig = rig(&[], &[Origin::Api]);
    let mut over = Pod::clone(&ordinary("over"));
    over.status = serde_json::from_value(json!({"phase": "Succeeded"})).expect("a status");
    rig.send(Update::All(Origin::Api, vec![Arc::new(over.clone()), ordinary("other")])).await;
    rig.has(&["other"]).await;
    // Deleted, it is told that nothing of it is left.
    over.metadata.deletion_timestamp = Some(crate::status::time(std::time::SystemTime::now()));
    rig.send(Update::Set(Origin::Api, Arc::new(over))).await;
    eventually("it is gone", async || (*rig.reporter.gone.lock() == ["over"]).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_admitted_has_no_sandbox() {
    let rig = rig(&[], &[Origin::Api]);
    rig.send(Update::All(Origin::Api, vec![ordinary("small"), ordinary("big")])).await;
    rig.has(&["small"]).await;
    let told = eventually("the refusal is told", async || {
        rig.reporter.statuses.lock().iter().rev().find(|s| s.phase.as_deref() == Some("Failed")).cloned()
    })
    .await;
    assert_eq!(told.message.as_deref(), Some("Pod was rejected: beside 0"));
    let events = rig.reporter.events.lock();
    assert!(
        events.iter().any(|event| event.contains("OutOfcpu") && event.contains("beside 0")),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_before_the_label_it_came_for_is_looked_at_again_once() {
    let rig = rig(&[], &[Origin::Api]);
    rig.send(Update::All(Origin::Api, vec![ordinary("picky"), ordinary("never")])).await;
    rig.has(&["picky"]).await;
    eventually("the other is refused", async || {
        rig.reporter.statuses.lock().iter().any(|s| s.reason.as_deref() == Some(NODE_AFFINITY)).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_version_of_a_static_pod_waits_for_the_end_of_the_old_one() {
    let rig = rig(&[], &[Origin::Files]);
    rig.send(Update::All(Origin::Files, vec![of_file("v1", "s-n1")])).await;
    rig.has(&["v1"]).await;
    rig.send(Update::All(Origin::Files, vec![of_file("v2", "s-n1")])).await;
    rig.has(&["v2"]).await;
    let looks = rig.runtime.looks.lock();
    let last = looks.iter().rposition(|uid| uid.as_str() == "v1");
    assert!(looks.iter().position(|uid| uid.as_str() == "v2") > last, "they are never there at once");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_runtime_wakes_its_worker_and_lagging_wakes_all() {
    let rig = rig(&[], &[Origin::Api]);
    rig.send(Update::All(Origin::Api, vec![ordinary("a"), ordinary("b")])).await;
    rig.has(&["a", "b"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let looks = |uid: &str| rig.runtime.looks.lock().iter().filter(|u| u.as_str() == uid).count();
    let before = (looks("a"), looks("b"));
    rig.runtime.changes.send(PodUid::new("a").expect("a UID")).expect("the manager listens");
    eventually("a is looked at", async || (looks("a") > before.0).then_some(())).await;
    for _ in 0..20 {
        rig.runtime.changes.send(PodUid::new("nobody").expect("a UID")).expect("the manager listens");
    }
    eventually("b is looked at", async || (looks("b") > before.1).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_without_a_sandbox_is_removed_unless_its_pod_is_wanted() {
    let pods = tempfile::tempdir().expect("a directory");
    for uid in ["left", "over", "wanted"] {
        std::fs::create_dir(pods.path().join(uid)).expect("a directory");
        std::fs::write(pods.path().join(uid).join("etc-hosts"), "").expect("a file");
    }
    let there = || {
        let mut there: Vec<_> = directories(pods.path()).iter().map(ToString::to_string).collect();
        there.sort();
        there
    };
    let rig = rig_in(pods.path(), &[], &[Origin::Api]);
    let mut over = Pod::clone(&ordinary("over"));
    over.status = serde_json::from_value(json!({"phase": "Succeeded"})).expect("a status");
    rig.send(Update::All(Origin::Api, vec![Arc::new(over), ordinary("wanted")])).await;
    eventually("nothing is left", async || (there() == ["over", "wanted"]).then_some(())).await;
    rig.send(Update::Remove(Origin::Api, PodUid::new("over").expect("a UID"))).await;
    eventually("the pod that was over is gone", async || (there() == ["wanted"]).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn the_roster_has_the_pods_that_are_here_with_the_newest_status() {
    let rig = rig(&[], &[Origin::Api]);
    rig.send(Update::All(Origin::Api, vec![ordinary("a"), ordinary("b")])).await;
    rig.has(&["a", "b"]).await;
    let status = serde_json::from_value(json!({"phase": "Running"})).expect("a status");
    rig.roster.told(&ordinary("a"), &status);
    let found = rig.roster.find("default", "a").expect("a pod");
    assert_eq!(found.pod.status.as_ref(), Some(&status));
    assert_eq!(found.log_directory, Path::new("/logs/default_a_a"));
    assert!(rig.roster.find("other", "a").is_none());
    rig.send(Update::All(Origin::Api, vec![])).await;
    eventually("nobody is here", async || rig.roster.list().is_empty().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_evicted_ends_and_is_not_begun_again() {
    let rig = rig(&[], &[Origin::Api]);
    rig.send(Update::All(Origin::Api, vec![ordinary("a"), ordinary("b")])).await;
    rig.has(&["a", "b"]).await;
    let failure = Failure {
        reason: "Evicted".into(),
        message: "no room".into(),
        grace: Some(Duration::ZERO),
        rejected: false,
    };
    let eviction = Eviction { uid: PodUid::new("a").expect("a UID"), failure };
    rig.evictions.send(eviction).await.expect("the manager listens");
    eventually("its sandbox is down", async || {
        rig.runtime.sandboxes.lock().iter().any(|s| s.uid.as_str() == "a" && !s.ready).then_some(())
    })
    .await;
}

fn sized(uid: &str, generation: i64, cpu: &str) -> Arc<Pod> {
    pod(&json!({"metadata": {"uid": uid, "name": uid, "namespace": "default", "generation": generation},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
}

impl Rig {
    /// Waits for an event that has all of these words.
    async fn tells(&self, words: &[&str]) {
        eventually(&format!("an event tells {words:?}"), async || {
            let events = self.reporter.events.lock();
            events.iter().any(|event| words.iter().all(|word| event.contains(word))).then_some(())
        })
        .await;
    }

    fn allocated(&self, uid: &str) -> Option<i64> {
        Allocation::read(&self.directory.as_ref()?.path().join(uid))?.generation
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_other_resources_when_there_is_room_and_they_are_written_down() {
    let rig = rig(&[], &[Origin::Api]);
    rig.send(Update::All(Origin::Api, vec![sized("a", 1, "400m"), sized("b", 1, "400m")])).await;
    rig.has(&["a", "b"]).await;
    assert_eq!(rig.allocated("a"), Some(1));
    rig.send(Update::Set(Origin::Api, sized("a", 2, "600m"))).await;
    rig.tells(&["ResizeStarted", "\"cpu\":\"600m\"", "\"generation\":2"]).await;
    assert_eq!(rig.allocated("a"), Some(2));
    // What the other one has by now counts, and what it asks for does not.
    rig.send(Update::Set(Origin::Api, sized("b", 2, "700m"))).await;
    rig.tells(&["ResizeDeferred", "\"cpu\":\"700m\"", "used: 600"]).await;
    assert_eq!(rig.allocated("b"), Some(1));
    let told = eventually("it is told", async || {
        let statuses = rig.reporter.statuses.lock();
        let conditions = statuses.iter().flat_map(|s| s.conditions.iter().flatten());
        conditions.into_iter().find(|c| c.type_ == "PodResizePending").cloned()
    })
    .await;
    assert_eq!((told.reason.as_deref(), told.observed_generation), (Some("Deferred"), Some(2)));
    // Room comes by whatever leaves some.
    rig.send(Update::Set(Origin::Api, sized("a", 3, "300m"))).await;
    rig.tells(&["ResizeStarted", "\"cpu\":\"700m\""]).await;
    assert_eq!((rig.allocated("a"), rig.allocated("b")), (Some(3), Some(2)));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_agent_accepted_holds_until_there_is_room_for_more() {
    let directory = tempfile::tempdir().expect("a directory");
    Allocation::of(&sized("a", 1, "400m")).write(&directory.path().join("a")).expect("it can be written");
    let mut rig = rig_in(directory.path(), &["a"], &[Origin::Api]);
    rig.directory = Some(directory);
    rig.send(Update::All(Origin::Api, vec![sized("a", 2, "2")])).await;
    rig.tells(&["ResizeDeferred"]).await;
    assert_eq!(rig.allocated("a"), Some(1));
    rig.send(Update::All(Origin::Api, vec![])).await;
    rig.has(&[]).await;
    eventually("its file is gone", async || rig.allocated("a").is_none().then_some(())).await;
}
