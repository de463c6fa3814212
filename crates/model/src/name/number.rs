//! Numbers and the names of ports.

use super::{Complaints, inclusive_range_error, max_len_error, regex_error};

/// A number between two others, both included.
pub fn is_in_range(value: i64, low: i64, high: i64) -> Complaints {
    if (low..=high).contains(&value) { Vec::new() } else { vec![inclusive_range_error(low, high)] }
}

/// A number that is not negative.
pub fn is_non_negative(value: i64) -> Complaints {
    if value >= 0 { Vec::new() } else { vec!["must be greater than or equal to 0".to_owned()] }
}

/// The number of a port.
pub fn is_valid_port_num(port: i64) -> Complaints {
    is_in_range(port, 1, 65535)
}

/// The id of a user.
pub fn is_valid_user_id(uid: i64) -> Complaints {
    is_in_range(uid, 0, i64::from(u32::MAX))
}

/// The id of a group of users.
pub fn is_valid_group_id(gid: i64) -> Complaints {
    is_in_range(gid, 0, i64::from(u32::MAX))
}

/// The name of a port: an IANA service name (RFC 6335) in lower case.
pub fn is_valid_port_name(port: &str) -> Complaints {
    let mut complaints = Vec::new();
    if port.len() > 15 {
        complaints.push(max_len_error(15));
    }
    if port.is_empty() || !port.bytes().all(|b| super::is_lower_alnum(b) || b == b'-') {
        complaints.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !port.bytes().any(|b| b.is_ascii_lowercase()) {
        complaints.push("must contain at least one letter (a-z)".to_owned());
    }
    if port.contains("--") {
        complaints.push("must not contain consecutive hyphens".to_owned());
    }
    if port.starts_with('-') || port.ends_with('-') {
        complaints.push("must not begin or end with a hyphen".to_owned());
    }
    complaints
}

/// Digits and a percent sign.
pub fn is_valid_percent(percent: &str) -> Complaints {
    let digits = percent.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}
