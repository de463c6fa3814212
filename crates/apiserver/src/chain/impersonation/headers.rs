//! The headers that say as whom a request wants to be treated.

use http::{HeaderMap, HeaderName};
use sampan_model::Status;
use sampan_model::field_error::go_quote;

use crate::User;
use crate::request_info::decode_path;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";

/// Takes the wanted user out of the headers, exactly as they name it. `None` when they name none; 400 when they name
/// something of a user without its name.
pub(super) fn take(headers: &mut HeaderMap) -> Result<Option<User>, Status> {
    let first = |name| headers.get(name).map(text).unwrap_or_default();
    let mut wanted = User { name: first(USER), uid: first(UID), ..User::default() };
    wanted.groups = headers.get_all(GROUP).iter().map(text).collect();
    let mut extra_names: Vec<HeaderName> = Vec::new();
    for name in headers.keys().filter(|name| name.as_str().starts_with(EXTRA)) {
        let key = &name.as_str()[EXTRA.len()..];
        // A key that is no valid encoding is taken as it is, so that nothing is lost.
        let key = decode_path(key).unwrap_or_else(|| key.to_owned());
        wanted.extra.entry(key).or_default().extend(headers.get_all(name).iter().map(text));
        extra_names.push(name.clone());
    }
    if wanted.name.is_empty() {
        if wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty() {
            return Ok(None);
        }
        return Err(Status::bad_request(format!(
            "requested {} without impersonating a user name",
            go_struct(&wanted)
        )));
    }
    for name in [USER, UID, GROUP] {
        headers.remove(name);
    }
    for name in extra_names {
        headers.remove(name);
    }
    Ok(Some(wanted))
}

fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// The user as Go's `%#v` shows it, which is part of the sentence that clients see.
fn go_struct(user: &User) -> String {
    let strings = |list: &[String]| {
        let quoted: Vec<String> = list.iter().map(|s| go_quote(s)).collect();
        format!("[]string{{{}}}", quoted.join(", "))
    };
    let groups = if user.groups.is_empty() { "[]string(nil)".into() } else { strings(&user.groups) };
    let extra = if user.extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let pairs: Vec<String> =
            user.extra.iter().map(|(k, v)| format!("{}:{}", go_quote(k), strings(v))).collect();
        format!("map[string][]string{{{}}}", pairs.join(", "))
    };
    let (name, uid) = (go_quote(&user.name), go_quote(&user.uid));
    format!("&user.DefaultInfo{{Name:{name}, UID:{uid}, Groups:{groups}, Extra:{extra}}}")
}
