//! IP addresses and address ranges.
//!
//! Fields older than v1.33 accept what the first parsers of Go accepted (KEP-4858): leading zeros, and IPv4
//! written as IPv6. Everything else wants the canonical form (RFC 5952).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field_error::go_quote;
use crate::{FieldError, FieldPath};

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Reads an address, leading zeros allowed; IPv4 written as IPv6 becomes IPv4.
pub fn parse_ip_sloppy(value: &str) -> Option<IpAddr> {
    if let Ok(ip) = value.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    match value.rsplit_once(':') {
        None => parse_ipv4_sloppy(value).map(IpAddr::V4),
        Some((head, tail)) if tail.contains('.') => {
            let v4 = parse_ipv4_sloppy(tail)?;
            let v6: Ipv6Addr = format!("{head}:{v4}").parse().ok()?;
            Some(IpAddr::V6(v6).to_canonical())
        }
        Some(_) => None,
    }
}

fn parse_ipv4_sloppy(value: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = value.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| octets.into())
}

/// Reads an address and the length of its prefix, leading zeros allowed. For IPv4 written as IPv6 both are
/// converted, when the prefix reaches that far.
pub fn parse_cidr_sloppy(value: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = value.split_once('/')?;
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let length: u8 = match length.trim_start_matches('0') {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let ip = parse_ip_sloppy(address)?;
    match (ip, address.contains(':')) {
        (IpAddr::V4(v4), true) => match length.checked_sub(96) {
            Some(rest) if rest <= 32 => Some((ip, rest)),
            Some(_) => None,
            None => Some((IpAddr::V6(v4.to_ipv6_mapped()), length)),
        },
        (IpAddr::V4(_), false) => (length <= 32).then_some((ip, length)),
        (IpAddr::V6(_), _) => (length <= 128).then_some((ip, length)),
    }
}

/// The first address of the range.
fn masked(ip: IpAddr, length: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

fn is_mapped(value: &str) -> bool {
    value.parse::<Ipv6Addr>().is_ok_and(|ip| ip.to_ipv4_mapped().is_some())
}

fn strict_ip_complaint(value: &str) -> Option<&'static str> {
    if is_mapped(value) {
        Some("must not be an IPv4-mapped IPv6 address")
    } else if value.parse::<IpAddr>().is_err() {
        Some("must not have leading 0s")
    } else {
        None
    }
}

fn strict_cidr_complaint(value: &str, ip: IpAddr, length: u8) -> Option<&'static str> {
    let (address, length_text) = value.split_once('/')?;
    if address.parse::<IpAddr>().is_err() || (length_text.len() > 1 && length_text.starts_with('0')) {
        Some("must not have leading 0s in IP or prefix length")
    } else if is_mapped(address) {
        Some("must not have an IPv4-mapped IPv6 address")
    } else if masked(ip, length) != ip {
        Some("must not have bits set beyond the prefix length")
    } else {
        None
    }
}

/// An address in canonical form.
pub fn is_valid_ip(path: &FieldPath, value: &str) -> Vec<FieldError> {
    let errors = is_valid_ip_for_legacy_field(path, value, true, &[]);
    match parse_ip_sloppy(value) {
        Some(ip) if errors.is_empty() && ip.to_string() != value => {
            let detail = format!("must be in canonical form ({})", go_quote(&ip.to_string()));
            vec![FieldError::invalid(path, value, detail)]
        }
        _ => errors,
    }
}

/// An address in a field older than the strict rules. `strict` refuses leading zeros and IPv4 written as
/// IPv6, but not those that stood in the object before (`old`).
pub fn is_valid_ip_for_legacy_field(
    path: &FieldPath,
    value: &str,
    strict: bool,
    old: &[&str],
) -> Vec<FieldError> {
    if old.contains(&value) {
        return Vec::new();
    }
    if parse_ip_sloppy(value).is_none() {
        return vec![FieldError::invalid(path, value, NOT_AN_IP)];
    }
    let complaint = if strict { strict_ip_complaint(value) } else { None };
    complaint.map(|c| FieldError::invalid(path, value, c)).into_iter().collect()
}

/// A range of addresses in canonical form.
pub fn is_cidr(path: &FieldPath, value: &str) -> Vec<FieldError> {
    let errors = is_cidr_for_legacy_field(path, value, true, &[]);
    match parse_cidr_sloppy(value) {
        Some((ip, length)) if errors.is_empty() && format!("{ip}/{length}") != value => {
            let detail = format!("must be in canonical form (\"{ip}/{length}\")");
            vec![FieldError::invalid(path, value, detail)]
        }
        _ => errors,
    }
}

/// A range of addresses in a field older than the strict rules; see [`is_valid_ip_for_legacy_field`].
pub fn is_cidr_for_legacy_field(
    path: &FieldPath,
    value: &str,
    strict: bool,
    old: &[&str],
) -> Vec<FieldError> {
    if old.contains(&value) {
        return Vec::new();
    }
    let Some((ip, length)) = parse_cidr_sloppy(value) else {
        return vec![FieldError::invalid(path, value, NOT_A_CIDR)];
    };
    let complaint = if strict { strict_cidr_complaint(value, ip, length) } else { None };
    complaint.map(|c| FieldError::invalid(path, value, c)).into_iter().collect()
}

/// An address together with the length of its network's prefix, in canonical form: `192.168.1.5/24`.
pub fn is_interface_address(path: &FieldPath, value: &str) -> Vec<FieldError> {
    let Some((ip, length)) = parse_cidr_sloppy(value) else {
        return vec![FieldError::invalid(path, value, NOT_A_CIDR)];
    };
    let canonical = format!("{ip}/{length}");
    if canonical == value {
        return Vec::new();
    }
    vec![FieldError::invalid(path, value, format!("must be in canonical form (\"{canonical}\")"))]
}

/// An IPv4 address.
pub fn is_ipv4_address(path: &FieldPath, value: &str) -> Vec<FieldError> {
    if parse_ip_sloppy(value).is_some_and(|ip| ip.is_ipv4()) {
        return Vec::new();
    }
    vec![FieldError::invalid(path, value, "must be a valid IPv4 address")]
}

/// An IPv6 address.
pub fn is_ipv6_address(path: &FieldPath, value: &str) -> Vec<FieldError> {
    if parse_ip_sloppy(value).is_some_and(|ip| ip.is_ipv6()) {
        return Vec::new();
    }
    vec![FieldError::invalid(path, value, "must be a valid IPv6 address")]
}

/// Warnings about an address that is valid in an old field, but not in canonical form.
pub fn ip_warnings(path: &FieldPath, value: &str) -> Vec<String> {
    let Some(ip) = parse_ip_sloppy(value) else { return Vec::new() };
    let (quoted, canonical) = (go_quote(value), ip.to_string());
    if strict_ip_complaint(value).is_some() {
        vec![format!(
            "{path}: non-standard IP address {quoted} will be considered invalid in a future Kubernetes \
             release: use \"{canonical}\""
        )]
    } else if canonical != value {
        vec![format!(
            "{path}: IPv6 address {quoted} should be in RFC 5952 canonical format (\"{canonical}\")"
        )]
    } else {
        Vec::new()
    }
}

/// Warnings about a range that is valid in an old field, but not in canonical form.
pub fn cidr_warnings(path: &FieldPath, value: &str) -> Vec<String> {
    let Some((ip, length)) = parse_cidr_sloppy(value) else { return Vec::new() };
    let network = masked(ip, length);
    let quoted = go_quote(value);
    let mut warnings = Vec::new();
    if network != ip {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        warnings.push(format!(
            "{path}: CIDR value {quoted} is ambiguous in this context (should be \"{network}/{length}\" or \
             \"{ip}/{bits}\"?)"
        ));
    }
    let address = value.split_once('/').map_or(value, |(address, _)| address);
    let zeros = strict_cidr_complaint(value, network, length).is_some();
    if zeros || is_mapped(address) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {quoted} will be considered invalid in a future Kubernetes \
             release: use \"{network}/{length}\""
        ));
    }
    if warnings.is_empty() && format!("{ip}/{length}") != value {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {quoted} should be in RFC 5952 canonical format (\"{ip}/{length}\")"
        ));
    }
    warnings
}
