//! The one that owns the network's state: carries out what the handle says, and makes the machine match the records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::pool::Pool;
use super::record::{self, Record, Records};
use super::{Options, Port};
use crate::error::failed;
use crate::nft;
use crate::route::{Link, Mac, Pair, Route, Way};
use crate::rules::{self, HostPort};
use crate::service::ServicePort;
use crate::{Error, namespace, sysctl};

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the handle asks for.
#[derive(Debug)]
pub(super) enum Order {
    Attach { uid: String, namespace: PathBuf, ports: Vec<Port>, answer: Answer<Vec<IpAddr>> },
    Detach { uid: String, answer: Answer<()> },
    Retain { uids: BTreeSet<String>, answer: Answer<()> },
    Services { services: Vec<ServicePort>, answer: Answer<()> },
}

/// The pod's end of its pair.
const INSIDE: &str = "eth0";

/// Where there is no default route.
const DEFAULT_MTU: u32 = 1500;

/// The state.
pub(super) struct Worker {
    options: Options,
    mtu: u32,
    route: Route,
    nft: nft::Socket,
    pool: Pool,
    records: Records,
    pods: BTreeMap<String, Record>,
    services: Vec<ServicePort>,
}

impl Worker {
    pub(super) fn open(options: Options) -> Result<Self, Error> {
        let mut pool = Pool::new(options.range).ok_or_else(|| {
            failed(format!("the range of pods {} is too small", options.range))("a pod needs a /30 at least")
        })?;
        let name = &options.bridge;
        if name.is_empty() || name.len() > 15 || name.contains(['/', ' ']) {
            return Err(failed(format!("{name:?} is no name for a bridge"))("it has 1 to 15 bytes"));
        }
        let (records, mut pods) = Records::open(&options.directory)
            .map_err(failed(format!("cannot read {}", options.directory.display())))?;
        let lost: Vec<_> = pods
            .extract_if(.., |_, record| !own(record).is_some_and(|address| pool.take_again(address)))
            .collect();
        for (uid, Record { addresses, .. }) in lost {
            tracing::warn!(pod = uid, ?addresses, "a pod's addresses are not of this node's range any more");
            records.remove(&uid).map_err(failed("cannot remove the record of a pod's address"))?;
        }
        let mut route =
            Route::open().map_err(failed("cannot open a netlink socket to the kernel's routing"))?;
        let nft = nft::Socket::open()
            .map_err(failed("cannot open a netlink socket to nf_tables: does the kernel have it?"))?;
        let mtu = match options.mtu {
            Some(mtu) => mtu,
            None => default_mtu(&mut route).map_err(failed("cannot read the machine's routes"))?,
        };
        let mut worker = Self { options, mtu, route, nft, pool, records, pods, services: Vec::new() };
        worker.bridge()?;
        sysctl::set("ipv4/ip_forward", "1")?;
        let on_bridge = format!("ipv4/conf/{}", worker.options.bridge);
        sysctl::set(&format!("{on_bridge}/route_localnet"), "1")?;
        // Pods reach each other by way of the node, which is not to tell them a shorter one (and would count that among the refusals that it may
        // send). It does not if neither says so; every other device goes on by its own switch.
        for devices in ["ipv4/conf/all", on_bridge.as_str()] {
            sysctl::set(&format!("{devices}/send_redirects"), "0")?;
        }
        worker.apply()?;
        Ok(worker)
    }

    /// Until every handle is gone.
    pub(super) fn run(&mut self, mut orders: mpsc::Receiver<Order>) {
        // Whoever asked may not wait any more.
        while let Some(order) = orders.blocking_recv() {
            match order {
                Order::Attach { uid, namespace, ports, answer } => {
                    let _ = answer.send(self.attach(&uid, &namespace, &ports));
                }
                Order::Detach { uid, answer } => {
                    let _ = answer.send(self.detach(&uid));
                }
                Order::Retain { uids, answer } => {
                    let _ = answer.send(self.retain(&uids));
                }
                Order::Services { services, answer } => {
                    self.services = services;
                    let _ = answer.send(self.apply());
                }
            }
        }
    }

    fn attach(&mut self, uid: &str, namespace: &Path, ports: &[Port]) -> Result<Vec<IpAddr>, Error> {
        if !record::is_uid(uid) {
            return Err(failed(format!("{uid:?} is no UID"))("it has letters, digits, dashes"));
        }
        let address = self.assign(uid, ports)?;
        // Rules first: there is no moment in which the pod could send what is not its own.
        self.apply()?;
        let context = || format!("cannot connect the pod to {}", self.options.bridge);
        let connected = failed(context());
        let inside = File::open(namespace).map_err(failed(format!("cannot open {}", namespace.display())))?;
        let bridge = self.bridge()?;
        self.connect(uid, address, &bridge, inside.as_fd()).map_err(connected)?;
        Ok(vec![IpAddr::V4(address)])
    }

    /// The pod's address; a new one is written down first.
    fn assign(&mut self, uid: &str, ports: &[Port]) -> Result<Ipv4Addr, Error> {
        let ports: Vec<_> = ports.iter().filter(|port| port.host_port != 0).copied().collect();
        for (index, port) in ports.iter().enumerate() {
            let others = self.pods.iter().filter(|(other, _)| *other != uid).flat_map(|(_, pod)| &pod.ports);
            if others.chain(&ports[..index]).any(|other| collide(port, other)) {
                return Err(Error::PortTaken { port: port.host_port });
            }
        }
        let known = self.pods.get(uid);
        if let Some((record, address)) = known.and_then(|record| Some((record, own(record)?)))
            && record.ports == ports
        {
            return Ok(address);
        }
        let before = known.and_then(own);
        let address = before
            .or_else(|| self.pool.take())
            .ok_or_else(|| Error::Exhausted { range: self.pool.range().to_string() })?;
        let record = Record { addresses: vec![IpAddr::V4(address)], ports };
        if let Err(error) = self.records.write(uid, &record) {
            if before.is_none() {
                self.pool.give_back(address);
            }
            return Err(failed("cannot write down the pod's address")(error));
        }
        self.pods.insert(uid.to_owned(), record);
        Ok(address)
    }

    /// Each step may have been done before.
    fn connect(
        &mut self,
        uid: &str,
        address: Ipv4Addr,
        bridge: &Link,
        inside: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let name = self.link_name(uid);
        let mut theirs = namespace::within(inside, Route::open)?;
        let mut ours = self.route.link(&name)?;
        let far = theirs.link(INSIDE)?;
        let paired = ours.as_ref().zip(far.as_ref()).is_some_and(|(ours, far)| {
            ours.peer == Some(far.index)
                && far.peer == Some(ours.index)
                && ours.controller == Some(bridge.index)
                && far.mac == Some(mac(address))
        });
        if !paired {
            // What an earlier namespace of the pod left.
            self.route.delete_link(&name)?;
            let peer = (INSIDE, mac(address), inside);
            self.route.add_pair(&Pair { name: &name, bridge: bridge.index, mtu: self.mtu, peer })?;
            ours = self.route.link(&name)?;
        }
        let ours = ours.ok_or_else(|| io::Error::other(format!("{name} is gone")))?;
        self.route.set_hairpin(ours.index)?;

        let gateway = self.pool.gateway();
        let missing = |name: &str| io::Error::other(format!("the pod has no device {name}"));
        let far = theirs.link(INSIDE)?.ok_or_else(|| missing(INSIDE))?.index;
        let loopback = theirs.link("lo")?.ok_or_else(|| missing("lo"))?.index;
        theirs.set_up(loopback)?;
        // Not on the link: packets to other pods pass the node, so that answers of services are translated back, and policies see them.
        let address = net(address, self.pool.range().prefix_len());
        theirs.add_address(far, address, false)?;
        theirs.set_up(far)?;
        let way = |destination, gateway| Way { destination, gateway, device: far, source: None };
        theirs.add_route(&way(net(gateway, 32), None))?;
        theirs.add_route(&way(net(Ipv4Addr::UNSPECIFIED, 0), Some(gateway)))?;
        Ok(())
    }

    fn detach(&mut self, uid: &str) -> Result<(), Error> {
        let name = self.link_name(uid);
        self.route.delete_link(&name).map_err(failed(format!("cannot remove the device {name}")))?;
        let Some(record) = self.pods.get(uid) else { return Ok(()) };
        let address = own(record);
        // The file goes last: without it nobody would come back to what is left.
        let removed = self.pods.remove(uid);
        if let Err(error) = self.apply().and_then(|()| {
            self.records.remove(uid).map_err(failed("cannot remove the record of the pod's address"))
        }) {
            self.pods.extend(removed.map(|record| (uid.to_owned(), record)));
            return Err(error);
        }
        if let Some(address) = address {
            self.pool.give_back(address);
        }
        Ok(())
    }

    fn retain(&mut self, uids: &BTreeSet<String>) -> Result<(), Error> {
        let gone: Vec<_> = self.pods.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
        for uid in gone {
            self.detach(&uid)?;
        }
        // Devices of pods whose records are lost.
        let kept: BTreeSet<_> = uids.iter().map(|uid| self.link_name(uid)).collect();
        let bridge = self.bridge()?.index;
        let links = self.route.links().map_err(failed("cannot list the machine's devices"))?;
        for link in links.iter().filter(|link| link.controller == Some(bridge) && !kept.contains(&link.name))
        {
            self.route
                .delete_link(&link.name)
                .map_err(failed(format!("cannot remove the device {}", link.name)))?;
        }
        Ok(())
    }

    /// The bridge, made if it is not there.
    fn bridge(&mut self) -> Result<Link, Error> {
        let name = self.options.bridge.clone();
        let context = format!(
            "cannot make the bridge {name}: may this process change the network, and does the kernel have bridges?"
        );
        self.make_bridge(&name).map_err(failed(context))
    }

    fn make_bridge(&mut self, name: &str) -> io::Result<Link> {
        let gateway = self.pool.gateway();
        if let Some(link) = self.route.link(name)? {
            if !link.is_bridge {
                return Err(io::Error::other("there is another device of this name"));
            }
            match link.mac {
                Some(own) if own == mac(gateway) => {}
                // Of an earlier range.
                Some([0x0a, 0x58, ..]) => self.route.delete_link(name)?,
                _ => return Err(io::Error::other("there is another bridge of this name")),
            }
        }
        // Each step may have been done before.
        if self.route.link(name)?.is_none() {
            self.route.add_bridge(name, mac(gateway), self.mtu)?;
        }
        let link = self.route.link(name)?.ok_or_else(|| io::Error::other("it is gone"))?;
        self.route.set_up(link.index)?;
        self.route.add_address(link.index, net(gateway, self.pool.range().prefix_len()), true)?;
        if let Some(range) = self.options.service_range {
            // Programs on the machine find a way to services, even if it has no default route; rules translate before anything is sent.
            let way =
                Way { destination: range.trunc(), gateway: None, device: link.index, source: Some(gateway) };
            self.route.add_route(&way)?;
        }
        Ok(link)
    }

    /// Makes the rules what the state means.
    fn apply(&mut self) -> Result<(), Error> {
        let pods = self.pods.iter().filter_map(|(uid, record)| {
            let address = own(record)?;
            let host_ports = record.ports.iter().map(|port| HostPort {
                protocol: port.protocol,
                address: host_address(port),
                port: port.host_port,
                container_port: port.container_port,
            });
            Some(rules::Pod {
                address,
                mac: mac(address),
                link: self.link_name(uid),
                host_ports: host_ports.collect(),
            })
        });
        let state = rules::State {
            bridge: self.options.bridge.clone(),
            range: self.pool.range(),
            not_masqueraded: self.options.not_masqueraded.clone(),
            service_range: self.options.service_range,
            pods: pods.collect(),
            services: self.services.clone(),
        };
        self.nft.apply(rules::tables(&state)).map_err(failed(
            "cannot set rules of nf_tables: does the kernel have NAT, and tables of bridges?",
        ))
    }

    /// Of 15 bytes, as many as there may be. Networks of other bridges have other names.
    fn link_name(&self, uid: &str) -> String {
        let digest = Sha256::digest(format!("{}/{uid}", self.options.bridge));
        digest.iter().take(6).fold("pod".to_owned(), |name, byte| format!("{name}{byte:02x}"))
    }
}

fn own(record: &Record) -> Option<Ipv4Addr> {
    record.addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    })
}

/// A hardware address that follows from the address, so that who has the address anew is reached at once. It is a local one.
fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

fn net(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, prefix)
}

fn host_address(port: &Port) -> Option<IpAddr> {
    port.host_ip.filter(|address| !address.is_unspecified())
}

/// Whether two ports of the host are the same for somebody.
fn collide(one: &Port, other: &Port) -> bool {
    let same_place = match (host_address(one), host_address(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    one.protocol == other.protocol && one.host_port == other.host_port && same_place
}

fn default_mtu(route: &mut Route) -> io::Result<u32> {
    let Some(device) = route.default_device()? else { return Ok(DEFAULT_MTU) };
    let found = route.links()?.into_iter().find(|link| link.index == device);
    Ok(found.map_or(DEFAULT_MTU, |link| link.mtu))
}
