//! URLs, read as Go's `net/url` reads the URI of a request: with a scheme, or as an absolute path.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use cel::common::types::{CelBool, CelList, CelMap, CelMapKey, CelString, Type};
use cel::common::value::Val;
use cel::{DeclarationError, Env, ExecutionError};

use super::{Of, Own, failed};

static KIND: Type = Type::new_unspecified_type("kubernetes.URL");

/// The parts of a URL that expressions can ask for.
#[derive(Debug, Clone, PartialEq)]
struct Url {
    scheme: String,
    /// With its port.
    host: String,
    path: String,
    query: String,
}

impl Own for Url {
    fn kind() -> &'static Type {
        &KIND
    }
}

type Value = Of<Url>;

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_overload!(env, fn url: (CelString) -> Result<Value>)?;
    cel::add_overload!(env, fn is_url: (CelString) -> CelBool, name = "isURL")?;
    cel::add_member_overload!(env, fn get_scheme: (Value) -> CelString)?;
    cel::add_member_overload!(env, fn get_host: (Value) -> CelString)?;
    cel::add_member_overload!(env, fn get_hostname: (Value) -> CelString)?;
    cel::add_member_overload!(env, fn get_port: (Value) -> CelString)?;
    cel::add_member_overload!(env, fn get_escaped_path: (Value) -> CelString)?;
    cel::add_member_overload!(env, fn get_query: (Value) -> CelMap)
}

/// Whether it is the URI of a request (OpenAPI's format `uri`); else what is wrong with it.
pub(in crate::cel) fn is_request_uri(text: &str) -> Result<(), String> {
    Url::parse(text).map(|_| ())
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("parse {}: {why}", sampan_model::field_error::go_quote(text)));
        if text.is_empty() {
            return wrong("empty url");
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return wrong("net/url: invalid control character in URL");
        }
        let whole = text.split('#').next().unwrap_or_default();
        let Some((scheme, rest)) = scheme(whole) else { return wrong("invalid URI for request") };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            // What follows a scheme without a slash (`mailto:a`) has no parts.
            None => ("", if rest.starts_with('/') { rest } else { "" }),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if host.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
            return wrong("invalid character in host name");
        }
        let port = host.rsplit_once(']').map_or(host, |(_, rest)| rest).split_once(':');
        if port.is_some_and(|(_, port)| !port.bytes().all(|b| b.is_ascii_digit())) {
            return wrong(&format!(
                "invalid port {:?} after host",
                format!(":{}", port.unwrap_or_default().1)
            ));
        }
        if host.starts_with('[') && !host.contains(']') {
            return wrong("missing ']' in host");
        }
        if let Some(bad) = bad_escape(path).or_else(|| bad_escape(host)) {
            return wrong(&format!("invalid URL escape {bad:?}"));
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }
}

/// The scheme and what follows it; an absolute path has none.
fn scheme(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('/') {
        return Some(("", text));
    }
    let (scheme, rest) = text.split_once(':')?;
    let is_good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_good.then_some((scheme, rest))
}

/// A percent sign without two digits behind it.
fn bad_escape(text: &str) -> Option<String> {
    text.match_indices('%').find_map(|(i, _)| {
        let next: String = text[i..].chars().take(3).collect();
        let is_good = next.len() == 3 && next.bytes().skip(1).all(|b| b.is_ascii_hexdigit());
        (!is_good).then_some(next)
    })
}

fn url(text: &CelString<'_>) -> Result<Value, ExecutionError> {
    let words = |e| failed("url", format!("URL parse error during conversion from string: {e}"));
    Url::parse(text.inner()).map(Of).map_err(words)
}

fn is_url(text: &CelString<'_>) -> CelBool {
    Url::parse(text.inner()).is_ok().into()
}

fn get_scheme(this: &Value) -> CelString<'static> {
    this.0.scheme.clone().into()
}

fn get_host(this: &Value) -> CelString<'static> {
    this.0.host.clone().into()
}

/// The name and the port of a host. An address of IPv6 stands in brackets.
fn parts(host: &str) -> (&str, &str) {
    if let Some((name, rest)) = host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        return (name, rest.strip_prefix(':').unwrap_or_default());
    }
    host.split_once(':').unwrap_or((host, ""))
}

fn get_hostname(this: &Value) -> CelString<'static> {
    parts(&this.0.host).0.to_owned().into()
}

fn get_port(this: &Value) -> CelString<'static> {
    parts(&this.0.host).1.to_owned().into()
}

fn get_escaped_path(this: &Value) -> CelString<'static> {
    let mut escaped = String::with_capacity(this.0.path.len());
    for byte in this.0.path.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
        if is_plain {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped.into()
}

fn get_query(this: &Value) -> CelMap<'static> {
    let mut all: BTreeMap<String, Vec<Box<dyn Val>>> = BTreeMap::new();
    for (key, value) in form_urlencoded::parse(this.0.query.as_bytes()) {
        all.entry(key.into_owned()).or_default().push(Box::new(CelString::from(value.into_owned())));
    }
    let map: HashMap<CelMapKey<'static>, Box<dyn Val>> = all
        .into_iter()
        .map(|(key, values)| {
            (CelMapKey::String(CelString::from(key)), Box::new(CelList::from(values)) as Box<dyn Val>)
        })
        .collect();
    map.into()
}
