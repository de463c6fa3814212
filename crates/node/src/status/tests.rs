#![allow(clippy::needless_pass_by_value, reason = "a row of a table is read once")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::container::{ContainerId, PodUid, Resources};
use crate::pods::memory::{Pending, Problem, Progress, Unhealthy};
use crate::pods::plan::Failure;
use crate::runtime::{Container, State};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const NOW: u64 = 1_000;

struct Case {
    pod: Pod,
    sandbox: Option<Sandbox>,
    memory: Memory,
    ending: Option<Ending>,
    details: Details,
}

fn id(name: &str, attempt: u32) -> ContainerId {
    ContainerId { pod: PodUid::new("u").expect("a uid"), name: name.into(), attempt }
}

impl Case {
    fn new(spec: Value) -> Self {
        let object =
            json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 3}, "spec": spec});
        let sandbox = Sandbox {
            uid: PodUid::new("u").expect("a uid"),
            namespace: "ns".into(),
            name: "p".into(),
            ready: true,
            created_at: at(0),
            addresses: vec!["10.1.0.9".parse().expect("an address")],
            resources: None,
            containers: Vec::new(),
        };
        Self {
            pod: serde_json::from_value(object).expect("a pod"),
            sandbox: Some(sandbox),
            memory: Memory::default(),
            ending: None,
            details: Details { id_scheme: "sampan".into(), ..Details::default() },
        }
    }

    fn one(policy: &str) -> Self {
        Self::new(json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "busybox"}]}))
    }

    fn with(mut self, name: &str, attempt: u32, state: State) -> Self {
        self.sandbox.as_mut().expect("a sandbox").containers.push(Container {
            id: id(name, attempt),
            runtime_id: format!("{name}-{attempt}"),
            image: "docker.io/library/busybox:latest".into(),
            image_id: "sha256:1".into(),
            state,
            labels: BTreeMap::new(),
            resources: Resources::default(),
        });
        self
    }

    fn running(self, name: &str) -> Self {
        self.with(name, 0, State::Running { started_at: at(10) }).remembering(|m| {
            let memory = m.container_mut(name);
            memory.begin(0);
            memory.started = true;
        })
    }

    fn exited(self, name: &str, attempt: u32, code: i32) -> Self {
        let (started_at, finished_at) = (Some(at(10)), at(NOW - 5));
        let message = String::new();
        self.with(
            name,
            attempt,
            State::Exited { started_at, finished_at, code, signal: 0, out_of_memory: false, message },
        )
    }

    fn remembering(mut self, change: impl FnOnce(&mut Memory)) -> Self {
        change(&mut self.memory);
        self
    }

    fn told(mut self, status: Value) -> Self {
        self.pod.status = serde_json::from_value(status).expect("a status");
        self
    }

    fn ending(mut self, failure: Option<Failure>) -> Self {
        self.ending = Some(Ending { since: at(NOW), grace: Duration::from_secs(30), failure, deleted: true });
        self
    }

    fn status(&self) -> PodStatus {
        status(View {
            pod: &self.pod,
            ending: self.ending.as_ref(),
            sandbox: self.sandbox.as_ref(),
            memory: &self.memory,
            details: &self.details,
            host_ips: &["192.0.2.1".parse().expect("an address")],
            now: at(NOW),
        })
    }

    fn phase(&self) -> String {
        self.status().phase.expect("a phase")
    }

    /// The status of main container `a`.
    fn main(&self) -> Value {
        serde_json::to_value(&self.status().container_statuses.expect("statuses")[0]).expect("JSON")
    }

    fn condition(&self, kind: &str) -> Value {
        let found = self.status().conditions.into_iter().flatten().find(|c| c.type_ == kind);
        serde_json::to_value(found.expect(kind)).expect("JSON")
    }
}

fn many(policy: &str) -> Case {
    Case::new(json!({
        "restartPolicy": policy,
        "initContainers": [{"name": "i"}, {"name": "side", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}, {"name": "b"}],
    }))
}

#[test]
fn the_phase_follows_from_the_containers() {
    let nothing = || {
        let mut case = Case::one("Always");
        case.sandbox = None;
        case
    };
    let problem = |m: &mut Memory| {
        let (reason, message) = ("ErrImagePull".into(), String::new());
        m.container_mut("a").problem = Some(Problem { reason, message, retry_at: at(NOW + 10) });
    };
    for (name, case, phase) in vec![
        ("nothing is there", nothing(), "Pending"),
        ("nothing was created", Case::one("Always"), "Pending"),
        ("the image cannot be had", Case::one("Always").remembering(problem), "Pending"),
        ("it runs", Case::one("Always").running("a"), "Running"),
        ("it crashed and comes again", Case::one("Always").exited("a", 0, 1), "Running"),
        ("it succeeded and comes again", Case::one("Always").exited("a", 0, 0), "Running"),
        ("it succeeded", Case::one("OnFailure").exited("a", 0, 0), "Succeeded"),
        ("it comes again after a failure", Case::one("OnFailure").exited("a", 0, 1), "Running"),
        ("it failed", Case::one("Never").exited("a", 0, 1), "Failed"),
        ("an init container runs", many("Never").running("i"), "Pending"),
        ("an init container failed for good", many("Never").exited("i", 0, 1), "Failed"),
        ("an init container failed", many("Always").exited("i", 0, 1), "Pending"),
        ("one of two runs", many("Never").exited("i", 0, 0).running("side").running("a"), "Pending"),
        ("both run", many("Never").exited("i", 0, 0).running("side").running("a").running("b"), "Running"),
        (
            "one ended",
            many("Never").exited("i", 0, 0).running("side").running("a").exited("b", 0, 1),
            "Running",
        ),
        (
            "one failed at last",
            many("Never").exited("i", 0, 0).exited("side", 0, 0).exited("a", 0, 0).exited("b", 0, 1),
            "Failed",
        ),
        (
            "both succeeded",
            many("Never").exited("i", 0, 0).exited("side", 0, 137).exited("a", 0, 0).exited("b", 0, 0),
            "Succeeded",
        ),
        ("it ends", Case::one("Always").running("a").ending(None), "Running"),
        ("it was ended", Case::one("Always").exited("a", 0, 137).ending(None), "Failed"),
        ("it was ended and did well", Case::one("Always").exited("a", 0, 0).ending(None), "Succeeded"),
        (
            "what is over stays so",
            Case::one("Always").running("a").told(json!({"phase": "Failed"})),
            "Failed",
        ),
    ] {
        assert_eq!(case.phase(), phase, "{name}");
    }
}

#[test]
fn a_container_shows_what_it_does_and_did() {
    let running = Case::one("Always").running("a").main();
    assert_eq!(running["state"]["running"]["startedAt"], "1970-01-01T00:00:10Z");
    assert_eq!(
        (&running["ready"], &running["started"], &running["restartCount"]),
        (&json!(true), &json!(true), &json!(0))
    );
    assert_eq!((&running["containerID"], &running["imageID"]), (&json!("sampan://a-0"), &json!("sha256:1")));

    let crashing = Case::one("Always").exited("a", 0, 3).exited("a", 1, 137).remembering(|m| {
        m.container_mut("a").crashes.tried(at(NOW - 20));
        m.container_mut("a").crashes.tried(at(NOW - 10));
    });
    let crashing = crashing.main();
    let waiting = json!({"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container=a pod=p_ns(u)"});
    assert_eq!(crashing["state"]["waiting"], waiting);
    assert_eq!(crashing["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(crashing["restartCount"], 1);

    let mut over = Case::one("Never").exited("a", 1, 1).exited("a", 0, 3);
    over.details.messages.insert(id("a", 1), "it was the disk".into());
    let over = over.main();
    assert_eq!(over["state"]["terminated"]["message"], "it was the disk");
    assert_eq!(over["state"]["terminated"]["reason"], "Error");
    assert_eq!(over["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(over["ready"], false);
}

#[test]
fn a_container_that_waits_says_why() {
    let problem = |m: &mut Memory| {
        let (reason, message) = ("ImagePullBackOff".into(), "Back-off pulling image \"x\"".into());
        m.container_mut("a").problem = Some(Problem { reason, message, retry_at: at(NOW + 10) });
    };
    assert_eq!(Case::one("Always").main()["state"]["waiting"], json!({"reason": "ContainerCreating"}));
    assert_eq!(many("Always").main()["state"]["waiting"], json!({"reason": "PodInitializing"}));
    let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""});
    assert_eq!(Case::one("Always").remembering(problem).main()["state"]["waiting"], waiting);
}

#[test]
fn ends_are_named_in_the_kubelets_words() {
    let ended = |code, signal, out_of_memory, started_at| {
        let state = State::Exited {
            started_at,
            finished_at: at(20),
            code,
            signal,
            out_of_memory,
            message: "m".into(),
        };
        Case::one("Never").with("a", 0, state).main()["state"]["terminated"]["reason"].clone()
    };
    for (name, reason, expected) in [
        ("success", ended(0, 0, false, Some(at(1))), "Completed"),
        ("failure", ended(1, 0, false, Some(at(1))), "Error"),
        ("no memory", ended(137, 9, true, Some(at(1))), "OOMKilled"),
        ("no start", ended(128, 0, false, None), "StartError"),
    ] {
        assert_eq!(reason, expected, "{name}");
    }
}

#[allow(clippy::large_stack_arrays, reason = "a table of pods")]
#[test]
fn readiness_follows_from_probes_and_gates() {
    let probed = || {
        Case::new(json!({
            "containers": [{"name": "a", "readinessProbe": {"tcpSocket": {"port": 1}}}],
            "readinessGates": [{"conditionType": "example.com/up"}],
        }))
        .running("a")
    };
    let ready = || probed().remembering(|m| m.container_mut("a").ready = Some(true));
    let gate = |status: &str| json!({"conditions": [{"type": "example.com/up", "status": status}]});
    for (name, case, containers, pod, reason) in [
        ("no probe", Case::one("Always").running("a"), "True", "True", Value::Null),
        ("no result yet", probed(), "False", "False", json!("ContainersNotReady")),
        ("no gate", ready(), "True", "False", json!("ReadinessGatesNotReady")),
        ("a closed gate", ready().told(gate("False")), "True", "False", json!("ReadinessGatesNotReady")),
        ("an open gate", ready().told(gate("True")), "True", "True", Value::Null),
        ("over", Case::one("Never").exited("a", 0, 0), "False", "False", json!("PodCompleted")),
        ("failed", Case::one("Never").exited("a", 0, 1), "False", "False", json!("PodFailed")),
    ] {
        assert_eq!(case.condition("ContainersReady")["status"], containers, "{name}");
        assert_eq!(case.condition("Ready")["status"], pod, "{name}");
        assert_eq!(case.condition("Ready")["reason"], reason, "{name}");
    }
    let message = &probed().condition("Ready")["message"];
    assert_eq!(message, "containers with unready status: [a]");
}

#[test]
fn initialization_is_told_by_the_names_that_lack() {
    let lacking = many("Always").running("i").condition("Initialized");
    assert_eq!(
        (&lacking["status"], &lacking["reason"]),
        (&json!("False"), &json!("ContainersNotInitialized"))
    );
    assert_eq!(lacking["message"], "containers with incomplete status: [i side]");
    let done = many("Always").exited("i", 0, 0).running("side").condition("Initialized");
    assert_eq!(done["status"], "True");
}

#[test]
fn a_condition_keeps_the_time_of_its_last_change_and_others_stay() {
    let told = json!({"phase": "Running", "startTime": "1970-01-01T00:00:05Z", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:07Z"},
        {"type": "ContainersReady", "status": "False", "lastTransitionTime": "1970-01-01T00:00:07Z"},
        {"type": "DisruptionTarget", "status": "True"},
    ]});
    let case = Case::one("Always").running("a").told(told);
    assert_eq!(case.condition("Ready")["lastTransitionTime"], "1970-01-01T00:00:07Z");
    assert_eq!(case.condition("ContainersReady")["lastTransitionTime"], "1970-01-01T00:16:40Z");
    assert_eq!(case.condition("DisruptionTarget")["status"], "True");
    let status = serde_json::to_value(case.status()).expect("JSON");
    assert_eq!(status["startTime"], "1970-01-01T00:00:05Z");
    assert_eq!((&status["podIP"], &status["hostIP"]), (&json!("10.1.0.9"), &json!("192.0.2.1")));
    assert_eq!(status["observedGeneration"], 3);
}

#[test]
fn a_failure_of_the_pod_is_told_at_once() {
    let failure = Failure {
        reason: "Evicted".into(),
        message: "The node was low on resource: memory.".into(),
        grace: None,
        rejected: false,
    };
    let case = Case::one("Always").running("a").ending(Some(failure));
    let status = case.status();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    assert_eq!(status.message.as_deref(), Some("The node was low on resource: memory."));
}

#[test]
fn of_a_pod_that_was_not_let_in_only_the_refusal_is_told() {
    let message = "Node didn't have enough resource: cpu, requested: 4000, used: 0, capacity: 2000".into();
    let failure = Failure { reason: "OutOfcpu".into(), message, grace: None, rejected: true };
    let mut case = Case::one("Always").ending(Some(failure));
    case.sandbox = None;
    let status = case.status();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
    assert_eq!(
        status.message.as_deref(),
        Some(
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 0, capacity: 2000"
        )
    );
    assert_eq!(status.container_statuses, None);
}

#[test]
fn a_container_of_which_nothing_is_left_is_told_as_lost() {
    let told = json!({"phase": "Running", "containerStatuses": [{
        "name": "a", "image": "busybox", "imageID": "sha256:1", "containerID": "sampan://a-0", "ready": true, "restartCount": 2,
        "state": {"running": {"startedAt": "1970-01-01T00:00:10Z"}}}]});
    let lost = Case::one("Never").told(told).main();
    assert_eq!(lost["state"]["terminated"]["reason"], "ContainerStatusUnknown");
    assert_eq!((&lost["state"]["terminated"]["exitCode"], &lost["restartCount"]), (&json!(137), &json!(2)));
}

#[test]
fn an_unhealthy_start_does_not_speak_for_the_next() {
    let case = Case::one("Always").with("a", 1, State::Running { started_at: at(30) }).remembering(|m| {
        m.container_mut("a").begin(0);
        m.container_mut("a").started = true;
        m.container_mut("a").unhealthy = Some(Unhealthy { message: String::new(), grace: None });
    });
    assert_eq!((&case.main()["started"], &case.main()["ready"]), (&json!(false), &json!(false)));
}

#[test]
fn a_change_of_resources_is_told_by_conditions_of_the_generation_they_are_about() {
    let told = json!({"phase": "Running", "conditions": [
        {"type": "PodResizePending", "status": "True", "lastTransitionTime": "1970-01-01T00:00:07Z"},
        {"type": "PodResizeInProgress", "status": "True"},
    ]});
    let case = Case::one("Always").running("a").told(told).remembering(|m| {
        m.resize.pending =
            Some(Pending { reason: "Deferred".into(), message: "no room".into(), generation: Some(2) });
    });
    let pending = case.condition("PodResizePending");
    assert_eq!((&pending["reason"], &pending["message"]), (&json!("Deferred"), &json!("no room")));
    assert_eq!(
        (&pending["observedGeneration"], &pending["lastTransitionTime"]),
        (&json!(2), &json!("1970-01-01T00:00:07Z"))
    );
    let has = |case: &Case, kind: &str| {
        case.status().conditions.into_iter().flatten().any(|condition| condition.type_ == kind)
    };
    assert!(!has(&case, "PodResizeInProgress"), "it has passed");
    let case = Case::one("Always").running("a").remembering(|m| {
        m.resize.progress = Some(Progress { generation: Some(1), error: None });
    });
    assert_eq!(case.condition("PodResizeInProgress").get("reason"), None);
    let case = case.remembering(|m| {
        m.resize.progress = Some(Progress { generation: Some(1), error: Some("cannot".into()) });
    });
    let progress = case.condition("PodResizeInProgress");
    assert_eq!((&progress["reason"], &progress["message"]), (&json!("Error"), &json!("cannot")));
    assert!(!has(&case, "PodResizePending"));
}
