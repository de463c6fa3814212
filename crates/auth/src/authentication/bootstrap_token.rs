//! The tokens with which new nodes come (`--enable-bootstrap-token-auth`): `ID.SECRET`, kept in secrets of `kube-system`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::Rejected;
use subtle::ConstantTimeEq as _;

use super::stored::{Secret, Stored};
use super::token::PlainToken;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

/// Bootstrap tokens, looked up in the store.
#[derive(Debug)]
pub struct BootstrapToken {
    /// Where the secrets are.
    pub stored: Stored,
    /// The time.
    pub clock: fn() -> Timestamp,
}

#[async_trait]
impl PlainToken for BootstrapToken {
    async fn user(&self, token: &str) -> Result<Option<User>, Rejected> {
        let Some((id, secret)) = split(token) else { return Ok(None) };
        let stored: Option<Secret> = self.stored.get("secrets", NAMESPACE, &format!("bootstrap-token-{id}"));
        Ok(stored.and_then(|stored| user(&stored, id, secret, (self.clock)())))
    }
}

/// Id and secret of a token: six and sixteen letters and digits.
fn split(token: &str) -> Option<(&str, &str)> {
    let word = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    token.split_once('.').filter(|(id, secret)| word(id, 6) && word(secret, 16))
}

fn user(stored: &Secret, id: &str, secret: &str, now: Timestamp) -> Option<User> {
    let is_good = stored.kind == TYPE
        && stored.metadata.deletion_timestamp.is_none()
        && bool::from(stored.data("token-secret")?.ct_eq(secret.as_bytes()))
        && stored.text("token-id")? == id
        && !has_expired(stored, now)
        && stored.text("usage-bootstrap-authentication")? == "true";
    if !is_good {
        return None;
    }
    Some(User { name: format!("system:bootstrap:{id}"), groups: groups(stored)?, ..User::default() })
}

/// A token without an end lasts; one whose end cannot be read has ended.
fn has_expired(stored: &Secret, now: Timestamp) -> bool {
    match stored.text("expiration").filter(|text| !text.is_empty()) {
        Some(text) => sampan_model::time::parse_time(&text).map_or(true, |end| end <= now),
        None => false,
    }
}

/// The groups that the secret names; `None` when one of them may not be given by a token.
fn groups(stored: &Secret) -> Option<Vec<String>> {
    let mut groups = BTreeSet::from([GROUP.to_owned()]);
    let extra = stored.text("auth-extra-groups").unwrap_or_default();
    for group in extra.split(',').filter(|_| !extra.is_empty()) {
        let name = group.strip_prefix(GROUP)?.strip_prefix(':')?;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b':' | b'-');
        let last = name.bytes().last()?;
        if name.len() > 256 || !name.bytes().all(allowed) || matches!(last, b':' | b'-') {
            return None;
        }
        groups.insert(group.to_owned());
    }
    Some(groups.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// What the row is called, how the secret differs, and the groups that its token has, if it is good.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a [&'a str]>);

    fn secret(changes: &[(&str, &str)]) -> Secret {
        let mut data: std::collections::BTreeMap<&str, &str> = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ]
        .into();
        data.extend(changes.iter().copied());
        let data: serde_json::Map<String, serde_json::Value> =
            data.into_iter().map(|(k, v)| (k.to_owned(), STANDARD.encode(v).into())).collect();
        serde_json::from_value(serde_json::json!({"metadata": {}, "type": TYPE, "data": data})).unwrap()
    }

    #[test]
    fn a_token_is_good_for_what_its_secret_says() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let rows: [Row<'_>; 8] = [
            ("as made", &[], Some(&["system:bootstrappers"])),
            (
                "with groups",
                &[("auth-extra-groups", "system:bootstrappers:b,system:bootstrappers:a")],
                Some(&["system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b"]),
            ),
            ("with a group of others", &[("auth-extra-groups", "system:masters")], None),
            ("not expired", &[("expiration", "2026-01-01T00:00:01Z")], Some(&["system:bootstrappers"])),
            ("expired", &[("expiration", "2026-01-01T00:00:00Z")], None),
            ("an end that is no time", &[("expiration", "tomorrow")], None),
            ("for signing alone", &[("usage-bootstrap-authentication", "false")], None),
            ("another id", &[("token-id", "abcdeg")], None),
        ];
        for (name, changes, want) in rows {
            let got = user(&secret(changes), "abcdef", "0123456789abcdef", now);
            assert_eq!(
                got.as_ref().map(|u| u.groups.clone()),
                want.map(|w| w.iter().map(|g| (*g).into()).collect()),
                "{name}"
            );
        }
        assert_eq!(user(&secret(&[]), "abcdef", "0123456789abcdeg", now), None);
    }

    #[test]
    fn other_tokens_are_not_looked_up() {
        for token in ["", "abcdef", "abcdef.short", "ABCDEF.0123456789abcdef", "../../x.0123456789abcdef"] {
            assert_eq!(split(token), None, "{token}");
        }
    }
}
