//! The native runtime with real shims, namespaces and cgroups. Each test needs root, and looks at the end whether anything is left behind.

#[path = "native/rig.rs"]
mod rig;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sampan_node::container::*;
use sampan_node::pods::config;
use sampan_node::pods::memory::{Memory, Volumes};
use sampan_node::pods::plan::{Action, View, plan};
use sampan_node::pods::resize::carry_out;
use sampan_node::runtime::native::NativeRuntime;
use sampan_node::runtime::{Error, ExecConfig, Runtime, State, TerminalSize, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use rig::{Place, container, end, id, look, run, shell, written};

/// Opens a runtime in a directory of its own, runs the test, removes the pods that are left, and looks around.
async fn with_runtime<F: Future<Output = ()>>(
    name: &str,
    test: impl FnOnce(NativeRuntime, std::sync::Arc<Place>) -> F,
) {
    let directory = tempfile::tempdir().unwrap();
    let place = std::sync::Arc::new(Place::new(directory.path(), name));
    let runtime = place.open(|options| options.log_file_bytes = 100_000).await.unwrap();
    test(runtime.clone(), std::sync::Arc::clone(&place)).await;
    finish(&runtime, &place).await;
}

async fn finish(runtime: &NativeRuntime, place: &Place) {
    for sandbox in runtime.sandboxes().await.unwrap() {
        runtime.stop_sandbox(&sandbox.uid).await.unwrap();
        runtime.remove_sandbox(&sandbox.uid).await.unwrap();
    }
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

async fn text(stream: Option<Box<dyn tokio::io::AsyncRead + Send + Unpin>>) -> String {
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).await.unwrap();
    text
}

fn command(words: &[&str], wanted: Wanted) -> ExecConfig {
    ExecConfig { command: words.iter().map(ToString::to_string).collect(), terminal: false, wanted }
}

const ALL: Wanted = Wanted { stdin: true, stdout: true, stderr: true };
const OUT: Wanted = Wanted { stdin: false, stdout: true, stderr: true };

#[tokio::test]
async fn a_container_runs_and_its_end_is_known_as_root() {
    with_runtime("runs", |runtime, place| async move {
        let pod = place.sandbox("runs");
        let sandbox = runtime.start_sandbox(&pod).await.unwrap();
        assert!(sandbox.ready);
        assert_eq!(sandbox.addresses.len(), 1);
        assert_eq!(runtime.start_sandbox(&pod).await.unwrap(), sandbox, "repeated");

        let first = id(&pod, "first", 0);
        let config = shell(&first, "echo hello; echo oops >&2; exit 7");
        runtime.create_container(&config).await.unwrap();
        runtime.create_container(&config).await.unwrap();
        assert_eq!(look(&runtime, &first).await.state, State::Created);
        runtime.start_container(&first).await.unwrap();
        assert_eq!(end(&runtime, &first).await, (7, 0, false));
        let log = place.log(&first);
        assert!(log.lines().any(|line| line.ends_with("Z stdout F hello")), "{log}");
        assert!(log.lines().any(|line| line.ends_with("Z stderr F oops")), "{log}");
        assert!(matches!(runtime.start_container(&first).await, Err(Error::Precondition(_))), "it has ended");

        runtime.remove_container(&first).await.unwrap();
        runtime.remove_container(&first).await.unwrap();
        assert_eq!(runtime.sandbox(&pod.uid).await.unwrap().unwrap().containers, []);
    })
    .await;
}

#[tokio::test]
async fn containers_are_stopped_with_grace_as_root() {
    with_runtime("stopped", |runtime, place| async move {
        let pod = place.sandbox("stopped");
        runtime.start_sandbox(&pod).await.unwrap();
        let hour = Duration::from_hours(1);
        let waits = "while :; do sleep 0.01; done";

        let obeys = id(&pod, "obeys", 0);
        run(&runtime, &shell(&obeys, &format!("trap 'exit 3' TERM; echo up; {waits}"))).await.unwrap();
        written(&place, &obeys, "up").await;
        assert!(matches!(runtime.remove_container(&obeys).await, Err(Error::Precondition(_))), "it runs");
        runtime.stop_container(&obeys, hour).await.unwrap();
        assert_eq!(end(&runtime, &obeys).await, (3, 0, false));
        runtime.stop_container(&obeys, hour).await.unwrap();

        let own_signal = id(&pod, "own-signal", 0);
        let config = shell(&own_signal, &format!("trap 'exit 4' USR1; echo up; {waits}"));
        run(&runtime, &ContainerConfig { stop_signal: Some("SIGUSR1".to_owned()), ..config }).await.unwrap();
        written(&place, &own_signal, "up").await;
        runtime.stop_container(&own_signal, hour).await.unwrap();
        assert_eq!(end(&runtime, &own_signal).await, (4, 0, false));

        let ignores = id(&pod, "ignores", 0);
        run(&runtime, &shell(&ignores, &format!("trap '' TERM; echo up; {waits}"))).await.unwrap();
        written(&place, &ignores, "up").await;
        let slow = {
            let (runtime, ignores) = (runtime.clone(), ignores.clone());
            tokio::spawn(async move { runtime.stop_container(&ignores, hour).await })
        };
        runtime.stop_container(&ignores, Duration::from_millis(50)).await.unwrap();
        slow.await.unwrap().unwrap();
        assert_eq!(end(&runtime, &ignores).await, (137, 9, false), "the shorter time holds");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_starts_eight_at_a_time_as_root() {
    with_runtime("many", |runtime, place| async move {
        let mut tasks = tokio::task::JoinSet::new();
        for pod in 0..8 {
            let (runtime, place) = (runtime.clone(), std::sync::Arc::clone(&place));
            tasks.spawn(async move {
                let pod = place.sandbox(&format!("many{pod}"));
                runtime.start_sandbox(&pod).await.unwrap();
                for attempt in 0..25 {
                    let one = id(&pod, "one", attempt);
                    let code = i32::try_from(attempt).unwrap();
                    run(&runtime, &shell(&one, &format!("echo {attempt}; exit {code}"))).await.unwrap();
                    assert_eq!(end(&runtime, &one).await, (code, 0, false));
                    assert_eq!(place.output(&one), format!("{attempt}\n"));
                    runtime.remove_container(&one).await.unwrap();
                }
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn commands_run_in_containers_as_root() {
    with_runtime("exec", |runtime, place| async move {
        let pod = place.sandbox("exec");
        runtime.start_sandbox(&pod).await.unwrap();
        let host = id(&pod, "host", 0);
        let security = Security { user: Some(33), supplemental_groups: vec![50], ..Security::default() };
        let config = ContainerConfig {
            security,
            environment: vec![("A".to_owned(), "b".to_owned())],
            working_directory: Some("/tmp/made".to_owned()),
            ..shell(&host, "sleep 1000")
        };
        run(&runtime, &config).await.unwrap();

        let mut session =
            runtime.exec(&host, &command(&["sh", "-c", "cat; echo err >&2; exit 9"], ALL)).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"through").await.unwrap();
        drop(stdin);
        assert_eq!(text(session.stdout.take()).await, "through");
        assert_eq!(text(session.stderr.take()).await, "err\n");
        assert_eq!(session.exit.await.unwrap().unwrap(), 9);

        let mut session = runtime
            .exec(&host, &command(&["sh", "-c", "id; echo $A $HOSTNAME $HOME; pwd"], OUT))
            .await
            .unwrap();
        assert_eq!(
            text(session.stdout.take()).await,
            "uid=33(web) gid=34(web) groups=34(web),40(logs),50\nb exec /tmp\n/tmp/made\n"
        );

        for (program, code, words) in [
            ("nope", 127, "exec: \"nope\": executable file not found in $PATH"),
            ("/bin/nope", 127, "exec: \"/bin/nope\": stat /bin/nope: no such file or directory"),
            ("/etc/passwd", 126, "exec: \"/etc/passwd\": permission denied"),
        ] {
            match runtime.exec(&host, &command(&[program], OUT)).await {
                Err(Error::Start { code: found, message }) => {
                    assert_eq!(found, code, "{program}");
                    assert!(message.ends_with(words), "{message}");
                }
                other => panic!("{program}: {:?}", other.err()),
            }
        }

        // Whoever lets go of a command ends it.
        let session =
            runtime.exec(&host, &command(&["sh", "-c", "echo $$; exec sleep 1000"], OUT)).await.unwrap();
        let mut out = session.stdout.unwrap();
        let mut pid = [0; 16];
        let length = out.read(&mut pid).await.unwrap();
        let pid = String::from_utf8_lossy(&pid[..length]).trim().to_owned();
        drop((session.exit, out));
        loop {
            let mut session = runtime
                .exec(&host, &command(&["sh", "-c", &format!("test -d /proc/{pid} || echo gone")], OUT))
                .await
                .unwrap();
            if text(session.stdout.take()).await == "gone\n" {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_hundred_commands_at_once_leak_nothing_as_root() {
    with_runtime("execs", |runtime, place| async move {
        let pod = place.sandbox("execs");
        runtime.start_sandbox(&pod).await.unwrap();
        let host = id(&pod, "host", 0);
        run(&runtime, &shell(&host, "sleep 1000")).await.unwrap();
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let mut before = 0;
        for round in 0..2 {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..50 {
                let (runtime, host) = (runtime.clone(), host.clone());
                tasks.spawn(async move {
                    let mut session =
                        runtime.exec(&host, &command(&["echo", &number.to_string()], OUT)).await.unwrap();
                    assert_eq!(text(session.stdout.take()).await, format!("{number}\n"));
                    assert_eq!(session.exit.await.unwrap().unwrap(), 0);
                });
            }
            while let Some(outcome) = tasks.join_next().await {
                outcome.unwrap();
            }
            // The first round opens what stays open.
            if round == 0 {
                before = descriptors();
            }
        }
        assert_eq!(descriptors(), before);
    })
    .await;
}

#[tokio::test]
async fn terminals_have_a_size_and_an_echo_as_root() {
    with_runtime("terminal", |runtime, place| async move {
        let pod = place.sandbox("terminal");
        runtime.start_sandbox(&pod).await.unwrap();
        let host = id(&pod, "host", 0);
        let config = shell(&host, "tty; read line; echo got $line; stty size; read line; exit 2");
        run(&runtime, &ContainerConfig { terminal: true, stdin: true, ..config }).await.unwrap();
        written(&place, &host, "/dev/pts/0").await;

        let mut session = runtime.attach(&host, ALL).await.unwrap();
        session.resize.send(TerminalSize { width: 91, height: 33 }).await.unwrap();
        let exec = ExecConfig { terminal: true, ..command(&["sh", "-c", "while [ \"$(stty size </dev/console 2>/dev/null)\" != '33 91' ]; do :; done; tty; read size; stty size"], ALL) };
        let mut inner = runtime.exec(&host, &exec).await.unwrap();
        inner.resize.send(TerminalSize { width: 50, height: 20 }).await.unwrap();
        let mut out = inner.stdout.take().unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\n") {
            said.push(out.read_u8().await.unwrap());
        }
        assert_eq!(String::from_utf8_lossy(&said), "/dev/pts/1\r\n");
        let mut stdin = inner.stdin.take().unwrap();
        stdin.write_all(b"go\n").await.unwrap();
        assert_eq!(text(Some(out)).await, "go\r\n20 50\r\n");
        assert_eq!(inner.exit.await.unwrap().unwrap(), 0);

        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"hello\nbye\n").await.unwrap();
        let said = text(session.stdout.take()).await;
        assert!(said.contains("got hello\r\n") && said.contains("33 91\r\n"), "{said}");
        assert_eq!(session.exit.await.unwrap().unwrap(), 2);
        assert!(place.output(&host).contains("got hello"), "the log has it too");
    })
    .await;
}

#[tokio::test]
async fn who_attaches_shares_the_streams_as_root() {
    with_runtime("attach", |runtime, place| async move {
        let pod = place.sandbox("attach");
        runtime.start_sandbox(&pod).await.unwrap();
        let host = id(&pod, "host", 0);
        let config = shell(&host, "echo up; while read line; do echo $line; echo e$line >&2; done; exit 6");
        run(&runtime, &ContainerConfig { stdin: true, stdin_once: true, ..config }).await.unwrap();
        written(&place, &host, "up").await;
        let mut watcher = runtime.attach(&host, OUT).await.unwrap();
        let mut writer = runtime.attach(&host, ALL).await.unwrap();
        writer.stdin.as_mut().unwrap().write_all(b"a\nb\n").await.unwrap();
        writer.stdin.take().unwrap().shutdown().await.unwrap();
        assert_eq!(text(writer.stdout.take()).await, "a\nb\n");
        assert_eq!(text(watcher.stdout.take()).await, "a\nb\n");
        assert_eq!(text(watcher.stderr.take()).await, "ea\neb\n");
        assert_eq!(watcher.exit.await.unwrap().unwrap(), 6);
        assert_eq!(writer.exit.await.unwrap().unwrap(), 6);
        assert!(matches!(runtime.attach(&host, OUT).await, Err(Error::Precondition(_))), "it has ended");
    })
    .await;
}

#[tokio::test]
async fn logs_are_cut_rotated_and_opened_anew_as_root() {
    with_runtime("logs", |runtime, place| async move {
        let pod = place.sandbox("logs");
        runtime.start_sandbox(&pod).await.unwrap();
        let parts = id(&pod, "parts", 0);
        run(&runtime, &shell(&parts, "head -c 40000 /dev/zero | tr '\\0' x; echo; printf end"))
            .await
            .unwrap();
        end(&runtime, &parts).await;
        let tags: Vec<(String, usize)> = place
            .log(&parts)
            .lines()
            .map(|line| (line.split(' ').nth(2).unwrap().to_owned(), line.split(' ').nth(3).unwrap().len()))
            .collect();
        assert_eq!(
            tags,
            [("P".to_owned(), 16384), ("P".to_owned(), 16384), ("F".to_owned(), 7232), ("P".to_owned(), 3)]
        );

        let much = id(&pod, "much", 0);
        run(&runtime, &shell(&much, "yes 0123456789 | head -n 30000")).await.unwrap();
        end(&runtime, &much).await;
        let directory = place.log_path(&much).parent().unwrap().to_owned();
        let sizes: Vec<u64> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 5, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 100_000), "{sizes:?}");

        let moved = id(&pod, "moved", 0);
        run(
            &runtime,
            &shell(&moved, "echo one; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo two; sleep 1000"),
        )
        .await
        .unwrap();
        written(&place, &moved, "one").await;
        fs::rename(place.log_path(&moved), directory.with_file_name("old")).unwrap();
        runtime.reopen_log(&moved).await.unwrap();
        let mut session = runtime.exec(&moved, &command(&["touch", "/tmp/go"], OUT)).await.unwrap();
        assert_eq!(text(session.stderr.take()).await, "");
        written(&place, &moved, "two").await;
        assert_eq!(place.output(&moved), "two\n");
        fs::remove_file(directory.with_file_name("old")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn limits_hold_and_change_as_root() {
    with_runtime("limits", |runtime, place| async move {
        let pod = place.sandbox("limits");
        runtime.start_sandbox(&pod).await.unwrap();
        let hungry = id(&pod, "hungry", 0);
        let resources = Resources { memory_limit_bytes: Some(16 << 20), ..Resources::default() };
        let config = shell(&hungry, "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done");
        run(&runtime, &ContainerConfig { resources, ..config }).await.unwrap();
        assert_eq!(end(&runtime, &hungry).await, (137, 9, true));

        let forks = id(&pod, "forks", 0);
        let resources = Resources {
            pids_limit: Some(5),
            cpu_shares: Some(256),
            cpu_quota_us: Some(50_000),
            ..Resources::default()
        };
        run(&runtime, &ContainerConfig { resources, ..shell(&forks, "echo up; sleep 1000") }).await.unwrap();
        written(&place, &forks, "up").await;
        let usage = runtime.usage(&pod.uid).await.unwrap();
        let (name, used) = &usage.containers[0];
        assert_eq!(name, "forks");
        assert!(used.memory_usage_bytes > 0 && used.cpu_nanoseconds > 0 && used.processes >= 1, "{usage:?}");
        assert!(usage.pod.processes >= used.processes, "the pod has no less than its container");
        assert_eq!(usage.network, Some((0, 0)));

        let wanted = Resources { memory_limit_bytes: Some(32 << 20), ..Resources::default() };
        runtime.update_resources(&forks, &wanted).await.unwrap();
        assert_eq!(look(&runtime, &forks).await.resources, wanted);
        let mut session = runtime
            .exec(
                &forks,
                &command(
                    &[
                        "sh",
                        "-c",
                        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max",
                    ],
                    OUT,
                ),
            )
            .await
            .unwrap();
        assert_eq!(text(session.stdout.take()).await, format!("{}\n", 32 << 20));
        runtime
            .update_sandbox_resources(
                &pod.uid,
                &Resources { memory_limit_bytes: Some(64 << 20), ..Resources::default() },
            )
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_cannot_start_says_why_as_root() {
    with_runtime("cannot", |runtime, place| async move {
        let pod = place.sandbox("cannot");
        runtime.start_sandbox(&pod).await.unwrap();
        let absent = id(&pod, "absent", 0);
        match run(&runtime, &container(&absent, &["no-such-program"])).await {
            Err(Error::Start { code: 128, message }) => assert!(
                message.ends_with("exec: \"no-such-program\": executable file not found in $PATH"),
                "{message}"
            ),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            look(&runtime, &absent).await.state,
            State::Exited { code: 128, started_at: None, .. }
        ));

        for (name, config) in [
            (
                "root",
                ContainerConfig { mounts: vec![mount("/tmp", "/")], ..shell(&id(&pod, "root", 0), "true") },
            ),
            ("nothing", container(&id(&pod, "nothing", 0), &[])),
            (
                "signal",
                ContainerConfig {
                    stop_signal: Some("SIGNONE".to_owned()),
                    ..shell(&id(&pod, "signal", 0), "true")
                },
            ),
        ] {
            assert!(matches!(runtime.create_container(&config).await, Err(Error::Config(_))), "{name}");
        }
        let not_a_program = id(&pod, "format", 0);
        let mounts = vec![mount("/proc/self/exe", "/tmp/x")];
        let config = ContainerConfig {
            mounts,
            ..shell(&not_a_program, "echo '\\177ELF' > /tmp/y; chmod +x /tmp/y; exec /tmp/y")
        };
        run(&runtime, &config).await.unwrap();
        assert_ne!(end(&runtime, &not_a_program).await.0, 0);
        assert!(matches!(
            runtime.create_container(&shell(&id(&place.sandbox("none"), "x", 0), "true")).await,
            Err(Error::NotFound(_))
        ));
    })
    .await;
}

fn mount(host: &str, inside: &str) -> Mount {
    Mount {
        host_path: host.into(),
        container_path: inside.into(),
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
    }
}

#[tokio::test]
async fn a_container_is_as_secure_as_its_pod_says_as_root() {
    with_runtime("secure", |runtime, place| async move {
        let pod = place.sandbox("secure");
        runtime.start_sandbox(&pod).await.unwrap();
        let status = "grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status; ";
        let tries = "mkdir /tmp/m 2>/dev/null; mount -t tmpfs x /tmp/m 2>/dev/null && echo mounted; touch /x 2>/dev/null && echo wrote; \
                     echo > /proc/sys/kernel/hostname 2>/dev/null && echo named; mknod /tmp/disk b 254 0 && cat /tmp/disk >/dev/null 2>&1 && echo disk; true";
        let security = Security { seccomp: Seccomp::RuntimeDefault, ..Security::default() };
        let usual = "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n";
        for (name, security, expected) in [
            ("usual", Security::default(), format!("{usual}NoNewPrivs:\t0\nSeccomp:\t0\nwrote\n")),
            ("filtered", security.clone(), format!("{usual}NoNewPrivs:\t0\nSeccomp:\t2\nwrote\n")),
            ("strict", Security { no_new_privileges: true, read_only_root: true, ..security.clone() }, format!("{usual}NoNewPrivs:\t1\nSeccomp:\t2\n")),
            (
                "bare",
                Security { user: Some(1000), drop_capabilities: vec!["ALL".to_owned()], ..security },
                "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n".to_owned(),
            ),
        ] {
            let one = id(&pod, name, 0);
            run(&runtime, &ContainerConfig { security, ..shell(&one, &format!("{status}{tries}")) }).await.unwrap();
            end(&runtime, &one).await;
            let out: String = place.log(&one).lines().filter(|line| line.contains(" stdout ")).map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned() + "\n").collect();
            assert_eq!(out, expected, "{name}");
        }
        let privileged = id(&pod, "privileged", 0);
        let security = Security { privileged: true, ..Security::default() };
        run(&runtime, &ContainerConfig { security, ..shell(&privileged, &format!("{tries} ls /dev")) }).await.unwrap();
        end(&runtime, &privileged).await;
        assert!(place.output(&privileged).starts_with("mounted\nwrote\n"), "{}", place.output(&privileged));
    })
    .await;
}

#[tokio::test]
async fn containers_of_a_pod_share_what_they_should_as_root() {
    with_runtime("shares", |runtime, place| async move {
        let own = place.sandbox("own");
        let shared = SandboxConfig { namespaces: Namespaces { share_process: true, ..Namespaces::default() }, ..place.sandbox("shared") };
        let host_namespaces = Namespaces { host_network: true, host_pid: true, host_ipc: true, ..Namespaces::default() };
        let host = SandboxConfig { namespaces: host_namespaces, hostname: None, ..place.sandbox("host") };
        let sysctl = SandboxConfig { sysctls: [("net.core.somaxconn".to_owned(), "77".to_owned())].into(), ..place.sandbox("sysctl") };
        for pod in [&own, &shared, &host, &sysctl] {
            runtime.start_sandbox(pod).await.unwrap();
        }
        let ask = "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; hostname; ls /dev/shm; cat /etc/resolv.conf; touch /dev/shm/$HOSTNAME; cat /proc/sys/net/core/somaxconn; readlink /proc/1/exe";
        let mut said = Vec::new();
        for (pod, name) in [(&own, "a"), (&own, "b"), (&shared, "a"), (&shared, "b"), (&host, "a"), (&sysctl, "a")] {
            let one = id(pod, name, 0);
            run(&runtime, &shell(&one, ask)).await.unwrap();
            assert_eq!(end(&runtime, &one).await.0 & !1, 0);
            said.push(place.output(&one).lines().map(str::to_owned).collect::<Vec<_>>());
        }
        assert_eq!(said[0][..3], said[1][..3], "network, IPC and names are the pod's");
        assert_ne!(said[0][3], said[1][3], "processes are the container's");
        assert_eq!(said[0][4], "own");
        assert!(said[1].contains(&"own".to_owned()) && said[1].iter().filter(|line| *line == "own").count() == 2, "what one wrote to /dev/shm the other sees: {:?}", said[1]);
        assert!(said[0].contains(&"nameserver 10.0.0.10".to_owned()));
        assert_eq!(said[2][3], said[3][3], "processes are the pod's");
        let of_host = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned();
        assert_eq!(said[4][..4], ["net", "ipc", "uts", "pid"].map(of_host));
        assert!(said[5].contains(&"77".to_owned()));

        // Whom nobody waits for is taken care of, and ends with its container.
        let orphan = id(&shared, "orphan", 0);
        run(&runtime, &shell(&orphan, "sh -c 'sleep 0.01 & sleep 1000 &'; echo up; while :; do cat /proc/[0-9]*/stat | grep -c ') Z '; sleep 0.01; done")).await.unwrap();
        written(&place, &orphan, "0").await;
        runtime.stop_container(&orphan, Duration::ZERO).await.unwrap();
        let last = id(&shared, "last", 0);
        run(&runtime, &shell(&last, "ps | grep -c '[s]leep 1000'")).await.unwrap();
        end(&runtime, &last).await;
        assert_eq!(place.output(&last), "0\n");
    })
    .await;
}

#[tokio::test]
async fn ports_of_a_pod_are_reached_on_its_loopback_as_root() {
    with_runtime("ports", |runtime, place| async move {
        let pod = place.sandbox("ports");
        runtime.start_sandbox(&pod).await.unwrap();
        assert!(runtime.connect(&pod.uid, 8080).await.is_err(), "nobody listens");
        let server = id(&pod, "server", 0);
        run(&runtime, &container(&server, &["nc", "-ll", "-p", "8080", "-e", "/bin/cat"])).await.unwrap();
        let mut stream = loop {
            match runtime.connect(&pod.uid, 8080).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        };
        stream.write_all(b"echo").await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"echo");
    })
    .await;
}

#[tokio::test]
async fn a_killed_agents_pods_are_adopted_as_root() {
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_sampan-node-test-helper"))
        .args([Path::new("agent"), directory.path(), Path::new("adopted")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(agent.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    agent.kill().unwrap();
    agent.wait().unwrap();

    let place = Place::new(directory.path(), "adopted");
    // A sandbox that was being made when its agent was killed.
    let half = directory.path().join("pods/half");
    fs::create_dir_all(&half).unwrap();
    let record = fs::read_to_string(directory.path().join("pods/adopted/sandbox.json")).unwrap();
    fs::write(
        half.join("sandbox.json"),
        record.replace("\"started\":true", "\"started\":false").replace("podadopted", "podhalf"),
    )
    .unwrap();
    // A directory of another part of the node.
    fs::create_dir_all(directory.path().join("pods/other/volumes")).unwrap();

    let runtime = place.open(|_| ()).await.unwrap();
    let pod = place.sandbox("adopted");
    let sandboxes = runtime.sandboxes().await.unwrap();
    let names: Vec<(&str, bool)> =
        sandboxes.iter().map(|sandbox| (sandbox.uid.as_str(), sandbox.ready)).collect();
    assert_eq!(names, [("adopted", true), ("half", false)]);
    let running = id(&pod, "running", 3);
    assert!(matches!(look(&runtime, &running).await.state, State::Running { .. }));
    assert!(matches!(look(&runtime, &id(&pod, "ended", 0)).await.state, State::Exited { code: 4, .. }));
    let created = id(&pod, "created", 0);
    assert_eq!(look(&runtime, &created).await.state, State::Created);
    runtime.start_container(&created).await.unwrap();
    assert_eq!(end(&runtime, &created).await.0, 6);

    let mut session = runtime.exec(&running, &command(&["touch", "/tmp/go"], OUT)).await.unwrap();
    assert_eq!(text(session.stderr.take()).await, "");
    assert_eq!(end(&runtime, &running).await, (5, 0, false));
    assert_eq!(place.output(&running), "one\ntwo\n");
    fs::remove_dir_all(directory.path().join("pods/other")).unwrap();
    finish(&runtime, &place).await;
}

#[tokio::test]
async fn a_pod_whose_shim_is_killed_is_taken_down_as_root() {
    with_runtime("lost", |runtime, place| async move {
        let pod = place.sandbox("lost");
        runtime.start_sandbox(&pod).await.unwrap();
        let victim = id(&pod, "victim", 0);
        run(&runtime, &shell(&victim, "echo up; sleep 1000")).await.unwrap();
        let ended = id(&pod, "ended", 0);
        run(&runtime, &shell(&ended, "exit 3")).await.unwrap();
        assert_eq!(end(&runtime, &ended).await.0, 3);
        let shim = fs::read_dir("/proc").unwrap().flatten().find(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&format!("shim\0{}", place.directory.display()))
        });
        let pid = shim.unwrap().file_name().into_string().unwrap();
        Command::new("kill").args(["-9", &pid]).status().unwrap();
        assert_eq!(end(&runtime, &victim).await, (137, 9, false));
        assert!(!runtime.sandbox(&pod.uid).await.unwrap().unwrap().ready);
        // A new sandbox takes the place of the old one; what ended stays known.
        assert!(runtime.start_sandbox(&pod).await.unwrap().ready);
        assert_eq!(end(&runtime, &ended).await.0, 3);
        let again = id(&pod, "victim", 1);
        run(&runtime, &shell(&again, "exit 2")).await.unwrap();
        assert_eq!(end(&runtime, &again).await.0, 2);
    })
    .await;
}

/// The first word of a file of a pod's cgroup (`below` it), in whichever version has it.
fn limit(pod: &SandboxConfig, below: &str, controller: &str, first: &str, second: &str) -> String {
    let path = format!("{}/{below}", pod.cgroup_parent.trim_start_matches('/'));
    let root = Path::new("/sys/fs/cgroup");
    let found = fs::read_to_string(root.join(controller).join(&path).join(first))
        .or_else(|_| fs::read_to_string(root.join(&path).join(second)));
    found.unwrap().split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_pod_that_runs_is_resized_as_root() {
    with_runtime("resized", |runtime, place| async move {
        let spec = |cpu: &str, memory: &str| -> k8s_openapi::api::core::v1::Pod {
            let limits = serde_json::json!({"cpu": cpu, "memory": memory});
            let value = serde_json::json!({"metadata": {"uid": "resized"}, "spec": {"restartPolicy": "Never",
                "containers": [{"name": "main", "image": "busybox", "resources": {"limits": limits, "requests": limits}}]}});
            serde_json::from_value(value).unwrap()
        };
        let resources = |pod: &k8s_openapi::api::core::v1::Pod| {
            let spec = pod.spec.as_ref().unwrap();
            let whole = config::pod_resources(spec, Some(50)).unwrap();
            (whole, config::container_resources(spec.containers[0].resources.as_ref()).unwrap())
        };
        let memory = Memory { volumes: Volumes::Ready, ..Memory::default() };
        let before = spec("100m", "64Mi");
        let (whole, own) = resources(&before);
        let pod = SandboxConfig { resources: whole, ..place.sandbox("resized") };
        runtime.start_sandbox(&pod).await.unwrap();
        let main = id(&pod, "main", 0);
        let mut config = shell(&main, "echo up; sleep 1000");
        (config.image, config.resources) = ("busybox".to_owned(), own);
        run(&runtime, &config).await.unwrap();
        written(&place, &main, "up").await;

        // Something that ended is still there, with a quota of its own.
        let ended = id(&pod, "ended", 0);
        let own = Resources { cpu_quota_us: Some(9_000), ..Resources::default() };
        run(&runtime, &ContainerConfig { resources: own, ..shell(&ended, "exit 0") }).await.unwrap();
        end(&runtime, &ended).await;

        for (cpu, limit_of_memory, quota) in [("200m", 128 << 20, "20000"), ("50m", 32 << 20, "5000")] {
            let wanted = spec(cpu, &limit_of_memory.to_string());
            let plan = |sandbox: &sampan_node::runtime::Sandbox| {
                plan(View {
                    pod: &wanted,
                    ending: None,
                    sandbox: Some(sandbox),
                    memory: &memory,
                    pids_limit: Some(50),
                    now: std::time::SystemTime::now(),
                })
            };
            let sandbox = runtime.sandbox(&pod.uid).await.unwrap().unwrap();
            let actions = plan(&sandbox).actions;
            let [Action::Resize(steps)] = actions.as_slice() else { panic!("{actions:?}") };
            carry_out(&runtime, &pod.uid, steps).await.unwrap();
            for below in ["", "main_0"] {
                let bytes = limit(&pod, below, "memory", "memory.limit_in_bytes", "memory.max");
                assert_eq!(bytes, limit_of_memory.to_string(), "{cpu} {below}");
                assert_eq!(limit(&pod, below, "cpu", "cpu.cfs_quota_us", "cpu.max"), quota, "{cpu} {below}");
            }
            assert_eq!(limit(&pod, "", "pids", "pids.max", "pids.max"), "50", "nobody asked for that");
            let sandbox = runtime.sandbox(&pod.uid).await.unwrap().unwrap();
            assert_eq!(plan(&sandbox).actions, [], "there is nothing left to be done");
        }
        // Less than is used is refused before anything is touched.
        let tiny = spec("50m", "4096");
        let sandbox = runtime.sandbox(&pod.uid).await.unwrap().unwrap();
        let view = View {
            pod: &tiny,
            ending: None,
            sandbox: Some(&sandbox),
            memory: &memory,
            pids_limit: Some(50),
            now: std::time::SystemTime::now(),
        };
        let actions = plan(view).actions;
        let [Action::Resize(steps)] = actions.as_slice() else { panic!("{actions:?}") };
        let refused = carry_out(&runtime, &pod.uid, steps).await.unwrap_err();
        assert!(refused.starts_with("cannot decrease memory limits: [attempting to set pod memory limit (4096)"), "{refused}");
        let again = place.open(|_| {}).await.unwrap();
        let found = again.sandbox(&pod.uid).await.unwrap().unwrap();
        assert_eq!(found.resources, sandbox.resources, "another agent knows what the pod has");
    })
    .await;
}
