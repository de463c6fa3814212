//! Pods by a real containerd, one for each test. They need root, `containerd` and `busybox-static`, and look at the end whether anything is
//! left behind.

#[path = "cri/rig.rs"]
mod rig;

use std::time::Duration;

use sampan_node::container::*;
use sampan_node::image::Images as _;
use sampan_node::runtime::cri::CriRuntime;
use sampan_node::runtime::{Error, ExecConfig, Runtime, State, TerminalSize, Wanted};
use sampan_testkit::eventually;
use sampan_testkit::image::{Compression, ImageBuilder, Layer};
use sampan_testkit::registry::{LOGIN, Registry};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use rig::{ADDRESS, Containerd, IMAGE, end, end_code, id, look, run};

const ALL: Wanted = Wanted { stdin: true, stdout: true, stderr: true };
const OUT: Wanted = Wanted { stdin: false, stdout: true, stderr: true };

async fn finish(runtime: &CriRuntime, containerd: &Containerd) {
    for sandbox in runtime.sandboxes().await.unwrap() {
        runtime.stop_sandbox(&sandbox.uid).await.unwrap();
        runtime.remove_sandbox(&sandbox.uid).await.unwrap();
        assert_eq!(runtime.sandbox(&sandbox.uid).await.unwrap(), None);
        runtime.remove_sandbox(&sandbox.uid).await.unwrap();
    }
    // A shim ends a moment after its sandbox.
    let left = || async {
        let left = containerd.left_behind();
        left.is_empty().then_some(())
    };
    let looked = tokio::time::timeout(Duration::from_secs(10), eventually("shims end", left)).await;
    assert!(looked.is_ok(), "{:?}", containerd.left_behind());
}

async fn text(stream: Option<Box<dyn AsyncRead + Send + Unpin>>) -> String {
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).await.unwrap();
    text
}

fn command(words: &[&str], wanted: Wanted) -> ExecConfig {
    ExecConfig { command: words.iter().map(ToString::to_string).collect(), terminal: false, wanted }
}

async fn said(containerd: &Containerd, id: &ContainerId, words: &str) {
    let look = || async { containerd.log_of(id).contains(words).then_some(()) };
    eventually(&format!("{id} says {words:?}"), look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_and_its_containers_ends_are_known_as_root() {
    let containerd = Containerd::start("runs");
    let runtime = containerd.open().await;
    let about = runtime.about();
    assert_eq!((about.name.as_str(), about.withheld), ("containerd", vec![]));
    let pod = containerd.sandbox("runs");
    let sandbox = runtime.start_sandbox(&pod).await.unwrap();
    assert!(sandbox.ready);
    assert_eq!((sandbox.namespace.as_str(), sandbox.name.as_str()), ("default", "runs-name"));
    assert_eq!(sandbox.addresses, [ADDRESS.parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(runtime.start_sandbox(&pod).await.unwrap(), sandbox, "repeated");

    let first = id(&pod, "first", 0);
    let script = "echo $GREETING $(cat /etc/hostname); cat /etc/resolv.conf; echo oops >&2; exit 7";
    let mut config = containerd.container(&first, script).await;
    config.environment = vec![("GREETING".into(), "hello".into())];
    runtime.create_container(&config).await.unwrap();
    runtime.create_container(&config).await.unwrap();
    assert_eq!(look(&runtime, &first).await.state, State::Created);
    runtime.start_container(&first).await.unwrap();
    assert_eq!(end_code(&runtime, &first).await, 7);
    let log = containerd.log_of(&first);
    for line in [" stdout F hello runs\n", " stdout F nameserver 10.0.0.10\n", " stderr F oops\n"] {
        assert!(log.contains(line), "{line:?} in {log}");
    }
    let container = look(&runtime, &first).await;
    assert_eq!(container.image, IMAGE);
    assert_eq!(container.runtime_id.len(), 64);
    assert!(matches!(runtime.start_container(&first).await, Err(Error::Precondition(_))), "it has ended");

    let missing = id(&pod, "missing", 0);
    let mut config = containerd.container(&missing, "").await;
    config.command = vec!["/not/there".into()];
    let error = run(&runtime, &config).await.unwrap_err();
    let Error::Start { code: 128, message } = &error else { panic!("{error:?}") };
    assert!(message.contains("no such file or directory"), "{message}");
    let State::Exited { code, message: kept, started_at: None, .. } = end(&runtime, &missing).await else {
        panic!("it has not ended")
    };
    assert_eq!((code, &kept), (128, message));

    let fat = id(&pod, "fat", 3);
    let mut config = containerd.container(&fat, "x=a; while :; do x=$x$x; done").await;
    config.resources.memory_limit_bytes = Some(16 << 20);
    run(&runtime, &config).await.unwrap();
    assert!(matches!(end(&runtime, &fat).await, State::Exited { code: 137, out_of_memory: true, .. }));

    runtime.remove_container(&first).await.unwrap();
    runtime.remove_container(&first).await.unwrap();
    let left = runtime.sandbox(&pod.uid).await.unwrap().unwrap().containers;
    assert_eq!(left.iter().map(|c| c.id.clone()).collect::<Vec<_>>(), [fat, missing]);
    assert_eq!(containerd.log_of(&first), "");
    finish(&runtime, &containerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_stopped_with_grace_as_root() {
    let containerd = Containerd::start("stops");
    let runtime = containerd.open().await;
    let pod = containerd.sandbox("stops");
    runtime.start_sandbox(&pod).await.unwrap();
    let waits = "echo up; while :; do sleep 0.01; done";
    let hour = Duration::from_hours(1);

    let polite = id(&pod, "polite", 0);
    let config = containerd.container(&polite, &format!("trap 'exit 9' TERM; {waits}")).await;
    run(&runtime, &config).await.unwrap();
    said(&containerd, &polite, "up").await;
    assert!(matches!(runtime.remove_container(&polite).await, Err(Error::Precondition(_))), "it runs");
    runtime.stop_container(&polite, hour).await.unwrap();
    assert!(matches!(look(&runtime, &polite).await.state, State::Exited { code: 9, .. }));
    runtime.stop_container(&polite, hour).await.unwrap();

    let stubborn = id(&pod, "stubborn", 0);
    let config = containerd.container(&stubborn, &format!("trap 'echo no' TERM; {waits}")).await;
    run(&runtime, &config).await.unwrap();
    said(&containerd, &stubborn, "up").await;
    let first = tokio::spawn({
        let (runtime, stubborn) = (runtime.clone(), stubborn.clone());
        async move { runtime.stop_container(&stubborn, hour).await }
    });
    said(&containerd, &stubborn, "no").await;
    runtime.stop_container(&stubborn, Duration::from_millis(10)).await.unwrap();
    first.await.unwrap().unwrap();
    assert!(matches!(look(&runtime, &stubborn).await.state, State::Exited { code: 137, .. }));

    let left = id(&pod, "left", 0);
    run(&runtime, &containerd.container(&left, waits).await).await.unwrap();
    runtime.stop_sandbox(&pod.uid).await.unwrap();
    let sandbox = runtime.sandbox(&pod.uid).await.unwrap().unwrap();
    assert!(!sandbox.ready);
    assert!(sandbox.containers.iter().all(|c| matches!(c.state, State::Exited { .. })), "{sandbox:?}");
    let refused = runtime.create_container(&containerd.container(&id(&pod, "late", 0), "").await).await;
    assert!(matches!(refused, Err(Error::Precondition(_))), "{refused:?}");

    // The next sandbox of the pod keeps the ends of what was in the one before.
    let again = runtime.start_sandbox(&pod).await.unwrap();
    assert!(again.ready);
    assert_eq!(again.containers.len(), 3);
    let next = id(&pod, "left", 1);
    run(&runtime, &containerd.container(&next, "exit 0").await).await.unwrap();
    assert_eq!(end_code(&runtime, &next).await, 0);
    finish(&runtime, &containerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_in_containers_as_root() {
    let containerd = Containerd::start("execs");
    let runtime = containerd.open().await;
    let pod = containerd.sandbox("execs");
    runtime.start_sandbox(&pod).await.unwrap();
    let host = id(&pod, "host", 0);
    run(&runtime, &containerd.container(&host, "sleep 1000").await).await.unwrap();

    let exec = command(&["sh", "-c", "cat; echo done >&2; exit 3"], ALL);
    let mut session = runtime.exec(&host, &exec).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    let sent = "line of many\n".repeat(20_000);
    let ((), out, err) = tokio::join!(
        async {
            stdin.write_all(sent.as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
            drop(stdin);
        },
        text(session.stdout.take()),
        text(session.stderr.take()),
    );
    assert_eq!((out == sent, out.len(), err.as_str()), (true, sent.len(), "done\n"));
    assert_eq!(session.exit.await.unwrap().unwrap(), 3);

    // Whoever drops the input ends it.
    let mut session = runtime.exec(&host, &command(&["cat"], ALL)).await.unwrap();
    session.stdin.take().unwrap().write_all(b"last words").await.unwrap();
    assert_eq!(text(session.stdout.take()).await, "last words");
    assert_eq!(session.exit.await.unwrap().unwrap(), 0);

    let nothing = Wanted::default();
    let session = runtime.exec(&host, &command(&["sh", "-c", "echo unread; exit 5"], nothing)).await.unwrap();
    assert!(session.stdout.is_none());
    assert_eq!(session.exit.await.unwrap().unwrap(), 5);

    let session = runtime.exec(&host, &command(&["not-there"], OUT)).await.unwrap();
    let error = session.exit.await.unwrap().unwrap_err();
    let Error::Start { code: 127, message } = &error else { panic!("{error:?}") };
    assert!(message.starts_with("failed to exec in container: "), "{message}");

    let exec = ExecConfig {
        terminal: true,
        ..command(
            &[
                "sh",
                "-c",
                "while [ \"$(busybox stty size 2>/dev/null)\" != '20 50' ]; do sleep 0.01; done; echo sized; read line; echo got $line",
            ],
            ALL,
        )
    };
    let mut session = runtime.exec(&host, &exec).await.unwrap();
    assert!(session.stderr.is_none());
    session.resize.send(TerminalSize { width: 50, height: 20 }).await.unwrap();
    let mut out = session.stdout.take().unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") {
        heard.push(out.read_u8().await.unwrap());
    }
    assert_eq!(String::from_utf8_lossy(&heard), "sized\r\n");
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"go\n").await.unwrap();
    assert_eq!(text(Some(out)).await, "go\r\ngot go\r\n");
    assert_eq!(session.exit.await.unwrap().unwrap(), 0);

    runtime.stop_container(&host, Duration::ZERO).await.unwrap();
    let refused = runtime.exec(&host, &command(&["true"], OUT)).await;
    assert!(matches!(refused, Err(Error::Precondition(_))));
    finish(&runtime, &containerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_attaches_shares_the_streams_as_root() {
    let containerd = Containerd::start("attach");
    let runtime = containerd.open().await;
    let pod = containerd.sandbox("attach");
    runtime.start_sandbox(&pod).await.unwrap();

    let host = id(&pod, "host", 0);
    let script = "echo up; while read line; do echo $line; echo e$line >&2; done; exit 6";
    let config = containerd.container(&host, script).await;
    run(&runtime, &ContainerConfig { stdin: true, stdin_once: true, ..config }).await.unwrap();
    said(&containerd, &host, "up").await;
    let mut writer = runtime.attach(&host, ALL).await.unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    stdin.write_all(b"a\nb\n").await.unwrap();
    stdin.shutdown().await.unwrap();
    let (out, err) = tokio::join!(text(writer.stdout.take()), text(writer.stderr.take()));
    assert_eq!((out.as_str(), err.as_str()), ("a\nb\n", "ea\neb\n"));
    assert_eq!(writer.exit.await.unwrap().unwrap(), 6);
    assert_eq!(end_code(&runtime, &host).await, 6);
    assert!(containerd.log_of(&host).contains(" stdout F b\n"), "the log has it too");

    let screen = id(&pod, "screen", 0);
    let config = containerd.container(&screen, "read line; echo got $line; read line; exit 2").await;
    run(&runtime, &ContainerConfig { terminal: true, stdin: true, ..config }).await.unwrap();
    let mut session = runtime.attach(&screen, ALL).await.unwrap();
    assert!(session.stderr.is_none());
    session.stdin.as_mut().unwrap().write_all(b"hello\nbye\n").await.unwrap();
    let heard = text(session.stdout.take()).await;
    assert!(heard.contains("got hello\r\n"), "{heard}");
    assert_eq!(session.exit.await.unwrap().unwrap(), 2);
    finish(&runtime, &containerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_pods_are_reached_as_root() {
    let containerd = Containerd::start("ports");
    let runtime = containerd.open().await;
    let pod = containerd.sandbox("ports");
    runtime.start_sandbox(&pod).await.unwrap();
    let server = id(&pod, "server", 0);
    let script = "busybox nc -ll -p 8080 -e /bin/cat";
    run(&runtime, &containerd.container(&server, script).await).await.unwrap();
    let talk = || async {
        let mut stream = runtime.connect(&pod.uid, 8080).await.unwrap();
        stream.write_all(b"over there").await.ok()?;
        stream.shutdown().await.ok()?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.ok()?;
        (heard == "over there").then_some(())
    };
    eventually("the server listens and answers", talk).await;
    let mut stream = runtime.connect(&pod.uid, 81).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert_eq!(error.kind(), std::io::ErrorKind::Other);
    finish(&runtime, &containerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_adopted_by_the_next_node_as_root() {
    let mut containerd = Containerd::start("adopts");
    let runtime = containerd.open().await;
    let pod = containerd.sandbox("adopts");
    runtime.start_sandbox(&pod).await.unwrap();
    let (running, ended, created) = (id(&pod, "running", 4), id(&pod, "ended", 0), id(&pod, "created", 0));
    let script = "echo one; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo two; exit 5";
    let config = containerd.container(&running, script).await;
    run(&runtime, &config).await.unwrap();
    run(&runtime, &containerd.container(&ended, "exit 4").await).await.unwrap();
    assert_eq!(end_code(&runtime, &ended).await, 4);
    runtime.create_container(&containerd.container(&created, "exit 6").await).await.unwrap();
    said(&containerd, &running, "one").await;
    let before = runtime.sandboxes().await.unwrap();
    drop(runtime);

    let runtime = containerd.open().await;
    assert_eq!(runtime.sandboxes().await.unwrap(), before);
    let session = runtime.exec(&running, &command(&["touch", "/tmp/go"], OUT)).await.unwrap();
    assert_eq!(session.exit.await.unwrap().unwrap(), 0);
    assert_eq!(end_code(&runtime, &running).await, 5);
    runtime.create_container(&config).await.unwrap();
    runtime.start_container(&created).await.unwrap();
    assert_eq!(end_code(&runtime, &created).await, 6);

    // Also the runtime may be started again while pods run: this node need not be.
    let next = id(&pod, "running", 5);
    let script = "while [ ! -e /tmp/go ]; do sleep 0.01; done; echo two; exit 5";
    run(&runtime, &containerd.container(&next, script).await).await.unwrap();
    containerd.restart();
    let touch = || async { runtime.exec(&next, &command(&["touch", "/tmp/go"], OUT)).await.ok() };
    eventually("the runtime is back", touch).await;
    assert_eq!(end_code(&runtime, &next).await, 5);
    assert!(containerd.log_of(&next).contains(" stdout F two\n"));
    finish(&runtime, &containerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_use_is_told_as_root() {
    let containerd = Containerd::start("limits");
    let runtime = containerd.open().await;
    let mut pod = containerd.sandbox("limits");
    pod.resources.memory_limit_bytes = Some(96 << 20);
    let sandbox = runtime.start_sandbox(&pod).await.unwrap();
    assert_eq!(sandbox.resources.as_ref(), Some(&pod.resources));
    let limit = |below: &str| {
        let text = containerd.cgroup_file(&pod.uid, below, "memory.limit_in_bytes", "memory.max");
        text.parse::<u64>().unwrap_or(0)
    };
    assert_eq!(limit(""), 96 << 20);
    let main = id(&pod, "main", 0);
    let script = "busybox dd if=/dev/zero of=/tmp/file bs=1k count=64; echo written; while :; do :; done";
    let mut config = containerd.container(&main, script).await;
    config.resources = Resources {
        cpu_shares: Some(102),
        cpu_quota_us: Some(20_000),
        cpu_period_us: Some(100_000),
        memory_limit_bytes: Some(32 << 20),
        ..Resources::default()
    };
    run(&runtime, &config).await.unwrap();
    let known = look(&runtime, &main).await;
    assert_eq!(known.resources, config.resources);
    assert_eq!(limit(&known.runtime_id), 32 << 20);

    let more = Resources { memory_limit_bytes: Some(48 << 20), ..config.resources.clone() };
    runtime.update_resources(&main, &more).await.unwrap();
    assert_eq!(limit(&known.runtime_id), 48 << 20);
    assert_eq!(look(&runtime, &main).await.resources, more);
    let whole = Resources { memory_limit_bytes: Some(128 << 20), ..Resources::default() };
    runtime.update_sandbox_resources(&pod.uid, &whole).await.unwrap();
    assert_eq!(limit(""), 128 << 20);
    assert_eq!(runtime.sandbox(&pod.uid).await.unwrap().unwrap().resources, Some(whole));

    said(&containerd, &main, "written").await;
    let used = || async {
        let usage = runtime.usage(&pod.uid).await.unwrap();
        let (_, own) = usage.containers.iter().find(|(name, _)| name == "main")?;
        let busy = own.cpu_nanoseconds > 0 && own.memory_working_set_bytes > 0 && own.memory_usage_bytes > 0;
        (busy && usage.pod.cpu_nanoseconds >= own.cpu_nanoseconds && usage.network.is_some()).then_some(())
    };
    eventually("the use of a busy pod is told", used).await;
    // containerd looks at the disk every ten seconds.
    let wrote =
        || async { runtime.written(&pod.uid).await.unwrap().get("main").copied().filter(|n| *n >= 64 << 10) };
    eventually("what was written is told", wrote).await;
    finish(&runtime, &containerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_told_pulled_and_removed_as_root() {
    let Some(registry) = Registry::start_private() else { return };
    let containerd = Containerd::start("images");
    let (runtime, images) = (containerd.open().await, containerd.images());
    let busybox = images.get("tests/busybox:1").await.unwrap().unwrap();
    assert_eq!(busybox.tags, [IMAGE]);
    assert!(busybox.size_bytes > 100_000);
    assert_eq!(images.get("tests/other").await.unwrap(), None);
    let error = images.get("NOT a name").await.unwrap_err();
    assert!(matches!(error, sampan_node::image::Error::InvalidName { .. }), "{error}");
    assert_eq!(images.get(&busybox.id).await.unwrap().map(|image| image.id), Some(busybox.id.clone()));
    let disk = images.disk_use().await.unwrap();
    assert!(disk.capacity_bytes >= disk.available_bytes && disk.available_bytes > 0, "{disk:?}");

    let mut layer = Layer::new();
    layer.file("etc/passwd", b"web:x:33:34::/:/bin/sh\n", 0o644);
    let built = ImageBuilder::busybox().layer(layer, Compression::Gzip).config(json!({"User": "33"})).build();
    registry.push("some/app", "v1", &built);
    let name = registry.reference("some/app:v1");
    let login = |password: &str| sampan_node::image::Credentials {
        user: LOGIN.0.into(),
        password: password.into(),
        identity_token: None,
    };
    for credentials in [vec![], vec![login("wrong")]] {
        let refused = images.pull(&name, &credentials).await.unwrap_err();
        assert!(matches!(refused, sampan_node::image::Error::Unauthorized(_)), "{refused:?}");
    }
    let both = [login("wrong"), login(LOGIN.1)];
    let (one, other) = tokio::join!(images.pull(&name, &both), images.pull(&name, &both));
    let (pulled, other) = (one.unwrap(), other.unwrap());
    assert_eq!((pulled.id.as_str(), other.id), (built.config.as_str(), pulled.id.clone()));
    assert_eq!(pulled.defaults.user, "33");
    let missing = images.pull(&registry.reference("some/app:v2"), &both).await.unwrap_err();
    assert!(matches!(missing, sampan_node::image::Error::NotFound(_)), "{missing:?}");

    // A group needs the image's user to go with.
    let pod = containerd.sandbox("images");
    runtime.start_sandbox(&pod).await.unwrap();
    let main = id(&pod, "main", 0);
    let mut config = containerd.container(&main, "id -u; id -g; sleep 1000").await;
    config.image_id.clone_from(&pulled.id);
    config.security.group = Some(77);
    run(&runtime, &config).await.unwrap();
    said(&containerd, &main, "stdout F 77\n").await;
    assert!(containerd.log_of(&main).contains("stdout F 33\n"));

    let refused = images.remove(&name).await.unwrap_err();
    assert!(matches!(refused, sampan_node::image::Error::InUse(_)), "{refused:?}");
    images.collect().await.unwrap();
    images.collect_unused().await.unwrap();
    let left: Vec<String> = images.list().await.unwrap().into_iter().flat_map(|image| image.tags).collect();
    assert!(left.contains(&name) && !left.contains(&IMAGE.to_owned()), "{left:?}");
    assert!(left.iter().any(|tag| tag.contains("pause")), "the image of sandboxes stays: {left:?}");
    finish(&runtime, &containerd).await;
    images.remove(&name).await.unwrap();
    assert_eq!(images.get(&name).await.unwrap(), None);
}
