//! Keys: of labels and annotations, of config maps, of environment variables, of HTTP headers.

use super::{
    Complaints, DNS_SUBDOMAIN_MAX, LABEL_VALUE_MAX, has_form, is_dns1123_subdomain, is_subdomain_1123,
    max_len_error, regex_error, subdomain_error,
};
use crate::{FieldError, FieldPath};

const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const KEY_FORM: &str = "must consist of alphanumeric characters, '-', '_' or '.', \
                        and must start and end with an alphanumeric character";
const HTTP_PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

fn is_key_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn is_label_name(name: &str) -> bool {
    has_form(name.as_bytes(), |b| b.is_ascii_alphanumeric(), is_key_byte, |b| b.is_ascii_alphanumeric())
}

fn label_name_error() -> String {
    regex_error(KEY_FORM, LABEL_KEY, &["MyName", "my.name", "123-abc"])
}

/// A key of labels and annotations, or a finalizer: a name, or a DNS subdomain, a slash and a name.
pub fn is_qualified_name(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    let mut parts = value.split('/');
    let name = match (parts.next().unwrap_or(""), parts.next(), parts.next()) {
        (name, None, _) => name,
        (prefix, Some(name), None) => {
            if prefix.is_empty() {
                complaints.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > DNS_SUBDOMAIN_MAX {
                    complaints.push(format!("prefix part must be no more than {DNS_SUBDOMAIN_MAX} bytes"));
                }
                if !is_subdomain_1123(prefix) {
                    complaints.push(format!("prefix part {}", subdomain_error()));
                }
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' \
                 (e.g. 'example.com/MyName')",
                label_name_error()
            )];
        }
    };
    if name.is_empty() {
        complaints.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_VALUE_MAX {
        complaints.push(format!("name part must be no more than {LABEL_VALUE_MAX} bytes"));
    }
    if !is_label_name(name) {
        complaints.push(format!("name part {}", label_name_error()));
    }
    complaints
}

/// A label's value.
pub fn is_valid_label_value(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > LABEL_VALUE_MAX {
        complaints.push(format!("must be no more than {LABEL_VALUE_MAX} bytes"));
    }
    if !value.is_empty() && !is_label_name(value) {
        complaints.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
             and must start and end with an alphanumeric character",
            LABEL_VALUE,
            &["MyValue", "my_value", "12345"],
        ));
    }
    complaints
}

/// A key that has its domain: `example.com/key`.
pub fn is_domain_prefixed_key(path: &FieldPath, key: &str) -> Vec<FieldError> {
    if key.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let complaints = is_qualified_name(key);
    if complaints.is_empty() && !key.contains('/') {
        let detail = "must be a domain-prefixed key (such as \"acme.io/foo\")";
        return vec![FieldError::invalid(path, key, detail)];
    }
    complaints.into_iter().map(|c| FieldError::invalid(path, key, c)).collect()
}

/// A path that has its domain: `example.com/a/b`.
pub fn is_domain_prefixed_path(path: &FieldPath, value: &str) -> Vec<FieldError> {
    if value.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let Some((host, rest)) =
        value.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty())
    else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![FieldError::invalid(path, value, detail)];
    };
    let mut errors: Vec<FieldError> =
        is_dns1123_subdomain(host).into_iter().map(|c| FieldError::invalid(path, host, c)).collect();
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        errors.push(FieldError::invalid(path, rest, regex_error("Invalid path", HTTP_PATH, &[])));
    }
    errors
}

fn dots_at_start(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        v if v.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// A key of a ConfigMap or a Secret.
pub fn is_config_map_key(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        complaints.push(max_len_error(DNS_SUBDOMAIN_MAX));
    }
    if value.is_empty() || !value.bytes().all(is_key_byte) {
        complaints.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    complaints.extend(dots_at_start(value));
    complaints
}

/// The name of an environment variable, by the strict rule.
pub fn is_env_var_name(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    let good =
        has_form(value.as_bytes(), |b| is_key_byte(b) && !b.is_ascii_digit(), is_key_byte, is_key_byte);
    if !good {
        complaints.push(regex_error(
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', \
             or '.', and must not start with a digit",
            "[-._a-zA-Z][-._a-zA-Z0-9]*",
            &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
        ));
    }
    complaints.extend(dots_at_start(value));
    complaints
}

/// The name of an environment variable, by the relaxed rule that holds since v1.34 (KEP-4369).
pub fn is_relaxed_env_var_name(value: &str) -> Complaints {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if value.bytes().any(|b| !(b' '..=b'~').contains(&b) || b == b'=') {
        return vec![
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        ];
    }
    Vec::new()
}

/// The name of an HTTP header.
pub fn is_http_header_name(value: &str) -> Complaints {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![regex_error(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// An identifier of C.
pub fn is_c_identifier(value: &str) -> Complaints {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if has_form(value.as_bytes(), |b| b.is_ascii_alphabetic() || b == b'_', inner, inner) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of \
         alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// The reason of a condition; its length is another matter.
pub fn is_condition_reason(value: &str) -> Complaints {
    let end = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b':');
    if has_form(value.as_bytes(), |b| b.is_ascii_alphabetic(), inner, end) {
        return Vec::new();
    }
    vec![regex_error(
        "a condition reason must start with alphabetic character, optionally followed by a string of \
         alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}
