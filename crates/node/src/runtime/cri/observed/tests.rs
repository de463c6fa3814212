use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn status(state: cri::ContainerState) -> cri::ContainerStatus {
    let kept = kept::Container {
        image: "busybox:1".into(),
        terminal: false,
        resources: Resources { cpu_shares: Some(5), ..Resources::default() },
    };
    cri::ContainerStatus {
        id: "0123".into(),
        metadata: Some(cri::ContainerMetadata { name: "main".into(), attempt: 2 }),
        state: state as i32,
        created_at: 10_000_000_000,
        image_ref: "docker.io/library/busybox@sha256:1".into(),
        labels: BTreeMap::from([(request::POD_UID.to_owned(), "7d9c".to_owned())]),
        annotations: BTreeMap::from([kept::write(&kept)]),
        ..Default::default()
    }
}

#[test]
fn containers_do_what_the_runtime_says() {
    use cri::ContainerState::{Created, Exited, Running, Unknown};
    let running = |mut status: cri::ContainerStatus| {
        status.started_at = 11_000_000_000;
        status
    };
    let ended = |code, reason: &str, message: &str| cri::ContainerStatus {
        finished_at: 12_000_000_000,
        exit_code: code,
        reason: reason.into(),
        message: message.into(),
        ..running(status(Exited))
    };
    let exited = |code, out_of_memory, message: &str| State::Exited {
        started_at: Some(at(11)),
        finished_at: at(12),
        code,
        signal: 0,
        out_of_memory,
        message: message.into(),
    };
    let unstarted = cri::ContainerStatus { started_at: 0, ..ended(128, "StartError", "no such file") };
    let never = State::Exited {
        started_at: None,
        finished_at: at(12),
        code: 128,
        signal: 0,
        out_of_memory: false,
        message: "no such file".into(),
    };
    for (name, status, state) in [
        ("created", status(Created), State::Created),
        ("running", running(status(Running)), State::Running { started_at: at(11) }),
        ("lost", status(Unknown), State::Running { started_at: at(10) }),
        ("well", ended(0, "Completed", ""), exited(0, false, "")),
        ("failed", ended(3, "Error", ""), exited(3, false, "")),
        ("too large", ended(137, "OOMKilled", ""), exited(137, true, "")),
        ("not started", unstarted, never),
    ] {
        assert_eq!(container(&status, None).unwrap().state, state, "{name}");
    }
}

#[test]
fn what_was_kept_is_known_again() {
    let found = container(&status(cri::ContainerState::Created), None).unwrap();
    assert_eq!(found.id.to_string(), "7d9c_main_2");
    assert_eq!((found.image.as_str(), found.resources.cpu_shares), ("busybox:1", Some(5)));
    assert_eq!(found.image_id, "docker.io/library/busybox@sha256:1");
    let newer = Resources { cpu_shares: Some(7), ..Resources::default() };
    let found = container(&status(cri::ContainerState::Created), Some(&newer)).unwrap();
    assert_eq!(found.resources, newer);
    let theirs = cri::ContainerStatus { labels: BTreeMap::new(), ..status(cri::ContainerState::Created) };
    assert_eq!(container(&theirs, None), None);
}

#[test]
fn sandboxes_have_addresses_unless_they_are_the_hosts() {
    let uid = PodUid::new("7d9c").unwrap();
    let status = |host_network| cri::PodSandboxStatus {
        id: "s".into(),
        metadata: Some(cri::PodSandboxMetadata {
            name: "web".into(),
            uid: "7d9c".into(),
            namespace: "default".into(),
            attempt: 0,
        }),
        state: cri::PodSandboxState::Ready as i32,
        created_at: 5_000_000_000,
        network: Some(cri::PodSandboxNetworkStatus {
            ip: "10.88.0.4".into(),
            additional_ips: vec![cri::PodIp { ip: "fd00::4".into() }],
        }),
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([kept::write(&kept::Sandbox {
            host_network,
            ..kept::Sandbox::default()
        })]),
    };
    let found = sandbox(&uid, &status(false), None, Vec::new()).unwrap();
    assert_eq!(found.resources, Some(Resources::default()));
    let addresses: [IpAddr; 2] = ["10.88.0.4".parse().unwrap(), "fd00::4".parse().unwrap()];
    assert_eq!((found.ready, found.created_at, found.addresses.as_slice()), (true, at(5), &addresses[..]));
    assert_eq!(sandbox(&uid, &status(true), None, Vec::new()).unwrap().addresses, [] as [IpAddr; 0]);
    let mut ended = status(false);
    ended.state = cri::PodSandboxState::NotReady as i32;
    assert!(!sandbox(&uid, &ended, None, Vec::new()).unwrap().ready);
}
