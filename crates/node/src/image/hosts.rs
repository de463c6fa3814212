//! Where a registry's content is asked for: `hosts.toml` as containerd reads it. Pure, but for [`load`].
//!
//! `DIRECTORY/REGISTRY/hosts.toml` (a port is written `:5000`, or `_5000_`), else `DIRECTORY/_default/hosts.toml`, else the registry itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::reference::DEFAULT_DOMAIN;

/// Where Docker Hub's registry really is.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// A file larger than this is no configuration.
const MAX_FILE: u64 = 1 << 20;

/// A server that may have a registry's content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches of the file")]
pub(crate) struct Host {
    /// Without a trailing slash: `https://mirror.example/v2`.
    pub(crate) base: String,
    /// Whether tags may be asked of it.
    pub(crate) resolves: bool,
    /// Whether content may be asked of it.
    pub(crate) pulls: bool,
    /// It stands for another registry, and is told for which (`?ns=`).
    pub(crate) is_mirror: bool,
    /// Certificates of authorities that are trusted besides the machine's.
    pub(crate) authorities: Vec<PathBuf>,
    /// Certificate and key to show, in one file or two.
    pub(crate) client: Option<(PathBuf, Option<PathBuf>)>,
    /// Its certificate is not checked.
    pub(crate) skip_verify: bool,
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
    /// How long a connection may take.
    pub(crate) dial_timeout: Option<Duration>,
}

impl Host {
    fn new(base: String) -> Self {
        Self {
            base,
            resolves: true,
            pulls: true,
            is_mirror: false,
            authorities: Vec::new(),
            client: None,
            skip_verify: false,
            headers: Vec::new(),
            dial_timeout: None,
        }
    }

    /// Whether it is reached without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.starts_with("http://")
    }

    /// Its name and port.
    pub(crate) fn authority(&self) -> &str {
        let rest = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }
}

/// The hosts of a registry, in the order in which they are asked.
pub(super) fn load(directory: Option<&Path>, registry: &str) -> Result<Vec<Host>, Error> {
    let Some(directory) = directory else { return Ok(vec![default(registry)]) };
    for name in folders(registry) {
        let folder = directory.join(name);
        let file = folder.join("hosts.toml");
        let problem = |reason: String| Error::Failed {
            context: format!("cannot read the configuration of registry {registry}"),
            source: format!("{}: {reason}", file.display()).into(),
        };
        match std::fs::metadata(&file) {
            Ok(metadata) if metadata.len() > MAX_FILE => {
                return Err(problem(format!("it has more than {MAX_FILE} bytes")));
            }
            Ok(_) => {
                let text = std::fs::read_to_string(&file).map_err(|e| problem(e.to_string()))?;
                return parse(&text, registry, &folder).map_err(problem);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(problem(error.to_string())),
        }
    }
    Ok(vec![default(registry)])
}

/// Folders that may speak of a registry. Colons are not good everywhere, so there is a second spelling.
fn folders(registry: &str) -> Vec<String> {
    let mut folders = vec![registry.to_owned()];
    if let Some((host, port)) =
        registry.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
    {
        folders.push(format!("{host}_{port}_"));
    }
    folders.push("_default".to_owned());
    folders
}

/// The registry itself: without TLS if it is on this machine, as docker and containerd do.
fn default(registry: &str) -> Host {
    if registry == DEFAULT_DOMAIN {
        return Host::new(format!("https://{DOCKER_HUB}/v2"));
    }
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let scheme = if local && port != Some("443") { "http" } else { "https" };
    Host::new(format!("{scheme}://{registry}/v2"))
}

fn parse(text: &str, registry: &str, folder: &Path) -> Result<Vec<Host>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
    let mut hosts = Vec::new();
    if let Some(listed) = table.get("host") {
        let listed = listed.as_table().ok_or("`host` is no table")?;
        for (server, settings) in listed {
            let settings = settings.as_table().ok_or_else(|| format!("host {server:?} is no table"))?;
            hosts.push(host(server, settings, folder)?);
        }
    }
    if let Some(server) = table.get("server") {
        let server = server.as_str().filter(|s| !s.is_empty()).ok_or("`server` is no URL")?;
        hosts.push(host(server, &table, folder)?);
    } else {
        let mut upstream = default(registry);
        settings(&mut upstream, &table, folder)?;
        hosts.push(upstream);
    }
    let own = default(registry);
    for host in &mut hosts {
        host.is_mirror = host.authority() != own.authority() && host.authority() != registry;
    }
    Ok(hosts)
}

fn host(server: &str, table: &toml::Table, folder: &Path) -> Result<Host, String> {
    let server = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
    let server = server.trim_end_matches('/');
    let (scheme, rest) = server.split_once("://").unwrap_or_default();
    if !matches!(scheme, "http" | "https")
        || rest.is_empty()
        || rest.starts_with('/')
        || rest.contains(['@', '?', '#'])
    {
        return Err(format!("{server:?} is no URL of a registry"));
    }
    let mut host = Host::new(server.to_owned());
    settings(&mut host, table, folder)?;
    let overridden = table.get("override_path").and_then(toml::Value::as_bool).unwrap_or(false);
    if !overridden && !host.base.ends_with("/v2") {
        host.base.push_str("/v2");
    }
    Ok(host)
}

fn settings(host: &mut Host, table: &toml::Table, folder: &Path) -> Result<(), String> {
    if let Some(capabilities) = table.get("capabilities") {
        (host.resolves, host.pulls) = (false, false);
        for capability in strings(capabilities).ok_or("`capabilities` is no list of words")? {
            match capability.to_ascii_lowercase().as_str() {
                "pull" => host.pulls = true,
                "resolve" => host.resolves = true,
                "push" => {}
                other => return Err(format!("unknown capability {other:?}")),
            }
        }
    }
    if let Some(ca) = table.get("ca") {
        let files = strings(ca).ok_or("`ca` is no file and no list of files")?;
        host.authorities = files.into_iter().map(|file| folder.join(file)).collect();
    }
    if let Some(client) = table.get("client") {
        host.client = Some(client_files(client, folder).ok_or("`client` is no file and no pair of files")?);
    }
    if let Some(skip) = table.get("skip_verify") {
        host.skip_verify = skip.as_bool().ok_or("`skip_verify` is neither true nor false")?;
    }
    if let Some(timeout) = table.get("dial_timeout") {
        let text = timeout.as_str().ok_or("`dial_timeout` is no duration")?;
        host.dial_timeout = Some(duration(text).ok_or_else(|| format!("{text:?} is no duration"))?);
    }
    if let Some(headers) = table.get("header") {
        for (name, values) in headers.as_table().ok_or("`header` is no table")? {
            for value in strings(values).ok_or_else(|| format!("header {name:?} is no text"))? {
                host.headers.push((name.clone(), value.to_owned()));
            }
        }
    }
    Ok(())
}

/// `"file"`, `["certificate", "key"]`, or a list of such pairs, of which the first is used.
fn client_files(value: &toml::Value, folder: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    if let Some(pairs) = value.as_array()
        && let Some(first) = pairs.first().filter(|first| first.is_array())
    {
        return client_files(first, folder);
    }
    match strings(value)?[..] {
        [both] => Some((folder.join(both), None)),
        [certificate, key] => {
            let key = Some(key).filter(|key| !key.is_empty()).map(|key| folder.join(key));
            Some((folder.join(certificate), key))
        }
        _ => None,
    }
}

fn strings(value: &toml::Value) -> Option<Vec<&str>> {
    match value {
        toml::Value::String(one) => Some(vec![one]),
        toml::Value::Array(list) => list.iter().map(toml::Value::as_str).collect(),
        _ => None,
    }
}

fn duration(text: &str) -> Option<Duration> {
    sampan_model::time::parse_go_duration(text).ok().and_then(|signed| Duration::try_from(signed).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(hosts: &[Host]) -> Vec<&str> {
        hosts.iter().map(|host| host.base.as_str()).collect()
    }

    #[test]
    fn a_registry_without_a_file_is_asked_itself() {
        let rows = [
            ("docker.io", "https://registry-1.docker.io/v2"),
            ("registry.k8s.io", "https://registry.k8s.io/v2"),
            ("localhost:5000", "http://localhost:5000/v2"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2"),
            ("127.9.9.9", "http://127.9.9.9/v2"),
            ("[::1]:5000", "http://[::1]:5000/v2"),
            ("localhost:443", "https://localhost:443/v2"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/v2"),
            ("localhost.example", "https://localhost.example/v2"),
        ];
        for (registry, want) in rows {
            assert_eq!(bases(&load(None, registry).unwrap()), [want]);
        }
    }

    #[test]
    fn mirrors_come_in_the_order_of_the_file_and_the_registry_last() {
        let text = r#"
            server = "https://registry-1.docker.io"
            [host."https://z.example"]
              capabilities = ["pull"]
              ca = ["one.pem", "/two.pem"]
              client = [["c.pem", "c.key"]]
              dial_timeout = "3s"
            [host."http://a.example:5000/prefix/v2"]
              capabilities = ["pull", "resolve", "push"]
              skip_verify = true
              override_path = true
              [host."http://a.example:5000/prefix/v2".header]
                x-one = "1"
                x-two = ["2", "3"]
        "#;
        let hosts = parse(text, "docker.io", Path::new("/d")).unwrap();
        assert_eq!(
            bases(&hosts),
            ["https://z.example/v2", "http://a.example:5000/prefix/v2", "https://registry-1.docker.io/v2"]
        );
        let z = &hosts[0];
        assert_eq!((z.resolves, z.pulls, z.is_mirror, z.is_plain()), (false, true, true, false));
        assert_eq!(z.authorities, [PathBuf::from("/d/one.pem"), PathBuf::from("/two.pem")]);
        assert_eq!(z.client, Some(("/d/c.pem".into(), Some("/d/c.key".into()))));
        assert_eq!(z.dial_timeout, Some(Duration::from_secs(3)));
        let a = &hosts[1];
        assert_eq!((a.resolves, a.pulls, a.skip_verify, a.is_plain()), (true, true, true, true));
        assert_eq!(a.headers.len(), 3);
        assert!(!hosts[2].is_mirror);
    }

    #[test]
    fn a_file_that_is_wrong_says_what_is_wrong() {
        let rows = [
            ("host = 1", "`host` is no table"),
            ("server = ''", "`server` is no URL"),
            ("server = 'ftp://x'", "\"ftp://x\" is no URL of a registry"),
            ("server = 'https://user@x'", "\"https://user@x\" is no URL of a registry"),
            ("[host.'https://x']\ncapabilities = ['fly']", "unknown capability \"fly\""),
            ("[host.'https://x']\nca = 1", "`ca` is no file and no list of files"),
            ("[host.'https://x']\nclient = []", "`client` is no file and no pair of files"),
            ("[host.'https://x']\ndial_timeout = 'soon'", "\"soon\" is no duration"),
        ];
        for (text, want) in rows {
            assert_eq!(parse(text, "x.io", Path::new("/")).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn the_folder_of_a_registry_may_be_spelled_in_two_ways_and_one_is_for_all_others() {
        let dir = tempfile::tempdir().unwrap();
        let write = |folder: &str, server: &str| {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join("hosts.toml"), format!("server = '{server}'"))
                .unwrap();
        };
        write("localhost_5000_", "http://one.example");
        write("_default", "https://rest.example");
        let rows = [("localhost:5000", "http://one.example/v2"), ("docker.io", "https://rest.example/v2")];
        for (registry, want) in rows {
            assert_eq!(bases(&load(Some(dir.path()), registry).unwrap()), [want]);
        }
        write("x.io", "ftp://no");
        let error = load(Some(dir.path()), "x.io").unwrap_err();
        assert_eq!(error.to_string(), "cannot read the configuration of registry x.io");
    }
}
