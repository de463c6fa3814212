//! The range of service addresses, as the user writes it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range in CIDR notation. Its first address belongs to the service `kubernetes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceRange {
    network: IpAddr,
    prefix: u8,
}

impl ServiceRange {
    /// The address of the service `kubernetes`.
    pub(crate) fn first(&self) -> IpAddr {
        self.at(1)
    }

    /// The range, if it is one of IPv4.
    pub(crate) fn v4(&self) -> Option<ipnet::Ipv4Net> {
        match self.network {
            IpAddr::V4(network) => ipnet::Ipv4Net::new(network, self.prefix).ok(),
            IpAddr::V6(_) => None,
        }
    }

    /// The address of the cluster's DNS: the tenth, or the second of a range that has no tenth.
    pub(crate) fn dns(&self) -> IpAddr {
        let bits = if self.network.is_ipv4() { 32 } else { 128 };
        self.at(if bits - self.prefix > 3 { 10 } else { 2 })
    }

    fn at(&self, place: u8) -> IpAddr {
        match self.network {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) + u32::from(place))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) + u128::from(place))),
        }
    }
}

impl FromStr for ServiceRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address range; write one such as 10.96.0.0/12");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        // As upstream: at least eight addresses, and an allocator needs no more than 2^20 of them.
        let (bits, network) = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                (32, IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask)))
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                (128, IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask)))
            }
            _ => return Err(wrong()),
        };
        let host_bits = bits - prefix;
        if host_bits < 3 {
            return Err(format!("{text} is too small for services; write one such as 10.96.0.0/12"));
        }
        if bits == 32 && prefix < 8 {
            return Err(format!("{text} is too large for services; write one such as 10.96.0.0/12"));
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for ServiceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_its_first_address_found() {
        let rows = [
            ("the default", "10.96.0.0/12", Some(("10.96.0.0/12", "10.96.0.1"))),
            ("host bits", "10.96.7.9/12", Some(("10.96.0.0/12", "10.96.0.1"))),
            ("IPv6", "fd00:10:96::/112", Some(("fd00:10:96::/112", "fd00:10:96::1"))),
            ("too small", "10.0.0.0/30", None),
            ("no prefix", "10.0.0.0", None),
            ("a prefix that is none", "10.0.0.0/33", None),
        ];
        for (name, text, want) in rows {
            let got = text.parse::<ServiceRange>().ok().map(|r| (r.to_string(), r.first().to_string()));
            assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())), "{name}");
        }
    }
}
