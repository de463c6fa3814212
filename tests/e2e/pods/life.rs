//! How pods run and end, as `kubectl get` and `kubectl describe` show it.

use super::rig::{Rig, cluster};
use serde_json::{Value, json};

/// A pod whose containers have the image that is there, and no time to end.
fn pod(name: &str, mut spec: Value) -> String {
    spec["terminationGracePeriodSeconds"] =
        spec.get("terminationGracePeriodSeconds").cloned().unwrap_or(json!(0));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            for (field, value) in [("image", "busybox"), ("imagePullPolicy", "IfNotPresent")] {
                if container.get(field).is_none() {
                    container[field] = value.into();
                }
            }
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
}

fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "command": ["sh", "-c", script]})
}

fn status(rig: &Rig, pod: &str, list: &str, container: &str) -> Value {
    let pod = rig.json(&format!("pod {pod}"));
    let all = pod["status"][list].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|status| status["name"] == container).unwrap_or_default()
}

#[test]
fn init_containers_run_in_order_sidecars_stay_and_the_pod_succeeds_as_root() {
    let Some(rig) = cluster() else { return };
    let mut sidecar = shell("sidecar", "trap 'exit 0' TERM; while :; do sleep 0.1; done");
    sidecar["restartPolicy"] = "Always".into();
    let volume = json!([{"name": "shared", "mountPath": "/shared"}]);
    let mut first = shell("first", "echo one > /shared/order");
    let mut main =
        shell("main", "echo two >> /shared/order; cat /shared/order; echo done > /dev/termination-log");
    (first["volumeMounts"], main["volumeMounts"]) = (volume.clone(), volume);
    rig.apply(&pod(
        "p",
        json!({"restartPolicy": "Never", "volumes": [{"name": "shared", "emptyDir": {}}],
            "initContainers": [first, sidecar], "containers": [main], "terminationGracePeriodSeconds": 10}),
    ));
    rig.wait_phase("p", "Succeeded");
    assert_eq!(rig.kubectl.run(&["logs", "p", "-c", "main"]), "one\ntwo\n");
    let main = status(&rig, "p", "containerStatuses", "main");
    assert_eq!(main["state"]["terminated"]["exitCode"], 0);
    assert_eq!(main["state"]["terminated"]["reason"], "Completed");
    assert_eq!(main["state"]["terminated"]["message"], "done\n");
    let sidecar = status(&rig, "p", "initContainerStatuses", "sidecar");
    assert!(sidecar["state"]["terminated"].is_object(), "{sidecar}");
    let uids = rig.uids();
    rig.end(&uids);
}

#[test]
fn a_container_that_fails_is_started_again_after_longer_and_longer_and_its_last_log_is_kept_as_root() {
    let Some(rig) = cluster() else { return };
    rig.apply(&pod("p", json!({"containers": [shell("c", "echo attempt; exit 3")]})));
    rig.eventually("it waits to be started again", || {
        let status = status(&rig, "p", "containerStatuses", "c");
        status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            && status["restartCount"].as_i64() >= Some(1)
    });
    let status = status(&rig, "p", "containerStatuses", "c");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
    let message = status["state"]["waiting"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("back-off 10s restarting failed container=c pod=p_default("), "{message}");
    assert_eq!(rig.kubectl.run(&["logs", "p", "--previous"]), "attempt\n");
    assert_eq!(rig.get("pod p", "{.status.phase}"), "Running");
    rig.eventually("an event tells of it", || {
        rig.get("events", "{.items[*].message}")
            .contains("Back-off restarting failed container c in pod p_default(")
    });
}

#[test]
fn what_a_container_may_use_is_what_it_gets_as_root() {
    let Some(rig) = cluster() else { return };
    let mut greedy = shell("greedy", "head -c 100m /dev/zero | tail");
    greedy["resources"] = json!({"limits": {"memory": "16Mi", "cpu": "500m"}});
    let mut secure =
        shell("secure", "id; cat /proc/self/status; touch /x || echo 'cannot write'; sleep 9999");
    secure["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 2000, "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    rig.apply(&pod("greedy", json!({"restartPolicy": "Never", "containers": [greedy]})));
    rig.apply(&pod(
        "secure",
        json!({"containers": [secure], "securityContext": {"supplementalGroups": [3000], "fsGroup": 4000}}),
    ));
    rig.wait_phase("greedy", "Failed");
    let ended = status(&rig, "greedy", "containerStatuses", "greedy");
    assert_eq!(ended["state"]["terminated"]["reason"], "OOMKilled", "{ended}");
    assert_eq!(ended["state"]["terminated"]["exitCode"], 137, "{ended}");
    rig.wait_ready("secure");
    let said = rig.kubectl.run(&["logs", "secure"]);
    assert!(said.starts_with("uid=1000 gid=2000 groups=2000,3000,4000\n"), "{said}");
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains("cannot write"), "{said}");
    assert_eq!(rig.get("pod secure", "{.status.qosClass}"), "BestEffort");
    assert_eq!(rig.get("pod greedy", "{.status.qosClass}"), "Guaranteed");
}

#[test]
fn probes_and_hooks_decide_as_root() {
    let Some(rig) = cluster() else { return };
    let mut probed = shell("c", "sleep 9999");
    probed["lifecycle"] = json!({"postStart": {"exec": {"command": ["sh", "-c", "> /started"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /shared/hook"]}}});
    probed["startupProbe"] =
        json!({"exec": {"command": ["sh", "-c", "[ -e /started ]"]}, "periodSeconds": 1});
    probed["readinessProbe"] =
        json!({"exec": {"command": ["sh", "-c", "[ -e /ready ]"]}, "periodSeconds": 1});
    probed["livenessProbe"] = json!({"exec": {"command": ["sh", "-c", "! [ -e /dead ]"]}, "periodSeconds": 1, "failureThreshold": 1});
    probed["volumeMounts"] = json!([{"name": "shared", "mountPath": "/shared"}]);
    let host = tempfile::tempdir().expect("a directory");
    rig.apply(&pod(
        "p",
        json!({"containers": [probed], "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "shared", "hostPath": {"path": host.path()}}]}),
    ));
    rig.eventually("it has started", || status(&rig, "p", "containerStatuses", "c")["started"] == true);
    assert_eq!(status(&rig, "p", "containerStatuses", "c")["ready"], false);
    rig.kubectl.run(&["exec", "p", "--", "sh", "-c", "> /ready"]);
    rig.wait_ready("p");
    rig.kubectl.run(&["exec", "p", "--", "sh", "-c", "> /dead"]);
    rig.eventually("it is started again", || {
        status(&rig, "p", "containerStatuses", "c")["restartCount"] == 1
    });
    let events = rig.get("events", "{.items[*].message}");
    for words in [
        "Readiness probe failed: ",
        "Liveness probe failed: ",
        "Container c failed liveness probe, will be restarted",
    ] {
        assert!(events.contains(words), "{words}: {events}");
    }
    rig.kubectl.run(&["delete", "pod", "p"]);
    assert_eq!(std::fs::read_to_string(host.path().join("hook")).expect("the hook ran"), "stopping\n");
}

#[test]
fn what_cannot_start_says_why_and_the_others_live_on_as_root() {
    let Some(rig) = cluster() else { return };
    let waiting = |pod: &str| status(&rig, pod, "containerStatuses", "c")["state"]["waiting"].clone();
    rig.apply(&pod("good", json!({"containers": [shell("c", "sleep 9999")]})));
    let mut never = shell("c", "true");
    (never["image"], never["imagePullPolicy"]) = ("absent".into(), "Never".into());
    rig.apply(&pod("never", json!({"containers": [never]})));
    let mut absent = shell("c", "true");
    absent["image"] = "127.0.0.1:1/absent".into();
    rig.apply(&pod("absent", json!({"containers": [absent]})));
    let mut unset = shell("c", "true");
    unset["env"] = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nowhere", "key": "a"}}}]);
    rig.apply(&pod("unset", json!({"containers": [unset]})));
    rig.apply(&pod(
        "command",
        json!({"restartPolicy": "Never", "containers": [{"name": "c", "command": ["/not/there"]}]}),
    ));
    let mut user = shell("c", "true");
    user["securityContext"] = json!({"runAsNonRoot": true});
    rig.apply(&pod("user", json!({"containers": [user]})));
    let mut out = shell("c", "true");
    out["volumeMounts"] = json!([{"name": "v", "mountPath": "/v", "subPath": "../out"}]);
    let refused = rig.kubectl.fail(
        &["apply", "-f", "-"],
        &pod("out", json!({"containers": [out], "volumes": [{"name": "v", "emptyDir": {}}]})),
    );
    assert!(refused.contains("must not contain '..'"), "{refused}");
    rig.eventually("Never is said", || waiting("never")["reason"] == "ErrImageNeverPull");
    assert_eq!(
        waiting("never")["message"],
        "Container image \"absent\" is not present with pull policy of Never"
    );
    rig.eventually("the pull fails", || {
        ["ErrImagePull", "ImagePullBackOff"].iter().any(|reason| waiting("absent")["reason"] == *reason)
    });
    rig.eventually("the ConfigMap is missed", || waiting("unset")["reason"] == "CreateContainerConfigError");
    assert_eq!(waiting("unset")["message"], "configmap \"nowhere\" not found");
    rig.eventually("root is refused", || waiting("user")["reason"] == "CreateContainerConfigError");
    rig.wait_phase("command", "Failed");
    let ended = status(&rig, "command", "containerStatuses", "c");
    assert_eq!(ended["state"]["terminated"]["reason"], "StartError", "{ended}");
    assert_eq!(ended["state"]["terminated"]["exitCode"], 128, "{ended}");
    rig.wait_ready("good");
    // What was missed comes, and is noticed.
    rig.kubectl.run(&["create", "configmap", "nowhere", "--from-literal=a=b"]);
    rig.eventually("it runs", || {
        status(&rig, "unset", "containerStatuses", "c")["restartCount"].as_i64() >= Some(0)
            && waiting("unset")["reason"] != "CreateContainerConfigError"
    });
}

#[test]
fn a_container_that_misbehaves_harms_nobody_else_as_root() {
    let Some(rig) = cluster() else { return };
    rig.apply(&pod("good", json!({"containers": [shell("c", "sleep 9999")]})));
    // A bomb of forks, bounded by its memory.
    let mut bomb = shell("c", "f() { f | f & }; f; sleep 9999");
    bomb["resources"] = json!({"limits": {"memory": "32Mi", "cpu": "200m"}});
    rig.apply(&pod("bomb", json!({"restartPolicy": "Never", "containers": [bomb]})));
    let mut loud = shell("c", "yes 'a line of some length that is said again and again' | head -c 60m");
    loud["resources"] = json!({"limits": {"cpu": "500m"}});
    rig.apply(&pod("loud", json!({"restartPolicy": "Never", "containers": [loud]})));
    rig.wait_ready("good");
    rig.wait_phase("loud", "Succeeded");
    let uid = rig.get("pod loud", "{.metadata.uid}");
    let logs = rig.cluster.node_dir().join(format!("logs/default_loud_{uid}/c"));
    let bytes: u64 = std::fs::read_dir(logs)
        .expect("logs")
        .map(|entry| entry.expect("a file").metadata().expect("a file").len())
        .sum();
    assert!(bytes < 56 << 20, "{bytes} bytes of logs are kept");
    assert_eq!(rig.kubectl.run(&["exec", "good", "--", "echo", "alive"]), "alive\n");
    let uids = rig.uids();
    rig.end(&uids);
}
