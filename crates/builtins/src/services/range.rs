//! Ranges of addresses (CIDRs).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses from which services get theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    v6: bool,
    first: u128,
    /// How many addresses there are, the first and (IPv4) the last, which are never given out, included.
    size: u128,
}

/// The family of an address as a service names it.
pub(super) fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv6() { "IPv6" } else { "IPv4" }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Range {
    /// From `10.96.0.0/12`.
    pub(super) fn parse(cidr: &str) -> Option<Self> {
        let (ip, bits) = cidr.split_once('/')?;
        let ip: IpAddr = ip.parse().ok()?;
        let width: u32 = if ip.is_ipv6() { 128 } else { 32 };
        let host_bits = width.checked_sub(bits.parse().ok()?)?;
        // Upstream as well looks at no more than 2^64 addresses of a range.
        let size = 1u128.checked_shl(host_bits.min(64))?;
        let first = number(ip) & u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(Self { v6: ip.is_ipv6(), first, size })
    }

    /// `IPv4` or `IPv6`.
    pub(super) fn family(&self) -> &'static str {
        if self.v6 { "IPv6" } else { "IPv4" }
    }

    /// Whether a service may have `ip`.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv6() == self.v6 && (1..=self.last()).contains(&number(ip).wrapping_sub(self.first))
    }

    /// The highest offset that is given out.
    fn last(&self) -> u128 {
        // The last address of an IPv4 range is its broadcast address.
        self.size.saturating_sub(if self.v6 { 1 } else { 2 })
    }

    fn at(&self, offset: u128) -> IpAddr {
        let number = self.first + offset;
        if self.v6 {
            IpAddr::V6(Ipv6Addr::from_bits(number))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)))
        }
    }

    /// The lower addresses are left to services that ask for one (KEP-3070).
    fn reserved(&self) -> u128 {
        if self.size < 16 { 0 } else { (self.size / 16).clamp(16, 256) }
    }

    /// Every address once: the upper ones from `start` round, then the lower ones.
    pub(super) fn addresses(self, start: u64) -> impl Iterator<Item = IpAddr> {
        let (low, high) = (self.reserved().min(self.last()), self.last());
        let upper = high - low;
        let start = if upper == 0 { 0 } else { u128::from(start) % upper };
        let upper = (0..upper).map(move |i| low + 1 + (start + i) % (high - low));
        upper.chain(1..=low).map(move |offset| self.at(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_gives_every_address_once_and_the_lower_ones_last() {
        let range = Range::parse("10.0.0.0/28").unwrap();
        let all: Vec<String> = range.addresses(5).map(|ip| ip.to_string()).collect();
        assert_eq!(all.len(), 14);
        assert!(
            !range.contains("10.0.0.0".parse().unwrap()) && !range.contains("10.0.0.15".parse().unwrap())
        );
        assert!(all.iter().all(|ip| range.contains(ip.parse().unwrap())));
        let wide = Range::parse("10.96.0.0/12").unwrap();
        assert_eq!(wide.addresses(0).next().unwrap().to_string(), "10.96.1.1");
        assert!(
            wide.contains("10.111.255.254".parse().unwrap()) && !wide.contains("10.112.0.1".parse().unwrap())
        );
        assert_eq!(Range::parse("fd00::/108").unwrap().family(), "IPv6");
        assert_eq!(Range::parse("nonsense"), None);
    }
}
