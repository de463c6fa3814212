//! The expressions of which rules consist, and how the kernel wants them. They are shown as `nft --debug=netlink` shows them.

use std::fmt;

use super::attribute::Attributes;

/// One of the sixteen registers of four bytes in which a rule computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u8);

impl Register {
    /// The kernel's number, as it says it itself: of each four, the first is also one of the four registers of sixteen bytes.
    fn number(self) -> u32 {
        let index = u32::from(self.0);
        if index.is_multiple_of(4) { 1 + index / 4 } else { 8 + index }
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    /// Goes on in another chain, and comes back.
    Jump(String),
    /// Goes on in another chain, whose end is this chain's.
    Goto(String),
}

impl Verdict {
    /// NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN.
    fn attributes(&self) -> Attributes {
        let code = |code: i32| Attributes::default().number(1, code.cast_unsigned());
        match self {
            Self::Drop => code(0),
            Self::Accept => code(1),
            Self::Jump(chain) => code(-3).text(2, chain),
            Self::Goto(chain) => code(-4).text(2, chain),
        }
    }
}

/// A constant: bytes or a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Bytes(Vec<u8>),
    Verdict(Verdict),
}

impl Data {
    /// NFTA_DATA_VALUE or NFTA_DATA_VERDICT.
    pub(super) fn attributes(&self) -> Attributes {
        match self {
            Self::Bytes(bytes) => Attributes::default().bytes(1, bytes),
            Self::Verdict(verdict) => Attributes::default().nested(2, &verdict.attributes()),
        }
    }
}

/// A part of a packet: which header, from which byte on, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    EtherSource,
    /// The sender's IPv4 address in an ARP packet.
    ArpSender,
    Source,
    Destination,
    /// Of TCP, UDP and SCTP alike.
    DestinationPort,
}

impl Field {
    /// NFT_PAYLOAD_LL_HEADER, _NETWORK_HEADER, _TRANSPORT_HEADER; offset; length.
    fn place(self) -> (u32, u32, u32) {
        match self {
            Self::EtherSource => (0, 6, 6),
            Self::ArpSender => (1, 14, 4),
            Self::Source => (1, 12, 4),
            Self::Destination => (1, 16, 4),
            Self::DestinationPort => (2, 2, 2),
        }
    }
}

/// What is known of a packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaKey {
    /// Ethernet's.
    Protocol,
    /// Sixteen bytes.
    InputName,
    /// Sixteen bytes.
    OutputName,
    TransportProtocol,
}

impl MetaKey {
    fn number(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::InputName => 6,
            Self::OutputName => 7,
            Self::TransportProtocol => 16,
        }
    }
}

/// A step of a rule. One that does not hold ends the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Payload {
        field: Field,
        to: Register,
    },
    Meta {
        key: MetaKey,
        to: Register,
    },
    Mask {
        register: Register,
        mask: Vec<u8>,
    },
    Compare {
        register: Register,
        equal: bool,
        value: Vec<u8>,
    },
    /// Whether it is in a set; in a map, what stands there goes to the register.
    Lookup {
        set: String,
        key: Register,
        to: Option<Register>,
        inverted: bool,
    },
    /// In a map of verdicts.
    Decide {
        map: String,
        key: Register,
    },
    /// The type of the destination (RTN_LOCAL is 2).
    DestinationType {
        to: Register,
    },
    /// IPS_... of the connection.
    ConnectionStatus {
        to: Register,
    },
    /// A number below a limit.
    Random {
        below: u32,
        to: Register,
    },
    Verdict(Verdict),
    /// IPv4 address, and the port beside it.
    DestinationNat {
        address: Register,
        port: Register,
    },
    Masquerade,
    /// Says that the port is not reachable.
    Reject,
}

const NFPROTO_IPV4: u32 = 2;
/// NF_NAT_RANGE_PROTO_RANDOM_FULLY: two programs that ask the same server at once do not wait for each other.
const RANDOM_FULLY: u32 = 1 << 4;
/// NF_NAT_RANGE_PROTO_SPECIFIED is implied by a register for the port.
const DNAT: u32 = 1;

impl Expression {
    /// As an element of NFTA_RULE_EXPRESSIONS: name and data.
    pub(super) fn attributes(&self) -> Attributes {
        let (name, data) = self.encode();
        Attributes::default().text(1, name).nested(2, &data)
    }

    fn encode(&self) -> (&'static str, Attributes) {
        let empty = Attributes::default();
        match self {
            Self::Payload { field, to } => {
                let (base, offset, length) = field.place();
                ("payload", empty.number(1, to.number()).number(2, base).number(3, offset).number(4, length))
            }
            Self::Meta { key, to } => ("meta", empty.number(1, to.number()).number(2, key.number())),
            Self::Mask { register, mask } => {
                let length = u32::try_from(mask.len()).expect("a mask is an address");
                let bytes = |bytes: Vec<u8>| Data::Bytes(bytes).attributes();
                let numbers =
                    empty.number(1, register.number()).number(2, register.number()).number(3, length);
                ("bitwise", numbers.nested(4, &bytes(mask.clone())).nested(5, &bytes(vec![0; mask.len()])))
            }
            Self::Compare { register, equal, value } => {
                let value = Data::Bytes(value.clone()).attributes();
                ("cmp", empty.number(1, register.number()).number(2, u32::from(!equal)).nested(3, &value))
            }
            Self::Lookup { set, key, to, inverted } => {
                let mut data = empty.text(1, set).number(2, key.number());
                if let Some(to) = to {
                    data = data.number(3, to.number());
                }
                if *inverted {
                    data = data.number(5, 1);
                }
                ("lookup", data)
            }
            // The register of verdicts is 0.
            Self::Decide { map, key } => ("lookup", empty.text(1, map).number(2, key.number()).number(3, 0)),
            Self::DestinationType { to } => {
                ("fib", empty.number(1, to.number()).number(2, 3).number(3, 1 << 1))
            }
            Self::ConnectionStatus { to } => ("ct", empty.number(1, to.number()).number(2, 2)),
            Self::Random { below, to } => {
                ("numgen", empty.number(1, to.number()).number(2, *below).number(3, 1).number(4, 0))
            }
            Self::Verdict(verdict) => {
                let value = Data::Verdict(verdict.clone()).attributes();
                ("immediate", empty.number(1, 0).nested(2, &value))
            }
            Self::DestinationNat { address, port } => (
                "nat",
                empty
                    .number(1, DNAT)
                    .number(2, NFPROTO_IPV4)
                    .number(3, address.number())
                    .number(5, port.number()),
            ),
            Self::Masquerade => ("masq", empty.number(1, RANDOM_FULLY)),
            // NFT_REJECT_ICMP_UNREACH, ICMP_PORT_UNREACH.
            Self::Reject => ("reject", empty.number(1, 0).bytes(2, &[3])),
        }
    }
}

/// Bytes as a number in hexadecimal.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => Hex(bytes).fmt(f),
            Self::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload { field, to } => write!(f, "{to} = {field:?}"),
            Self::Meta { key, to } => write!(f, "{to} = {key:?}"),
            Self::Mask { register, mask } => write!(f, "{register} &= {}", Hex(mask)),
            Self::Compare { register, equal, value } => {
                write!(f, "{register} {} {}", if *equal { "==" } else { "!=" }, Hex(value))
            }
            Self::Lookup { set, key, to, inverted } => {
                if let Some(to) = to {
                    write!(f, "{to} = ")?;
                }
                write!(f, "{key} {}in {set}", if *inverted { "not " } else { "" })
            }
            Self::Decide { map, key } => write!(f, "{key} decides in {map}"),
            Self::DestinationType { to } => write!(f, "{to} = DestinationType"),
            Self::ConnectionStatus { to } => write!(f, "{to} = ConnectionStatus"),
            Self::Random { below, to } => write!(f, "{to} = random below {below}"),
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::DestinationNat { address, port } => write!(f, "dnat to {address} : {port}"),
            Self::Masquerade => f.write_str("masquerade"),
            Self::Reject => f.write_str("reject"),
        }
    }
}
