//! The file that says where a webhook is and how to speak to it: a kubeconfig, of which the current context counts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::https::Trust;

/// Why a file says nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no kubeconfig.
    #[error("{path} is no kubeconfig: {why}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A field that is missing, or has a value that cannot be used.
    #[error("{path}: {field}: {why}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What a client shows in its `Authorization` header. Never printed.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// A token.
    Token(String),
    /// A file that holds the token; it may change.
    TokenFile(PathBuf),
    /// A name and a password.
    Basic(String, String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(..)",
            Self::TokenFile(_) => "TokenFile(..)",
            Self::Basic(..) => "Basic(..)",
        })
    }
}

/// Where a server is, whom to trust, and what to show.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    /// The URL.
    pub server: http::Uri,
    /// Whom to trust, and the client's certificate.
    pub trust: Trust,
    /// The `Authorization` header.
    pub credentials: Credentials,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext>,
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: bool,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    password: Option<String>,
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: ContextOf,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContextOf {
    cluster: String,
    user: String,
}

impl Kubeconfig {
    /// Reads a file, and the files that it names (relative to its own directory).
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let file: File = serde_saphyr::from_str(text)
            .map_err(|e| Error::Syntax { path: path.to_owned(), why: e.to_string() })?;
        let place = Place(path);
        let current = &file.current_context;
        let context = file
            .contexts
            .iter()
            .find(|c| c.name == *current)
            .ok_or_else(|| place.wrong("current-context", format!("there is no context {current:?}")))?;
        let cluster = &context.context.cluster;
        let cluster = file
            .clusters
            .iter()
            .find(|c| c.name == *cluster)
            .ok_or_else(|| place.wrong("clusters", format!("there is no cluster {cluster:?}")))?;
        let user = &context.context.user;
        let none = User::default();
        let user = match file.users.iter().find(|u| u.name == *user) {
            Some(found) => &found.user,
            None if user.is_empty() => &none,
            None => return Err(place.wrong("users", format!("there is no user {user:?}"))),
        };
        let cluster = &cluster.cluster;
        let server: http::Uri =
            cluster.server.parse().map_err(|e| place.wrong("clusters[].cluster.server", e))?;
        if !matches!(server.scheme_str(), Some("https" | "http")) {
            return Err(place.wrong("clusters[].cluster.server", "it must begin with https://"));
        }
        place.refuse(cluster, user)?;
        let authorities = place.pem(
            cluster.certificate_authority.as_deref(),
            cluster.certificate_authority_data.as_deref(),
            "clusters[].cluster.certificate-authority-data",
        )?;
        let certificate = place.pem(
            user.client_certificate.as_deref(),
            user.client_certificate_data.as_deref(),
            "users[].user.client-certificate-data",
        )?;
        let key = place.pem(
            user.client_key.as_deref(),
            user.client_key_data.as_deref(),
            "users[].user.client-key-data",
        )?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(place
                    .wrong("users[].user", "a client certificate needs its key, and a key its certificate"));
            }
        };
        let credentials = match user {
            User { token_file: Some(file), .. } => Credentials::TokenFile(place.beside(file)),
            User { token: Some(token), .. } if !token.is_empty() => Credentials::Token(token.clone()),
            User { username: Some(name), password, .. } => {
                Credentials::Basic(name.clone(), password.clone().unwrap_or_default())
            }
            _ => Credentials::None,
        };
        let server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
        Ok(Self { server, trust: Trust { authorities, identity, server_name }, credentials })
    }
}

/// The file that is read, for messages and for paths within it.
struct Place<'a>(&'a Path);

impl Place<'_> {
    fn wrong(&self, field: &str, why: impl fmt::Display) -> Error {
        Error::Field { path: self.0.to_owned(), field: field.to_owned(), why: why.to_string() }
    }

    fn beside(&self, path: &Path) -> PathBuf {
        self.0.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Fields that would change what is sent to whom, and that this client does not know, are no silence.
    fn refuse(&self, cluster: &Cluster, user: &User) -> Result<(), Error> {
        if cluster.insecure_skip_tls_verify {
            let why = "a webhook decides who may do what, so its certificate is always verified: give certificate-authority instead";
            return Err(self.wrong("clusters[].cluster.insecure-skip-tls-verify", why));
        }
        if cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty()) {
            return Err(self.wrong("clusters[].cluster.proxy-url", "proxies are not supported"));
        }
        let known = ["exec", "auth-provider", "as", "as-groups", "as-uid", "as-user-extra"];
        match known.iter().find(|field| user.other.get(**field).is_some_and(|v| !v.is_null())) {
            Some(field) => Err(self.wrong(
                &format!("users[].user.{field}"),
                "it is not supported: use client-certificate, token or tokenFile",
            )),
            None => Ok(()),
        }
    }

    /// What stands in the data, or else in the file (the data win, as upstream).
    fn pem(&self, file: Option<&Path>, data: Option<&str>, field: &str) -> Result<Option<Vec<u8>>, Error> {
        if let Some(data) = data.filter(|d| !d.is_empty()) {
            let data: String = data.split_whitespace().collect();
            return STANDARD.decode(data).map(Some).map_err(|e| self.wrong(field, e));
        }
        let Some(path) = file.filter(|p| !p.as_os_str().is_empty()) else { return Ok(None) };
        let path = self.beside(path);
        std::fs::read(&path).map(Some).map_err(|source| Error::Read { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n";

    #[test]
    fn a_file_says_where_the_server_is_and_what_to_show() {
        let text = format!(
            "{HEAD}clusters: [{{name: c, cluster: {{server: 'https://h:1/x', tls-server-name: n, certificate-authority-data: YQ==}}}}]
users: [{{name: u, user: {{token: t}}}}]\n"
        );
        let config = Kubeconfig::parse(Path::new("f"), &text).unwrap();
        assert_eq!(config.server, "https://h:1/x");
        assert_eq!(config.trust.authorities.as_deref(), Some(&b"a"[..]));
        assert_eq!(config.trust.server_name.as_deref(), Some("n"));
        assert!(matches!(&config.credentials, Credentials::Token(t) if t == "t"));
        assert_eq!(format!("{:?}", config.credentials), "Token(..)");
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_field() {
        let cluster =
            |rest: &str| format!("clusters: [{{name: c, cluster: {{server: 'https://h'{rest}}}}}]\n");
        let user = |inner: &str| format!("users: [{{name: u, user: {{{inner}}}}}]\n");
        let rows = [
            (String::new(), user(""), "f: clusters: there is no cluster \"c\""),
            (cluster(""), String::new(), "f: users: there is no user \"u\""),
            (
                cluster(", insecure-skip-tls-verify: true"),
                user(""),
                "f: clusters[].cluster.insecure-skip-tls-verify: a webhook decides",
            ),
            (cluster(""), user("exec: {command: x}"), "f: users[].user.exec: it is not supported"),
            (
                cluster(""),
                user("client-key-data: YQ=="),
                "f: users[].user: a client certificate needs its key",
            ),
            (cluster(", certificate-authority: none"), user(""), "cannot read none"),
        ];
        for (clusters, users, want) in rows {
            let error = Kubeconfig::parse(Path::new("f"), &format!("{HEAD}{clusters}{users}")).unwrap_err();
            assert!(error.to_string().starts_with(want), "{error}");
        }
    }
}
