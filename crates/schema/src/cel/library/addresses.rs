//! IP addresses and ranges of them. As upstream has it, no zones, and no IPv4 addresses in the clothes of IPv6.

use std::fmt;
use std::net::IpAddr;

use cel::common::types::{CelBool, CelInt, CelString, Type};
use cel::{DeclarationError, Env, ExecutionError};

use super::{Of, Own, failed};

static IP_KIND: Type = Type::new_unspecified_type("net.IP");
static CIDR_KIND: Type = Type::new_unspecified_type("net.CIDR");

/// An address and the length of its prefix.
#[derive(Debug, Clone, PartialEq)]
struct Range {
    address: IpAddr,
    prefix: u8,
}

impl Own for IpAddr {
    fn kind() -> &'static Type {
        &IP_KIND
    }
}

impl Own for Range {
    fn kind() -> &'static Type {
        &CIDR_KIND
    }
}

type Ip = Of<IpAddr>;
type Cidr = Of<Range>;

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_overload!(env, fn ip: (CelString) -> Result<Ip>)?;
    cel::add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    cel::add_overload!(env, fn is_canonical: (CelString) -> Result<CelBool>, name = "ip.isCanonical")?;
    cel::add_overload!(env, fn ip_text: (Ip) -> CelString, name = "string", id = "ip_to_string")?;
    cel::add_member_overload!(env, fn family: (Ip) -> CelInt)?;
    cel::add_member_overload!(env, fn is_unspecified: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_loopback: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_link_local_multicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_link_local_unicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_global_unicast: (Ip) -> CelBool)?;
    cel::add_overload!(env, fn cidr: (CelString) -> Result<Cidr>)?;
    cel::add_overload!(env, fn is_cidr: (CelString) -> CelBool, name = "isCIDR")?;
    cel::add_overload!(env, fn cidr_text: (Cidr) -> CelString, name = "string", id = "cidr_to_string")?;
    cel::add_member_overload!(env, fn contains_ip: (Cidr, Ip) -> CelBool, name = "containsIP")?;
    cel::add_member_overload!(env, fn contains_ip_text: (Cidr, CelString) -> Result<CelBool>, name = "containsIP")?;
    cel::add_member_overload!(env, fn contains_cidr: (Cidr, Cidr) -> CelBool, name = "containsCIDR")?;
    cel::add_member_overload!(env, fn contains_cidr_text: (Cidr, CelString) -> Result<CelBool>, name = "containsCIDR")?;
    cel::add_member_overload!(env, fn cidr_ip: (Cidr) -> Ip, name = "ip")?;
    cel::add_member_overload!(env, fn masked: (Cidr) -> Cidr)?;
    cel::add_member_overload!(env, fn prefix_length: (Cidr) -> CelInt)
}

fn address(text: &str) -> Result<IpAddr, String> {
    let quoted = sampan_model::field_error::go_quote(text);
    if text.contains('%') {
        return Err(format!("IP address {quoted} with zone value is not allowed"));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        format!("IP Address {quoted} parse error during conversion from string: unable to parse IP")
    })?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {quoted} is not allowed"))
        }
        _ => Ok(address),
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let quoted = sampan_model::field_error::go_quote(text);
            format!("network address parse error during conversion from string: netip.ParsePrefix({quoted})")
        };
        let (host, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address = address(host)?;
        let is_plain =
            prefix.bytes().all(|b| b.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|p| is_plain && *p <= longest).ok_or_else(wrong)?;
        Ok(Self { address, prefix })
    }

    fn masked(&self) -> Self {
        Self { address: first(self.address, self.prefix), prefix: self.prefix }
    }

    fn contains(&self, other: IpAddr) -> bool {
        other.is_ipv4() == self.address.is_ipv4() && first(other, self.prefix) == self.masked().address
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// An address with nothing but its prefix.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

fn ip(text: &CelString<'_>) -> Result<Ip, ExecutionError> {
    address(text.inner()).map(Of).map_err(|e| failed("ip", e))
}

fn is_ip(text: &CelString<'_>) -> CelBool {
    address(text.inner()).is_ok().into()
}

fn is_canonical(text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let address = address(text.inner()).map_err(|e| failed("ip.isCanonical", e))?;
    Ok((address.to_string() == text.inner()).into())
}

fn ip_text(this: &Ip) -> CelString<'static> {
    this.0.to_string().into()
}

fn family(this: &Ip) -> CelInt {
    (if this.0.is_ipv4() { 4 } else { 6 }).into()
}

fn is_unspecified(this: &Ip) -> CelBool {
    this.0.is_unspecified().into()
}

fn is_loopback(this: &Ip) -> CelBool {
    this.0.is_loopback().into()
}

fn is_link_local_multicast(this: &Ip) -> CelBool {
    let is = match this.0 {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    };
    is.into()
}

fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_unicast(this: &Ip) -> CelBool {
    is_near(this.0).into()
}

fn is_global_unicast(this: &Ip) -> CelBool {
    let special = this.0.is_unspecified() || this.0.is_loopback() || this.0.is_multicast() || is_near(this.0);
    let everybody = matches!(this.0, IpAddr::V4(v4) if v4.is_broadcast());
    (!special && !everybody).into()
}

fn cidr(text: &CelString<'_>) -> Result<Cidr, ExecutionError> {
    Range::parse(text.inner()).map(Of).map_err(|e| failed("cidr", e))
}

fn is_cidr(text: &CelString<'_>) -> CelBool {
    Range::parse(text.inner()).is_ok().into()
}

fn cidr_text(this: &Cidr) -> CelString<'static> {
    this.0.to_string().into()
}

fn contains_ip(this: &Cidr, other: &Ip) -> CelBool {
    this.0.contains(other.0).into()
}

fn contains_ip_text(this: &Cidr, other: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(contains_ip(this, &ip(other)?))
}

fn contains_cidr(this: &Cidr, other: &Cidr) -> CelBool {
    (this.0.contains(other.0.address) && this.0.prefix <= other.0.prefix).into()
}

fn contains_cidr_text(this: &Cidr, other: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(contains_cidr(this, &cidr(other)?))
}

fn cidr_ip(this: &Cidr) -> Ip {
    Of(this.0.address)
}

fn masked(this: &Cidr) -> Cidr {
    Of(this.0.masked())
}

fn prefix_length(this: &Cidr) -> CelInt {
    i64::from(this.0.prefix).into()
}
