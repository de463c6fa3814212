//! The whole network in namespaces of their own: one stands for the machine, others for pods and for whoever is outside.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Network, Options, Port};
use crate::namespace::within;
use crate::nft;
use crate::route::{Pair, Route, Way};
use crate::service::{Protocol, ServicePort};
use crate::{Error, sysctl};

/// A network namespace, which is gone with the last that holds it.
struct Space(File);

impl Space {
    fn new() -> Self {
        let thread = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self(thread.join().unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        within(self.0.as_fd(), || Ok(act())).unwrap()
    }

    fn listen(&self, port: u16) -> TcpListener {
        self.within(|| listen(port))
    }

    fn reach(&self, address: &str, listener: &TcpListener) -> String {
        self.within(|| reach(address, listener))
    }
}

/// A test that hears nothing ends all the same.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE)
}

fn datagrams(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()
}

/// Connects, says something in both directions, and returns as whom the listener sees the client.
fn reach(address: &str, listener: &TcpListener) -> String {
    let mut client = connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    let (mut server, peer) = listener.accept().unwrap();
    let mut said = [0; 4];
    client.write_all(b"ping").unwrap();
    server.read_exact(&mut said).unwrap();
    server.write_all(b"pong").unwrap();
    client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"pong", "{address}");
    peer.ip().to_string()
}

/// A machine whose frames between ports of bridges are shown to the tables of IP, and one where they are not: both are common.
fn on_both_machines(test: impl Fn() + Sync) {
    for shown in ["0", "1"] {
        on_a_machine(|| {
            let switch = "bridge/bridge-nf-call-iptables";
            if Path::new("/proc/sys/net").join(switch).exists() {
                sysctl::set(switch, shown).unwrap();
            }
            test();
        });
    }
}

fn on_a_machine(test: impl FnOnce() + Send) {
    Space::new().within(|| {
        let mut route = Route::open().unwrap();
        let loopback = route.link("lo").unwrap().unwrap();
        route.set_up(loopback.index).unwrap();
        test();
    });
}

/// Somebody outside: 192.0.2.2, of whom the machine (192.0.2.1) is a neighbour, and who knows no pods.
fn outside() -> Space {
    let space = Space::new();
    let mut route = Route::open().unwrap();
    let gateway = "192.0.2.1/24".parse().unwrap();
    route.add_bridge("uplink0", [2, 0, 0, 0, 0, 1], 1500).unwrap();
    let uplink = route.link("uplink0").unwrap().unwrap().index;
    route.add_address(uplink, gateway, true).unwrap();
    let peer = ("eth0", [2, 0, 0, 0, 0, 2], space.0.as_fd());
    route.add_pair(&Pair { name: "uplink0-port", bridge: uplink, mtu: 1500, peer }).unwrap();
    let mut theirs = space.within(|| Route::open().unwrap());
    let device = theirs.link("eth0").unwrap().unwrap().index;
    theirs.add_address(device, "192.0.2.2/24".parse().unwrap(), true).unwrap();
    theirs.set_up(device).unwrap();
    space
}

fn options(directory: &Path) -> Options {
    Options {
        bridge: "sampan0".to_owned(),
        mtu: None,
        range: "10.244.0.0/24".parse().unwrap(),
        not_masqueraded: vec!["10.244.0.0/16".parse().unwrap()],
        service_range: Some("10.96.0.0/12".parse().unwrap()),
        directory: directory.join("network"),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn attach(network: &Network, uid: &str, pod: &Space, ports: &[Port]) -> String {
    let addresses = wait(network.attach(uid, &pod.path(), ports)).unwrap();
    assert_eq!(addresses.len(), 1);
    addresses[0].to_string()
}

fn port(host_port: u16, container_port: u16) -> Port {
    Port { protocol: Protocol::Tcp, container_port, host_port, host_ip: None }
}

fn service(address: &str, port: u16, endpoints: &[String]) -> ServicePort {
    ServicePort {
        protocol: Protocol::Tcp,
        addresses: vec![address.parse().unwrap()],
        port,
        node_port: None,
        endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
    }
}

fn links() -> Vec<String> {
    let mut names: Vec<_> =
        Route::open().unwrap().links().unwrap().into_iter().map(|link| link.name).collect();
    names.sort();
    names
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory.join("network")).unwrap().count()
}

#[test]
fn pods_reach_each_other_the_node_and_the_world_outside_as_root() {
    on_both_machines(|| {
        let directory = tempfile::tempdir().unwrap();
        let outside = outside();
        let network = Network::open(options(directory.path())).unwrap();
        let (one, two) = (Space::new(), Space::new());
        assert_eq!(attach(&network, "one", &one, &[]), "10.244.0.2");
        assert_eq!(attach(&network, "two", &two, &[]), "10.244.0.3");
        let in_two = two.listen(80);
        assert_eq!(one.reach("10.244.0.3:80", &in_two), "10.244.0.2");
        assert_eq!(reach("10.244.0.3:80", &in_two), "10.244.0.1");
        assert_eq!(two.reach("127.0.0.1:80", &in_two), "127.0.0.1");
        let on_node = listen(81);
        assert_eq!(one.reach("10.244.0.1:81", &on_node), "10.244.0.2");
        assert_eq!(one.reach("192.0.2.1:81", &on_node), "10.244.0.2");
        // Whoever is outside sees the machine.
        assert_eq!(two.reach("192.0.2.2:82", &outside.listen(82)), "192.0.2.1");
    });
}

#[test]
fn a_restart_finds_the_addresses_again_and_leaves_the_devices_alone_as_root() {
    on_a_machine(|| {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (Space::new(), Space::new());
        let network = Network::open(options(directory.path())).unwrap();
        attach(&network, "one", &one, &[port(8080, 80)]);
        let open = connect("10.244.0.2:80").err();
        assert_eq!(open.map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
        let before = Route::open().unwrap().links().unwrap();
        drop(network);
        let network = Network::open(options(directory.path())).unwrap();
        assert_eq!(reach("127.0.0.1:8080", &one.listen(80)), "10.244.0.1");
        assert_eq!(attach(&network, "one", &one, &[port(8080, 80)]), "10.244.0.2");
        assert_eq!(Route::open().unwrap().links().unwrap(), before);
        assert_eq!(attach(&network, "two", &two, &[]), "10.244.0.3");
        // A sandbox that was made anew.
        let anew = Space::new();
        assert_eq!(attach(&network, "one", &anew, &[]), "10.244.0.2");
        assert_eq!(two.reach("10.244.0.2:80", &anew.listen(80)), "10.244.0.3");
        assert!(connect("127.0.0.1:8080").is_err());
        // Another range is another network.
        drop(network);
        let other = Options { range: "10.245.0.0/24".parse().unwrap(), ..options(directory.path()) };
        let network = Network::open(other).unwrap();
        assert_eq!(files(directory.path()), 0);
        assert_eq!(attach(&network, "two", &two, &[]), "10.245.0.2");
    });
}

#[test]
fn nothing_is_left_of_a_pod_that_is_detached_as_root() {
    on_a_machine(|| {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::open(options(directory.path())).unwrap();
        let (links_before, rules_before) = (links(), nft::tests::dump());
        let pods: Vec<_> = (0..4).map(|_| Space::new()).collect();
        for (index, pod) in pods.iter().enumerate() {
            attach(&network, &format!("pod-{index}"), pod, &[port(8000 + u16::try_from(index).unwrap(), 80)]);
        }
        assert_eq!(links().len(), links_before.len() + 4);
        assert_eq!(files(directory.path()), 4);
        assert_ne!(nft::tests::dump(), rules_before);

        wait(network.detach("pod-0")).unwrap();
        wait(network.detach("pod-0")).unwrap();
        wait(network.detach("never-there")).unwrap();
        assert_eq!(files(directory.path()), 3);
        // One whose record is lost, and one whose namespace is gone.
        std::fs::remove_file(directory.path().join("network/pod-1")).unwrap();
        drop(network);
        drop(pods);
        let network = Network::open(options(directory.path())).unwrap();
        wait(network.retain(&["pod-3".to_owned()])).unwrap();
        assert_eq!(files(directory.path()), 1);
        wait(network.retain(&[])).unwrap();
        assert_eq!((links(), files(directory.path())), (links_before, 0));
        assert_eq!(nft::tests::dump(), rules_before);
    });
}

#[test]
fn a_full_range_says_so_until_somebody_leaves_as_root() {
    on_a_machine(|| {
        let directory = tempfile::tempdir().unwrap();
        let network =
            Network::open(Options { range: "10.244.7.0/29".parse().unwrap(), ..options(directory.path()) })
                .unwrap();
        let pods: Vec<_> = (0..6).map(|_| Space::new()).collect();
        for (index, pod) in pods[..5].iter().enumerate() {
            attach(&network, &index.to_string(), pod, &[]);
        }
        let full = wait(network.attach("5", &pods[5].path(), &[])).unwrap_err();
        assert_eq!(full.to_string(), "no address is free in 10.244.7.0/29");
        assert!(matches!(full, Error::Exhausted { .. }));
        assert_eq!(files(directory.path()), 5);
        wait(network.detach("3")).unwrap();
        assert_eq!(attach(&network, "5", &pods[5], &[]), "10.244.7.5");
    });
}

#[test]
fn a_port_of_the_host_is_reached_from_everywhere_as_root() {
    on_both_machines(|| {
        let directory = tempfile::tempdir().unwrap();
        let outside = outside();
        let network = Network::open(options(directory.path())).unwrap();
        let (one, two) = (Space::new(), Space::new());
        let at_one_address = Port { host_ip: Some("192.0.2.1".parse().unwrap()), ..port(8081, 80) };
        attach(&network, "one", &one, &[port(8080, 80), at_one_address, port(0, 9)]);
        attach(&network, "two", &two, &[]);
        let listener = one.listen(80);
        let node = |address: &str| reach(address, &listener);
        assert_eq!(node("127.0.0.1:8080"), "10.244.0.1");
        assert_eq!(node("192.0.2.1:8080"), "192.0.2.1");
        assert_eq!(node("192.0.2.1:8081"), "192.0.2.1");
        assert!(connect("127.0.0.1:8081").is_err());
        assert_eq!(outside.reach("192.0.2.1:8080", &listener), "192.0.2.2");
        assert_eq!(outside.reach("192.0.2.1:8081", &listener), "192.0.2.2");
        assert_eq!(two.reach("192.0.2.1:8080", &listener), "10.244.0.3");
        assert_eq!(two.reach("10.244.0.1:8080", &listener), "10.244.0.3");
        assert_eq!(one.reach("192.0.2.1:8080", &listener), "10.244.0.1");
    });
}

#[test]
fn a_port_of_the_host_is_one_pods_as_root() {
    on_a_machine(|| {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::open(options(directory.path())).unwrap();
        let (one, two) = (Space::new(), Space::new());
        let at = |address: &str, port: Port| Port { host_ip: Some(address.parse().unwrap()), ..port };
        attach(&network, "one", &one, &[port(8080, 80), at("127.0.0.1", port(8081, 80))]);
        let udp = Port { protocol: Protocol::Udp, ..port(8080, 80) };
        for (name, ports, taken) in [
            ("the same", vec![port(8080, 81)], Some(8080)),
            ("at one address", vec![at("192.0.2.1", port(8080, 80))], Some(8080)),
            ("at every address", vec![at("0.0.0.0", port(8081, 80))], Some(8081)),
            ("its own twice", vec![port(9000, 80), port(9000, 81)], Some(9000)),
            ("another address", vec![at("127.0.0.2", port(8081, 80))], None),
            ("another protocol", vec![udp], None),
        ] {
            let outcome = wait(network.attach("two", &two.path(), &ports));
            match taken {
                Some(expected) => {
                    assert!(matches!(outcome, Err(Error::PortTaken { port }) if port == expected), "{name}");
                    assert_eq!(files(directory.path()), 1, "{name}");
                }
                None => assert!(outcome.is_ok(), "{name}: {outcome:?}"),
            }
        }
        wait(network.detach("one")).unwrap();
        attach(&network, "two", &two, &[port(8080, 81)]);
    });
}

#[test]
fn services_are_reached_by_pods_and_by_the_node_as_root() {
    on_both_machines(|| {
        let directory = tempfile::tempdir().unwrap();
        let outside = outside();
        let network = Network::open(options(directory.path())).unwrap();
        let (one, two) = (Space::new(), Space::new());
        attach(&network, "one", &one, &[]);
        attach(&network, "two", &two, &[]);
        // The API server, on the loopback only.
        let api = TcpListener::bind("127.0.0.1:6443").unwrap();
        let web = ServicePort {
            node_port: Some(30080),
            ..service("10.96.0.7", 80, &["10.244.0.3:8080".to_owned()])
        };
        let services = [
            service("10.96.0.1", 443, &["127.0.0.1:6443".to_owned()]),
            web,
            service("10.96.0.8", 80, &[]),
            service("10.96.0.9", 80, &["10.244.0.2:8080".to_owned(), "10.244.0.3:8080".to_owned()]),
        ];
        wait(network.set_services(services.to_vec())).unwrap();
        assert_eq!(one.reach("10.96.0.1:443", &api), "10.244.0.2");
        reach("10.96.0.1:443", &api);

        let in_two = two.listen(8080);
        assert_eq!(one.reach("10.96.0.7:80", &in_two), "10.244.0.2");
        assert_eq!(two.reach("10.96.0.7:80", &in_two), "10.244.0.1");
        assert_eq!(reach("10.96.0.7:80", &in_two), "10.244.0.1");
        assert_eq!(reach("127.0.0.1:30080", &in_two), "10.244.0.1");
        assert_eq!(outside.reach("192.0.2.1:30080", &in_two), "192.0.2.2");
        assert_eq!(one.reach("192.0.2.1:30080", &in_two), "10.244.0.2");

        let refused = |address: &str| {
            let error = connect(address).expect_err(address);
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{address}");
        };
        for address in ["10.96.0.8:80", "10.96.0.7:81", "10.96.1.1:80"] {
            refused(address);
            one.within(|| refused(address));
        }

        // Both of two, by chance.
        let in_one = one.listen(8080);
        for listener in [&in_one, &in_two] {
            listener.set_nonblocking(true).unwrap();
        }
        let mut seen = [false, false];
        while seen != [true, true] {
            let _client = one.within(|| connect("10.96.0.9:80").unwrap());
            for (listener, seen) in [&in_one, &in_two].iter().zip(&mut seen) {
                *seen |= listener.accept().is_ok();
            }
        }
        wait(network.set_services(Vec::new())).unwrap();
        refused("10.96.0.9:80");
    });
}

#[test]
fn datagrams_reach_services_as_root() {
    on_both_machines(|| {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::open(options(directory.path())).unwrap();
        let (one, two) = (Space::new(), Space::new());
        attach(&network, "one", &one, &[]);
        attach(&network, "two", &two, &[]);
        let dns = ServicePort {
            protocol: Protocol::Udp,
            ..service("10.96.0.10", 53, &["10.244.0.3:5353".to_owned()])
        };
        wait(network.set_services(vec![dns])).unwrap();
        let server = two.within(|| datagrams("0.0.0.0:5353"));
        let bind = || datagrams("0.0.0.0:0");
        for client in [one.within(bind), two.within(bind), bind()] {
            client.connect("10.96.0.10:53").unwrap();
            client.send(b"question").unwrap();
            let mut said = [0; 16];
            let (length, from) = server.recv_from(&mut said).unwrap();
            assert_eq!(&said[..length], b"question");
            server.send_to(b"answer", from).unwrap();
            // It is connected: an answer from elsewhere would not be heard.
            let length = client.recv(&mut said).unwrap();
            assert_eq!(&said[..length], b"answer");
        }
    });
}

#[test]
fn a_pod_sends_as_nobody_else_as_root() {
    on_both_machines(|| {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::open(options(directory.path())).unwrap();
        let (one, two, three) = (Space::new(), Space::new(), Space::new());
        attach(&network, "one", &one, &[]);
        attach(&network, "two", &two, &[]);
        attach(&network, "three", &three, &[]);
        let server = two.within(|| datagrams("0.0.0.0:7"));
        let heard = || {
            let mut said = [0; 32];
            let (length, from) = server.recv_from(&mut said).unwrap();
            assert_eq!((&said[..length], from.ip().to_string().as_str()), (&b"10.244.0.2"[..], "10.244.0.2"));
        };
        one.within(|| {
            let mut route = Route::open().unwrap();
            let device = route.link("eth0").unwrap().unwrap().index;
            let stolen = ["10.244.0.4", "10.244.0.99", "192.0.2.77"];
            for address in stolen {
                route.add_address(device, format!("{address}/32").parse().unwrap(), false).unwrap();
            }
            let direct =
                Way { destination: "10.244.0.0/24".parse().unwrap(), gateway: None, device, source: None };
            let send = |from: &str| {
                let socket = datagrams(&format!("{from}:0"));
                let to: SocketAddr = "10.244.0.3:7".parse().unwrap();
                socket.send_to(from.as_bytes(), to).unwrap();
            };
            // By way of the node, and past it; whom it asks for a way must know it.
            for _ in 0..2 {
                send("10.244.0.2");
                heard();
                send("10.244.0.99");
                send("192.0.2.77");
                send("10.244.0.4");
                route.add_route(&direct).unwrap();
            }
            send("10.244.0.2");
            heard();
        });
    });
}

#[test]
fn the_loopback_of_the_node_is_its_own_as_root() {
    on_both_machines(|| {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::open(options(directory.path())).unwrap();
        let one = Space::new();
        attach(&network, "one", &one, &[]);
        let server = datagrams("0.0.0.0:7");
        one.within(|| {
            // What a program that may do so would do to reach it.
            sysctl::set("ipv4/conf/eth0/route_localnet", "1").unwrap();
            let mut route = Route::open().unwrap();
            let device = route.link("eth0").unwrap().unwrap().index;
            let gateway = Some("10.244.0.1".parse().unwrap());
            let way = Way { destination: "127.0.0.5/32".parse().unwrap(), gateway, device, source: None };
            route.add_route(&way).unwrap();
            let loopback = route.link("lo").unwrap().unwrap();
            route.set_down(loopback.index).unwrap();
            let socket = datagrams("10.244.0.2:0");
            socket.send_to(b"stolen", "127.0.0.5:7").unwrap();
            socket.send_to(b"allowed", "10.244.0.1:7").unwrap();
        });
        let mut said = [0; 32];
        let (length, _) = server.recv_from(&mut said).unwrap();
        assert_eq!(&said[..length], b"allowed");
    });
}

#[test]
fn fifty_pods_come_at_once_and_go_as_root() {
    on_a_machine(|| {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::open(options(directory.path())).unwrap();
        let before = links().len();
        let pods: Vec<_> = (0..50).map(|index| (format!("pod-{index}"), Space::new())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let attaching = pods.iter().map(|(uid, pod)| {
            let (network, uid, path) = (network.clone(), uid.clone(), pod.path());
            runtime.spawn(async move { network.attach(&uid, &path, &[]).await.unwrap()[0] })
        });
        let attaching: Vec<_> = attaching.collect();
        let mut addresses: Vec<_> =
            attaching.into_iter().map(|task| runtime.block_on(task).unwrap().to_string()).collect();
        let last = addresses.last().unwrap().clone();
        assert_eq!(pods[0].1.reach(&format!("{last}:80"), &pods[49].1.listen(80)), addresses[0]);
        addresses.sort();
        addresses.dedup();
        assert_eq!((addresses.len(), links().len()), (50, before + 50));
        wait(network.retain(&[])).unwrap();
        assert_eq!((links().len(), files(directory.path())), (before, 0));
    });
}

#[test]
fn what_cannot_be_is_said_in_one_sentence_as_root() {
    on_a_machine(|| {
        let directory = tempfile::tempdir().unwrap();
        let said = |options: Options| match Network::open(options).unwrap_err() {
            Error::Failed { context, source } => format!("{context}: {source}"),
            other => other.to_string(),
        };
        Route::open().unwrap().add_bridge("theirs", [2, 0, 0, 0, 0, 9], 1500).unwrap();
        let options = || options(directory.path());
        for (name, options, expected) in [
            ("a small range", Options { range: "10.0.0.0/31".parse().unwrap(), ..options() }, "is too small"),
            (
                "a long name",
                Options { bridge: "sampan-sampan-sampan".to_owned(), ..options() },
                "no name for a bridge",
            ),
            ("no bridge", Options { bridge: "lo".to_owned(), ..options() }, "another device of this name"),
            (
                "somebody's bridge",
                Options { bridge: "theirs".to_owned(), ..options() },
                "another bridge of this name",
            ),
        ] {
            let said = said(options);
            assert!(said.contains(expected), "{name}: {said}");
        }
        let network = Network::open(options()).unwrap();
        let pod = Space::new();
        for (uid, path, expected) in [
            ("../up", pod.path(), "is no UID"),
            ("one", "/proc/0/ns/net".into(), "cannot open /proc/0/ns/net"),
            ("one", "/proc/self/stat".into(), "cannot connect the pod to sampan0"),
        ] {
            let error = wait(network.attach(uid, &path, &[])).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        // What failed can be tried again.
        assert_eq!(attach(&network, "one", &pod, &[]), "10.244.0.2");
    });
}
