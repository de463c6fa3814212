//! What a crash of the whole process does to pods: nothing.

use std::time::Duration;

use super::rig::cluster;

/// Pods that are there through everything.
const PODS: usize = 5;
/// How often the process is killed.
const KILLS: u64 = 6;

fn lasting(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{kind: lasting}}}}, spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: c, image: busybox, imagePullPolicy: Never, command: [sh, -c, 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done']}}]}}}}\n---\n"
    )
}

fn brief(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{restartPolicy: Never, terminationGracePeriodSeconds: 0, volumes: [{{name: v, emptyDir: {{medium: Memory}}}}], containers: [{{name: c, image: busybox, imagePullPolicy: Never, volumeMounts: [{{name: v, mountPath: /v}}], command: [sh, -c, 'echo said; exit 7']}}]}}}}\n---\n"
    )
}

#[test]
fn pods_run_on_through_crashes_and_nothing_is_started_twice_or_left_behind_as_root() {
    let Some(mut rig) = cluster() else { return };
    let names: Vec<String> = (0..PODS).map(|i| format!("lasting-{i}")).collect();
    rig.apply(&names.iter().map(|name| lasting(name)).collect::<String>());
    for name in &names {
        rig.wait_ready(name);
    }
    let ids = "{range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.podIP}{\"\\n\"}{end}";
    let before = rig.get("pods -l kind=lasting", ids);
    for kill in 0..KILLS {
        // In the middle of starts.
        rig.apply(&(0..3).map(|i| brief(&format!("brief-{kill}-{i}"))).collect::<String>());
        std::thread::sleep(Duration::from_millis(kill * 40));
        rig.cluster.kill();
        rig.cluster.restart().expect("it starts again");
        for i in 0..3 {
            rig.wait_phase(&format!("brief-{kill}-{i}"), "Failed");
            let name = format!("brief-{kill}-{i}");
            assert_eq!(
                rig.get(&format!("pod {name}"), "{.status.containerStatuses[0].state.terminated.exitCode}"),
                "7"
            );
            assert_eq!(rig.get(&format!("pod {name}"), "{.status.containerStatuses[0].restartCount}"), "0");
            assert_eq!(rig.kubectl.run(&["logs", &name]), "said\n");
        }
        assert_eq!(rig.get("pods -l kind=lasting", ids), before);
    }
    // Nothing that they said is lost, nor said twice.
    for name in &names {
        let said = rig.kubectl.run(&["logs", name]);
        for (i, line) in said.lines().enumerate() {
            assert_eq!(line, i.to_string(), "{name}");
        }
    }
    // In the middle of ends.
    let uids = rig.uids();
    rig.kubectl.run(&["delete", "pods", "--all", "--wait=false"]);
    rig.cluster.kill();
    rig.cluster.restart().expect("it starts again");
    rig.end(&uids);
}

#[test]
fn pods_that_were_deleted_while_the_node_was_away_are_ended_as_root() {
    let Some(mut rig) = cluster() else { return };
    rig.apply(&lasting("gone"));
    rig.wait_ready("gone");
    let uids = rig.uids();
    rig.kubectl.run(&["delete", "pod", "gone", "--force", "--grace-period=0", "--wait=false"]);
    rig.cluster.kill();
    rig.cluster.restart().expect("it starts again");
    rig.expect_nothing_of(&uids);
}
