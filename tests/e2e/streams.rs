//! Logs, remote commands and forwarded ports, with kubectl and the Python client, through the API server to a node whose
//! containers are programs of this process.

#[path = "streams/node.rs"]
mod node;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use node::Node;
use sampan_tests::Cluster;
use sampan_tests::tools::{self, Kubectl};

/// A cluster with a node that runs the pod `web`, and one pod that nobody runs.
struct Case {
    cluster: Cluster,
    node: Node,
}

impl Case {
    fn start() -> Self {
        let cluster = Cluster::start();
        let node = Node::start(&cluster);
        Self { cluster, node }
    }

    fn each(&self, test: impl Fn(&Kubectl)) {
        for kubectl in Kubectl::all(&self.cluster) {
            test(&kubectl);
        }
    }
}

/// A kubectl that is killed when it goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_command_talks_and_its_exit_code_is_kubectls() {
    let case = Case::start();
    case.each(|kubectl| {
        assert_eq!(kubectl.run(&["exec", "web", "--", "echo", "hello", "you"]), "hello you\n");
        assert_eq!(kubectl.apply(&["exec", "-i", "web", "--", "cat"], "from here"), "from here");
        let output = kubectl.run_with(&["exec", "web", "--", "exit", "3"], "");
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        let output = kubectl.run_with(&["exec", "web", "--", "fail", "what", "is", "wrong"], "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("what is wrong") && said.contains("exit code 1"), "{said}");
        let missing = kubectl.fail(&["exec", "web", "--", "nothing"], "");
        assert!(missing.contains("executable file not found in $PATH"), "{missing}");
        // More than all buffers on the way hold.
        let long = "0123456789abcdef".repeat(200_000);
        assert!(kubectl.apply(&["exec", "-i", "web", "--", "cat"], &long) == long);
    });
    case.node.is_quiet();
}

#[test]
fn a_terminal_has_the_size_of_kubectls() {
    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::{Winsize, tcsetwinsize};

    let case = Case::start();
    case.each(|kubectl| {
        let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
        let end = std::fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let resize = |ws_col, ws_row| {
            tcsetwinsize(&terminal, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        };
        resize(81, 25);
        let child = Running(kubectl.spawn_at(&["exec", "-it", "web", "--", "sizes"], &end));
        drop(end);
        let mut said = BufReader::new(std::fs::File::from(terminal.try_clone().unwrap()));
        let mut until = |want: &str| {
            let mut line = String::new();
            while !line.contains(want) {
                line.clear();
                assert!(said.read_line(&mut line).unwrap() > 0, "{want} is not said");
            }
        };
        until("81x25");
        resize(100, 30);
        let id = Pid::from_raw(i32::try_from(child.0.id()).unwrap()).unwrap();
        kill_process(id, Signal::WINCH).unwrap();
        until("100x30");
    });
    case.node.is_quiet();
}

#[test]
fn what_cannot_be_joined_is_refused_in_upstreams_words() {
    let case = Case::start();
    case.each(|kubectl| {
        let rows: [(&[&str], &str); 5] = [
            (&["exec", "none", "--", "echo"], "pods \"none\" not found"),
            (&["exec", "web", "-c", "none", "--", "echo"], "container none is not valid for pod web"),
            (&["exec", "unbound", "--", "echo"], "pod unbound does not have a host assigned"),
            (
                &["exec", "stranded", "--", "echo"],
                "error dialing backend: dial tcp 127.0.0.1:9: connect: connection refused",
            ),
            (&["logs", "stranded"], "dial tcp 127.0.0.1:9: connect: connection refused"),
        ];
        for (args, want) in rows {
            let said = kubectl.fail(args, "");
            assert!(said.contains(want), "{args:?}: {said}");
        }
    });
}

#[test]
fn a_container_is_attached_to() {
    let case = Case::start();
    case.each(|kubectl| {
        let mut child = Running(kubectl.spawn(&["attach", "-i", "web"]));
        let mut stdin = child.0.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
        // What was said before somebody listens is not heard, so it is said until it is.
        let talking = std::thread::spawn(move || {
            while stdin.write_all(b"is anybody there?\n").is_ok() {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
        });
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "is anybody there?\n");
        drop((child, stdout));
        talking.join().unwrap();
    });
}

#[test]
fn files_are_copied_both_ways() {
    let case = Case::start();
    case.each(|kubectl| {
        let dir = tempfile::tempdir().unwrap();
        let (here, there, back) = (dir.path().join("a"), dir.path().join("there"), dir.path().join("b"));
        let content: String = (b'a'..=b'z').cycle().take(200_000).map(char::from).collect();
        std::fs::write(&here, &content).unwrap();
        std::fs::create_dir(&there).unwrap();
        let remote = format!("web:{}/a", there.display());
        kubectl.run(&["cp", here.to_str().unwrap(), &remote]);
        assert!(std::fs::read_to_string(there.join("a")).unwrap() == content);
        kubectl.run(&["cp", &remote, back.to_str().unwrap()]);
        assert!(std::fs::read_to_string(&back).unwrap() == content);
    });
}

#[test]
fn logs_are_told_and_followed_until_kubectl_goes() {
    let case = Case::start();
    case.each(|kubectl| {
        assert_eq!(kubectl.run(&["logs", "web"]), "I am web\nand I say two lines\n");
        assert_eq!(kubectl.run(&["logs", "web", "--tail=1"]), "and I say two lines\n");
        assert_eq!(kubectl.run(&["logs", "web", "--limit-bytes=4"]), "I am");
        let stamped = kubectl.run(&["logs", "web", "--timestamps", "--tail=1"]);
        assert!(stamped.starts_with("20") && stamped.ends_with("Z and I say two lines\n"), "{stamped}");
        let said = kubectl.fail(&["logs", "web", "--previous"], "");
        assert!(said.contains("previous terminated container \"main\" in pod \"web\" not found"), "{said}");
        let said = kubectl.fail(&["logs", "web", "-c", "none"], "");
        assert!(said.contains("container none is not valid for pod web"), "{said}");
        let mut child = Running(kubectl.spawn(&["logs", "-f", "web", "--tail=1"]));
        let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "and I say two lines\n");
        case.node.log("something new");
        line.clear();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "something new\n");
        case.node.forget_log();
    });
    case.node.is_quiet();
}

#[test]
fn ports_are_forwarded() {
    let case = Case::start();
    case.each(|kubectl| {
        let mut child = Running(kubectl.spawn(&["port-forward", "web", ":80"]));
        let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port: u16 = line
            .split_once("127.0.0.1:")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no port in {line:?}"));
        let long = "forward ".repeat(50_000);
        for round in 0..5 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let text = if round % 2 == 0 { "hello" } else { &long };
            let mut writer = stream.try_clone().unwrap();
            let sent = text.to_owned();
            let writing = std::thread::spawn(move || {
                writer.write_all(sent.as_bytes()).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            writing.join().unwrap();
            assert!(heard == text, "{} of {} bytes", heard.len(), text.len());
        }
    });
    case.node.is_quiet();
}

#[test]
fn the_node_is_proxied_to() {
    let case = Case::start();
    case.each(|kubectl| {
        assert_eq!(kubectl.run(&["get", "--raw", "/api/v1/nodes/n/proxy/healthz"]), "ok");
        let pods = kubectl.run(&["get", "--raw", "/api/v1/nodes/n/proxy/pods"]);
        assert!(pods.contains("\"kind\":\"PodList\""), "{pods}");
        let said = kubectl.fail(&["get", "--raw", "/api/v1/nodes/far/proxy/healthz"], "");
        assert!(
            said.contains("error trying to reach service: dial tcp 127.0.0.1:9: connect: connection refused"),
            "{said}"
        );
        let said = kubectl.fail(&["get", "--raw", "/api/v1/nodes/n:1/proxy/"], "");
        assert!(said.contains("address not allowed"), "{said}");
    });
}

#[test]
fn what_a_pod_upgrades_to_passes_both_ways() {
    let case = Case::start();
    let Some(address) = node::own_address() else {
        return eprintln!("skipped: this machine has no address but its own");
    };
    // A pod that says what it was asked, upgrades, and says what it hears.
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
            let (mut line, mut asked) = (String::new(), String::new());
            reader.read_line(&mut asked).unwrap();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n";
            let _ = writer.write_all(format!("{head}{asked}").as_bytes());
            let _ = std::io::copy(&mut reader, &mut writer);
        }
    });
    case.each(|kubectl| {
        let mut proxy = Running(kubectl.spawn(&["proxy", "--port=0", "--reject-paths=^$"]));
        let mut line = String::new();
        BufReader::new(proxy.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim().rsplit_once(' ').unwrap_or_else(|| panic!("no address in {line:?}")).1;
        let mut stream = TcpStream::connect(at).unwrap();
        let path = format!("/api/v1/namespaces/default/pods/web:{port}/proxy/talk");
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut next = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line
        };
        assert!(next().starts_with("HTTP/1.1 101 "));
        while next().trim() != "" {}
        assert_eq!(next(), "GET /talk HTTP/1.1\r\n");
        stream.write_all(b"hello\n").unwrap();
        assert_eq!(next(), "hello\n");
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
}

#[test]
fn the_python_client_streams() {
    let case = Case::start();
    let Some(python) = tools::python_with_client() else { return };
    let script = tools::root().join("tests/clients/python_streams.py");
    let output = std::process::Command::new(python)
        .arg(script)
        .env("KUBECONFIG", case.cluster.kubeconfig())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok", "{said}");
}

#[test]
fn fifty_kubectls_at_once_leave_nothing_behind() {
    let case = Case::start();
    case.each(|kubectl| {
        let running: Vec<Running> =
            (0..50).map(|_| Running(kubectl.spawn(&["exec", "-i", "web", "--", "cat"]))).collect();
        case.node.until_processes(51);
        for mut child in running.into_iter().step_by(2) {
            drop(child.0.stdin.take());
            assert!(child.0.wait().unwrap().success());
        }
        // The others went out of scope, and were killed.
        case.node.is_quiet();
    });
}
