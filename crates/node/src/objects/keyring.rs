//! Which credentials go with which image: what is in pull secrets, found by registry as the kubelet's keyring finds it.
//!
//! Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

use crate::image::Credentials;

/// How Docker's own registry is named in files of credentials.
const DEFAULT_REGISTRY: &str = "index.docker.io";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
}

/// Credentials by registry, the most exact registry first.
#[derive(Default)]
pub(super) struct Keyring(Vec<(String, Credentials)>);

impl Keyring {
    /// What is in these secrets. The first error of each that cannot be read is in the list.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> (Self, Vec<String>) {
        let mut keyring = Self::default();
        let mut errors = Vec::new();
        for secret in secrets {
            match entries(secret) {
                Ok(entries) => {
                    for (registry, entry) in entries {
                        keyring.0.extend(credentials(entry).map(|found| (key(&registry), found)));
                    }
                }
                // Never what was in it.
                Err(error) => {
                    let name = secret.metadata.name.as_deref().unwrap_or_default();
                    errors.push(format!("{name}: {error}"));
                }
            }
        }
        // Stable: of the same registry, the earlier secret's.
        keyring.0.sort_by(|left, right| right.0.cmp(&left.0));
        (keyring, errors)
    }

    /// Those for `image`.
    pub(super) fn find(&self, image: &str) -> Vec<Credentials> {
        let repository = repository(image);
        let of = |test: &dyn Fn(&str) -> bool| {
            self.0.iter().filter(|(key, _)| test(key)).map(|(_, found)| found.clone()).collect::<Vec<_>>()
        };
        let found = of(&|key| matches(key, &repository));
        let is_docker = repository.starts_with("docker.io/") || repository.starts_with("index.docker.io/");
        if found.is_empty() && is_docker { of(&|key| key == DEFAULT_REGISTRY) } else { found }
    }
}

fn entries(secret: &Secret) -> Result<BTreeMap<String, Entry>, &'static str> {
    let data =
        |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let invalid = |_| "its file of credentials is invalid";
    match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => {
            let file = data(".dockerconfigjson").ok_or("it has no .dockerconfigjson")?;
            serde_json::from_slice::<File>(file).map(|file| file.auths).map_err(invalid)
        }
        Some("kubernetes.io/dockercfg") => {
            serde_json::from_slice(data(".dockercfg").ok_or("it has no .dockercfg")?).map_err(invalid)
        }
        _ => Err("it is of no type of pull secrets"),
    }
}

fn credentials(entry: Entry) -> Option<Credentials> {
    let (mut user, mut password) = (entry.username, entry.password);
    if !entry.auth.is_empty() {
        let decoded = STANDARD.decode(&entry.auth).or_else(|_| STANDARD_NO_PAD.decode(&entry.auth)).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (before, after) = text.split_once(':')?;
        (user, password) = (before.to_owned(), after.to_owned());
    }
    let identity_token = Some(entry.identitytoken).filter(|token| !token.is_empty());
    (!user.is_empty() || identity_token.is_some()).then_some(Credentials { user, password, identity_token })
}

/// A registry without its scheme, and without the version of its API.
fn key(registry: &str) -> String {
    let rest = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let path = path.strip_prefix("/v1").filter(|p| p.starts_with('/')).unwrap_or(path);
    let path = path.strip_prefix("/v2").filter(|p| p.starts_with('/')).unwrap_or(path);
    if path == "/" { host.to_owned() } else { format!("{host}{path}") }
}

/// An image without tag and digest, and with its registry.
fn repository(image: &str) -> String {
    let image = image.split('@').next().unwrap_or_default();
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let image = image[slash..].find(':').map_or(image, |colon| &image[..slash + colon]);
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

/// Whether a registry of credentials, whose parts may have `*`, is that of a repository.
fn matches(key: &str, repository: &str) -> bool {
    let split = |text: &str| {
        let (host, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
        let (host, port) = host.split_once(':').unwrap_or((host, ""));
        (host.to_owned(), port.to_owned(), path.to_owned())
    };
    let ((key_host, key_port, key_path), (host, port, path)) = (split(key), split(repository));
    let (key_parts, parts): (Vec<_>, Vec<_>) = (key_host.split('.').collect(), host.split('.').collect());
    key_port == port
        && path.starts_with(&key_path)
        && key_parts.len() == parts.len()
        && key_parts.iter().zip(parts).all(|(pattern, part)| glob(pattern.as_bytes(), part.as_bytes()))
}

/// `*` is any text, `?` any character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        Some((b'?', rest)) => !text.is_empty() && glob(rest, &text[1..]),
        Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::*;

    fn secret(kind: &str, key: &str, file: &Value) -> Secret {
        Secret {
            type_: Some(kind.into()),
            data: Some([(key.to_owned(), ByteString(file.to_string().into_bytes()))].into()),
            ..Secret::default()
        }
    }

    fn config(registries: &[&str]) -> Secret {
        let auths: BTreeMap<_, _> = registries
            .iter()
            .map(|registry| {
                (*registry, json!({"auth": STANDARD.encode(format!("{registry}|user:pass:word"))}))
            })
            .collect();
        secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &json!({ "auths": auths }))
    }

    #[test]
    fn credentials_are_found_by_registry_and_path() {
        let rows: &[(&str, &[&str], &str, &[&str])] = &[
            ("a host", &["quay.io"], "quay.io/a/b:1", &["quay.io"]),
            ("another host", &["quay.io"], "ghcr.io/a/b", &[]),
            ("with a scheme", &["https://quay.io"], "quay.io/a", &["https://quay.io"]),
            ("with a version", &["https://quay.io/v2/"], "quay.io/a", &["https://quay.io/v2/"]),
            ("a port", &["localhost:5000"], "localhost:5000/a:1", &["localhost:5000"]),
            ("another port", &["localhost:5000"], "localhost:5001/a", &[]),
            ("a path", &["quay.io/team"], "quay.io/team/b", &["quay.io/team"]),
            ("another path", &["quay.io/team"], "quay.io/other/b", &[]),
            (
                "the more exact first",
                &["quay.io", "quay.io/team"],
                "quay.io/team/b",
                &["quay.io/team", "quay.io"],
            ),
            ("a pattern", &["*.example.com"], "eu.example.com/a@sha256:00", &["*.example.com"]),
            ("a pattern is one part", &["*.example.com"], "a.b.example.com/a", &[]),
            ("docker's own", &["https://index.docker.io/v1/"], "busybox", &["https://index.docker.io/v1/"]),
            ("docker's own by name", &["docker.io"], "docker.io/library/busybox:1", &["docker.io"]),
            ("not docker's", &["https://index.docker.io/v1/"], "quay.io/busybox", &[]),
        ];
        for (name, registries, image, expected) in rows {
            let (keyring, errors) = Keyring::new([&config(registries)]);
            assert!(errors.is_empty(), "{name}");
            let found: Vec<_> = keyring.find(image).into_iter().map(|c| (c.user, c.password)).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|registry| (format!("{registry}|user"), "pass:word".to_owned()))
                .collect();
            // The user's name must not have a colon, so a port or scheme cuts it.
            let cut = |(user, password): (String, String)| match format!("{user}:{password}").split_once(':')
            {
                Some((user, password)) => (user.to_owned(), password.to_owned()),
                None => (user, password),
            };
            assert_eq!(found, expected.into_iter().map(cut).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn both_forms_of_pull_secrets_are_read() {
        let entry = json!({"quay.io": {"username": "u", "password": "p"}});
        let token = json!({"auths": {"quay.io": {"identitytoken": "t"}}});
        let old = secret("kubernetes.io/dockercfg", ".dockercfg", &entry);
        let new = secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &token);
        let wrong = secret("Opaque", ".dockercfg", &entry);
        let broken = secret("kubernetes.io/dockercfg", ".dockercfg", &json!("secret"));
        let (keyring, errors) = Keyring::new([&old, &new, &wrong, &broken]);
        let found = keyring.find("quay.io/a");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].user.as_str(), found[0].password.as_str()), ("u", "p"));
        assert_eq!(found[1].identity_token.as_deref(), Some("t"));
        assert_eq!(errors, [": it is of no type of pull secrets", ": its file of credentials is invalid"]);
    }
}
