//! Links, addresses and routes, as this network needs them. It decides nothing and knows no pods.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::Ipv4Net;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;

use crate::netlink::{Connection, Content};

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// A socket of one network namespace.
pub(crate) struct Route(Connection);

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) is_bridge: bool,
    pub(crate) mac: Option<Mac>,
    pub(crate) mtu: u32,
    /// The bridge of which it is a port.
    pub(crate) controller: Option<u32>,
    /// The other end of a pair.
    pub(crate) peer: Option<u32>,
}

/// A pair of devices that is to be made.
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a str,
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    /// Name, hardware address and namespace of the other end.
    pub(crate) peer: (&'a str, Mac, BorrowedFd<'a>),
}

/// A route that is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) destination: Ipv4Net,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) device: u32,
    /// The address that programs on the machine use for it.
    pub(crate) source: Option<Ipv4Addr>,
}

impl Route {
    /// In the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Connection::open(NETLINK_ROUTE).map(Self)
    }

    pub(crate) fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.ask(RouteNetlinkMessage::GetLink(message), NLM_F_ACK) {
            Ok(answer) => Ok(answer.into_iter().find_map(link)),
            Err(error) if is(&error, Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        Ok(self.ask(message, NLM_F_DUMP)?.into_iter().filter_map(link).collect())
    }

    pub(crate) fn add_bridge(&mut self, name: &str, mac: Mac, mtu: u32) -> io::Result<()> {
        let mut message = up();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            // One of its own: else it would change as ports come and go.
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        self.tell(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes both ends, each where it belongs; the near one is a port of its bridge from the beginning.
    pub(crate) fn add_pair(&mut self, pair: &Pair<'_>) -> io::Result<()> {
        let (name, mac, namespace) = pair.peer;
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(pair.mtu),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        let mut message = up();
        message.attributes = vec![
            LinkAttribute::IfName(pair.name.to_owned()),
            LinkAttribute::Mtu(pair.mtu),
            LinkAttribute::Controller(pair.bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.tell(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Lets a port of a bridge send back what came from it.
    pub(crate) fn set_hairpin(&mut self, port: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = port;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
        ]));
        self.tell(RouteNetlinkMessage::NewLink(message), 0)
    }

    pub(crate) fn set_up(&mut self, device: u32) -> io::Result<()> {
        let mut message = up();
        message.header.index = device;
        self.tell(RouteNetlinkMessage::SetLink(message), 0)
    }

    #[cfg(test)]
    pub(crate) fn set_down(&mut self, device: u32) -> io::Result<()> {
        let mut message = up();
        message.header.index = device;
        message.header.flags = LinkFlags::empty();
        self.tell(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Removes a device, and the other end of its pair. One that is not there is no error.
    pub(crate) fn delete_link(&mut self, name: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.tell(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if is(&error, Errno::NODEV) => Ok(()),
            outcome => outcome,
        }
    }

    /// Gives a device an address. `on_link` says whether the rest of its range is reached directly.
    pub(crate) fn add_address(&mut self, device: u32, address: Ipv4Net, on_link: bool) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = address.prefix_len();
        message.header.index = device;
        message.attributes = vec![
            AddressAttribute::Address(IpAddr::V4(address.addr())),
            AddressAttribute::Local(IpAddr::V4(address.addr())),
            AddressAttribute::Broadcast(address.broadcast()),
        ];
        if !on_link {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
        }
        self.tell(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn add_route(&mut self, way: &Way) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = way.destination.prefix_len();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.header.scope = if way.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
        message.attributes.push(RouteAttribute::Oif(way.device));
        if way.destination.prefix_len() > 0 {
            let destination = RouteAddress::Inet(way.destination.network());
            message.attributes.push(RouteAttribute::Destination(destination));
        }
        message
            .attributes
            .extend(way.gateway.map(|address| RouteAttribute::Gateway(RouteAddress::Inet(address))));
        message
            .attributes
            .extend(way.source.map(|address| RouteAttribute::PrefSource(RouteAddress::Inet(address))));
        self.tell(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// The device through which the machine reaches everything else.
    pub(crate) fn default_device(&mut self) -> io::Result<Option<u32>> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let routes = self.ask(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)?;
        Ok(routes.into_iter().find_map(|answer| {
            let RouteNetlinkMessage::NewRoute(route) = answer else { return None };
            let header = &route.header;
            let default = header.destination_prefix_length == 0 && header.table == RouteHeader::RT_TABLE_MAIN;
            let device = route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(device) => Some(*device),
                _ => None,
            });
            device.filter(|_| default && header.address_family == AddressFamily::Inet)
        }))
    }

    fn tell(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | flags).map(drop)
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let sequence = self.0.next_sequence();
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes)?;
        let mut answers = Vec::new();
        loop {
            for message in self.0.receive()? {
                match message.content {
                    _ if message.sequence != sequence => {}
                    Content::Outcome(0) | Content::Done => return Ok(answers),
                    Content::Outcome(code) => return Err(io::Error::from_raw_os_error(-code)),
                    Content::Item { .. } => {
                        let decoded = NetlinkMessage::deserialize(&message.bytes);
                        if let NetlinkPayload::InnerMessage(answer) =
                            decoded.map_err(|error| io::Error::other(error.to_string()))?.payload
                        {
                            answers.push(answer);
                        }
                    }
                }
            }
        }
    }
}

fn up() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn link(answer: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = answer else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        is_bridge: false,
        mac: None,
        mtu: 0,
        controller: None,
        peer: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) => link.mac = mac.try_into().ok(),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                link.is_bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
            }
            _ => {}
        }
    }
    Some(link)
}

/// Whether an error is this one.
pub(crate) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
