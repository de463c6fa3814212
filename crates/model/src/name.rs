//! What names of objects may look like, said in apimachinery's own sentences (`util/validation`).
//!
//! Each check answers with the list of its complaints, empty when all is well (which costs no allocation).
//! The checks walk bytes; the regular expressions stand only in the texts that clients know.

mod ip;
mod key;
mod number;

pub use ip::{
    cidr_warnings, ip_warnings, is_cidr, is_cidr_for_legacy_field, is_interface_address, is_ipv4_address,
    is_ipv6_address, is_valid_ip, is_valid_ip_for_legacy_field, parse_cidr_sloppy, parse_ip_sloppy,
};
pub use key::{
    is_c_identifier, is_condition_reason, is_config_map_key, is_domain_prefixed_key, is_domain_prefixed_path,
    is_env_var_name, is_http_header_name, is_qualified_name, is_relaxed_env_var_name, is_valid_label_value,
};
pub use number::{
    is_in_range, is_non_negative, is_valid_group_id, is_valid_percent, is_valid_port_name, is_valid_port_num,
    is_valid_user_id,
};

use crate::{FieldError, FieldPath};

/// The complaints about one value; empty when there is none.
pub type Complaints = Vec<String>;

/// How the names of a kind are checked; `prefix` is true for a `generateName`, which more will follow.
pub type NameFn = fn(name: &str, prefix: bool) -> Complaints;

/// The length of a DNS label.
pub const DNS_LABEL_MAX: usize = 63;
/// The length of a DNS subdomain, and of most names.
pub const DNS_SUBDOMAIN_MAX: usize = 253;
/// The length of a label's value.
pub const LABEL_VALUE_MAX: usize = 63;

const LABEL_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_1123: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_UNDERSCORE: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const WILDCARD_1123: &str = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";

/// The sentence for a string that is too long. (Label keys and values count `bytes` in theirs.)
pub fn max_len_error(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// The sentence for a string of a wrong form: `message (e.g. 'a',  or 'b', regex used for validation is 'R')`.
pub fn regex_error(message: &str, regex: &str, examples: &[&str]) -> String {
    let mut text = String::with_capacity(message.len() + regex.len() + 64);
    text.push_str(message);
    text.push_str(" (");
    for (i, example) in examples.iter().enumerate() {
        text.push_str(if i == 0 { "e.g. '" } else { " or '" });
        text.push_str(example);
        text.push_str("', ");
    }
    text.push_str("regex used for validation is '");
    text.push_str(regex);
    text.push_str("')");
    text
}

/// The sentence for a number outside its range.
pub fn inclusive_range_error(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn is_lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// Whether `s` is not empty, begins with `first`, ends with `last`, and has only `inner` bytes.
fn has_form(s: &[u8], first: fn(u8) -> bool, inner: fn(u8) -> bool, last: fn(u8) -> bool) -> bool {
    match s {
        [] => false,
        [only] => first(*only),
        [a, rest @ .., z] => first(*a) && last(*z) && rest.iter().all(|b| inner(*b)),
    }
}

fn is_label_1123(s: &[u8]) -> bool {
    has_form(s, is_lower_alnum, |b| is_lower_alnum(b) || b == b'-', is_lower_alnum)
}

fn is_subdomain_1123(s: &str) -> bool {
    s.as_bytes().split(|b| *b == b'.').all(is_label_1123)
}

fn is_label_with_underscore(s: &[u8]) -> bool {
    let s = s.strip_prefix(b"_").unwrap_or(s);
    has_form(s, is_lower_alnum, |b| is_lower_alnum(b) || b == b'-' || b == b'_', is_lower_alnum)
}

/// A label of DNS as RFC 1123 has it: `my-name`, `123-abc`.
pub fn is_dns1123_label(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > DNS_LABEL_MAX {
        complaints.push(max_len_error(DNS_LABEL_MAX));
    }
    if !is_label_1123(value.as_bytes()) {
        complaints.push(if is_subdomain_1123(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                 and must start and end with an alphanumeric character",
                LABEL_1123,
                &["my-name", "123-abc"],
            )
        });
    }
    complaints
}

/// Labels of DNS with dots between them: `example.com`.
pub fn is_dns1123_subdomain(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        complaints.push(max_len_error(DNS_SUBDOMAIN_MAX));
    }
    if !is_subdomain_1123(value) {
        complaints.push(subdomain_error());
    }
    complaints
}

fn subdomain_error() -> String {
    regex_error(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
         and must start and end with an alphanumeric character",
        SUBDOMAIN_1123,
        &["example.com"],
    )
}

/// The same in upper or lower case, as the names of CSI drivers may be.
pub fn is_dns1123_subdomain_caseless(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        complaints.push(format!("must be no more than {DNS_SUBDOMAIN_MAX} bytes"));
    }
    if !is_subdomain_1123(&value.to_ascii_lowercase()) {
        complaints.push(regex_error(
            "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', \
             and must start and end with an alphanumeric character",
            SUBDOMAIN_1123,
            &["Example.com"],
        ));
    }
    complaints
}

/// A subdomain whose labels may have underscores, as DNS search domains do.
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        complaints.push(max_len_error(DNS_SUBDOMAIN_MAX));
    }
    if !value.as_bytes().split(|b| *b == b'.').all(is_label_with_underscore) {
        complaints.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' \
             or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_UNDERSCORE,
            &["example.com"],
        ));
    }
    complaints
}

/// A label of DNS as RFC 1035 has it: it begins with a letter.
pub fn is_dns1035_label(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > DNS_LABEL_MAX {
        complaints.push(max_len_error(DNS_LABEL_MAX));
    }
    let inner = |b| is_lower_alnum(b) || b == b'-';
    if !has_form(value.as_bytes(), |b| b.is_ascii_lowercase(), inner, is_lower_alnum) {
        complaints.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
             alphabetic character, and end with an alphanumeric character",
            LABEL_1035,
            &["my-name", "abc-123"],
        ));
    }
    complaints
}

/// `*.` and a subdomain.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        complaints.push(max_len_error(DNS_SUBDOMAIN_MAX));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain_1123) {
        complaints.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which \
             must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
             character",
            WILDCARD_1123,
            &["*.example.com"],
        ));
    }
    complaints
}

/// A domain of at least three labels.
pub fn is_fully_qualified_name(path: &FieldPath, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let complaints = is_dns1123_subdomain(name);
    if !complaints.is_empty() {
        return vec![FieldError::invalid(path, name, complaints.join(","))];
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        return vec![FieldError::invalid(path, name, detail)];
    }
    Vec::new()
}

/// A domain of at least two labels, with or without the final dot.
pub fn is_fully_qualified_domain_name(path: &FieldPath, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let complaints = is_dns1123_subdomain(name);
    if !complaints.is_empty() {
        return vec![FieldError::invalid(path, name, complaints.join(","))];
    }
    if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        return vec![FieldError::invalid(path, name, detail)];
    }
    for label in name.split('.') {
        let complaints = is_dns1123_label(label);
        if !complaints.is_empty() {
            return vec![FieldError::invalid(path, label, complaints.join(","))];
        }
    }
    Vec::new()
}

/// A name that can be a segment of a URL's path.
pub fn is_path_segment_name(name: &str) -> Complaints {
    match name {
        "." => vec!["may not be '.'".to_owned()],
        ".." => vec!["may not be '..'".to_owned()],
        _ => is_path_segment_prefix(name),
    }
}

/// The beginning of a name that can be a segment of a URL's path.
pub fn is_path_segment_prefix(name: &str) -> Complaints {
    let mut complaints = Vec::new();
    for forbidden in ['/', '%'] {
        if name.contains(forbidden) {
            complaints.push(format!("may not contain '{forbidden}'"));
        }
    }
    complaints
}

/// A `generateName` may end with a dash, since more follows.
fn without_trailing_dash(name: &str, prefix: bool) -> std::borrow::Cow<'_, str> {
    match name.strip_suffix('-') {
        // The byte before the dash goes too, as upstream has it; `a--` is therefore a good prefix.
        Some(stem) if prefix && name.len() >= 2 => {
            let end = stem.char_indices().next_back().map_or(0, |(i, _)| i);
            format!("{}a", &stem[..end]).into()
        }
        _ => name.into(),
    }
}

/// A [`NameFn`]: a DNS subdomain.
pub fn name_is_dns_subdomain(name: &str, prefix: bool) -> Complaints {
    is_dns1123_subdomain(&without_trailing_dash(name, prefix))
}

/// A [`NameFn`]: a DNS label as RFC 1123 has it.
pub fn name_is_dns_label(name: &str, prefix: bool) -> Complaints {
    is_dns1123_label(&without_trailing_dash(name, prefix))
}

/// A [`NameFn`]: a DNS label as RFC 1035 has it.
pub fn name_is_dns1035_label(name: &str, prefix: bool) -> Complaints {
    is_dns1035_label(&without_trailing_dash(name, prefix))
}

/// A [`NameFn`]: anything that can be a segment of a path. What the engine asks of every kind.
pub fn name_is_path_segment(name: &str, prefix: bool) -> Complaints {
    if prefix { is_path_segment_prefix(name) } else { is_path_segment_name(name) }
}

#[cfg(test)]
#[path = "name/tests.rs"]
mod tests;
