#![allow(clippy::needless_pass_by_value, reason = "a row of a table is read once")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use super::resize::{Fall, below_use};
use super::*;
use crate::container::{PodUid, Resources};
use crate::pods::config;
use crate::pods::memory::{Problem, Progress, Unhealthy, Volumes};
use crate::runtime::{Container, ContainerUsage, State, Usage};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const NOW: u64 = 1_000;

/// A pod and what is there of it.
struct Case {
    pod: Pod,
    sandbox: Option<Sandbox>,
    memory: Memory,
    ending: Option<Ending>,
}

impl Case {
    /// A pod whose volumes and sandbox are there.
    fn new(spec: Value) -> Self {
        let object = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec});
        let pod = serde_json::from_value(object).expect("a pod");
        let sandbox = Sandbox {
            uid: PodUid::new("u").expect("a uid"),
            namespace: "ns".into(),
            name: "p".into(),
            ready: true,
            created_at: at(0),
            addresses: Vec::new(),
            resources: None,
            containers: Vec::new(),
        };
        let memory = Memory { volumes: Volumes::Ready, ..Memory::default() };
        Self { pod, sandbox: Some(sandbox), memory, ending: None }
    }

    fn with(mut self, name: &str, attempt: u32, state: State) -> Self {
        let container = Container {
            id: ContainerId { pod: PodUid::new("u").expect("a uid"), name: name.into(), attempt },
            runtime_id: format!("{name}_{attempt}"),
            image: "busybox".into(),
            image_id: "sha256:1".into(),
            state,
            labels: BTreeMap::new(),
            resources: config::container_resources(None).expect("resources"),
        };
        self.sandbox.as_mut().expect("a sandbox").containers.push(container);
        self
    }

    fn running(self, name: &str) -> Self {
        self.with(name, 0, State::Running { started_at: at(10) })
    }

    fn exited(self, name: &str, attempt: u32, code: i32) -> Self {
        let state = State::Exited {
            started_at: Some(at(10)),
            finished_at: at(NOW - 5),
            code,
            signal: 0,
            out_of_memory: false,
            message: String::new(),
        };
        self.with(name, attempt, state)
    }

    fn started(mut self, name: &str) -> Self {
        let memory = self.memory.container_mut(name);
        memory.begin(0);
        memory.started = true;
        self
    }

    fn remembering(mut self, change: impl FnOnce(&mut Memory)) -> Self {
        change(&mut self.memory);
        self
    }

    fn down(mut self) -> Self {
        self.sandbox.as_mut().expect("a sandbox").ready = false;
        self
    }

    fn ending(mut self, deleted: bool) -> Self {
        self.ending = Some(Ending { since: at(NOW), grace: Duration::from_secs(30), failure: None, deleted });
        self
    }

    fn plan(&self) -> Plan {
        plan(View {
            pod: &self.pod,
            ending: self.ending.as_ref(),
            sandbox: self.sandbox.as_ref(),
            memory: &self.memory,
            pids_limit: Some(99),
            now: at(NOW),
        })
    }

    /// The actions in short.
    fn actions(&self) -> Vec<String> {
        let short = |action: &Action| match action {
            Action::StartContainer(id) => format!("start {} {}", id.name, id.attempt),
            Action::StopContainer { id, .. } => format!("stop {}", id.name),
            Action::Resize(resize) => steps(resize),
            Action::RemoveContainer(id) => format!("remove {} {}", id.name, id.attempt),
            other => format!("{other:?}"),
        };
        self.plan().actions.iter().map(short).collect()
    }
}

/// The steps of a change in short: whose, quota and memory in MiB.
fn steps(resize: &Resize) -> String {
    let short = |whose: &str, to: &Resources| {
        let memory = to.memory_limit_bytes.map(|bytes| bytes >> 20);
        format!("{whose} {}/{}", show(to.cpu_quota_us), show(memory))
    };
    let raised = resize.raised.iter().map(|to| short("pod", to));
    let containers = resize.containers.iter().map(|(id, to)| short(&id.name, to));
    let steps: Vec<_> =
        raised.chain(containers).chain(resize.lowered.iter().map(|to| short("pod", to))).collect();
    format!("resize {}", steps.join(", "))
}

fn show(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// A pod of one container `a`.
fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "busybox"}]})
}

/// Two init containers, a sidecar between them, two main ones.
fn many(policy: &str) -> Value {
    json!({
        "restartPolicy": policy,
        "initContainers": [{"name": "i1"}, {"name": "side", "restartPolicy": "Always"}, {"name": "i2"}],
        "containers": [{"name": "a"}, {"name": "b"}],
    })
}

#[track_caller]
fn check(rows: Vec<(&str, Case, &[&str])>) {
    for (name, case, actions) in rows {
        assert_eq!(case.actions(), actions, "{name}");
    }
}

#[test]
fn volumes_and_sandbox_are_made_at_once_and_before_any_container() {
    let nothing = || {
        let mut case = Case::new(one("Always"));
        (case.sandbox, case.memory) = (None, Memory::default());
        case
    };
    let failed =
        |retry| Problem { reason: "FailedMount".into(), message: String::new(), retry_at: at(retry) };
    check(vec![
        ("nothing is there", nothing(), &["MountVolumes", "StartSandbox"]),
        ("volumes are", nothing().remembering(|m| m.volumes = Volumes::Ready), &["StartSandbox"]),
        (
            "the sandbox is",
            Case::new(one("Always")).remembering(|m| m.volumes = Volumes::Absent),
            &["MountVolumes"],
        ),
        (
            "volumes failed",
            Case::new(one("Always")).remembering(|m| m.volumes = Volumes::Failed(failed(NOW + 1))),
            &[],
        ),
        (
            "it is time again",
            Case::new(one("Always")).remembering(|m| m.volumes = Volumes::Failed(failed(NOW))),
            &["MountVolumes"],
        ),
        ("the sandbox died", Case::new(one("Always")).running("a").down(), &["StartSandbox"]),
        (
            "the sandbox failed",
            nothing().remembering(|m| {
                m.volumes = Volumes::Ready;
                m.sandbox = Some(failed(NOW + 9));
            }),
            &[],
        ),
        ("both are there", Case::new(one("Always")), &["start a 0"]),
    ]);
}

#[test]
fn containers_that_end_are_started_again_as_the_policy_says() {
    let crashed = |tries: u64| {
        move |m: &mut Memory| (0..tries).for_each(|_| m.container_mut("a").crashes.tried(at(NOW - 20)))
    };
    check(vec![
        ("it runs", Case::new(one("Always")).running("a"), &[]),
        ("the first end", Case::new(one("Always")).exited("a", 0, 1), &["start a 1"]),
        ("success too", Case::new(one("Always")).exited("a", 3, 0), &["start a 4"]),
        ("within the delay", Case::new(one("Always")).exited("a", 1, 1).remembering(crashed(1)), &[]),
        ("a start that was cut off", Case::new(one("Always")).with("a", 2, State::Created), &["start a 2"]),
        ("failure", Case::new(one("OnFailure")).exited("a", 0, 1), &["start a 1"]),
        ("over", Case::new(one("OnFailure")).exited("a", 0, 0), &["StopSandbox"]),
        ("over with a failure", Case::new(one("Never")).exited("a", 0, 1), &["StopSandbox"]),
        ("over and down", Case::new(one("Never")).exited("a", 0, 1).down(), &["UnmountVolumes"]),
        (
            "over, down, and taken up by another agent",
            Case::new(one("Never")).exited("a", 0, 1).down().remembering(|m| *m = Memory::default()),
            &["UnmountVolumes"],
        ),
        (
            "old starts go",
            Case::new(one("Always")).exited("a", 0, 1).exited("a", 1, 1).exited("a", 2, 1),
            &["start a 3", "remove a 0"],
        ),
    ]);
    let waiting = Case::new(one("Always")).exited("a", 1, 1).remembering(crashed(1)).plan();
    assert_eq!(waiting.wake_at, Some(at(NOW - 5 + 10)));
}

#[test]
fn init_containers_run_one_after_the_other_and_sidecars_stay() {
    let case = || Case::new(many("Always"));
    check(vec![
        ("the first", case(), &["start i1 0"]),
        ("it runs", case().running("i1"), &[]),
        ("it failed", case().exited("i1", 0, 1), &["start i1 1"]),
        ("it is done", case().exited("i1", 0, 0), &["start side 0"]),
        ("the sidecar has not started yet", case().exited("i1", 0, 0).running("side"), &[]),
        ("it has", case().exited("i1", 0, 0).running("side").started("side"), &["start i2 0"]),
        (
            "the sidecar ended while the next runs",
            case().exited("i1", 0, 0).exited("side", 0, 0).running("i2"),
            &["start side 1"],
        ),
        (
            "all are done",
            case().exited("i1", 0, 0).running("side").started("side").exited("i2", 0, 0),
            &["start a 0", "start b 0"],
        ),
        ("once begun init containers do not matter", case().running("side").running("a").running("b"), &[]),
        ("but sidecars do", case().exited("side", 0, 1).running("a").running("b"), &["start side 1"]),
        ("a failure that stays", Case::new(many("Never")).exited("i1", 0, 1), &["StopSandbox"]),
        (
            "a failure that stays ends sidecars",
            Case::new(many("Never")).exited("i1", 0, 0).running("side").started("side").exited("i2", 0, 1),
            &["stop side"],
        ),
        (
            "sidecars end with the last main container",
            Case::new(many("Never"))
                .exited("i1", 0, 0)
                .running("side")
                .exited("i2", 0, 0)
                .exited("a", 0, 0)
                .exited("b", 0, 1),
            &["stop side"],
        ),
    ]);
}

#[test]
fn a_container_that_is_unhealthy_or_was_changed_is_stopped_and_then_started_again() {
    let unhealthy = |attempt| {
        move |m: &mut Memory| {
            let memory = m.container_mut("a");
            memory.begin(attempt);
            let grace = Some(Duration::from_secs(3));
            memory.unhealthy = Some(Unhealthy {
                message: "Container a failed liveness probe, will be restarted".into(),
                grace,
            });
        }
    };
    let changed = json!({"restartPolicy": "Always", "containers": [{"name": "a", "image": "other"}]});
    check(vec![
        ("unhealthy", Case::new(one("Always")).running("a").remembering(unhealthy(0)), &["stop a"]),
        (
            "an earlier start was",
            Case::new(one("Always"))
                .with("a", 1, State::Running { started_at: at(1) })
                .remembering(unhealthy(0)),
            &[],
        ),
        ("another image", Case::new(changed).running("a"), &["stop a"]),
    ]);
    let plan = Case::new(one("Always")).running("a").remembering(unhealthy(0)).plan();
    let Action::StopContainer { deadline, message, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(
        (*deadline, message.as_str()),
        (at(NOW + 3), "Container a failed liveness probe, will be restarted")
    );
}

#[test]
fn a_start_that_failed_is_tried_again_at_its_time() {
    let problem = |retry| {
        move |m: &mut Memory| {
            let (reason, message) = ("ErrImagePull".into(), String::new());
            m.container_mut("a").problem = Some(Problem { reason, message, retry_at: at(retry) });
        }
    };
    check(vec![
        ("later", Case::new(one("Always")).remembering(problem(NOW + 7)), &[]),
        ("now", Case::new(one("Always")).remembering(problem(NOW)), &["start a 0"]),
    ]);
    assert_eq!(Case::new(one("Always")).remembering(problem(NOW + 7)).plan().wake_at, Some(at(NOW + 7)));
}

#[test]
fn ephemeral_containers_are_started_once() {
    let mut spec = one("Always");
    spec["ephemeralContainers"] = json!([{"name": "debug"}]);
    check(vec![
        ("beside the others", Case::new(spec.clone()).running("a"), &["start debug 0"]),
        ("never again", Case::new(spec).running("a").exited("debug", 0, 1), &[]),
    ]);
}

#[test]
fn a_pod_goes_from_its_main_containers_down_to_nothing() {
    let ended = |case: Case| case.exited("a", 0, 137).exited("b", 0, 137);
    let case = || {
        Case::new(json!({
            "initContainers": [{"name": "s1", "restartPolicy": "Always"}, {"name": "s2", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}],
        }))
    };
    check(vec![
        (
            "main containers first",
            case().running("s1").running("s2").running("a").running("b").ending(true),
            &["stop a", "stop b"],
        ),
        ("then the last sidecar", ended(case().running("s1").running("s2")).ending(true), &["stop s2"]),
        ("then the one before it", ended(case().running("s1").exited("s2", 0, 0)).ending(true), &["stop s1"]),
        (
            "then the sandbox",
            ended(case().exited("s1", 0, 0).exited("s2", 0, 0)).ending(true),
            &["StopSandbox"],
        ),
        ("then the volumes", ended(case()).down().ending(true), &["UnmountVolumes"]),
        (
            "then all",
            ended(case()).down().remembering(|m| m.volumes = Volumes::Absent).ending(true),
            &["Forget"],
        ),
        (
            "a failed pod stays to be read",
            ended(case()).down().remembering(|m| m.volumes = Volumes::Absent).ending(false),
            &[],
        ),
    ]);
    let plan = case().running("a").ending(true).plan();
    assert!(
        matches!(&plan.actions[0], Action::StopContainer { deadline, .. } if *deadline == at(NOW + 30)),
        "{plan:?}"
    );
}

#[test]
fn a_pod_past_its_deadline_fails() {
    let case = |deadline: u64| {
        let mut spec = one("Always");
        spec["activeDeadlineSeconds"] = json!(deadline);
        let mut case = Case::new(spec).running("a");
        case.pod.status =
            serde_json::from_value(json!({"startTime": "1970-01-01T00:10:00Z"})).expect("a status");
        case.plan()
    };
    assert_eq!((case(401).failure, case(401).wake_at), (None, Some(at(NOW + 1))));
    assert_eq!(case(400).failure.expect("it is past").reason, "DeadlineExceeded");
    assert!(case(400).actions.is_empty());
}

/// A container with these limits, and these resources that need a new start.
fn limited(name: &str, cpu: &str, memory: &str, restarts: &[&str]) -> Value {
    let policy: Vec<_> =
        restarts.iter().map(|r| json!({"resourceName": r, "restartPolicy": "RestartContainer"})).collect();
    json!({"name": name, "image": "busybox", "resizePolicy": policy,
        "resources": {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}}})
}

/// Two containers that run with these limits in a pod that has them, while the spec says others.
fn resizing(has: [(&str, &str); 2], wants: [(&str, &str); 2], restarts: &[&str]) -> Case {
    let spec = |limits: [(&str, &str); 2]| {
        let [a, b] = limits;
        json!({"restartPolicy": "Always", "containers": [limited("a", a.0, a.1, restarts), limited("b", b.0, b.1, &[])]})
    };
    let before: PodSpec = serde_json::from_value(spec(has)).expect("a spec");
    let mut case = Case::new(spec(wants)).running("a").running("b");
    let sandbox = case.sandbox.as_mut().expect("a sandbox");
    sandbox.resources = Some(config::pod_resources(&before, Some(99)).expect("resources"));
    for (container, spec) in sandbox.containers.iter_mut().zip(&before.containers) {
        container.resources = config::container_resources(spec.resources.as_ref()).expect("resources");
        container.resources.pids_limit = Some(7);
    }
    case
}

#[test]
fn limits_are_changed_so_that_the_pod_is_never_smaller_than_its_containers() {
    let same = [("100m", "64Mi"), ("100m", "64Mi")];
    check(vec![
        ("nothing changed", resizing(same, same, &["cpu", "memory"]), &[]),
        (
            "more",
            resizing(same, [("200m", "128Mi"), ("100m", "64Mi")], &[]),
            &["resize pod 30000/192, a 20000/128"],
        ),
        (
            "less",
            resizing(same, [("50m", "64Mi"), ("100m", "32Mi")], &[]),
            &["resize a 5000/64, b 10000/32, pod 15000/96"],
        ),
        (
            "more of one and less of the other",
            resizing(same, [("200m", "32Mi"), ("100m", "64Mi")], &[]),
            &["resize pod 30000/128, a 20000/32, pod 30000/96"],
        ),
        (
            "from one to the other",
            resizing(same, [("50m", "64Mi"), ("150m", "64Mi")], &[]),
            &["resize a 5000/64, b 15000/64"],
        ),
        ("its policy", resizing(same, [("200m", "64Mi"), ("100m", "64Mi")], &["cpu"]), &["stop a"]),
        (
            "a policy for something else",
            resizing(same, [("100m", "96Mi"), ("100m", "64Mi")], &["cpu"]),
            &["resize pod 20000/160, a 10000/96"],
        ),
    ]);
    let Some(Action::Resize(resize)) =
        resizing(same, [("50m", "32Mi"), ("100m", "64Mi")], &[]).plan().actions.pop()
    else {
        panic!("a change")
    };
    assert_eq!(resize.lowered.and_then(|to| to.pids_limit), Some(99), "what is not resized stays");
    assert_eq!(resize.containers[0].1.pids_limit, Some(7));
    let falls: Vec<_> = resize.falls.iter().map(|f| (f.container.as_deref(), f.limit >> 20)).collect();
    assert_eq!(falls, [(None, 96), (Some("a"), 32)]);
}

#[test]
fn a_container_that_is_to_begin_anew_does_so_in_a_pod_that_is_large_enough() {
    let has = [("100m", "64Mi"), ("100m", "64Mi")];
    let ended = || {
        let mut case = resizing(has, [("200m", "64Mi"), ("100m", "64Mi")], &["cpu"]);
        case.sandbox.as_mut().expect("a sandbox").containers.remove(0);
        case.exited("a", 0, 143)
    };
    let failed = |m: &mut Memory| {
        m.resize.progress = Some(Progress { generation: None, error: Some("no".into()) });
    };
    check(vec![
        ("it has ended", ended(), &["resize pod 30000/128"]),
        ("the pod does not grow", ended().remembering(failed), &["resize pod 30000/128", "start a 1"]),
    ]);
    let mut grown = ended();
    let spec = grown.pod.spec.as_ref().expect("a spec");
    grown.sandbox.as_mut().expect("a sandbox").resources = config::pod_resources(spec, Some(99)).ok();
    check(vec![("the pod has grown", grown, &["start a 1"])]);
    let plan = resizing(has, [("200m", "64Mi"), ("100m", "64Mi")], &["cpu"]).plan();
    assert_eq!(plan.resizing, Resizing::UnderWay);
    let Action::StopContainer { message, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(message, "Container a resize requires restart");
}

#[test]
fn memory_never_falls_below_what_is_used() {
    let used = |bytes| ContainerUsage { memory_usage_bytes: bytes, ..ContainerUsage::default() };
    let usage = Usage { containers: vec![("a".into(), used(90))], pod: used(100), network: None };
    let fall = |container: Option<&str>, limit| Fall { container: container.map(str::to_owned), limit };
    let pod = "attempting to set pod memory limit (80) below current usage (100)";
    let a = "attempting to set container \"a\" memory limit (80) below current usage (90)";
    for (name, falls, expected) in [
        ("far enough above", vec![fall(None, 100), fall(Some("a"), 95)], None),
        ("one", vec![fall(None, 80)], Some(format!("cannot decrease memory limits: {pod}"))),
        (
            "both",
            vec![fall(None, 80), fall(Some("a"), 80)],
            Some(format!("cannot decrease memory limits: [{pod}, {a}]")),
        ),
        ("one that has ended", vec![fall(Some("b"), 1)], None),
    ] {
        assert_eq!(below_use(&falls, &usage), expected, "{name}");
    }
}
