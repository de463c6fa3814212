//! Remote commands, copies and forwarded ports of pods that run, with every kubectl that is here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use sampan_tests::tools::Kubectl;

use super::rig::{Rig, children, cluster, descriptors};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    stdin: true
    command: [sh, -c, "echo begun; while read line; do echo said $line; done; sleep 9999"]
  - name: echo
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "exec nc -ll -p 8080 -e cat"]
"#;

fn web() -> Option<Rig> {
    let rig = cluster()?;
    rig.apply(POD);
    rig.wait_ready("web");
    Some(rig)
}

#[test]
fn commands_run_copies_are_made_and_ports_are_forwarded_as_root() {
    let Some(rig) = web() else { return };
    for kubectl in Kubectl::all(&rig.cluster) {
        let exec = |command: &[&str]| kubectl.run(&[&["exec", "web", "-c", "main", "--"], command].concat());
        assert_eq!(exec(&["echo", "hello", "you"]), "hello you\n");
        assert_eq!(exec(&["hostname"]), "web\n");
        let output =
            kubectl.run_with(&["exec", "web", "-c", "main", "--", "sh", "-c", "echo bad >&2; exit 5"], "");
        assert_eq!(output.status.code(), Some(5));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("bad\n"));
        let long = "0123456789abcdef".repeat(100_000);
        assert!(kubectl.apply(&["exec", "-i", "web", "-c", "main", "--", "cat"], &long) == long);

        let files = tempfile::tempdir().expect("a directory");
        let (there, back) = (files.path().join("there"), files.path().join("back"));
        std::fs::write(&there, &long).expect("a file");
        kubectl.run(&["cp", "-c", "main", there.to_str().expect("a path"), "web:/tmp/there"]);
        kubectl.run(&["cp", "-c", "main", "web:/tmp/there", back.to_str().expect("a path")]);
        assert!(std::fs::read_to_string(&back).expect("a file") == long);

        let mut forward = kubectl
            .command(&["port-forward", "pod/web", ":8080"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        // Kept to the end: kubectl says more when somebody connects.
        let mut said = BufReader::new(forward.stdout.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).expect(&line);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
        stream.write_all(b"through\n").expect("it takes");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"through\n");
        forward.kill().and_then(|()| forward.wait()).expect("it ends");
    }
}

#[test]
fn a_container_is_attached_to_and_one_is_added_to_debug_it_as_root() {
    let Some(rig) = web() else { return };
    let mut attached = rig
        .kubectl
        .command(&["attach", "-i", "web", "-c", "main"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    attached.stdin.as_mut().expect("a pipe").write_all(b"something\n").expect("it takes");
    let mut line = String::new();
    let mut output = BufReader::new(attached.stdout.take().expect("a pipe"));
    while !line.contains("said something") {
        line.clear();
        assert!(output.read_line(&mut line).expect("a line") > 0, "it ended");
    }
    attached.kill().and_then(|()| attached.wait()).expect("it ends");
    assert!(rig.kubectl.run(&["logs", "web", "-c", "main"]).starts_with("begun\nsaid something\n"));

    let debug = [
        "debug",
        "web",
        "--image=busybox",
        "--image-pull-policy=Never",
        "--container=look",
        "--target=main",
        "--",
    ];
    rig.kubectl.run(&[&debug[..], &["sh", "-c", "echo looking; sleep 9999"]].concat());
    rig.eventually("the debugger runs", || {
        !rig.get("pod web", "{.status.ephemeralContainerStatuses[0].state.running.startedAt}").is_empty()
    });
    assert_eq!(rig.kubectl.run(&["logs", "web", "-c", "look"]), "looking\n");
    let uids = rig.uids();
    rig.end(&uids);
}

#[test]
fn two_hundred_commands_at_once_leave_nothing_behind_as_root() {
    const COMMANDS: usize = 200;
    let Some(rig) = web() else { return };
    rig.kubectl.run(&["exec", "web", "-c", "main", "--", "true"]);
    let counts = || {
        let shim = rig.shims().into_iter().next().expect("a shim");
        (descriptors(rig.cluster.pid()), descriptors(shim), children(shim))
    };
    let before = counts();
    let commands: Vec<_> = (0..COMMANDS)
        .map(|i| {
            let script = format!("echo {i}; sleep 1");
            let mut command = rig.kubectl.command(&["exec", "web", "-c", "main", "--", "sh", "-c", &script]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    for (i, command) in commands.into_iter().enumerate() {
        let output = command.wait_with_output().expect("it ends");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{i}\n"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // Connections that are kept for the next request are let go after a while; a few stay.
    rig.eventually("nothing is left", || {
        let now = counts();
        now.0 <= before.0 + 8 && now.1 <= before.1 && now.2 <= before.2
    });
}
