use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::container::PodUid;
use crate::testing::{Act, Remembered, Scripted};

const OK: Act = Act::Exit(0, String::new());

fn no() -> Act {
    Act::Exit(1, "no".into())
}

struct Rig {
    runtime: Arc<Scripted>,
    reporter: Arc<Remembered>,
    found: mpsc::Receiver<Finding>,
    guard: Box<dyn Send>,
    began: Instant,
}

fn rig(container: &Value, acts: Vec<Act>, is_new: bool) -> Rig {
    let (runtime, reporter) = (Scripted::new(acts), Arc::new(Remembered::default()));
    let keeper = Keeper::new(runtime.clone(), reporter.clone(), &[], Metrics::default());
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}})).expect("a pod");
    let container: Container = serde_json::from_value(container.clone()).expect("a container");
    let id = ContainerId { pod: PodUid::new("u").expect("a UID"), name: "main".into(), attempt: 0 };
    let start = Start { id, started_at: SystemTime::now(), pod_ips: Vec::new(), is_new };
    let (findings, found) = mpsc::channel(4);
    let guard = keeper.look_after(&Arc::new(pod), &container, start, findings);
    Rig { runtime, reporter, found, guard, began: Instant::now() }
}

impl Rig {
    /// The next finding, and when it came, in whole seconds.
    async fn next(&mut self) -> (u64, Verdict) {
        let finding = self.found.recv().await.expect("the task goes on");
        (self.began.elapsed().as_secs(), finding.verdict)
    }
}

fn killed(message: &str, grace: Option<u64>) -> Verdict {
    Verdict::Unhealthy(Unhealthy { message: message.into(), grace: grace.map(Duration::from_secs) })
}

fn exec(more: Value) -> Value {
    let mut probe = json!({"exec": {"command": ["check", "$(WHAT)"]}});
    let Value::Object(more) = more else { panic!("an object") };
    probe.as_object_mut().expect("an object").extend(more);
    probe
}

#[tokio::test(start_paused = true)]
async fn a_container_without_probes_has_started_at_once() {
    let mut rig = rig(&json!({"name": "main"}), vec![OK], true);
    assert_eq!(rig.next().await, (0, Verdict::Started));
    assert!(rig.found.recv().await.is_none(), "nothing more is to be said");
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_answers_and_says_each_change_once() {
    let container = json!({"name": "main", "env": [{"name": "WHAT", "value": "it"}],
        "readinessProbe": exec(json!({"initialDelaySeconds": 5, "failureThreshold": 2}))});
    let mut rig = rig(&container, vec![OK, OK, no(), no(), no(), OK], true);
    assert_eq!(rig.next().await, (0, Verdict::Started));
    assert!(matches!(rig.next().await, (4 | 5, Verdict::Ready(true))));
    assert!(matches!(rig.next().await, (34 | 35, Verdict::Ready(false))), "at the second failure");
    assert!(matches!(rig.next().await, (54 | 55, Verdict::Ready(true))));
    assert_eq!(rig.reporter.take(), ["Unhealthy: Readiness probe failed: no"; 3]);
    assert_eq!(rig.runtime.commands.lock()[0], ["check", "it"], "variables are expanded");
}

#[tokio::test(start_paused = true)]
async fn liveness_has_the_container_killed_after_its_threshold() {
    let container =
        json!({"name": "main", "livenessProbe": exec(json!({"terminationGracePeriodSeconds": 3}))});
    let mut rig = rig(&container, vec![OK, no()], true);
    assert_eq!(rig.next().await, (0, Verdict::Started));
    let expected = killed("Container main failed liveness probe, will be restarted", Some(3));
    assert_eq!(rig.next().await, (30, expected));
    assert!(rig.found.recv().await.is_none(), "it is not asked again");
    assert_eq!(rig.reporter.take().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn startup_holds_the_others() {
    let container = json!({"name": "main", "startupProbe": exec(json!({"failureThreshold": 30})),
        "readinessProbe": exec(json!({}))});
    let mut rig = rig(&container, vec![no(), no(), OK], true);
    assert_eq!(rig.next().await, (20, Verdict::Started));
    assert_eq!(rig.next().await, (20, Verdict::Ready(true)), "readiness is asked at once then");
}

#[tokio::test(start_paused = true)]
async fn a_startup_probe_that_fails_kills() {
    let container = json!({"name": "main", "restartPolicy": "Never", "startupProbe": exec(json!({"failureThreshold": 1}))});
    let mut rig = rig(&container, vec![no()], true);
    assert_eq!(rig.next().await, (0, killed("Container main failed startup probe", None)));
    assert!(rig.found.recv().await.is_none(), "it never starts");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_hangs_is_a_failure_and_one_that_cannot_run_is_tried_three_times() {
    let container = json!({"name": "main", "livenessProbe": exec(json!({"failureThreshold": 2}))});
    let acts = vec![Act::Hang, Act::Fail("broken")];
    let mut rig = rig(&container, acts, true);
    assert_eq!(rig.next().await, (0, Verdict::Started));
    assert!(matches!(rig.next().await, (10..=11, Verdict::Unhealthy(_))));
    assert_eq!(
        rig.reporter.take(),
        [
            "Unhealthy: Liveness probe failed: command timed out: \"check $(WHAT)\" timed out after 1s",
            "Unhealthy: Liveness probe errored and resulted in unknown state: broken",
        ]
    );
    assert_eq!(rig.runtime.commands.lock().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_output_of_a_command_is_bounded() {
    let container = json!({"name": "main", "livenessProbe": exec(json!({"failureThreshold": 1}))});
    let mut rig = rig(&container, vec![Act::Exit(1, "x".repeat(100_000))], true);
    rig.next().await;
    rig.next().await;
    let prefix = "Unhealthy: Liveness probe failed: ".len();
    assert_eq!(rig.reporter.take()[0].len(), prefix + probe::MAX_OUTPUT_BYTES);
}

#[tokio::test(start_paused = true)]
async fn the_hook_after_the_start_comes_first_and_its_failure_kills() {
    let hook = |handler: Value| json!({"name": "main", "lifecycle": {"postStart": handler}});
    let mut slept = rig(&hook(json!({"sleep": {"seconds": 7}})), vec![OK], true);
    assert_eq!(slept.next().await, (7, Verdict::Started));
    let run = json!({"exec": {"command": ["hook"]}});
    let mut failed = rig(&hook(run.clone()), vec![no()], true);
    assert_eq!(failed.next().await, (0, killed("FailedPostStartHook", None)));
    assert_eq!(failed.reporter.take(), ["FailedPostStartHook: PostStartHook failed"]);
    let mut adopted = rig(&hook(run), vec![no()], false);
    assert_eq!(adopted.next().await, (0, Verdict::Started), "a restarted node runs no hook again");
    let mut invalid = rig(&hook(json!({"tcpSocket": {"port": 80}})), vec![OK], true);
    assert_eq!(invalid.next().await, (0, killed("FailedPostStartHook", None)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_once_the_guard_is_dropped() {
    let container = json!({"name": "main", "livenessProbe": exec(json!({}))});
    let mut rig = rig(&container, vec![OK], true);
    assert_eq!(rig.next().await, (0, Verdict::Started));
    tokio::time::sleep(Duration::from_secs(25)).await;
    drop(rig.guard);
    let asked = rig.runtime.commands.lock().len();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!((asked, rig.runtime.commands.lock().len()), (3, 3));
}
