//! Connects pods: the handle that callers have, and what they say.
//!
//! One thread owns the network's state and does everything, one thing after the other (`pods/worker.rs`): netlink is synchronous, and a namespace is
//! entered by threads, which no async runtime could use again.
//!
//! Which address and which host ports a pod has stands in a file a pod, written before they are used. They could be read off the machine, but an
//! address only by entering each pod's namespace, which may be gone while the shim's end is still to come, and host ports only by trusting rules that
//! anybody may have flushed. After a restart the files are the truth, and the machine is made to match.

mod pool;
mod record;
mod worker;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::Error;
use crate::error::failed;
use crate::service::{Protocol, ServicePort};
use worker::{Order, Worker};

/// Most calls that wait for the thread; more wait for their turn to wait.
const WAITING_ORDERS: usize = 64;

/// What a network is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the bridge: at most 15 bytes.
    pub bridge: String,
    /// The longest packets; `None` is what the device of the default route has.
    pub mtu: Option<u32>,
    /// The addresses of this node's pods (`10.244.0.0/24`); the first is the bridge's. IPv6 will be a second range beside it.
    pub range: Ipv4Net,
    /// Where pods are known by their own addresses: those of all nodes (`10.244.0.0/16`).
    pub not_masqueraded: Vec<Ipv4Net>,
    /// The addresses of services (`10.96.0.0/12`): the machine itself reaches them too.
    pub service_range: Option<Ipv4Net>,
    /// Where the assignments of pods are kept: `DIR/node/network`.
    pub directory: PathBuf,
}

/// A port of a pod. Without a host port it means nothing to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// What it is of.
    pub protocol: Protocol,
    /// Inside.
    pub container_port: u16,
    /// On the host; 0 is none.
    pub host_port: u16,
    /// The host's address; `None`, or all zeros, is every one.
    pub host_ip: Option<IpAddr>,
}

/// The pod network of this node. Clones are handles of the same network; it goes on working for pods when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Network {
    orders: mpsc::Sender<Order>,
}

impl Network {
    /// Makes the machine ready: the bridge, its address, forwarding, the rules for the pods that are known. It blocks for some milliseconds, and
    /// works in the network namespace of the calling thread.
    pub fn open(options: Options) -> Result<Self, Error> {
        let (orders, waiting) = mpsc::channel(WAITING_ORDERS);
        let mut worker = Worker::open(options)?;
        thread::Builder::new()
            .name("sampan-net".to_owned())
            .spawn(move || worker.run(waiting))
            .map_err(failed("cannot start the thread of the pod network"))?;
        Ok(Self { orders })
    }

    /// Connects the network namespace at `namespace` (such as `/proc/PID/ns/net`) and returns the pod's addresses. Repeated, it returns the same, and
    /// repairs what is missing; with another namespace, the pod moves there.
    pub async fn attach(&self, uid: &str, namespace: &Path, ports: &[Port]) -> Result<Vec<IpAddr>, Error> {
        let (uid, namespace, ports) = (uid.to_owned(), namespace.to_owned(), ports.to_vec());
        self.order(|answer| Order::Attach { uid, namespace, ports, answer }).await
    }

    /// Takes a pod off and gives its addresses back. The namespace may be gone; so may the pod.
    pub async fn detach(&self, uid: &str) -> Result<(), Error> {
        let uid = uid.to_owned();
        self.order(|answer| Order::Detach { uid, answer }).await
    }

    /// Takes off whoever is not among these.
    pub async fn retain(&self, uids: &[String]) -> Result<(), Error> {
        let uids = uids.iter().cloned().collect();
        self.order(|answer| Order::Retain { uids, answer }).await
    }

    /// Makes these the services that the node and its pods reach; all others are refused.
    pub async fn set_services(&self, services: Vec<ServicePort>) -> Result<(), Error> {
        self.order(|answer| Order::Services { services, answer }).await
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Order,
    ) -> Result<T, Error> {
        let gone = || failed("the thread of the pod network is gone")("it panicked");
        let (answer, outcome) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests;
