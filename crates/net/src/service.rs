//! Services as the network knows them: where they are reached, and by whom they are answered.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What ports are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// The default of the API.
    Tcp,
    /// Datagrams.
    Udp,
    /// Streams of messages.
    Sctp,
}

impl Protocol {
    /// By the name that the API has for it; nothing is TCP.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "" | "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// IANA's number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// What it is of.
    pub protocol: Protocol,
    /// Where it is reached: its cluster addresses, external addresses, those of load balancers.
    pub addresses: Vec<IpAddr>,
    /// The port at these addresses.
    pub port: u16,
    /// The port at every address of the node.
    pub node_port: Option<u16>,
    /// Who answers; nobody means that it is refused.
    pub endpoints: Vec<SocketAddr>,
}
